"""`bench select` measures each strategy in a process of its own; docs/strategies.md has a row for each."""

import json
import re
from pathlib import Path

import faiss
import numpy as np
import pytest

from app import bench_arrays, bench_peers, bench_select, errors
from model import acquisition, neighbours_gpu

PAGE = Path(__file__).resolve().parents[2] / "docs" / "strategies.md"


def test_every_strategy_asked_for_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    bench_select.select([200], ["badge", "probcover"], dim=8, classes=4, draws=2, count=5, json_file=file)
    told = json.loads(file.read_text("utf-8"))
    assert [row["strategy"] for row in told["rows"]] == ["badge", "probcover"]
    for row in told["rows"]:
        assert row["seconds"] > 0
        assert row["peak_mb"] > row["arrays_mb"]
        assert row["asked"] == 5
        assert re.match(rf"faiss {re.escape(faiss.__version__)} on the (CPU|GPU) \(.+\)$", row["faiss"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "probcover" in printed
    assert f"Neighbours and k-means by faiss {faiss.__version__} on the " in printed
    assert told["how"].endswith(bench_select._chosen_faiss(told["rows"]))


def test_the_faiss_that_was_chosen_is_told_with_the_seconds_of_both() -> None:
    gpu, cpu = (f"faiss 1.15.1 on the {neighbours_gpu.Choice(seconds, 0.1)}" for seconds in (0.4, 0.05))
    assert "GPU (a trial took 0.400 s on the CPU, 0.100 s on the GPU)" in gpu
    assert bench_select._chosen_faiss([{"faiss": gpu}, {"failed": "why"}, {"faiss": gpu}]) == gpu
    assert bench_select._chosen_faiss([{"faiss": gpu}, {"faiss": cpu}]) == f"{gpu} and {cpu}"
    assert bench_select._chosen_faiss([{"failed": "why"}]) == neighbours_gpu.told()


@pytest.mark.parametrize(("peer", "strategy"), [(p, s) for p, own in bench_peers.TABLE.items() for s in own])
def test_each_adapter_of_another_library_asks_different_images(peer: str, strategy: str) -> None:
    if peer not in bench_peers.installed():
        pytest.skip(f"{peer} is not installed: pip install {bench_peers.PACKAGES[peer]}")
    rng = np.random.default_rng(0)
    x_ND, draws_SNK = rng.standard_normal((60, 4), dtype=np.float32), rng.dirichlet(np.ones(2), size=(3, 60))
    labels = np.array([0, 0, 1, 1])
    given = bench_peers.Known(x_ND, x_ND[:4] + 0.1, labels, draws_SNK.mean(axis=0), draws_SNK)
    asked = bench_peers.ask(peer, strategy, given, 5)
    assert len(set(asked.tolist())) == 5
    assert set(asked.tolist()) <= set(range(60))


def test_what_fails_is_a_row_that_says_why(tmp_path: Path) -> None:
    bench_arrays.make(tmp_path, 50, dim=8, classes=4)
    row = bench_select._in_child(tmp_path, "nobody", "margin", 5, 2, 60.0)
    assert "nobody" in row["failed"]
    row = bench_select._in_child(tmp_path, bench_select.OWN, "margin", 5, 2, 0.01)
    assert row["failed"] == "took longer than 0 s"


def test_strategies_that_compare_draws_see_those_of_every_image_and_no_other_does(tmp_path: Path) -> None:
    bench_arrays.make(tmp_path, 50, dim=8, classes=4)
    assert bench_select.measure(tmp_path, bench_select.OWN, "bald", 5, 3)["drawn"] == 50
    assert bench_select.measure(tmp_path, bench_select.OWN, "badge", 5, 3)["drawn"] == 0


def test_an_unknown_strategy_is_refused_before_anything_is_made() -> None:
    with pytest.raises(errors.BadRequest, match="no strategy is named 'badg'"):
        bench_select.select([10**9], ["badg"], dim=8, classes=4, draws=2, count=5, json_file=None)


def test_the_page_of_strategies_has_a_row_for_each() -> None:
    named = re.findall(r"^\| `(\w+)`", PAGE.read_text("utf-8"), re.M)
    assert sorted(named) == sorted(acquisition.STRATEGIES)
