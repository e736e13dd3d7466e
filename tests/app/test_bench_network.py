"""`bench network` runs each kind in a process of its own; upstream is refused by name where it is not."""

from pathlib import Path

import pytest
from PIL import Image

from app import bench_network, errors, upstream


def test_ours_is_measured_in_both_precisions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, grey in (("dark", 20), ("light", 220)):
        for at in range(6):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (40, 40), (grey, grey + at, grey)).save(tmp_path / name / f"{at}.png")
    bench_network.command(
        backbone="vmamba_nano", against=None, images=tmp_path, size=32, batch=1, processes=1, steps=1,
        json_file=tmp_path / "told.json",
    )  # fmt: skip
    told = capsys.readouterr().out
    assert "ours bf16" in told
    assert "median of 1 processes" in told
    assert "bfloat16 gives 100.0% of 6 images" in told
    assert "RAUM-Net over the bare vmamba_nano (200 classes): +0.0" in told
    assert "a posterior of 30 draws over one pass: +0.002 GFLOPs" in told
    assert (tmp_path / "told.json").is_file()


def test_what_is_no_checkout_of_upstream_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BadRequest, match=r"vmamba\.py does not exist; clone"):
        upstream.build(tmp_path, "vmamba_small")
    with pytest.raises(errors.BadRequest, match="upstream has no 'vmamba_nano'"):
        upstream.build(tmp_path, "vmamba_nano")
    with pytest.raises(errors.BadRequest, match=r"upstream failed: .*does not exist"):
        bench_network.command(
            backbone="vmamba_small",
            against=tmp_path,
            images=None,
            size=32,
            batch=1,
            processes=1,
            steps=1,
            json_file=None,
        )


def test_a_one_file_upstream_runs_with_stand_ins_for_what_it_imports_in_vain(tmp_path: Path) -> None:
    (tmp_path / "vmamba.py").write_text(
        "import triton, triton.language as tl\n"
        "from timm.models.layers import DropPath, trunc_normal_\n"
        "from timm.models import register_model\n"
        "from fvcore.nn import flop_count\n"
        "from torch import nn\n"
        "@triton.jit\ndef kernel(x: tl.tensor, n: tl.constexpr): ...\n"
        "@register_model\ndef vmamba_tiny_s1l8(): return nn.Sequential(DropPath(0.2), nn.Linear(2, 3))\n"
    )
    net = upstream.build(tmp_path, "vmamba_tiny")
    assert [tuple(p.shape) for p in net.parameters()] == [(3, 2), (3,)]
    with pytest.raises(ImportError):
        __import__("timm")
