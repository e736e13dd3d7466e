"""The verbs that keep a workspace safe: backup, restore, verify, replay; what they need is imported when they are run."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

Workspace = Annotated[Path, typer.Option("--workspace", help="the folder that holds everything RAUM stores")]
HOME = Path("workspace")


def backup(
    workspace: Workspace = HOME,
    to: Annotated[
        Path | None,
        typer.Option(help="NAME.db: the database alone; a folder: all that is needed, in a new folder below it"),
    ] = None,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Copy the workspace's database, also while people label, and check the copy; the worker does so daily."""
    from app import backups, settings

    if child and hasattr(os, "nice"):
        os.nice(10)
    chosen = settings.load(workspace)
    daily = child and to is None
    print(backups.daily(chosen, now=time.time()) if daily else backups.by_hand(chosen, to, now=time.time()))


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="a backup: NAME.db, or a folder that backup wrote")],
    workspace: Workspace = HOME,
) -> None:
    """Put a backup in place; the database that was there is kept under another name."""
    from app import restoring, settings

    print(restoring.restore(settings.load(workspace), source, now=time.time()))


def verify(
    workspace: Workspace = HOME,
    every_byte: Annotated[
        bool, typer.Option("--every-byte", help="read every image file, also those that look untouched")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="back up, then fold what counts anew from the events")
    ] = False,
    json_out: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Look through the whole workspace and say what is wrong and what to do; exit status 1 when something is."""
    from app import jobs, settings, verifying

    chosen = settings.load(workspace)
    if rebuild:
        print(verifying.rebuild(chosen, now=time.time()), file=sys.stderr if json_out else sys.stdout)
    counted = verifying.Counted()
    with jobs.bar("verify") as tell:
        found = counted(verifying.verify(chosen, every_byte=every_byte, progress=tell))
        for line in verifying.as_json(chosen, found) if json_out else verifying.sentences(found):
            print(line)
    if counted.number:
        sys.exit(1)
    if not json_out:
        print(f"nothing is wrong with {chosen.workspace}")


def replay(
    at: Annotated[str, typer.Option(help="a time, e.g. 2026-11-25T14:30, or the number of an event")],
    to: Annotated[Path, typer.Option(help="the file or folder to write")],
    workspace: Workspace = HOME,
    format: Annotated[str, typer.Option(help="as in export")] = "csv",
) -> None:
    """Write the labels as they were at any past moment, from the events alone."""
    from app import replaying, settings

    print(replaying.replay(settings.load(workspace), at, to, format=format))


def move(
    to: Annotated[
        str, typer.Option(help="an empty database: postgresql+psycopg://USER@HOST/NAME; sqlite: a file again")
    ],
    workspace: Workspace = HOME,
) -> None:
    """Move the workspace's database to PostgreSQL or back, compare every row, and name it in the settings."""
    from app import jobs, moving, settings

    with jobs.bar("move") as tell:
        told = moving.move(settings.load(workspace), to, now=time.time(), tell=tell)
    print(told)
