"""`bench arena`: all arms start from the same images, the oracle is asked for each once, a failing arm says why."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from app import bench_arena, bench_arena_loops, bench_peers, errors, simulate_data

ARMS = [(by, name) for by, own in bench_arena_loops.ARMS.items() for name in own]


def _material() -> simulate_data.Material:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    points = (np.eye(3, 6)[labels] * 4 + rng.normal(size=(120, 6))).astype(np.float32)
    return simulate_data.Material("blobs", ["a", "b", "c"], labels, None, None, points)


@pytest.mark.parametrize("arm", ARMS, ids=" ".join)
@pytest.mark.parametrize("start", bench_arena.STARTS)
def test_each_arm_spends_the_budget_on_different_images(arm: tuple[str, str], start: str) -> None:
    pytest.importorskip("sklearn")
    if arm[0] != "RAUM" and arm[0] not in bench_peers.installed():
        pytest.skip(f"{arm[0]} is not installed: pip install {bench_peers.PACKAGES[arm[0]]}")
    asked: list[int] = []
    found = bench_arena.run(_material(), arm, 0, budget=22, batch=6, start=start, told=asked.extend)
    assert found["labels"] == [6, 12, 18, 22]
    assert len(set(asked)) == len(asked) == 22
    assert found["accuracy"][-1] > 0.8
    assert asked[:6] == bench_arena._first(_pool(), start, 6).tolist()


def _pool() -> bench_arena_loops.Pool:
    material = _material()
    pool_N, _ = material.split(0)
    x_ND = bench_arena.features(material)
    return bench_arena_loops.Pool(x_ND[pool_N], material.labels_N[pool_N], 3, 0)


def test_figures_are_told_in_order_and_a_failing_arm_is_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    material, file = _material(), tmp_path / "arena.json"
    bench_arena.arena(
        material, arms=["RAUM auto", "RAUM random"], seeds=2, budget=20, batch=5, target=0.7, start="random", workers=1,
        json_file=file,
    )  # fmt: skip
    rows = json.loads(file.read_text("utf-8"))["rows"]
    assert {row["strategy"] for row in rows} == {"auto", "random"}
    assert rows[0]["aubc"] >= rows[1]["aubc"]
    printed = capsys.readouterr().out
    assert "labels to 0.7" in printed
    for name, package in bench_peers.PACKAGES.items():
        absent = f"\n{name} is not installed: pip install {package}\n"
        assert (absent in printed) is (name not in bench_peers.installed())
    monkeypatch.setattr(bench_arena, "_held", [material, 20, 5, "random"])
    failed = bench_arena._run(("RAUM", "nonsense"), 0)
    shown = bench_arena._figures(material, {("RAUM", "nonsense"): [failed]}, 0.7, 1.0)
    bench_arena._print(shown | {"seeds": 1, "budget": 20, "batch": 5, "start": "random"})
    assert "failed, see below" in capsys.readouterr().out
    assert bench_arena._without_figures(shown["rows"])[0] == (
        "RAUM nonsense failed: KeyError: 'nonsense' (1 of 1 seeds)"
    )


def test_what_cannot_be_run_is_refused_by_name() -> None:
    with pytest.raises(errors.BadRequest, match="no arm is called 'RAUM autp'"):
        bench_arena._chosen(["RAUM autp"])
    settings = {"arms": [], "seeds": 1, "budget": 8, "batch": 4, "target": 0.7, "workers": 1, "json_file": None}
    with pytest.raises(errors.BadRequest, match="no start is called 'warm'"):
        bench_arena.arena(_material(), start="warm", **settings)
    rejects = dataclasses.replace(_material(), labels_N=np.full(120, simulate_data.UNUSABLE))
    with pytest.raises(errors.BadRequest, match="know no rejects"):
        bench_arena.arena(rejects, start="random", **settings)
