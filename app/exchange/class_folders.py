"""Reads labels from folders that are named like classes: an ImageFolder, or the splits of an Ultralytics data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from app import ingest_files, pictures
from app.exchange import imagefolder, rows
from model.data import pixels


def read(folder: Path, splits: frozenset[str] = frozenset()) -> Iterator[rows.Told]:
    """An answer for each image of a folder whose subfolders are named like classes, below folders of `splits` if any.

    Images are known by their content, so that it does not matter what they are called here. Links are passed over.
    """
    for number, found in enumerate(ingest_files.walk(folder).files, start=1):
        parts = Path(found.path).relative_to(folder).parts
        if splits and parts[0] not in splits:
            told = f"{'/'.join(parts)} does not lie in {' or '.join(sorted(splits))}: is that the root of the dataset?"
            yield rows.Problem(number, "folder", told)
            continue
        names = parts[1:-1] if splits else parts[:-1]
        reason = names[1] if len(names) > 1 and names[0] == imagefolder.REJECTED and not splits else None
        try:
            if not names:
                raise rows.Wrong("folder", f"{rows.shown(parts[-1])} lies in no folder that names its class")
            says = (
                {"state": "rejected", "reason": reason.replace(imagefolder.NO_REASON, "")}
                if reason
                else {"class": names[0]}
            )
            cut = pictures.cut_from(parts[-1])
            if cut is not None:  # the crop's content is none that is known here
                yield rows.row(number, {"image": cut[0], "box": json.dumps(cut[1])} | says)
                continue
            name = ingest_files.printable("/".join(parts))
            yield rows.row(number, {"image": name, "digest": digest_of(Path(found.path)) or ""} | says)
        except rows.Wrong as wrong:
            yield rows.Problem(number, wrong.kind, wrong.text)


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file's content, hexadecimal, None where no file is; raises Wrong where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with pixels.open_file(path, links=False) as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as problem:
        why = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
        raise rows.Wrong("unreadable", f"{rows.shown(path.name)} cannot be read: {why}") from problem
    return digest.hexdigest()


def place(number: int) -> str:
    """Which file a row of this number is, by path."""
    return f"file {number:,}"
