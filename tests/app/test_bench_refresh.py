"""`bench refresh` and `bench last-layer` on a small scale: a real worker, and figures that add up."""

import contextlib
import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

import launch
from app import bench_last_layer, bench_refresh, pool, settings
from model import config, predict
from model.network import raum_net
from store import database, images, queue


def test_every_answer_is_waited_for_until_a_publication_knows(tmp_path: Path) -> None:
    file = tmp_path / "told.json"
    words = [
        "bench",
        "refresh",
        "--images",
        "300",
        "--dims",
        "24",
        "--classes",
        "3",
        "--labelled",
        "30",
        "--answers",
        "3",
        "--pause",
        "0",
        "--idle",
    ]
    ran = CliRunner().invoke(launch.app, [*words, "--json", str(file)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    figures = json.loads(file.read_text())
    row = figures["until_known_ms"]["at rest"]
    assert row["n"] == 3
    assert 0 < row["p50"] <= row["max"]
    assert figures["refresh_itself_ms"]["at rest"]["p50"] <= row["max"]
    assert "300 images of 24 dimensions, 3 classes" in ran.output


def test_the_made_up_embeddings_are_taken_up_as_they_are(tmp_path: Path) -> None:
    chosen = settings.load(tmp_path / "workspace", backbone=config.NANO)
    chosen.workspace.mkdir()
    bench_refresh.make(chosen, tmp_path, count=60, dims=24, class_count=3, labelled=10)
    with contextlib.closing(database.open(chosen.database)) as db, db.read() as tx:
        held = pool.open_(chosen, queue.current(tx), images.all_ok(tx))
    assert (held.net, held.embeddings_ND.shape) == (None, (60, 24))


def coloured(folder: Path, count: int, *, shape: tuple[int, int] = (40, 40)) -> Path:
    """A folder of pictures of three colours, half of them to test."""
    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        label = number % 3
        name = f"{'abc'[label]}/{number}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 60, (*shape, 3)).astype(np.uint8)
        picture[..., label] += 120
        Image.fromarray(picture).save(folder / name)
        rows.append({"file": name, "split": "test" if number % 2 else "train"})
    with (folder / "metadata.csv").open("w", newline="") as handle:
        told = csv.DictWriter(handle, ["file", "split"])
        told.writeheader()
        told.writerows(rows)
    return folder


def test_the_centre_is_shown_in_its_own_pixels(tmp_path: Path) -> None:
    folder = coloured(tmp_path / "pictures", 6, shape=(256, 400))
    found = bench_last_layer._material(folder, config.NANO, True, 1, tmp_path / "cache", lambda share, said: None)
    middle_NHWC = [np.asarray(Image.open(file))[16:240, 88:312] for file in sorted(folder.glob("*/*.png"))]
    net = raum_net.build(dataclasses.replace(config.for_backbone(config.NANO, num_classes=2), image_size=224))
    wanted_ND = predict.embed(net, np.stack(middle_NHWC)).embeddings_ND
    assert np.allclose(found.embeddings_ND, wanted_ND, atol=1e-3 * np.abs(wanted_ND).max())


def test_the_last_layer_alone_is_told_by_labels_beside_logistic_regression(tmp_path: Path) -> None:
    folder = coloured(tmp_path / "pictures", 90)
    file = tmp_path / "told.json"
    words = ["bench", "last-layer", "--images", str(folder), "--labels", "6,12", "--seeds", "2"]
    words += ["--cache", str(tmp_path / "cache"), "--json", str(file)]
    ran = CliRunner().invoke(launch.app, words, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    figures = json.loads(file.read_text())
    assert (figures["pool"], figures["test"]) == (45, 45)
    assert all(seed["12"]["accuracy"] > 0.9 for seed in figures["found"])  # three colours
    assert all(0 <= seed["6"]["ece_perfect"] < 0.5 for seed in figures["found"])
    assert "tenfold tail" in ran.output
    words = ["bench", "bad-images", "--images", str(folder), "--seeds", "1", "--cache", str(tmp_path / "cache")]
    ran = CliRunner().invoke(launch.app, [*words, "--json", str(file)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    rows = json.loads(file.read_text())["rejects"]
    assert list(rows) == ["1", "3", "10"]
    assert rows["10"]["auroc"] > 0.9
    assert all(0 <= value <= 1 for row in rows.values() for value in row.values())
