"""The surface's own files (css, js), at an address that changes with their content and so may be kept for ever."""

import functools
import hashlib
import html
from pathlib import Path

from fastapi import APIRouter, Response

from app import errors

FOLDER = Path(__file__).parent / "surface"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FOREVER = "private, max-age=31536000, immutable"

router = APIRouter()


@functools.cache
def contents() -> dict[str, bytes]:
    """Every servable file of the surface by name; read once, so that one process serves one version."""
    return {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


@functools.cache
def version() -> str:
    """Twelve hex digits over names and contents of all files."""
    digest = hashlib.sha256()
    for name, content in contents().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]


def address(name: str, root: str = "") -> str:
    """Where the browser finds this file; `root` is the path that a proxy puts before the page's own."""
    return f"{html.escape(root)}/surface/{version()}/{name}"


@functools.cache
def head(root: str = "") -> str:
    """What the page's head needs: the style sheets, the modules ahead of their use, and the start."""
    names = list(contents())
    styles = [f'<link rel="stylesheet" href="{address(name, root)}">' for name in names if name.endswith(".css")]
    ahead = [f'<link rel="modulepreload" href="{address(name, root)}">' for name in names if name.endswith(".js")]
    template = (FOLDER / "label.html").read_text(encoding="utf-8")
    start = [
        f'<template id="raum-label">{template}</template>',
        f'<script type="module" src="{address("main.js", root)}"></script>',
    ]
    icon = f'<link rel="icon" href="{html.escape(root)}/favicon.ico">'
    return "\n".join([icon, *styles, *ahead, *start])


@router.get("/surface/{edition}/{name}")
def surface_file(edition: str, name: str) -> Response:
    """One file; an address of another version gets the present file, uncached."""
    content = contents().get(name)
    if content is None:
        raise errors.NotFound(f"the surface has no file {name}")
    cache = FOREVER if edition == version() else "no-store"
    return Response(content, media_type=TYPES[Path(name).suffix], headers={"Cache-Control": cache})
