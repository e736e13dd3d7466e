"""`weights`: gets the trained weights of a backbone from where they are published, or takes a file over that was copied."""

import contextlib
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import httpx

from app import backbone_names, errors
from model import config
from model import errors as model_errors
from model.network import hub, pretrained

VMAMBA = "https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls"
TORCHVISION = "https://download.pytorch.org/models"
PATIENCE = httpx.Timeout(30.0, connect=5.0)  # after the first quick try (hub.reachable)

Tell = Callable[[int, int | None], None]  # bytes that are here, bytes in all where that is known


class NotThose(errors.BadRequest):
    """A file holds something else than the weights that were asked for."""


def fetch(name: str, tell: Tell, *, releases: str = "") -> str:
    """Get a backbone's weights; says where they are now. Asked again after it broke off, it goes on from there.
    releases: the folder on the web where the files lie; "" is their authors' own.

    Raises BadRequest where there is no network, no such name, or something else than the weights came.
    """
    wanted = backbone_names.named(name)
    if wanted == backbone_names.BUNDLED and pretrained.bundled(wanted).is_file():
        return f"{wanted} comes with the program: {pretrained.bundled(wanted)}"
    if wanted.startswith(config.HF_PREFIX):
        return _from_hub(wanted)
    if wanted not in backbone_names.OFFICIAL:
        raise errors.BadRequest(
            f"nobody publishes weights of {wanted!r}; known are {', '.join(backbone_names.OFFICIAL)}"
        )
    folder = pretrained.user_cache()
    if config.at_hand(wanted, [folder]):
        return f"{wanted} is here already: {pretrained.find(wanted)}"
    file = backbone_names.OFFICIAL[wanted].at
    address = f"{releases or (VMAMBA if wanted.startswith('vmamba') else TORCHVISION)}/{file}"
    if not hub.reachable(address):
        raise errors.BadRequest(
            f"{urllib.parse.urlsplit(address).hostname} cannot be reached. Try again with a network, or get {address} "
            f"on another machine, copy it here, and run launch.py weights import {file}"
        )
    with _alone(folder):
        whole = folder / "downloads" / file
        if not whole.is_file():  # else the disk was full when it was to be stored
            part = whole.with_name(f"{file}.part")
            download(address, part, tell)
            part.replace(whole)
        try:
            told = _stored(whole, wanted, origin=address)
        except NotThose:
            whole.unlink()
            raise
        whole.unlink()
        return told


def take_over(source: Path) -> str:
    """Take a copied file into the person's cache, under the name of the variant that it holds; says which and where."""
    if not source.is_file():
        raise errors.BadRequest(f"there is no file {source}; give a .pth or .safetensors file of weights")
    return _stored(source, None, origin=source.name)


def download(address: str, part: Path, tell: Tell) -> None:
    """Bring the whole of an address into `part`, going on after what is there already if it is still the same file.

    Raises BadRequest where the transfer breaks off (what has come stays) or the server has no such file.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    tag = part.with_name(f"{part.name}.tag")  # the version of the file of which `part` is the beginning
    known = tag.read_text(encoding="ascii") if tag.is_file() and part.is_file() else ""
    have = part.stat().st_size if known else 0
    asked = {"Accept-Encoding": "identity"}
    asked |= {"Range": f"bytes={have}-", "If-Range": known} if have else {}
    try:
        with httpx.stream("GET", address, headers=asked, follow_redirects=True, timeout=PATIENCE) as reply:
            place = reply.headers.get("Content-Range", "")
            if reply.status_code == 416 and place == f"bytes */{have}":  # it was whole already
                tag.unlink()
                return
            if reply.status_code == 416 or (reply.status_code == 206 and not place.startswith(f"bytes {have}-")):
                part.unlink()
                raise errors.BadRequest(f"{part} is not the beginning of {address} and was removed: ask again")
            if reply.status_code not in (200, 206):
                raise errors.BadRequest(
                    f"{address} answers {reply.status_code} {reply.reason_phrase}: nothing is there"
                )
            begins = have if reply.status_code == 206 else 0
            length = reply.headers.get("Content-Length")
            tag.write_text(_version(reply), encoding="ascii")
            _write(reply, part, begins, begins + int(length) if length else None, tell)
    except httpx.HTTPError as problem:
        come = part.stat().st_size if part.is_file() else 0
        raise errors.BadRequest(
            f"the transfer from {urllib.parse.urlsplit(address).hostname} broke off after {come / 1e6:,.1f} MB "
            f"({problem}): the same command goes on from there"
        ) from problem
    except OSError as problem:
        raise errors.BadRequest(f"{part} cannot be written: {problem.strerror or problem}") from problem
    tag.unlink()


def _write(reply: httpx.Response, part: Path, begins: int, total: int | None, tell: Tell) -> None:
    with part.open("ab" if begins else "wb") as file:
        come = begins
        for piece in reply.iter_raw():  # as it comes: what is held back would be lost when it breaks off
            file.write(piece)
            come += len(piece)
            tell(come, total)


def _version(reply: httpx.Response) -> str:
    """What a server calls this version of a file; "" where it cannot be trusted to go on from."""
    etag = reply.headers.get("ETag", "")
    return str(etag if etag and not etag.startswith("W/") else reply.headers.get("Last-Modified", ""))


def _stored(source: Path, wanted: str | None, *, origin: str) -> str:
    from model.network import weights_store  # here: without a network nobody waits for torch

    try:
        stored = weights_store.take(source, pretrained.user_cache(), wanted=wanted, origin=origin)
    except model_errors.ModelError as problem:
        raise NotThose(str(problem)) from problem
    except OSError as problem:
        raise errors.BadRequest(
            f"{pretrained.user_cache()} cannot be written ({problem.strerror or problem}): change that, or set RAUM_CACHE"
        ) from problem
    return f"{stored.variant} is ready: {stored.path}; --backbone {stored.variant} takes it"


def _from_hub(name: str) -> str:
    """Into the hub's own cache, by its own library, which shows bars and goes on where it broke off."""
    import huggingface_hub

    model_id, typed = name[len(config.HF_PREFIX) :], backbone_names.short(name)
    try:
        if not config.at_hand(name):
            hub.require(model_id)
            for file in hub.SETTINGS:
                huggingface_hub.hf_hub_download(model_id, file, endpoint=hub.endpoint())
            _any_of(model_id, hub.WEIGHTS[0], hub.WEIGHTS[2])
        from model.network import raum_net

        raum_net.build(config.for_backbone(name, num_classes=1))
    except model_errors.ModelError as problem:
        raise errors.BadRequest(str(problem)) from problem
    except (OSError, httpx.HTTPError, huggingface_hub.errors.HfHubHTTPError, ValueError) as problem:
        why = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise errors.BadRequest(f"{model_id} could not be downloaded: {why}; the same command goes on") from problem
    return f"{typed} is ready: --backbone {typed} takes it"


def _any_of(model_id: str, *files: str) -> None:
    import huggingface_hub

    for file in files[:-1]:
        with contextlib.suppress(huggingface_hub.errors.EntryNotFoundError):
            huggingface_hub.hf_hub_download(model_id, file, endpoint=hub.endpoint())
            return
    huggingface_hub.hf_hub_download(model_id, files[-1], endpoint=hub.endpoint())


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two that write one file would spoil it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / "fetch.lock", timeout=0):
            yield
    except filelock.Timeout as busy:
        raise errors.BadRequest(f"another weights fetch writes to {folder}: wait until it has ended") from busy
    except OSError as problem:
        raise errors.BadRequest(
            f"{folder} cannot be written ({problem.strerror or problem}): change that, or set RAUM_CACHE"
        ) from problem
