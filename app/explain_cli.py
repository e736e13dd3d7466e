"""The verb `explain` of launch.py; what it needs is imported when it is run."""

from pathlib import Path
from typing import Annotated

import typer

from app import options


def explain(
    ckpt: Annotated[Path, typer.Option(help="a checkpoint written by train or by a round")],
    images: Annotated[Path, typer.Option(help="folder of pictures, with those in folders below it")],
    kinds: Annotated[
        str,
        typer.Option(
            help="comma-separated: evidence, contrast, region, and what its attention draws itself: sam, gate, zoom, "
            "first, rest, fused; all: every one that it has"
        ),
    ] = "all",
    out: Annotated[Path, typer.Option(help="folder for IMAGE.KIND.png and index.html")] = Path("explained"),
) -> None:
    """What a network looks at: every kind of map over each picture of a folder, and a page that shows them with captions."""
    from app import explaining

    explaining.command(ckpt, images, kinds=options.names(kinds), out=out)
