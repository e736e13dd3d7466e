"""Labels as a folder for FiftyOne: data/ with the images, labels.json with their classes and attributes.

Written is a FiftyOneImageClassificationDataset, which its tools load without a database; read are that and the samples of
a FiftyOneDataset, what `dataset.export` writes. https://docs.voxel51.com/user_guide/import_datasets.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app import ingest_files
from app.exchange import answers, beside, class_folders, fields, imagefolder, json_file, rows
from store.database import Database

OURS = ("state", "reason", "note", "annotator", "answered_at", "path", "box_xywh", "digest", "soft_label")
SAID = (
    "reason",
    "note",
    "annotator",
    "answered_at",
    "digest",
    "soft_label",
    "box_xywh",
)  # what is read of it beside class and image
TRUTH = "ground_truth"


def export(db: Database, folder: Path, up_to: int | None = None) -> imagefolder.Exported:
    """Copy the settled images into a new folder; rejects have no label, their reasons stand under `rejected`.

    Raises BadRequest when something is in the folder already.
    """
    done = imagefolder.Exported(workspace=db.home)
    labels, rejected = dict[str, Any](), dict[str, Any]()
    with beside.folder(folder) as new:
        (new / "data").mkdir()
        for answer in answers.settled(db, up_to):
            copied = imagefolder.bring(answer.image, new / "data", False, done)
            if copied is None:
                continue
            key = _free(copied, labels, answer.image.id)
            told = {name: value for name, value in answers.fields(answer).items() if name in OURS and value is not None}
            if answer.class_name is None:
                done.rejected += 1
                labels[key], rejected[key] = None, told
            else:
                done.labelled += 1
                labels[key] = {"label": answer.class_name, "attributes": told}
        whole = {"classes": None, "labels": labels, "rejected": rejected}
        (new / "labels.json").write_text(json.dumps(whole, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return done


def read(folder: Path) -> Iterator[rows.Told]:
    """The labels of a folder of either kind; raises rows.Unreadable."""
    if (folder / "labels.json").is_file():
        yield from _labels(folder, json_file.whole(folder / "labels.json"))
    elif (folder / "samples.json").is_file():
        yield from _samples(folder, json_file.whole(folder / "samples.json"))
    else:
        raise rows.Unreadable(1, "format", "the folder holds neither labels.json nor samples.json: is it FiftyOne's?")


def place(number: int) -> str:
    """Where a row of this number stands."""
    return f"sample {number:,}"


def _labels(folder: Path, told: Mapping[str, Any]) -> Iterator[rows.Told]:
    found = ingest_files.walk(folder / "data").files if (folder / "data").is_dir() else []
    files = {Path(each.path).relative_to(folder / "data").with_suffix("").as_posix(): Path(each.path) for each in found}
    labels, classes = told.get("labels"), told.get("classes")
    rejected = told.get("rejected", {})
    if not isinstance(labels, dict) or not isinstance(rejected, dict):
        raise rows.Unreadable(1, "format", "labels.json has no object of labels")
    for number, (key, target) in enumerate(labels.items(), start=1):
        try:
            if target is None and key not in rejected:  # an image without a label
                continue
            more: Any = rejected.get(key)
            if isinstance(target, dict):
                more = target.get("attributes")
                target = target.get("label")
            if isinstance(target, int) and isinstance(classes, list) and 0 <= target < len(classes):
                target = classes[target]
            if target is not None and not isinstance(target, str):
                raise rows.Wrong("label", f"{rows.shown(json.dumps(target))} is no one class")
            says = {"state": "rejected"} if target is None else {"class": target}
            yield from _row(number, files.get(key, Path(key)), says, more)
        except rows.Wrong as wrong:
            yield rows.Problem(number, wrong.kind, wrong.text)


def _samples(folder: Path, told: Mapping[str, Any]) -> Iterator[rows.Told]:
    """One label of each sample, that of `ground_truth` or the only one without a confidence; the others are predictions."""
    samples = told.get("samples")
    if not isinstance(samples, list):
        raise rows.Unreadable(1, "format", "samples.json has no list of samples")
    for number, sample in enumerate(samples, start=1):
        try:
            if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
                raise rows.Wrong("format", "it has no filepath")
            labels = {name: each for name, each in sample.items() if isinstance(each, dict)}
            named = {name: each for name, each in labels.items() if each.get("_cls") == "Classification"}
            said = [TRUTH] if TRUTH in named else [each for each in named if named[each].get("confidence") is None]
            if len(said) > 1:
                both = " and ".join(map(rows.shown, said[:4]))
                raise rows.Wrong("several labels", f"{both} label it: an image has one class here")
            file = folder / sample["filepath"]
            for name in said:
                yield from _row(number, file, {"class": named[name].get("label")}, named[name])
            for name in sorted(named.keys() - set(said)):
                guess, sure = named[name].get("label"), named[name].get("confidence")
                if not isinstance(guess, str):
                    raise rows.Wrong("label", f"{rows.shown(json.dumps(guess))} is no class")
                shares = ((guess, rows.probability(guess, 1.0 if sure is None else sure)),)
                yield rows.Guess(number, _named(folder, file), class_folders.digest_of(file), shares, name[:100])
        except rows.Wrong as wrong:
            yield rows.Problem(number, wrong.kind, wrong.text)


def _free(copied: Path, taken: Mapping[str, Any], image_id: int) -> str:
    """FiftyOne knows a file by its name without suffix: one that is taken gets the image's id."""
    if copied.stem in taken:
        copied = copied.rename(copied.with_stem(f"{copied.stem}-{image_id}"))
    return copied.stem


def _row(number: int, file: Path, says: Mapping[str, Any], more: Any) -> Iterator[rows.Row | rows.Guess | None]:
    told: dict[str, Any] = {"path": file.name, **says}
    if isinstance(more, dict):
        told |= {name: more.get(name) for name in SAID}
        told["path"] = more["path"] if isinstance(more.get("path"), str) else told["path"]
    if not told.get("digest"):
        told["digest"] = class_folders.digest_of(file)
    yield from fields.said(number, told, {name: rows.ROLES[name] for name in told})


def _named(folder: Path, file: Path) -> str:
    return file.relative_to(folder / "data").as_posix() if file.is_relative_to(folder / "data") else str(file)
