"""A simulation on boxes in scenes: cut as ingest cuts them, their classes from where they are told, scenes never parted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import launch
from app import errors, ingest_scenes, simulate, simulate_arm, simulate_boxes, simulate_data
from model.data import pixels, sources
from tests import camera

COLOURS = {"red": "fox", "blue": "owl", "orange": "fox", "purple": "owl"}


def coco(file: Path, folder: Path) -> Path:
    """The season's boxes with species."""
    told: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "fox"}, {"id": 2, "name": "owl"}],
    }
    for number, (name, animals) in enumerate(camera.SEASON.items()):
        told["images"].append({"id": number, "file_name": name, "width": camera.WIDE, "height": camera.HIGH})
        for x, y, w, h, colour in animals:
            category = 1 + (COLOURS[colour] == "owl")
            told["annotations"].append({"image_id": number, "category_id": category, "bbox": [x, y, w, h]})
    told["annotations"].append({"image_id": 0, "category_id": 1, "bbox": [0, 0, 9000, 10]})
    file.write_text(json.dumps(told), encoding="utf-8")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return camera.season(tmp_path / "photos")


def read(
    folder: Path, file: Path, labels: Path | None = None, **options: Any
) -> tuple[simulate_boxes.Boxed, list[str]]:
    said: list[str] = []
    return simulate_boxes.read(folder, ingest_scenes.Asked(str(file), **options), labels, said.append), said


def told(boxed: simulate_boxes.Boxed) -> dict[str, str | None]:
    return {str(place).rpartition("/")[2]: each for place, each in zip(boxed.places, boxed.classes, strict=True)}


SEASON = {
    "IMG_0001.JPG#xywh=40,60,100,80": "fox",
    "IMG_0002.JPG#xywh=30,30,60,60": "owl",
    "IMG_0002.JPG#xywh=180,120,90,60": "fox",
    "IMG_0001.JPG#xywh=150,20,40,120": "owl",
}


def test_categories_of_coco_are_the_classes(folder: Path, tmp_path: Path) -> None:
    boxed, said = read(folder, coco(tmp_path / "coco.json", folder))
    assert told(boxed) == SEASON
    assert said == ["3 pictures have boxes, 2 have none (empty scenes)", "1 boxes cannot be used and are left out"]
    assert boxed.groups_N[1] == boxed.groups_N[2]
    assert len(set(boxed.groups_N.tolist())) == 3
    only, _ = read(folder, tmp_path / "coco.json", categories=("owl",))
    assert set(told(only).values()) == {"owl"}


def test_of_a_detectors_boxes_the_folders_are_the_classes_or_what_a_table_says(folder: Path, tmp_path: Path) -> None:
    detected = camera.detected(tmp_path / "d.json")
    assert sorted(told(read(folder, detected)[0]).values(), key=str) == ["cam a", "cam a", "cam a", "cam b"]
    table = tmp_path / "labels.csv"
    rows = [
        "path,class,reason,box_x,box_y,box_w,box_h",
        "cam a/IMG_0001.JPG,fox,,,,,",
        "/mnt/x/cam a/IMG_0002.JPG,owl,,30,30,60,60",
    ]
    rows += ["cam b/IMG_0001.JPG,,bad_image,150,20,40,120", "elsewhere.jpg,fox,,,,,"]
    table.write_text("\n".join(rows), encoding="utf-8")
    boxed, said = read(folder, detected, table)
    assert told(boxed) == {
        "IMG_0001.JPG#xywh=40,60,100,80": "fox",
        "IMG_0002.JPG#xywh=30,30,60,60": "owl",
        "IMG_0001.JPG#xywh=150,20,40,120": None,
    }
    assert said[-1] == f"1 boxes are not in {table} and are left out"
    table.write_text("path,class,box_x,box_y,box_w,box_h\na.jpg,fox,1,2,3,-4\n", encoding="utf-8")
    with pytest.raises(errors.BadRequest, match=r"line 2 of .*labels\.csv: .*no box"):
        read(folder, detected, table)
    with pytest.raises(errors.BadRequest, match="cannot read the labels"):
        read(folder, detected, tmp_path / "none.csv")


def test_pictures_of_one_burst_share_a_group(tmp_path: Path) -> None:
    taken = {f"cam a/IMG_000{number}.JPG": f"2026:03:01 05:00:0{number}" for number in (1, 2)}
    taken["cam b/IMG_0001.JPG"] = "2026:03:01 05:00:01"
    boxed, _ = read(camera.season(tmp_path / "photos", taken=taken), camera.detected(tmp_path / "d.json"))
    by_scene = {(path.parent.name, path.name): group for path, group in zip(boxed.files, boxed.groups_N, strict=True)}
    assert by_scene["cam a", "IMG_0001.JPG"] == by_scene["cam a", "IMG_0002.JPG"] != by_scene["cam b", "IMG_0001.JPG"]


def test_what_is_learnt_is_the_box_with_its_margin(folder: Path, tmp_path: Path) -> None:
    boxed, _ = read(folder, coco(tmp_path / "coco.json", folder))
    at = list(told(boxed)).index("IMG_0001.JPG#xywh=150,20,40,120")
    whole = pixels.decode(folder / "cam b/IMG_0001.JPG")
    assert (pixels.decode(boxed.places[at]) == whole[8:152, 138:202]).all()

    def embed(images_NHWC: np.ndarray) -> np.ndarray:
        return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32)

    material = simulate_data.from_folder(
        folder, key="plain", side=32, cache=tmp_path / "kept", keep_pixels=True, embed=embed, progress=lambda *_: None,
        boxed=boxed,
    )  # fmt: skip
    assert material.images_NHWC is not None
    assert np.abs(material.images_NHWC[at, 16, 16].astype(int) - (128, 0, 128)).max() < 12, "the animal fills it"
    assert (material.class_names, material.labels_N.tolist()) == (["fox", "owl"], [0, 1, 0, 1])
    moved = [sources.Source("other", place.box, place.fetch) for place in boxed.places]  # type: ignore[union-attr]
    simulate_data.from_folder(
        folder, key="plain", side=32, cache=tmp_path / "kept", keep_pixels=False, embed=embed, progress=lambda *_: None,
        boxed=boxed._replace(places=moved),
    )  # fmt: skip
    assert len(list((tmp_path / "kept").iterdir())) == 2, "other boxes have other embeddings"


def test_groups_are_never_parted_and_classes_nearly_keep_their_share() -> None:
    rng = np.random.default_rng(1)
    groups_N = rng.integers(0, 120, 500)
    labels_N = np.where(rng.random(500) < 0.1, simulate_data.UNUSABLE, (groups_N + rng.integers(0, 2, 500)) % 5)
    material = simulate_data.Material(
        "made", list("abcde"), labels_N, None, None, np.zeros((500, 2), np.float32), groups_N=groups_N
    )
    sides = [material.split(seed) for seed in range(3)]
    for pool, test in sides:
        assert not set(groups_N[pool]) & set(groups_N[test])
        assert simulate_data.UNUSABLE not in labels_N[test]
        for label in range(5):
            share = (labels_N[pool] == label).sum() / (labels_N == label).sum()
            assert 0.5 < share < 0.72
    assert sides[0][0].tolist() != sides[1][0].tolist()
    assert sides[0][0].tolist() == material.split(0)[0].tolist()


def test_the_whole_loop_runs_on_boxes(tmp_path: Path) -> None:
    rng, told_, folder = np.random.default_rng(0), [], tmp_path / "scenes"
    folder.mkdir()
    for number in range(24):
        picture = rng.integers(60, 120, (120, 160, 3), dtype=np.uint8)
        boxes = []
        for x, kind in ((20, number % 2), (90, rng.integers(2))):
            picture[40:80, x : x + 40] = rng.normal((200, 60, 60) if kind else (60, 60, 200), 12, (40, 40, 3)).clip(
                0, 255
            )
            boxes.append((x, int(kind)))
        Image.fromarray(picture).save(folder / f"{number}.png")
        told_.append(boxes)
    file = tmp_path / "coco.json"
    annotations = [
        {"image_id": at, "category_id": kind, "bbox": [x, 40, 40, 40]}
        for at, boxes in enumerate(told_)
        for x, kind in boxes
    ]
    told = {"images": [{"id": at, "file_name": f"{at}.png"} for at in range(24)], "annotations": annotations}
    file.write_text(
        json.dumps(told | {"categories": [{"id": 0, "name": "owl"}, {"id": 1, "name": "fox"}]}), encoding="utf-8"
    )
    words = ["simulate", "--images", folder, "--boxes", file, "--strategies", "random", "--budget", 8, "--batch", 4]
    words += ["--seeds", 1, "--workers", 1, "--cache", tmp_path / "kept", "--json", tmp_path / "out.json"]
    done = CliRunner().invoke(launch.app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "24 pictures have boxes" in done.output
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert "vmamba_nano" in json.dumps(result)
    with pytest.raises(errors.BadRequest, match="boxes in the pictures of --images"):
        simulate.simulate(simulate.Source(demo=True, labels=file), simulate_arm.Plan(("random",)), cache=tmp_path)
