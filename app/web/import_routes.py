"""Importing labels from the page: the file is streamed into the workspace, checked and stored by a process of its own."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app import errors, importing, processes
from app.exchange import formats
from app.web import plain
from store import errors as store_errors

MOST_BYTES = 256 << 20  # a million rows take some 60 MB
UPLOADS = "upload-"  # folders of the workspace that hold a file on its way

router = APIRouter()


@router.post("/api/v1/import")
async def import_labels(
    request: Request,
    format: plain.Tab = "csv",
    name: plain.Tab = "labels",
    dry_run: bool = True,
    add_classes: bool = False,
    annotators: bool = False,
    over: plain.Tab = "nobody",
) -> JSONResponse:
    """The body is the file, at most MOST_BYTES. `lines` says what was, or with `dry_run` would be, done; 400 with all
    problems in `lines`, and nothing stored, where the file cannot be taken."""
    if format not in formats.FILES or over not in importing.OVER:
        raise errors.BadRequest(
            f"format is one of {', '.join(sorted(formats.FILES))}, over one of {', '.join(importing.OVER)}"
        )
    chosen = {"--dry-run": dry_run, "--add-classes": add_classes, "--annotators": annotators}
    workspace: Path = request.app.state.settings.workspace
    try:
        folder = Path(tempfile.mkdtemp(prefix=UPLOADS, dir=workspace))
        try:
            size = await _received(request, folder / "labels")
            if not size:
                raise errors.BadRequest("the file is empty: send the content of a label file as the body")
            if size > MOST_BYTES:
                told = f"the file has more than {MOST_BYTES >> 20} MB: import it with python launch.py import-labels"
                return JSONResponse({"error": told}, status_code=413)
            options = [option for option, wanted in chosen.items() if wanted]
            code, answer = await _run(
                [
                    str(folder / "labels"),
                    "--workspace",
                    str(workspace),
                    "--format",
                    format,
                    "--over",
                    over,
                    "--called",
                    name,
                    *options,
                ]
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as problem:
        raise store_errors.CannotWrite(
            f"cannot write in {workspace}: {problem.strerror}; nothing is imported"
        ) from problem
    return JSONResponse(answer, status_code={0: 200, 2: 400}.get(code, 503))


def clear(workspace: Path, *, older_than: float = 0.0) -> None:
    """Remove what a killed page left of files on their way, so many seconds ago or more."""
    for folder in workspace.glob(f"{UPLOADS}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime >= older_than:
                shutil.rmtree(folder, ignore_errors=True)


async def _received(request: Request, path: Path) -> int:
    """Write the body to `path` until it has more than MOST_BYTES; returns how many came."""
    size = 0
    with path.open("wb") as file:
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                break
            file.write(part)
    return size


async def _run(arguments: list[str]) -> tuple[int, dict[str, Any]]:
    """The verb in a process of its own, so that a large file takes no time from the page: its exit code and answer."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(processes.LAUNCH), "import-labels", "--json", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=processes.told_of_us(os.environ),
    )  # fmt: skip
    out, complaint = await child.communicate()
    code = child.returncode or 0
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        sentence = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2] or processes.ending(code)
        answer = {"error": sentence.removeprefix("error: ")}
    return code, answer
