"""The verb `api`: what other programs may know of the REST API without a page that runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app import errors


def api(
    openapi: Annotated[Path, typer.Option("--openapi", help="the file to write: OpenAPI 3.1, as JSON")],
) -> None:
    """Write the OpenAPI document of the REST API (docs/api.md)."""
    from app.web import api_document

    made = api_document.document()
    try:
        openapi.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise errors.BadRequest(
            f"{openapi} cannot be written ({problem.strerror}): name a file in a folder of yours"
        ) from problem
    print(f"{openapi}: {len(made['paths'])} paths")
