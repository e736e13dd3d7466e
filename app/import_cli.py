"""The verb `import-labels`; what it needs is imported when it is run."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from app import errors

Workspace = Annotated[Path, typer.Option("--workspace", help="the folder that holds everything RAUM stores")]
HOME = Path("workspace")


def import_labels(
    path: Annotated[
        Path | None, typer.Argument(help="the file or folder; images by path, end of path, file name or digest")
    ] = None,
    workspace: Workspace = HOME,
    images: Annotated[
        str | None, typer.Option(help="take this folder, archive or address of images in first, as ingest does")
    ] = None,
    format: Annotated[
        str, typer.Option(help="csv|jsonl|events|labelstudio|coco|huggingface|croissant|fiftyone|imagefolder|yolo")
    ] = "csv",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, store nothing")] = False,
    add_classes: Annotated[bool, typer.Option("--add-classes", help="add classes that are not there yet")] = False,
    annotators: Annotated[
        bool, typer.Option("--annotators", help="store each answer under the name in the file, not under 'import'")
    ] = False,
    over: Annotated[
        str, typer.Option(help="people: also answer images that people answered here; their answers stay in the log")
    ] = "nobody",
    undo: Annotated[int | None, typer.Option(metavar="IMPORT", help="take an import back as a whole")] = None,
    called: Annotated[str | None, typer.Option(hidden=True, help="what the file is called where it comes from")] = None,
    json_out: Annotated[bool, typer.Option("--json", hidden=True, help="print JSON")] = False,
) -> None:
    """Add the labels of a file or folder, all of them or none; the same again adds nothing. docs/formats.md says what is read."""
    from app import importing, jobs, settings

    if (path is None) == (undo is None):
        raise errors.BadRequest("give either a file to import or --undo IMPORT")
    if images is not None:
        if dry_run or undo is not None:
            raise errors.BadRequest("--images stores images: take them in first, or leave --dry-run and --undo away")
        jobs.ingest(workspace, images, classes_file=None, labels_from_folders=False, demo=False, child=False)
    chosen = settings.load(workspace)
    with jobs.bar("import") as tell:
        if path is None:
            assert undo is not None
            told = importing.undo(chosen, undo, now=time.time(), tell=tell)
        else:
            asked = importing.Asked(path, format, dry_run, add_classes, annotators, over, called or path.name)
            try:
                told = importing.run(chosen, asked, now=time.time(), tell=tell)
            except importing.ImportRefused as refusal:
                if not json_out:
                    raise
                print(json.dumps({"error": refusal.sentence, "lines": refusal.lines}))
                sys.exit(2)
    print(json.dumps({"lines": told}) if json_out else "\n".join(told))
