"""The frozen settings of one workspace: defaults, then settings.toml, then the command line; unknown names are refused."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app import backbone_names, errors, launching
from model import config

if TYPE_CHECKING:
    import sqlalchemy as sa

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a person may choose. Times are seconds, shares are 0..1, sizes are pixels unless said otherwise."""

    workspace: Path = Path("workspace")
    # raum.db of the workspace, or what `database` of settings.toml, RAUM_DATABASE or --database names: a PostgreSQL URL
    database: Path | sa.URL = Path("workspace/raum.db")
    # an address such as s3://bucket/raum at which networks, embeddings, predictions and maps lie for other machines, too;
    # RAUM_ARTIFACTS or --artifacts go before settings.toml (docs/postgresql.md)
    artifacts: str = ""
    host: str = "127.0.0.1"
    port: int = 7860
    tls_cert: str = ""  # PEM files, the certificate with its chain; a relative path starts at the workspace
    tls_key: str = ""
    root_path: str = ""  # where a proxy shows the page, e.g. /raum
    trusted_proxies: str = "127.0.0.1,::1"  # whose X-Forwarded-For and -Proto are believed; addresses or networks
    # network
    backbone: str = backbone_names.AUTO  # chosen once, when the worker starts (app/backbones.py)
    image_size: int = 0  # 0: the backbone's own
    crops: int = (
        config.BOTH
    )  # looks at each picture: at the whole and at its middle; 1: at the whole alone, docs/network.md
    attention: str = config.REGION  # of rounds to come, see docs/network.md
    method: str = "raum"  # of rounds to come, see docs/learning.md
    seed: int = 0
    # asking
    holdout_rate: float = 0.1
    audit_rate: float = 0.1
    lease_seconds: float = 300.0
    queue_length: int = 512
    strategy: str = "auto"
    draws: int = 20
    overlay_head: int = 64
    gold_rate: float = 0.0  # share of what is asked whose class a reviewer has decided; up to 100 such do not teach
    hidden_rate: float = 0.05  # share of the images shown without suggestion and map, to see how far those steer people
    # several people
    overlap: int = 1  # people who are to answer an image of the overlap share
    overlap_rate: float = 0.1  # share of the images that `overlap` people are to answer, holdout included
    again_rate: float = 0.3  # most of the queue that may ask answered images again, once two people label
    consensus: str = "auto"  # how answers of several people are weighed
    # learning
    refresh_delay: float = 0.3
    refresh_max_delay: float = 1.0
    round_after_labels: int = 40
    round_after_minutes: float = 10.0
    round_min_labels: int = 20
    rounds: bool = True
    round_start: str = config.PRETRAINED  # or last: on from the round before, see docs/learning.md
    pretrain: str = "none"  # pool: before any round the backbone learns the pool's own images, see docs/learning.md
    pretrain_minutes: float = 10.0
    steps: int = 0  # 0: the training's own default
    occlusion_rate: float = 0.0
    precision: str = config.AUTO  # of rounds, as are the next ones: docs/learning.md
    accumulate: int = 1
    batch_size: str = config.AUTO
    launcher: str = launching.NONE  # docs/learning.md, "Several processes"
    processes: int = 0  # that torchrun starts here; 0: one for each GPU, or for each core
    cache_gigabytes: float = 8.0
    # backups
    backup_days: int = 7  # daily backups that are kept; 0 with backup_weeks = 0: none are made
    backup_weeks: int = 4  # weeks of which the last backup is kept
    # webhooks (docs/api.md)
    webhooks: tuple[str, ...] = dataclasses.field(default=(), repr=False)  # http or https; may hold credentials
    webhook_labels: int = 20  # answers after which the next word of them is sent
    # the file of what signs them, a relative path starts at the workspace; RAUM_WEBHOOK_SECRET goes before it
    webhook_secret_file: str = dataclasses.field(default="", repr=False)
    # ingest
    max_megapixels: float = 100.0
    remote_gigabytes: float = 10.0  # disk for files of images that lie elsewhere; what is not there is fetched again

    @property
    def file(self) -> Path:
        """The database as a file, for what only a file allows; raises BadRequest where it is on a server."""
        if isinstance(self.database, Path):
            return self.database
        raise errors.BadRequest(
            f"this workspace's database is on a server ({self.database}), where files are not put back: restore into a new "
            "workspace, then launch.py move --to an empty database"
        )

    @property
    def exists(self) -> bool:
        """Whether the workspace has a database; one on a server is taken to be there where the folder is."""
        return self.database.is_file() if isinstance(self.database, Path) else self.workspace.is_dir()

    @property
    def log_dir(self) -> Path:
        return self.workspace / "logs"


ONE_OF: dict[str, tuple[Any, ...]] = {
    "consensus": ("auto", "dawid_skene_model", "dawid_skene", "crowdlab", "majority"),
    "attention": config.ATTENTIONS,
    "method": config.METHODS,
    "pretrain": ("none", "pool"),
    "precision": config.PRECISIONS,
    "launcher": launching.LAUNCHERS,
    "round_start": config.STARTS,
    "crops": config.CROPS,
}
DATABASE = "RAUM_DATABASE"  # environment variable: how --database reaches the processes that a verb starts
ARTIFACTS = "RAUM_ARTIFACTS"  # the same of --artifacts
FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def load(workspace: Path | str, **overrides: Any) -> Settings:
    """Settings of `workspace`: the defaults, its settings.toml where there is one, then every override that is not None.

    Raises SettingsError naming the unknown name and the nearest known one, or the value that does not fit.
    """
    folder = Path(workspace).expanduser().absolute()
    values = _from_file(folder / "settings.toml")
    values.update({name: value for name, value in overrides.items() if value is not None})
    place = located(folder, os.environ.get(DATABASE) or values.pop("database", ""))
    values.pop("database", None)
    if given := os.environ.get(ARTIFACTS):
        values["artifacts"] = given
    checked = {name: _checked(name, value) for name, value in values.items()}
    return dataclasses.replace(Settings(workspace=folder, database=place), **checked)


def located(folder: Path, text: Any) -> Path | sa.URL:
    """Where the database is: without a word, raum.db of the workspace."""
    if not text:
        return folder / "raum.db"
    if not isinstance(text, str) or "://" not in text:
        raise errors.SettingsError("setting 'database' is a URL: postgresql+psycopg://USER@HOST/DATABASE")
    from store import database  # only where it is needed: the command line starts without it
    from store import errors as store_errors

    try:
        url = database.to_url(text)
    except store_errors.NotADatabase as problem:
        raise errors.SettingsError(f"setting 'database': {problem}") from None
    return Path(url.database).absolute() if database.is_sqlite(url) and url.database else url


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as problem:
        raise errors.SettingsError(f"{path} is not valid TOML: {problem}") from problem


def _checked(name: str, value: Any) -> Any:
    if name not in FIELDS or name == "workspace":
        near = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(FIELDS))}"
        raise errors.SettingsError(f"unknown setting {name!r}: {hint}")
    if name == "webhooks":
        return _webhooks(value)
    if name == "batch_size":
        return _batch_size(value)
    default = getattr(Settings, name)
    kind = type(default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise errors.SettingsError(f"setting {name!r} takes {kind.__name__}, not {value!r}")
    if name == "artifacts":
        return _artifacts(value)
    if name == "backbone":
        return backbone_names.named(value)
    if name in ONE_OF and value not in ONE_OF[name]:
        raise errors.SettingsError(f"setting {name!r} is one of {', '.join(map(str, ONE_OF[name]))}, not {value!r}")
    if name == "pretrain_minutes" and value <= 0:
        raise errors.SettingsError(f"setting 'pretrain_minutes' is a time, more than 0, not {value!r}")
    if name == "accumulate" and value < 1:
        raise errors.SettingsError(f"setting 'accumulate' is a number of pieces, 1 or more, not {value!r}")
    if name == "processes" and value < 0:
        raise errors.SettingsError(f"setting 'processes' is 0 or more, not {value!r}")
    if name == "overlap" and value < 1:
        raise errors.SettingsError(f"setting 'overlap' is a number of people, 1 or more, not {value!r}")
    if name in ("backup_days", "backup_weeks") and value < 0:
        raise errors.SettingsError(f"setting {name!r} is a number of backups, 0 or more, not {value!r}")
    if name == "remote_gigabytes" and value <= 0:
        raise errors.SettingsError(f"setting 'remote_gigabytes' is room on the disk, more than 0, not {value!r}")
    if name == "webhook_labels" and value < 1:
        raise errors.SettingsError(f"setting 'webhook_labels' is a number of answers, 1 or more, not {value!r}")
    if name == "root_path":
        return _root_path(value)
    if name == "trusted_proxies":
        _check_proxies(value)
    if name.endswith("_rate") and not 0 <= value <= 1:
        raise errors.SettingsError(f"setting {name!r} is a share between 0 and 1, not {value!r}")
    return value


def _artifacts(value: str) -> str:
    """An address that fsspec can write to, without a slash at its end and without a credential."""
    if not value:
        return ""
    from app import remote  # which itself reads settings

    if not remote.is_address(value) or value.lower().startswith("http"):
        raise errors.SettingsError(
            f"setting 'artifacts' is an address to write to, such as s3://bucket/raum, not {value!r}"
        )
    try:
        return remote.checked(value)
    except errors.RemoteError as problem:
        raise errors.SettingsError(f"setting 'artifacts': {problem}") from None


def _batch_size(value: Any) -> str:
    """A number of images, with or without quotes, or auto."""
    text = str(value)
    if isinstance(value, bool) or not (text == config.AUTO or (text.isdecimal() and int(text))):
        raise errors.SettingsError(f"setting 'batch_size' is a number of images or \"auto\", not {value!r}")
    return text


def _root_path(value: str) -> str:
    """Without a slash at its end; what could leave an address or a header is refused."""
    text = value.rstrip("/")
    if text and not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", text):
        raise errors.SettingsError(f"setting 'root_path' is a path such as /raum, not {value!r}")
    return text


def _webhooks(value: Any) -> tuple[str, ...]:
    """What is refused is told by its place in the list: an address may hold a password."""
    if not isinstance(value, (list, tuple)):
        raise errors.SettingsError("setting 'webhooks' is a list of addresses: [\"https://example.org/raum\"]")
    for number, address in enumerate(value, 1):
        if not isinstance(address, str) or not _is_web_address(address):
            raise errors.SettingsError(
                f"setting 'webhooks': address {number} is none of http:// or https://, a host, and no spaces in between"
            )
    return tuple(dict.fromkeys(value))


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False
    return whole and text.isascii() and text.isprintable() and " " not in text


def _check_proxies(value: str) -> None:
    """Each an address or a network: a name would never match, and whoever is trusted may claim any address."""
    for part in value.split(","):
        try:
            ipaddress.ip_network(part.strip())
        except ValueError as problem:
            raise errors.SettingsError(
                f"setting 'trusted_proxies' takes addresses or networks such as 10.0.0.5, not {part.strip()!r}"
            ) from problem
