"""Labels with Croissant metadata: a folder of images, labels.csv, and croissant.json that says what is in them.

Format: https://docs.mlcommons.org/croissant/docs/croissant-spec.html (1.0). Read are the CSV files that the metadata of
a folder names, each after its digest was compared.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.exchange import answers, beside, imagefolder, json_file, labels_csv, rows
from store.database import Database

METADATA, LABELS, IMAGES = "croissant.json", "labels.csv", "images"
FILE = 1_000_000_000  # a row's number is that of its CSV file, from 0, times this, and its line
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip


def export(db: Database, folder: Path, up_to: int | None = None) -> imagefolder.Exported:
    """Copy the settled images and write both files into a new folder. Raises BadRequest when something is there already."""
    done = imagefolder.Exported(workspace=db.home)
    with beside.folder(folder) as new:
        with (new / LABELS).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(labels_csv.COLUMNS)
            for answer in answers.settled(db, up_to):
                copied = imagefolder.bring(answer.image, new / IMAGES, False, done)
                if copied is None:
                    continue
                done.labelled += answer.class_name is not None
                done.rejected += answer.class_name is None
                image = dataclasses.replace(answer.image, path=f"{IMAGES}/{copied.name}", scene=None)
                writer.writerow(labels_csv.cells(dataclasses.replace(answer, image=image)))
        told = json.dumps(_metadata(folder.name, new / LABELS), indent=1, ensure_ascii=False)
        (new / METADATA).write_text(told + "\n", encoding="utf-8")
    return done


def read(path: Path) -> Iterator[rows.Told]:
    """The rows of every CSV file that the metadata names; raises rows.Unreadable."""
    folder = path if path.is_dir() else path.parent
    metadata = (
        path
        if path.is_file()
        else next((p for p in (folder / METADATA, folder / "metadata.json") if p.is_file()), None)
    )
    if metadata is None:
        raise rows.Unreadable(1, "format", f"the folder holds no {METADATA}")
    told = json_file.whole(metadata).get("distribution")
    files = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    tables = [each for each in files if each.get("encodingFormat") in ("text/csv", "text/tsv")]
    if not tables:
        raise rows.Unreadable(1, "format", "its metadata names no CSV file: only those are read")
    for at, table in enumerate(tables):
        for each in labels_csv.read(_inside(folder, table)):
            yield each if each is None or isinstance(each, rows.Passed) else _numbered(each, at * FILE)


def place(number: int) -> str:
    """Where in the CSV files a row of this number stands."""
    return f"line {number % FILE:,}" + (f" of CSV file {number // FILE + 1}" if number >= FILE else "")


def _numbered(each: rows.Row | rows.Guess | rows.Problem, more: int) -> rows.Row | rows.Guess | rows.Problem:
    if not more:
        return each
    if isinstance(each, rows.Problem):
        return each._replace(line=each.line + more)
    return dataclasses.replace(each, line=each.line + more)


def _inside(folder: Path, table: dict[str, Any]) -> Path:
    """The file that the metadata means, in its own folder and whole; raises Unreadable."""
    url = table.get("contentUrl")
    if not isinstance(url, str) or "\0" in url:
        raise rows.Unreadable(1, "format", f"contentUrl {rows.shown(json.dumps(url))} names no file")
    file = (folder / url).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise rows.Unreadable(1, "format", f"{rows.shown(url)} is no file in the folder of the metadata")
    wanted = table.get("sha256")
    if wanted is not None and _digest(file) != wanted:
        raise rows.Unreadable(
            1, "digest", f"{rows.shown(url)} is not the file that the metadata describes (its SHA-256 differs)"
        )
    return file


def _metadata(name: str, table: Path) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field", "@id": f"labels/{column}", "name": column, "dataType": "sc:Text",
            "source": {"fileObject": {"@id": LABELS}, "extract": {"column": column}},
        }
        for column in labels_csv.COLUMNS
    ]  # fmt: skip
    return {
        "@context": CONTEXT, "@type": "sc:Dataset", "name": name, "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": "Images with the class that people gave each, or the reason why they rejected it.",
        "datePublished": datetime.date.fromtimestamp(table.stat().st_mtime).isoformat(), "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject", "@id": LABELS, "name": LABELS, "contentUrl": LABELS, "encodingFormat": "text/csv",
                "contentSize": f"{table.stat().st_size} B", "sha256": _digest(table),
            }
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "labels", "name": "labels", "field": fields}],
    }  # fmt: skip


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
