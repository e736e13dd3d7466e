"""`bench overlay` as a person starts it: attentions are trained and measured, and a checkpoint on a folder with boxes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import launch
from app import bench_overlay, errors, overlay_data
from model import checkpoint, config
from model.network import raum_net
from tests import looking

SIZES = overlay_data.Sizes(labelled=8, unlabelled=4, test=6)


def quietly(done: float, message: str) -> None:
    assert 0 <= done <= 1, message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, one bright square each image: its box is in the metadata, but for one image."""
    rng = np.random.default_rng(0)
    rows = ["file,class,split,x,y,w,h,img_w,img_h"]
    for name in ("one", "two"):
        (tmp_path / "squares" / name).mkdir(parents=True)
        for at in range(8):
            picture = rng.integers(0, 60, (40, 80, 3), dtype=np.uint8)
            picture[10:30, 20:60] = 200
            Image.fromarray(picture).save(tmp_path / "squares" / name / f"{at}.png")
            box = ",,,," if (name, at) == ("two", 7) else "20,10,40,20,"
            rows.append(f"{name}/{at}.png,{name},{'test' if at > 4 else 'train'},{box}80,40")
    (tmp_path / "squares" / "metadata.csv").write_text("\n".join(rows))
    return tmp_path / "squares"


def test_attentions_are_trained_on_drawn_beetles_and_each_map_has_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(raum_net.ATTENTIONS, "looking", looking.Looking)
    plan = bench_overlay.Plan(
        backbone="vmamba_nano",
        attentions=["cam", "looking"],
        ckpts=[],
        steps=1,
        method="supervised",
        seeds=2,
        faithful=1,
    )
    bench_overlay.command(None, plan, dataclasses.replace(SIZES, test=2), json_file=tmp_path / "figures.json")
    told = json.loads((tmp_path / "figures.json").read_text())["runs"]
    own = ["evidence", "contrast", *looking.Looking.KINDS]
    wanted = [
        ("-", "uniform"),
        ("-", "centre"),
        *[("cam", kind) for kind in own[:2]] * 2,
        *[("looking", k) for k in own] * 2,
    ]
    assert [(row["head"], row["map"]) for row in told] == wanted
    by_map = {row["map"]: row for row in told if row["head"] == "looking"}
    assert by_map["sam"]["sensitivity"] == pytest.approx(0, abs=1e-6), "it follows no class"
    assert by_map["first"]["sensitivity"] > 0.05
    assert by_map["sam"]["more"] == 0
    assert all(-1 <= row["deletion"] <= 1 and 0 <= row["top1"] <= 1 and row["ms"] > 0 for row in told[2:])
    assert told[0]["lift"] == pytest.approx(1)
    out = capsys.readouterr().out
    assert "demo pool: 2 test images, 2 with a true box; trained on 8 labelled and 4 unlabelled images" in out
    assert "±" in out
    assert "MaxBoxAccV2" in out


def test_a_checkpoint_on_a_folder_with_boxes(folder: Path, tmp_path: Path) -> None:
    network = config.NetworkConfig("vmamba_nano", num_classes=2, image_size=48, attention="region", pretrained=False)
    file, other = tmp_path / "region.safetensors", tmp_path / "other.safetensors"
    net = raum_net.build(network)
    checkpoint.save(file, net, class_ids=[0, 1], meta={"class_names": ["one", "two"]})
    checkpoint.save(other, net, class_ids=[0, 1], meta={"class_names": ["one", "three"]})
    done = CliRunner().invoke(
        launch.app,
        [
            "bench",
            "overlay",
            "--images",
            str(folder),
            "--ckpt",
            str(file),
            "--faithful",
            "1",
            "--json",
            str(tmp_path / "j"),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "squares: 6 test images, 5 with a true box\n" in done.output
    rows = json.loads((tmp_path / "j").read_text())["runs"]
    assert [row["map"] for row in rows] == ["uniform", "centre", "evidence", "contrast", "region"]
    assert rows[2]["more"] == sum(p.numel() for p in net.attention.parameters())
    plan = bench_overlay.Plan("vmamba_nano", [], [other], 0, "raum", 1, 1)
    with pytest.raises(errors.BadRequest, match="other classes than squares"):
        bench_overlay.measure(folder, plan, SIZES, progress=quietly)


def test_boxes_are_shares_and_parts_do_not_overlap(folder: Path) -> None:
    found = overlay_data.from_folder(folder, SIZES, side=32, seed=0, progress=quietly)
    known = np.isfinite(found.boxes_N4).all(axis=1)
    assert known.sum() == len(known) - 1
    np.testing.assert_allclose(found.boxes_N4[known], np.broadcast_to([0.25, 0.25, 0.75, 0.75], (known.sum(), 4)))
    parts = [found.labelled_N, found.unlabelled_N, found.test_N]
    assert sorted(np.concatenate(parts)) == list(range(len(found.images_NHWC)))
    assert [len(part) for part in parts] == [8, 2, 6]
    drawn = overlay_data.from_demo(overlay_data.Sizes(8, 4, 3), side=32, progress=quietly)
    assert [len(part) for part in (drawn.labelled_N, drawn.unlabelled_N, drawn.test_N)] == [8, 4, 3]
    tested = drawn.boxes_N4[drawn.test_N]
    assert (tested[:, :2] < tested[:, 2:]).all()
    assert (tested >= 0).all()
    assert (tested <= 1).all()
