"""Labels as a data set that Hugging Face `datasets` loads: parquet files with an Image feature; any with one is read.

Layout: https://huggingface.co/docs/datasets/repository_structure, features: .../docs/datasets/about_dataset_features.
The features travel in the parquet's own metadata. Needs pyarrow.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app import errors
from app.exchange import answers, beside, fields, imagefolder, rows
from store.database import Database

NEEDED = "pyarrow>=19,<27"
SPLITS = {"pool": "train", "calibration": "validation", "test": "test"}
GROUP = 100  # images whose bytes are in memory at once
TEXTS = ("path", "digest", "state", "reason", "note", "annotator", "answered_at", "soft_label", "box_xywh")
LABELS = ("label", "labels", "class", "category")  # columns that may hold the class of another's data set


def export(db: Database, folder: Path, up_to: int | None = None) -> imagefolder.Exported:
    """Write all settled images with their bytes, a parquet file for each split; `label` is null for a reject.

    Raises BadRequest without pyarrow, or when something is in the folder already.
    """
    pa, pq = _arrow()
    settled = list(answers.settled(db, up_to))
    names = sorted({answer.class_name for answer in settled if answer.class_name is not None})
    schema = _schema(pa, names)
    done = imagefolder.Exported(workspace=db.home)
    with beside.folder(folder) as new, contextlib.ExitStack() as opened:
        (new / "data").mkdir()
        waiting: dict[str, list[dict[str, Any]]] = {}
        writers: dict[str, Any] = {}

        def flush(split: str) -> None:
            if split not in writers:
                target = new / "data" / f"{split}-00000-of-00001.parquet"
                writers[split] = opened.enter_context(pq.ParquetWriter(target, schema))
            writers[split].write_table(pa.Table.from_pylist(waiting.pop(split), schema=schema))

        for answer in settled:
            row = _row(answer, names, done)
            if row is not None:
                split = SPLITS[answers.SHARES[answer.image.holdout]]
                waiting.setdefault(split, []).append(row)
                if len(waiting[split]) == GROUP:
                    flush(split)
        for split in list(waiting):
            flush(split)
    return done


def read(path: Path) -> Iterator[rows.Told]:
    """The answers of a parquet file, or of all in a folder; images are known by their content where no path tells."""
    _, pq = _arrow()
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    number = 0
    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                columns, names = _columns(opened.schema_arrow)
                for batch in opened.iter_batches(batch_size=GROUP, columns=list(columns)):
                    for told in batch.to_pylist():
                        number += 1
                        try:
                            yield from _fields(number, told, columns, names)
                        except rows.Wrong as wrong:
                            yield rows.Problem(number, wrong.kind, wrong.text)
        except (OSError, ValueError, NotImplementedError) as problem:  # pyarrow's own errors are kinds of these
            if isinstance(problem, OSError) and problem.errno:
                raise
            raise rows.Unreadable(
                number + 1, "not parquet", f"{rows.shown(file.name)}: {rows.plain(str(problem))}"
            ) from problem


def place(number: int) -> str:
    """Where in the files a row of this number stands."""
    return f"row {number:,}"


def _row(answer: answers.Answer, names: list[str], done: imagefolder.Exported) -> dict[str, Any] | None:
    content = imagefolder.content(answer.image, done)
    if content is None:
        return None
    done.labelled += answer.class_name is not None
    done.rejected += answer.class_name is None
    told = answers.fields(answer)
    for name in ("soft_label", "box_xywh"):
        told[name] = None if told[name] is None else json.dumps(told[name], ensure_ascii=False)
    label = None if answer.class_name is None else names.index(answer.class_name)
    image = {"bytes": content[1], "path": content[0]}
    return {"image": image, "label": label, **{name: told[name] for name in TEXTS}}


def _schema(pa: Any, names: list[str]) -> Any:
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    features |= {name: {"dtype": "string", "_type": "Value"} for name in TEXTS}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [("image", image), ("label", pa.int64()), *((name, pa.string()) for name in TEXTS)]
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _columns(schema: Any) -> tuple[dict[str, str], list[str] | None]:
    """The role of each column to be read, and the names of the classes; raises Wrong where no column is of use."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = told.get("info", {}).get("features", {})
        kinds = {name: each.get("_type") for name, each in features.items()}
    except (ValueError, AttributeError, RecursionError) as problem:
        raise rows.Unreadable(1, "format", "its 'huggingface' metadata is no description of features") from problem
    known = {name: rows.ROLES[name] for name in schema.names if name in rows.ROLES and name not in LABELS}
    label = next((name for name in schema.names if kinds.get(name) == "ClassLabel"), None)
    label = label or next((name for name in LABELS if name in schema.names), None)
    image = next((name for name in schema.names if kinds.get(name) == "Image" or name == "image"), None)
    if label is None or (image is None and "path" not in schema.names):
        there = ", ".join(map(rows.shown, schema.names[:9]))
        raise rows.Unreadable(1, "columns", f"an image and a label are wanted, there are {there}")
    known |= {label: "class"}
    if image is not None and "digest" not in schema.names:
        known |= {image: "image"}
    elif image is not None:
        known.pop(image, None)
    return known, features[label].get("names") if kinds.get(label) == "ClassLabel" else None


def _fields(
    number: int, told: Mapping[str, Any], columns: Mapping[str, str], names: list[str] | None
) -> Iterator[rows.Told]:
    told, columns = dict(told), dict(columns)
    for name, role in [*columns.items()]:
        value = told[name]
        if role == "class" and isinstance(value, int) and isinstance(names, list):
            if not 0 <= value < len(names):
                raise rows.Wrong("class", f"label {value} is none of the {len(names):,} classes")
            told[name] = names[value]
        if role == "image" and isinstance(value, dict):
            content = value.get("bytes")
            told[name] = value.get("path")
            if isinstance(content, bytes):
                told["sha256"], columns["sha256"] = hashlib.sha256(content).hexdigest(), "digest"
    yield from fields.said(number, told, columns)


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as problem:
        raise errors.BadRequest(f"parquet needs pyarrow: pip install '{NEEDED}'") from problem
