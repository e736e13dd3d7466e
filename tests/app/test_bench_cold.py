"""The bench of a cold pool: every image is decoded, its parts add up, and what stops it is told."""

from pathlib import Path

import pytest

from app import bench_cold, errors


def test_a_cold_pool_is_refreshed_whole_and_the_parts_are_the_whole(tmp_path: Path) -> None:
    figures = bench_cold.run(tmp_path, count=60, folder=None, backbone="vmamba_nano", crops=1)
    assert (figures["images"], figures["embedded"], figures["pictures"]) == (60, 60, 48)
    assert figures["queue"] == 48, "all but the holdout"
    parts = [figures[name] for name in (*bench_cold.PARTS, "rest")]
    assert min(figures["decoding"], figures["embedding"], figures["ranking"]) > 0
    assert min(parts) > -0.05
    assert sum(parts) == pytest.approx(figures["seconds"])
    assert figures["peak_mb"] > 50
    assert "60 images in" in bench_cold.told(figures)
    assert figures["crops"] == 1
    assert len(list((tmp_path / "workspace" / "cache").rglob("*.pixels.npy"))) > 0, "they were decoded, each for itself"


def test_a_folder_without_pictures_and_a_backbone_that_is_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.BadRequest, match="no pictures"):
        bench_cold.run(tmp_path / "one", count=10, folder=tmp_path / "empty", backbone="vmamba_nano")
    with pytest.raises(errors.BadRequest, match="/nowhere/model"):
        bench_cold.run(tmp_path / "two", count=10, folder=None, backbone="hf:/nowhere/model")
