"""`explain` as a person starts it: a checkpoint and a folder in, a picture for every kind and a page out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import launch
from app import errors, explaining, painting
from model import checkpoint, config
from model.network import raum_net
from tests import looking

NAMES = ["Ash <b>", "Elm", "Oak"]
KINDS = ["evidence", "contrast", *looking.Looking.KINDS]  # this attention pools evenly: no region


@pytest.fixture
def ckpt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(raum_net.ATTENTIONS, "looking", looking.Looking)
    network = config.NetworkConfig("vmamba_nano", num_classes=3, image_size=48, attention="looking", pretrained=False)
    file = tmp_path / "looking.safetensors"
    checkpoint.save(file, raum_net.build(network), class_ids=[0, 1, 2], meta={"class_names": NAMES})
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("one.png", "deep/two.jpg", "same.jpg", "same.png"):
        file = tmp_path / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((80, 60)).save(file)
    (tmp_path / "pictures" / "broken.jpg").write_bytes(b"no image")
    return tmp_path / "pictures"


def test_every_kind_of_every_image_becomes_a_picture_and_the_broken_one_is_named(
    ckpt: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(
        launch.app, ["explain", "--ckpt", str(ckpt), "--images", str(folder), "--kinds", "all", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "broken.jpg" in done.output
    found = {file.relative_to(out).as_posix() for file in out.rglob("*.png")}
    assert found == {f"{name}.{kind}.png" for name in ("one", "deep/two", "same.jpg", "same.png") for kind in KINDS}
    assert f"{4 * len(KINDS)} pictures" in done.output
    with Image.open(out / "one.first.png") as first, Image.open(out / "one.zoom.png") as zoom:
        assert first.size == (80, 60)
        assert zoom.width > 80, "the piece stands beside"
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 4 * len(KINDS)
    assert "Ash <b>" not in page, "names are text"
    assert "where the network looks again, for no class in particular (whole: " in page
    assert "broken.jpg" in page


def test_only_kinds_that_the_network_has(ckpt: Path, folder: Path, tmp_path: Path) -> None:
    written, left_out = explaining.explain(
        ckpt, folder, kinds=["zoom", "evidence"], out=tmp_path / "few", progress=lambda done, message: None
    )
    assert (written, len(left_out)) == (8, 1)
    with pytest.raises(errors.BadRequest, match="has no map 'gaze'; it has evidence, contrast, region, sam"):
        explaining.explain(ckpt, folder, kinds=["gaze"], out=tmp_path, progress=lambda done, message: None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.BadRequest, match="holds no image"):
        explaining.explain(ckpt, tmp_path / "empty", kinds=["all"], out=tmp_path, progress=lambda done, message: None)


def test_a_painted_map_tints_where_it_is_large_and_draws_contour_frame_and_blank_cells() -> None:
    white = np.full((160, 200, 3), 255, np.uint8)
    map_HW = np.zeros((5, 5))
    map_HW[2, 2] = 1.0
    plain = np.asarray(painting.paint(white, map_HW))
    assert tuple(plain[2, 2]) == (255, 255, 255)
    assert plain[80, 100, 2] < 150 < plain[80, 100, 0], "orange in the middle"
    assert plain.min() < 60, "the contour's dark rim"
    erased_HW = np.zeros((5, 5), bool)
    erased_HW[0, 0] = True
    boxed = np.asarray(painting.paint(white, map_HW, box=(0.5, 0.5, 1.0, 1.0), erased_HW=erased_HW))
    assert np.ptp(boxed[10, 10].astype(int)) < 3
    assert boxed[10, 10, 0] < 160
    assert boxed[80:160, 99].min() < 60
    framed = painting.paint(white, map_HW, box=(0.5, 0.5, 1.0, 1.0), frame_only=True)
    assert framed.size == (pytest.approx(200 + 6 + 200, abs=2), 160)
    assert tuple(np.asarray(framed)[80, 60]) == (255, 255, 255), "no tint"
    assert painting.paint(white, np.zeros((5, 5))).tobytes() == white.tobytes()
