"""`bench scan` measures every backend of this machine on the same map, and prints the ratios."""

import json
from pathlib import Path

import pytest

from app import bench_scan, pool
from model.network import cross_scan


def test_every_backend_has_a_row_and_a_ratio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(bench_scan, "MAPS", {"small": (2, 4, 4, 8, 1)})
    monkeypatch.setattr(bench_scan, "NETWORKS", {})
    bench_scan.command(repeats=9, json_file=tmp_path / "scan.json")
    rows = json.loads((tmp_path / "scan.json").read_text())
    assert [row["backend"] for row in rows] == bench_scan.backends(pool.device())
    assert cross_scan.chosen_backend(pool.device()) in [row["backend"] for row in rows]
    assert all(row["forward_ms"] > 0 and row["both_ms"] > row["forward_ms"] / 2 for row in rows)
    told = capsys.readouterr().out
    assert "median of 9" in told
    assert "small 2x4x4x8" in told
