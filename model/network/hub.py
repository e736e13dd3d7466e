"""Whether a Hugging Face model is at hand: in a folder, in the hub's cache, or one quick connection away."""

from __future__ import annotations

import os
import socket
import threading
import urllib.parse
from pathlib import Path

from model import errors

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SETTINGS = ("config.json", "preprocessor_config.json")
SECONDS = 1.0  # for the name to be found and the connection to stand


def is_folder(path_or_id: str) -> bool:
    """Whether it names a folder of this machine."""
    return Path(path_or_id).expanduser().is_dir()


def cached(model_id: str) -> bool:
    """Whether the hub's cache holds all that is needed of a model, so that no network is."""
    settings = all(cached_file(model_id, name) for name in SETTINGS)
    return settings and any(cached_file(model_id, name) for name in WEIGHTS)


def cached_file(model_id: str, name: str) -> Path | None:
    """Where the cache holds one file of a model."""
    import huggingface_hub  # here, because most runs never need it

    try:
        found = huggingface_hub.try_to_load_from_cache(model_id, name)
    except ValueError:  # no id that the hub could have
        return None
    return Path(found) if isinstance(found, str) else None


def require(model_id: str) -> None:
    """Raises BadConfig, within about a second, where the model is neither cached nor the hub to be reached: the hub's
    own library tries again for half a minute."""
    if cached(model_id):
        return
    address = endpoint()
    if offline() or not reachable(address):
        why = "HF_HUB_OFFLINE is set" if offline() else f"{urllib.parse.urlsplit(address).hostname} cannot be reached"
        raise errors.BadConfig(
            f"the backbone {model_id!r} is not on this machine, and {why}: try again with a network, or copy the "
            "model's folder from another machine and give --backbone hf:FOLDER"
        )


def endpoint() -> str:
    """Where the hub is."""
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def offline() -> bool:
    """Whether the person has forbidden the hub's library to use the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def reachable(address: str, seconds: float = SECONDS) -> bool:
    """Whether the host of an address (or the proxy that leads there) takes connections; finding its name counts, too."""
    import urllib.request  # here, because it takes a twentieth of a second and most runs never need it

    parts = urllib.parse.urlsplit(address)
    host = parts.hostname or ""
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(parts.scheme, "")
    if proxy:
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    stands = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), timeout=seconds).close()
            stands.set()
        except OSError:
            pass

    trying = threading.Thread(target=connect, daemon=True)  # looking a name up cannot be given a time
    trying.start()
    trying.join(seconds)
    return stands.is_set()
