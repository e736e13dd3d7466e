"""Boxes as images of their own: what a box file says, what becomes of it, and what never does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import box_files, ingest, ingest_files, ingest_scenes, pictures, scenes, settings, verifying
from app.web import display
from model.data import pixels, sources
from store import classes, database, images, records
from store.database import Database
from tests import camera

NOW = 1_700_000_000.0


@pytest.fixture
def db(tmp_path: Path, template: Path) -> Iterator[Database]:
    (tmp_path / "w").mkdir()
    shutil.copy(template, tmp_path / "w" / "raum.db")
    opened = database.open(tmp_path / "w" / "raum.db")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return camera.season(tmp_path / "photos")


@pytest.fixture
def detected(tmp_path: Path) -> Path:
    return camera.detected(tmp_path / "detections.json")


def take_in(db: Database, folder: Path, file: Path | None, **options: Any) -> ingest.IngestReport:
    asked = None if file is None else ingest_scenes.Asked(str(file), **options)
    assert db.path is not None
    return ingest.ingest(db, folder, workspace=db.path.parent, now=NOW, boxes=asked)


def stored(db: Database) -> dict[str, records.Image]:
    """Usable images by the end of their path."""
    with db.read() as tx:
        return {"/".join(Path(image.path).parts[-2:]): image for image in images.all_ok(tx)}


def quarantined(db: Database) -> dict[str, str]:
    with db.read() as tx:
        return {Path(image.path).name: image.problem or "" for image in images.quarantined(tx)}


def write(path: Path, told: Any) -> Path:
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


# --- from a file to images


def test_each_animal_becomes_an_image_and_the_rest_is_told(db: Database, folder: Path, detected: Path) -> None:
    report = take_in(db, folder, detected)
    assert (report.added, report.scenes, report.empty) == (camera.ANIMALS, 3, 2)
    assert report.left_out == {"of the category person": 1, "below the confidence of 0.2": 5}
    found = stored(db)
    assert set(found) == {
        "cam a/IMG_0001.JPG#xywh=40,60,100,80",
        "cam a/IMG_0002.JPG#xywh=30,30,60,60",
        "cam a/IMG_0002.JPG#xywh=180,120,90,60",
        "cam b/IMG_0001.JPG#xywh=150,20,40,120",
    }
    one = found["cam a/IMG_0001.JPG#xywh=40,60,100,80"]
    assert (one.file, one.box) == (str(folder / "cam a/IMG_0001.JPG"), (40, 60, 100, 80))
    assert (one.scene_width, one.scene_height, one.width, one.height) == (320, 240, 120, 100)
    with db.read() as tx:
        assert classes.all_(tx) == [], "folders of cameras are no classes"
        assert [each.box for each in images.of_scene(tx, str(folder / "cam a/IMG_0002.JPG"))] in (
            [(30, 30, 60, 60), (180, 120, 90, 60)],
            [(180, 120, 90, 60), (30, 30, 60, 60)],
        )


def test_what_is_shown_and_learnt_is_the_box_with_its_margin(db: Database, folder: Path, detected: Path) -> None:
    take_in(db, folder, detected)
    assert db.path is not None
    workspace, image = db.path.parent, stored(db)["cam b/IMG_0001.JPG#xywh=150,20,40,120"]
    whole = pixels.decode(image.file)
    crop = whole[8:152, 138:202]
    assert (pixels.decode(pictures.source(image, workspace)) == crop).all()
    cache = pixels.PixelCache(workspace / "cache", side=32)
    square = cache.get([image.id], [pictures.source(image, workspace)])[0]
    assert square.shape == (32, 32, 3)
    assert np.abs(square[16, 16].astype(int) - (128, 0, 128)).max() < 12, "the animal fills it"
    for made in (display.picture(workspace, image)[0], display.thumbnail(workspace, image)[0]):
        with Image.open(made) as shown:
            assert shown.size == (64, 144)
    (workspace / "thumbnails" / "0" / f"{image.id}.jpg").unlink()
    with Image.open(display.thumbnail(workspace, image)[0]) as again:
        assert again.size == (64, 144), "made anew as it was"
    with Image.open(display.scene(workspace, image, [(10, 200, 30, 30)])[0]) as scene:
        assert scene.size == (320, 240)
        red, green, blue = scene.convert("RGB").getpixel((147, 80))  # type: ignore[misc]
        assert min(red, green) > 130 > blue, "its outline is drawn"


def test_a_turned_picture_is_cut_as_people_see_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((600, 400)).convert("RGB").save(tmp_path / "t.jpg", exif=exif)
    whole = pixels.decode(tmp_path / "t.jpg")
    assert whole.shape == (600, 400, 3)
    part = pixels.decode(sources.Source(str(tmp_path / "t.jpg"), (100, 300, 200, 250)))
    assert (part == whole[275:575, 75:325]).all()


def test_running_it_again_adds_only_what_is_new(db: Database, folder: Path, detected: Path) -> None:
    take_in(db, folder, detected)
    again = take_in(db, folder, detected)
    assert (again.added, again.known, again.quarantined) == (0, camera.ANIMALS, 0)
    unasked = take_in(db, folder, None)
    assert (unasked.added, unasked.empty) == (0, 2), "the folder is read as the last time: no empty scene comes in"
    assert take_in(db, folder, detected, empty=True).added == 2
    assert {name for name in stored(db) if "#" not in name} == {"cam a/IMG_0003.JPG", "cam b/IMG_0002.JPG"}
    more = take_in(db, folder, detected, confidence=0.05)
    assert (more.added, more.known) == (5, camera.ANIMALS), "faint animals, also in scenes that had none"


def test_boxes_of_one_scene_and_of_one_burst_share_a_side_of_the_holdout(db: Database, tmp_path: Path) -> None:
    taken = {f"cam a/IMG_000{number}.JPG": f"2026:03:01 05:00:0{number}" for number in (1, 2)}
    taken["cam b/IMG_0001.JPG"] = "2026:03:01 05:00:01"
    folder = camera.season(tmp_path / "photos", taken=taken)
    take_in(db, folder, camera.detected(tmp_path / "d.json"))
    groups = {name.split("#")[0]: set[int | None]() for name in stored(db)}
    for name, image in stored(db).items():
        groups[name.split("#")[0]].add(image.group_id)
    assert groups["cam a/IMG_0001.JPG"] == groups["cam a/IMG_0002.JPG"], "two pictures of one burst"
    assert len(groups["cam a/IMG_0002.JPG"]) == 1, "two boxes of one picture"
    assert groups["cam b/IMG_0001.JPG"] != groups["cam a/IMG_0001.JPG"], "another camera at the same second"


def test_times_that_only_the_box_file_knows_make_bursts(db: Database, folder: Path, tmp_path: Path) -> None:
    told = json.loads(camera.detected(tmp_path / "d.json").read_text(encoding="utf-8"))
    for number, image in enumerate(told["images"][:2]):
        image["datetime"] = f"2026:03:01 05:00:0{number}"
    take_in(db, folder, write(tmp_path / "d.json", told))
    found = {name: image.group_id for name, image in stored(db).items() if name.startswith("cam a")}
    assert len(set(found.values())) == 1


def test_folders_are_labels_of_boxes_where_that_is_asked_for(db: Database, folder: Path, detected: Path) -> None:
    asked = ingest_scenes.Asked(str(detected))
    assert db.path is not None
    options: dict[str, Any] = {"workspace": db.path.parent, "now": NOW, "labels_from_folders": True}
    report = ingest.ingest(db, folder, boxes=asked, **options)
    assert (report.classes, report.labels) == (["cam a", "cam b"], camera.ANIMALS)
    assert ingest.ingest(db, folder, boxes=asked, **options).labels == 0


# --- what a file may say


def test_coco_boxes_are_pixels_and_every_category_counts(db: Database, folder: Path, tmp_path: Path) -> None:
    told = {
        "images": [
            {"id": 7, "file_name": "cam a/IMG_0001.JPG", "width": 320, "height": 240},
            {"id": "b", "file_name": "cam b/IMG_0001.JPG", "width": 640, "height": 480},
        ],
        "categories": [{"id": 1, "name": "fox"}, {"id": 2, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [40.2, 59.7, 100, 80]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 20, 30], "score": 0.1},
            {"id": 3, "image_id": 7, "category_id": 2, "bbox": [0, 0, 20, 30]},
            {"id": 4, "image_id": "b", "category_id": 1, "bbox": [300, 40, 80, 240]},
        ],
    }
    report = take_in(db, folder, write(tmp_path / "coco.json", told))
    assert (report.added, report.quarantined, report.unlisted) == (2, 1, 3)
    assert set(stored(db)) == {"cam a/IMG_0001.JPG#xywh=40,60,100,80", "cam a/IMG_0001.JPG#xywh=0,0,20,30"}
    assert "drawn on a picture of 640 x 480" in quarantined(db)["IMG_0001.JPG#box=4"]
    only = take_in(db, folder, tmp_path / "coco.json", categories=("FOX",))
    assert only.left_out == {"of the category person": 2}


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ([0.9, 0.1, 0.3, 0.2], "reaches outside the picture of 320 x 240"),
        ([-0.2, 0.1, 0.3, 0.2], "reaches outside"),
        ([0.1, 0.1, 0.0, 0.2], "has no area"),
        ([0.1, 0.1, 0.2, -0.2], "has no area"),
        ([0.1, float("nan"), 0.2, 0.2], "not of numbers"),
        ([0.1, 0.1, float("inf"), 0.2], "not of numbers"),
        ([0.1, 0.1, 0.001, 0.001], "smaller than a pixel"),
        ([40, 60, 100, 80], "reaches outside"),
        ([0.1, 0.1, 0.2], "not four numbers"),
        (["0.1", 0.1, 0.2, 0.2], "not four numbers"),
        (None, "not four numbers"),
    ],
)
def test_a_box_that_cannot_be_used_is_quarantined_alone(
    db: Database, folder: Path, tmp_path: Path, box: Any, why: str
) -> None:
    told = json.loads(camera.detected(tmp_path / "d.json").read_text(encoding="utf-8"))
    told["images"][0]["detections"].insert(0, camera.detection(box))
    report = take_in(db, folder, write(tmp_path / "d.json", told))
    assert (report.added, report.quarantined) == (camera.ANIMALS, 1)
    ((name, problem),) = quarantined(db).items()
    assert name == "IMG_0001.JPG#box=1"
    assert problem.startswith("IMG_0001.JPG#box=1: ")
    assert why in problem
    again = take_in(db, folder, tmp_path / "d.json")
    assert (again.added, again.quarantined) == (0, 0), "it is not tried again and again"


def test_a_confidence_that_is_none_is_named(db: Database, folder: Path, tmp_path: Path) -> None:
    told = json.loads(camera.detected(tmp_path / "d.json").read_text(encoding="utf-8"))
    told["images"][0]["detections"] = [camera.detection((0.1, 0.1, 0.2, 0.2), conf=conf) for conf in ("high", 90)]
    assert take_in(db, folder, write(tmp_path / "d.json", told)).quarantined == 2
    assert "its confidence is 90" in quarantined(db)["IMG_0001.JPG#box=2"]


def test_a_damaged_scene_and_a_missing_one_stop_nothing(db: Database, folder: Path, detected: Path) -> None:
    (folder / "cam a/IMG_0001.JPG").write_bytes(b"no picture")
    (folder / "cam b/IMG_0001.JPG").unlink()
    report = take_in(db, folder, detected)
    assert (report.added, report.quarantined, report.missing) == (2, 1, ["cam b/IMG_0001.JPG"])
    assert set(quarantined(db)) == {"IMG_0001.JPG"}, "the file by its name, whatever boxes it had"
    assert take_in(db, folder, detected).quarantined == 0


def test_pictures_that_the_detector_could_not_read_are_counted(db: Database, folder: Path, tmp_path: Path) -> None:
    told = json.loads(camera.detected(tmp_path / "d.json").read_text(encoding="utf-8"))
    told["images"][0] = {"file": "cam a/IMG_0001.JPG", "failure": "image access failure", "detections": None}
    del told["images"][4]
    report = take_in(db, folder, write(tmp_path / "d.json", told))
    assert (report.undetected, report.unlisted, report.empty) == (1, 1, 1)


@pytest.mark.parametrize("prefix", ["./", "season 1/", "D:\\traps\\", "/mnt/disk/traps/"])
def test_a_box_file_made_from_another_folder_still_finds_its_pictures(
    db: Database, folder: Path, tmp_path: Path, prefix: str
) -> None:
    told = json.loads(camera.detected(tmp_path / "d.json").read_text(encoding="utf-8"))
    for image in told["images"]:
        name = image["file"].replace("/", "\\") if "\\" in prefix else image["file"]
        image["file"] = prefix + name
    report = take_in(db, folder, write(tmp_path / "d.json", told))
    assert (report.added, report.missing) == (camera.ANIMALS, [])


def test_the_threshold_is_the_detectors_own_where_its_file_gives_one(tmp_path: Path) -> None:
    typical = {"detector_metadata": {"typical_detection_threshold": 0.05}}
    found = box_files.read(camera.detected(tmp_path / "d.json", info=typical))
    assert sum(map(len, found.scenes.values())) == camera.ANIMALS + 5
    assert found.left_out == {"of the category person": 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no JSON"),
        ("[1]", "holds a list"),
        ('{"predictions": []}', "neither MegaDetector's JSON"),
        ('{"images": [1], "detection_categories": {}}', "not objects"),
        ('{"images": [{"x": 1}], "detection_categories": {}}', "has no 'file'"),
        ('{"images": [], "detection_categories": {}}', "names no picture"),
        ('{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 2}]}', "is of no image"),
        ('{"images": [{"file": "x.jpg", "detections": []}], "detection_categories": {}}', "give the folder"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    db: Database, folder: Path, tmp_path: Path, content: str, why: str
) -> None:
    (tmp_path / "d.json").write_text(content, encoding="utf-8")
    with pytest.raises(ingest_files.IngestError, match=why):
        take_in(db, folder, tmp_path / "d.json")
    with pytest.raises(ingest_files.IngestError, match="cannot read the boxes"):
        take_in(db, folder, tmp_path / "none.json")
    assert stored(db) == {}


def test_categories_and_confidences_that_are_none_are_refused(detected: Path) -> None:
    with pytest.raises(ingest_files.IngestError, match="names fox: the file has animal, person, vehicle"):
        box_files.read(detected, categories=["fox"])
    with pytest.raises(ingest_files.IngestError, match="give one from 0 to 1"):
        box_files.read(detected, confidence=20)


# --- afterwards


def test_verify_looks_at_the_scene_and_a_file_named_like_a_box_is_a_file(
    db: Database, folder: Path, detected: Path, tmp_path: Path
) -> None:
    take_in(db, folder, detected)
    assert db.path is not None
    chosen = settings.load(db.path.parent)
    assert list(verifying.verify(chosen, every_byte=True)) == []
    (folder / "cam b/IMG_0001.JPG").unlink()
    (finding,) = verifying.verify(chosen)
    assert finding.kind == "missing image"
    assert finding.what.endswith("cam b/IMG_0001.JPG#xywh=150,20,40,120")
    odd = tmp_path / "odd" / "a.png#xywh=1,2,3,4.png"
    odd.parent.mkdir()
    Image.new("RGB", (30, 20), "red").save(odd)
    take_in(db, odd.parent, None)
    image = stored(db)["odd/a.png#xywh=1,2,3,4.png"]
    assert image.box is None
    assert pixels.decode(pictures.source(image, tmp_path)).shape == (20, 30, 3)


def test_names_and_boxes_part_as_they_were_joined() -> None:
    assert scenes.parted(scenes.named("a/b #1.jpg", (1, 2, 30, 40))) == ("a/b #1.jpg", (1, 2, 30, 40))
    assert scenes.parted("a/b.jpg#xywh=1,2,3") == ("a/b.jpg#xywh=1,2,3", None)
