"""Every format out and in again: what survives is what the table in docs/formats.md says, and other libraries read it."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import consensus_file, errors, imported, importing, ingest_read, predictions, scenes, settings
from app.exchange import formats
from model.data import sources
from store import annotators, classes, database, images, labels, records

NOW, THEN = 1_700_000_000.25, 1_600_000_000.5
TABLE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
COLUMNS = ("class", "reject", "soft label", "annotator", "time", "note", "image path", "boxes", "predictions")
LABELS = {"a/one.png": "Barn owl", "a/two.png": "Crow, carrion", "b/one.png": "Barn owl", "b/four.png": "Crow, carrion"}
REJECTS = {"b/five.png": "bad_image"}
UNSAID = "b/six.png"
BOXES = ("b/one.png#xywh=2,3,10,8", "b/one.png#xywh=12,0,12,20")
REJECTED_BOX = "a/two.png#xywh=0,0,24,20"
REJECT_SURVIVES = {name: name != "yolo" for name in formats.EXPORTS}
PATHS = [*LABELS, *REJECTS, UNSAID]


@dataclass
class World:
    """A workspace of drawn pictures; `ids` by their path in the folder."""

    settings: settings.Settings
    db: database.Database
    folder: Path
    ids: dict[str, int]

    def run(self, path: Path, name: str, **options: Any) -> list[str]:
        asked = importing.Asked(path, name, **{"add_classes": True, "annotators": True, **options})
        return importing.run(self.settings, asked, now=NOW)

    def events(self) -> dict[str, records.Event]:
        """The answer of each image, by its path."""
        paths = {image_id: path for path, image_id in self.ids.items()}
        with self.db.read() as tx:
            return {paths[event.image_id]: event for event in labels.all_events(tx) if event.kind != "retract"}

    def said(self) -> dict[str, str | None]:
        with self.db.read() as tx:
            names = {each.id: each.name for each in classes.ever(tx)}
        return {path: event.class_id and names[event.class_id] for path, event in self.events().items()}

    def guessed(self) -> dict[str, list[tuple[str, dict[str, float]]]]:
        """Of each image: model and shares by class name."""
        paths = {image_id: path for path, image_id in self.ids.items()}
        with self.db.read() as tx:
            names = {each.id: each.name for each in classes.ever(tx)}
            return {
                paths[image_id]: [(each.model, {names[k]: round(p, 4) for k, p in each.shares}) for each in said]
                for image_id, said in imported.all_(tx).items()
            }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    for path in PATHS:
        (folder / path).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / path)
    return folder


@pytest.fixture
def make(tmp_path: Path, template: Path, pictures: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def new(name: str, *, prefix: str = "", at: Path | None = None, boxes: bool = False) -> World:
        """`prefix` renames every file; `at`: the images of another workspace, whose content is not known here; `boxes`:
        some boxes in them, too."""
        workspace, folder = tmp_path / name, at or tmp_path / f"{name} pictures"
        workspace.mkdir()
        shutil.copy(template, workspace / "raum.db")
        rows = []
        for number, path in enumerate(PATHS):
            target = folder / Path(path).with_name(prefix + Path(path).name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pictures / path, target)
            digest = None if at else ingest_read.digest_of(target)
            held = {1: 1, 3: 2}.get(number, 0)
            rows.append(records.NewImage(path=str(target), digest=digest, width=24, height=20, holdout=held))
        paths = [*PATHS, *((*BOXES, REJECTED_BOX) if boxes else ())]
        rows += [boxed(folder, path) for path in paths[len(PATHS) :]]
        db = database.open(workspace / "raum.db")
        with db.write() as tx:
            ids = dict(zip(paths, images.add_many(tx, rows), strict=True))
        made.append(World(settings.load(workspace), db, folder, ids))
        return made[-1]

    yield new
    for world in made:
        world.db.close()


def boxed(folder: Path, path: str) -> records.NewImage:
    """The row of a box, as ingest leaves it."""
    inner, box = scenes.parted(path)
    assert box is not None
    scene, (x, y, w, h), (_, _, wide, high) = folder / inner, box, sources.crop_of(box, 24, 20)
    return records.NewImage(
        path=scenes.named(str(scene), box), digest=ingest_read.digest_of(scene), width=wide, height=high, scene=str(scene),
        box_x=x, box_y=y, box_w=w, box_h=h, scene_width=24, scene_height=20,
    )  # fmt: skip


@pytest.fixture
def full(make: Callable[..., World]) -> World:
    """Two people's answers, a reject, a note, a soft label, and a model's predictions of all images."""
    world = make("full")
    with world.db.write() as tx:
        kinds = {name: classes.add(tx, name, NOW).id for name in dict.fromkeys(LABELS.values())}
        people = [annotators.ensure(tx, name, NOW).id for name in ("Ann Bö", "ben@example.org")]
        for at, (path, name) in enumerate({**LABELS, **REJECTS}.items()):
            reject = path in REJECTS
            event = records.NewEvent(
                uuid=str(uuid.UUID(int=at + 1)), image_id=world.ids[path], annotator_id=people[at % 2],
                kind="reject" if reject else "label",
                class_id=None if reject else kinds[name], reason=name if reject else None,
                note="from afar" if at == 2 else None,
            )  # fmt: skip
            labels.append(tx, event, THEN + 86400 * at)
    owl, crow = kinds.values()
    soft = {str(world.ids["a/one.png"]): [[owl, 0.75], [crow, 0.25]]}
    consensus_file.write(
        world.settings.workspace, {"watermark": 9, "method": "x", "why": "", "images": soft, "people": []}
    )
    ids = np.array(sorted(world.ids.values()))
    tops, sure = np.full(len(ids), owl), np.linspace(0.5, 0.9, len(ids))
    found = predictions.Predictions(ids, tops, sure, np.zeros(len(ids)), {"kind": "refresh", "class_ids": [owl, crow]})
    predictions.write(world.settings.workspace, 7, found)
    return world


def target_of(tmp_path: Path, name: str) -> Path:
    return tmp_path / ("out" if name in formats.FOLDERS else f"out.{'csv' if name == 'csv' else 'json'}")


def survives(full: World, make: Callable[..., World], target: Path, name: str) -> dict[str, bool]:
    """What a round trip through `name` kept, by COLUMNS: in a workspace that has the images elsewhere, under the same names."""
    formats.export(full.db, target, name=name)
    other = make("other")
    other.run(target, name)
    said, events, origin = other.said(), other.events(), full.events()
    with full.db.read() as tx, other.db.read() as there:
        before = {each.id: each.name for each in annotators.all_(tx)}
        after = {each.id: each.name for each in annotators.all_(there)}
    assert said, "nothing came back at all"
    guessed = other.guessed()
    by_path = make("by path", at=full.folder)
    try:
        by_path.run(target, name)
        found = by_path.said() == said
    except importing.ImportRefused:
        found = False
    return {
        "class": {path: said.get(path) for path in LABELS} == LABELS,
        "reject": all(path in events and events[path].reason == reason for path, reason in REJECTS.items()),
        "soft label": ("soft labels", {"Barn owl": 0.75, "Crow, carrion": 0.25}) in guessed.get("a/one.png", []),
        "annotator": all(after[e.annotator_id] == before[origin[path].annotator_id] for path, e in events.items()),
        "time": all(e.client_at and abs(e.client_at - origin[path].received_at) < 0.01 for path, e in events.items()),
        "note": events["b/one.png"].note == "from afar",
        "image path": found,
        "boxes": boxes_survive(make, target.with_name(f"boxes {target.name}"), name),
        "predictions": guessed.get(UNSAID) == [("RAUM publication 7", {"Barn owl": 0.9})],
    }


def boxes_survive(make: Callable[..., World], target: Path, name: str) -> bool:
    """Whether two boxes of one picture, and its whole, come back as themselves: each its own class, or its reject."""
    world = make("with boxes", boxes=True)
    with world.db.write() as tx:
        kinds = {kind: classes.add(tx, kind, NOW).id for kind in ("Fox", "Hare", "Scene")}
        person = annotators.ensure(tx, "Ann", NOW).id
        said = {**dict(zip(BOXES, ("Fox", "Hare"), strict=True)), "b/one.png": "Scene", REJECTED_BOX: None}
        for path, kind in said.items():
            told = {"kind": "label", "class_id": kinds[kind]} if kind else {"kind": "reject", "reason": "bad_image"}
            ids = {"uuid": str(uuid.uuid4()), "image_id": world.ids[path], "annotator_id": person}
            labels.append(tx, records.NewEvent(**ids, **told), NOW)
    formats.export(world.db, target, name=name)
    other = make("boxes elsewhere", boxes=True)
    other.run(target, name)
    said = {path: kind for path, kind in said.items() if kind or REJECT_SURVIVES[name]}
    return other.said() == said


def table() -> dict[str, dict[str, bool]]:
    """The table of docs/formats.md."""
    lines = re.findall(
        r"^\| `(\w+)`[^|]*\|(.*)\|$", TABLE.read_text(encoding="utf-8").partition("What the cells")[0], re.M
    )
    return {
        name: dict(zip(COLUMNS, (cell.strip().startswith("yes") for cell in cells.split("|")), strict=True))
        for name, cells in lines
    }


@pytest.mark.parametrize("name", sorted(formats.EXPORTS))
def test_what_survives_a_round_trip_is_what_the_table_says(
    name: str, full: World, make: Callable[..., World], tmp_path: Path
) -> None:
    kept = survives(full, make, target_of(tmp_path, name), name)
    assert table().get(name) == kept, f"docs/formats.md: | `{name}` | " + " | ".join(
        "yes" if k else "-" for k in kept.values()
    )


@pytest.mark.parametrize("name", sorted(formats.EXPORTS))
def test_the_same_file_again_adds_nothing_and_it_can_be_undone(
    name: str, full: World, make: Callable[..., World], tmp_path: Path
) -> None:
    target = target_of(tmp_path, name)
    formats.export(full.db, target, name=name)
    other = make("other")
    dry = other.run(target, name, dry_run=True)
    assert dry[0] == "a dry run, nothing is stored"
    assert not other.events()
    other.run(target, name)
    there = other.events()
    assert "nothing to add" in other.run(target, name)
    assert other.events() == there
    importing.undo(other.settings, 1, now=NOW)
    with other.db.read() as tx:
        assert labels.settled(tx) == []
        assert imported.all_(tx) == {}


@pytest.mark.parametrize("name", ["imagefolder", "yolo", "fiftyone", "huggingface", "croissant", "coco", "labelstudio"])
def test_renamed_images_are_found_by_their_content(
    name: str, full: World, make: Callable[..., World], tmp_path: Path
) -> None:
    formats.export(full.db, target_of(tmp_path, name), name=name)
    other = make("other", prefix="renamed-")
    other.run(target_of(tmp_path, name), name)
    assert {path: other.said()[path] for path in LABELS} == LABELS


THEIRS = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of other libraries, loud about each other


def test_a_box_gives_its_class_to_the_whole_picture_only_where_that_is_the_image(
    make: Callable[..., World], tmp_path: Path
) -> None:
    table = "path,class,box_x,box_y,box_w,box_h\n"
    (tmp_path / "x.csv").write_text(f"{table}a/one.png,Fox,2,3.4,10,8\nb/four.png,Hare,,,,\n", encoding="utf-8")
    whole = make("whole")
    whole.run(tmp_path / "x.csv", "csv")
    assert whole.said() == {"a/one.png": "Fox", "b/four.png": "Hare"}
    cut = make("cut", boxes=True)
    (tmp_path / "y.csv").write_text(f"{table}b/one.png,Fox,2,3,10,8\nb/one.png,Hare,12,0,12,20\n", encoding="utf-8")
    cut.run(tmp_path / "y.csv", "csv")
    assert cut.said() == {BOXES[0]: "Fox", BOXES[1]: "Hare"}


def test_another_box_of_the_same_content_is_another_image(make: Callable[..., World], tmp_path: Path) -> None:
    world = make("only boxes", boxes=True)
    digest = ingest_read.digest_of(world.folder / "b/one.png")
    lines = [{"digest": digest, "class": "Fox", "box_xywh": list(box)} for box in ((2, 3, 10, 8), (2, 3, 10, 9))]
    (tmp_path / "x.json").write_text(json.dumps(lines[0]) + "\n", encoding="utf-8")
    world.run(tmp_path / "x.json", "jsonl")
    assert world.said() == {BOXES[0]: "Fox"}, "by content and box, without a path"
    (tmp_path / "y.json").write_text(json.dumps(lines[1]) + "\n", encoding="utf-8")
    with pytest.raises(importing.ImportRefused):
        world.run(tmp_path / "y.json", "jsonl")


@pytest.mark.parametrize("box", ["[1, 2, 3]", "[1, 2, 0, 4]", "[-1, 2, 3, 4]", '"all"', "[1, 2, NaN, 4]"])
def test_a_box_that_is_none_is_refused_by_its_line(make: Callable[..., World], tmp_path: Path, box: str) -> None:
    text = box.replace('"', '""')
    (tmp_path / "x.csv").write_text(f'path,class,box_xywh\na/one.png,Fox,"{text}"\n', encoding="utf-8")
    with pytest.raises(importing.ImportRefused) as refused:
        make("w").run(tmp_path / "x.csv", "csv")
    assert any("line 2" in line and "is no box" in line for line in refused.value.lines)


@THEIRS
def test_pycocotools_reads_what_we_write(full: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    formats.export(full.db, tmp_path / "x.json", name="coco")
    found = coco.COCO(str(tmp_path / "x.json"))
    names = {each["id"]: each["name"] for each in found.loadCats(found.getCatIds())}
    told = {
        found.loadImgs(a["image_id"])[0]["file_name"]: names[a["category_id"]]
        for a in found.loadAnns(found.getAnnIds())
    }
    assert told == {str(full.folder / path): name for path, name in LABELS.items()}
    assert found.annToMask(found.loadAnns(1)[0] | {"segmentation": [[0, 0, 24, 0, 24, 20, 0, 20]]}).sum() == 24 * 20
    assert len(found.getImgIds()) == len(LABELS) + len(REJECTS)


@THEIRS
def test_datasets_reads_what_we_write_and_we_read_what_it_writes(
    full: World, make: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    formats.export(full.db, tmp_path / "hf", name="huggingface")
    loaded = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 3, "validation": 1, "test": 1}
    feature = loaded["train"].features["label"]
    assert isinstance(loaded["train"].features["image"], datasets.Image)
    for part in loaded.values():
        for row in part:
            path = next(path for path in PATHS if row["path"].endswith(path))
            assert row["image"].size == (24, 20)
            assert (None if row["label"] is None else feature.int2str(row["label"])) == LABELS.get(path)
    files = [{"bytes": (full.folder / path).read_bytes(), "path": None} for path in LABELS]
    theirs = datasets.Dataset.from_dict(
        {"picture": files, "kind": [0, 1, 0, 1]},
        features=datasets.Features(
            {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["Barn owl", "Crow, carrion"])}
        ),
    )
    theirs.to_parquet(str(tmp_path / "theirs.parquet"))
    other = make("other", prefix="renamed-")
    other.run(tmp_path / "theirs.parquet", "huggingface")
    assert other.said() == LABELS


@THEIRS
def test_mlcroissant_reads_what_we_write(full: World, tmp_path: Path) -> None:
    croissant = pytest.importorskip("mlcroissant")
    formats.export(full.db, tmp_path / "out", name="croissant")
    found = croissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert not found.metadata.ctx.issues.errors
    told = [{k.rpartition("/")[2]: v for k, v in row.items()} for row in found.records("labels")]
    assert sorted(row["class"].decode() for row in told if row["state"] == b"labelled") == sorted(LABELS.values())
    for row in told:
        assert (tmp_path / "out" / row["path"].decode()).is_file()


@THEIRS
def test_fiftyone_reads_what_we_write(full: World, tmp_path: Path) -> None:
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("fiftyone is not installed (0.8 GB)")
    from fiftyone.utils.data import importers

    formats.export(full.db, tmp_path / "out", name="fiftyone")
    found = importers.FiftyOneImageClassificationDatasetImporter(dataset_dir=str(tmp_path / "out"))
    found.setup()
    told = [(Path(path).read_bytes(), label and label.label, label and label["annotator"]) for path, _, label in found]
    expected = {(full.folder / path).read_bytes(): LABELS.get(path) for path in PATHS if path != UNSAID}
    assert {content: label for content, label, _ in told} == expected
    assert {who for _, label, who in told if label} == {"Ann Bö", "ben@example.org"}


@THEIRS
def test_label_studios_converter_reads_what_we_write(full: World, tmp_path: Path) -> None:
    if importlib.util.find_spec("label_studio_sdk") is None:
        pytest.skip("label-studio-sdk is not installed (0.4 GB)")
    from label_studio_sdk.converter import Converter

    formats.export(full.db, tmp_path / "x.json", name="labelstudio")
    config = (TABLE.parent / "label-studio.md").read_text(encoding="utf-8")
    converter = Converter(re.search(r"<View>.*?</View>", config, re.S)[0], str(tmp_path))  # type: ignore[index]
    converter.convert_to_csv(str(tmp_path / "x.json"), str(tmp_path / "csv"), is_dir=False, sep=",")
    text = next((tmp_path / "csv").glob("*.csv")).read_text(encoding="utf-8")
    told = list(csv.DictReader(text.splitlines()))
    assert sorted(row["class"] for row in told if row["class"]) == sorted(LABELS.values())
    assert [row["reject"] for row in told if row["reject"]] == ["bad_image"]


def test_without_pyarrow_the_command_to_install_it_is_named(
    full: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(errors.BadRequest, match=r"parquet needs pyarrow: pip install 'pyarrow>="):
        formats.export(full.db, tmp_path / "out", name="huggingface")
    assert not (tmp_path / "out").exists()


def test_samples_of_fiftyones_own_export_come_in_with_predictions(make: Callable[..., World]) -> None:
    world = make("w")
    truth = {"_cls": "Classification", "label": "Owl", "tags": [], "confidence": None}
    sample = {"_id": {"$oid": "1"}, "filepath": "data/one.png", "tags": [], "ground_truth": truth}
    sample |= {"mine": {"_cls": "Classification", "label": "Crow", "confidence": 0.75}, "_media_type": "image"}
    data = world.folder / "theirs" / "data"
    data.mkdir(parents=True)
    shutil.copy(world.folder / "b" / "one.png", data / "one.png")
    (data.parent / "samples.json").write_text(json.dumps({"samples": [sample]}), encoding="utf-8")
    world.run(data.parent, "fiftyone")
    assert world.said() == {"b/one.png": "Owl"}
    assert world.guessed() == {"b/one.png": [("mine", {"Crow": 0.75})]}
