"""What several verbs of the command line take alike."""

import functools
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from app import errors, settings

Json = Annotated[Path | None, typer.Option("--json", help="write the figures to this file")]


Database = Annotated[
    str | None,
    typer.Option(
        help="keep the answers in PostgreSQL instead of the workspace's own file: postgresql+psycopg://USER@HOST/NAME",
        metavar="URL",
    ),
]


Artifacts = Annotated[
    str | None,
    typer.Option(
        help="keep networks, embeddings and maps at an address as well, for other machines: s3://bucket/folder",
        metavar="URL",
    ),
]
Launcher = Annotated[
    str | None, typer.Option(help="none|torchrun: several processes that work as one (docs/learning.md)")
]
Processes = Annotated[
    int | None, typer.Option(help="how many torchrun starts here; 0: one for each GPU, or for each core", min=0)
]


PLACES = {"database": Database, "artifacts": Artifacts}  # of every verb that takes --workspace


def with_places(app: typer.Typer) -> None:
    """Let every verb that takes --workspace take --database and --artifacts, too."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_places(group.typer_instance)
    for info in app.registered_commands:
        if info.callback is not None and "workspace" in inspect.signature(info.callback).parameters:
            info.callback = _taking_places(info.callback)


def keep_places(*, database: str | None = None, artifacts: str | None = None) -> None:
    """Hand these on: by the environment, to the processes that a verb starts as well, and in no list of processes."""
    given = {settings.DATABASE: database, settings.ARTIFACTS: artifacts}
    os.environ.update({name: url for name, url in given.items() if url})


def _taking_places(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def taking(*args: Any, **more: Any) -> Any:
        keep_places(**{name: more.pop(name, None) for name in PLACES})
        return verb(*args, **more)

    shown = inspect.signature(verb)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in PLACES.items()
    ]
    taking.__signature__ = shown.replace(parameters=[*shown.parameters.values(), *added])  # type: ignore[attr-defined]
    taking.__annotations__ = {**verb.__annotations__, **PLACES}
    return taking


def names(listed: str) -> list[str]:
    """The parts of a comma-separated option, empty ones left out."""
    return [part.strip() for part in listed.split(",") if part.strip()]


def _from_here(path: str | None) -> str | None:
    """A path given on the command line starts where the command runs, whichever process reads it."""
    return None if path is None else os.path.abspath(os.path.expanduser(path))


def _from_here_path(path: Path | None) -> Path | None:
    return None if path is None else Path(os.path.abspath(path.expanduser()))


def boxes(
    file: Path | None, confidence: float | None, categories: str | None, empty_scenes: bool
) -> dict[str, Any] | None:
    """What --boxes and its options ask for, as plain values; raises BadRequest for options without it."""
    if file is None:
        if confidence is not None or categories is not None or empty_scenes:
            raise errors.BadRequest(
                "--box-confidence, --box-categories and --empty-scenes are about --boxes FILE: give it"
            )
        return None
    wanted = None if categories is None else names(categories)
    return {"file": str(file), "confidence": confidence, "categories": wanted, "empty": empty_scenes}


TlsCert = Annotated[str | None, typer.Option(help="PEM file: the certificate with its chain", callback=_from_here)]
TlsKey = Annotated[str | None, typer.Option(help="PEM file: its key, without a passphrase", callback=_from_here)]
RootPath = Annotated[str | None, typer.Option(help="where a proxy shows the page, e.g. /raum")]


def _named(backbone: str | None) -> str | None:
    """A shortcut becomes what everything else takes; an unknown name is refused."""
    from app import backbone_names

    return None if backbone is None else backbone_names.named(backbone)


def _one(backbone: str) -> str:
    if backbone == "auto":
        raise typer.BadParameter("auto is for a workspace; name one here, e.g. vmamba_nano")
    return str(_named(backbone))


Backbone = Annotated[
    str | None,
    typer.Option(
        help="auto: the best that is here for this machine; or vmamba_nano|tiny|small|base, dinov2 and others of "
        "`weights list`, or hf:FOLDER_OR_ID for a pretrained one",
        callback=_named,
    ),
]
OneBackbone = Annotated[str, typer.Option("--backbone", help="as in serve, without auto", callback=_one)]
Crops = Annotated[int, typer.Option(help="looks at a picture: 1 at the whole, 2 at its middle, too")]
Images = Annotated[
    str | None,
    typer.Option(
        "--images",
        help="folder with images, or a zip or tar file; or an address such as s3://bucket/folder. Nothing is uploaded",
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        "--boxes", help="MegaDetector's JSON or COCO's: each box in it becomes an image", callback=_from_here_path
    ),
]
BoxConfidence = Annotated[
    float | None, typer.Option(help="boxes below it are left out; without: what the file says is typical, else 0.2")
]
BoxCategories = Annotated[
    str | None, typer.Option(help="a,b of its categories; without: animals, or all where it names other things")
]
EmptyScenes = Annotated[bool, typer.Option("--empty-scenes", help="pictures without a box come in whole")]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="serve other machines without users: whoever reaches it may do everything")
]


def named(pairs: list[str], *, of: str = "an attention") -> dict[str, Any]:
    """NAME=VALUE as plain values: numbers, true, false, else text. Raises BadRequest for what is no such pair, naming what it
    is an option `of`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals and text):
            raise errors.BadRequest(f"an option of {of} is NAME=VALUE, not {pair!r}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found
