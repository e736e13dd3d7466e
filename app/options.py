"""What several verbs of the command line take alike."""

import os
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[Path | None, typer.Option("--json", help="write the figures to this file")]


def names(listed: str) -> list[str]:
    """The parts of a comma-separated option, empty ones left out."""
    return [part.strip() for part in listed.split(",") if part.strip()]


def _from_here(path: str | None) -> str | None:
    """A path given on the command line starts where the command runs, whichever process reads it."""
    return None if path is None else os.path.abspath(os.path.expanduser(path))


TlsCert = Annotated[str | None, typer.Option(help="PEM file: the certificate with its chain", callback=_from_here)]
TlsKey = Annotated[str | None, typer.Option(help="PEM file: its key, without a passphrase", callback=_from_here)]
RootPath = Annotated[str | None, typer.Option(help="where a proxy shows the page, e.g. /raum")]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="serve other machines without users: whoever reaches it may do everything")
]
