"""What several verbs of the command line take alike."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[Path | None, typer.Option("--json", help="write the figures to this file")]


def names(listed: str) -> list[str]:
    """The parts of a comma-separated option, empty ones left out."""
    return [part.strip() for part in listed.split(",") if part.strip()]
