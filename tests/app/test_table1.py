"""Table 1: its cells by name, paired intervals by hand, and a run that goes on where it was stopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import launch
from app import errors, reproducing, table1
from tests import trees


def outcome(name: str, seed: int, right: list[int]) -> table1.Outcome:
    method, labels, occlusion = name.split("/")
    return table1.Outcome(table1.Cell(method, int(labels), int(occlusion)), seed, np.array(right, bool))


def test_cells_are_chosen_by_the_beginning_of_their_name() -> None:
    assert len(table1.cells()) == 8 * 2 * 3
    assert ["/".join(map(str, each)) for each in table1.cells(["raum/10", "*/50/40"])] == [
        "raum/10/0", "raum/10/20", "raum/10/40",
        "supervised/50/40", "fixmatch/50/40", "flexmatch/50/40", "softmatch/50/40", "freematch/50/40", "anomalymatch/50/40",
        "ups/50/40", "raum/50/40",
    ]  # fmt: skip
    with pytest.raises(errors.BadRequest, match="no cell is named 'raum/20'"):
        table1.cells(["raum/20"])


def test_the_claims_are_those_of_the_paper() -> None:
    assert table1.claimed("cub200", table1.Cell("raum", 10, 40)) == 14.1
    assert table1.claimed("cars", table1.Cell("flexmatch", 50, 20)) == 86.3
    assert table1.claimed("cub200", table1.Cell("supervised", 10, 0)) is None
    assert table1.claimed("folder", table1.Cell("raum", 10, 0)) is None
    ours, theirs = (
        [table1.claimed("cub200", table1.Cell(method, 10, at)) or 0 for at in table1.OCCLUSIONS]
        for method in ("raum", "fixmatch")
    )
    gaps = [round(own - other, 1) for own, other in zip(ours, theirs, strict=True)]
    assert gaps == [3.3, 4.4, 5.9]


def test_one_seed_is_compared_over_its_images() -> None:
    own, other = [1, 1, 1, 0], [1, 0, 0, 0]  # differences 0, 1, 1, 0: mean .5, deviation .57735
    found = table1.difference([outcome("raum/10/0", 0, own)], [outcome("fixmatch/10/0", 0, other)])
    half = 1.959964 * 57.735 / 2
    assert found is not None
    assert found[0] == pytest.approx((50.0, 50.0 - half, 50.0 + half), rel=1e-4)
    assert found[1] == 1
    assert table1.accuracy([outcome("raum/10/0", 0, own)])[0] == 75.0


def test_several_seeds_are_compared_seed_by_seed() -> None:
    own = [outcome("raum/10/0", seed, [1] * right + [0] * (10 - right)) for seed, right in ((0, 6), (1, 8), (2, 9))]
    other = [
        outcome("fixmatch/10/0", seed, [1] * right + [0] * (10 - right)) for seed, right in ((2, 7), (1, 5), (5, 9))
    ]
    found = table1.difference(own, other)  # shared: seed 1 (+30) and seed 2 (+20)
    half = 12.7062 * 7.07107 / 2**0.5  # Student's t of one degree of freedom
    assert found is not None
    assert found[0] == pytest.approx((25.0, 25.0 - half, 25.0 + half), rel=1e-4)
    assert found[1] == 2
    assert table1.difference(own, [outcome("fixmatch/10/0", 7, [1])]) is None
    mean, low, high = table1.accuracy(own)
    assert (mean, high - mean) == (pytest.approx(76.667, abs=1e-3), pytest.approx(4.30265 * 15.2753 / 3**0.5, rel=1e-4))
    assert low < mean


def test_the_text_says_what_was_not_run_and_what_is_claimed() -> None:
    rows = table1.figures("cub200", [outcome("raum/10/0", 0, [1, 1, 0, 0]), outcome("fixmatch/10/0", 0, [1, 0, 0, 0])])
    told = table1.text("cub200", rows).splitlines()
    (line,) = [each for each in told if each.startswith("| 10 % | raum |")]
    assert line == "| 10 % | raum | 50.0 [15.0, 85.0], 1 seed | 19.8 | not run | 16.5 | not run | 14.1 |"
    (line,) = [each for each in told if each.startswith("- ")]
    assert line == "- raum/10/0 against fixmatch: +25.0 [-24.0, +74.0] (1 seed, over its images; claimed +3.3)"
    assert "| 50 % | supervised | not run | – | not run | – | not run | – |" in told


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for label in range(2):
        for number in range(10):
            trees.picture(tmp_path / "pool" / f"class {label}" / f"{number}.png", label, number)
    return tmp_path


def call(*more: str) -> str:
    line = ["reproduce", "table1", "--dataset", "folder", "--root", "pool", "--steps", "2", "--attention", "cam"]
    done = CliRunner().invoke(launch.app, [*line, "--json", "cells.json", *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def kept() -> dict[str, Any]:
    held: dict[str, Any] = json.loads(Path("cells.json").read_text())
    return held


def test_several_processes_make_the_same_runs(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("--cells", "fixmatch/10,supervised/10/0", "--seeds", "1")
    alone = kept()["runs"]
    Path("cells.json").unlink()
    monkeypatch.setattr(reproducing, "_one_by_one", None)  # not in this process
    told = call("--cells", "fixmatch/10,supervised/10/0", "--seeds", "1", "--processes", "2")
    beside = kept()["runs"]
    assert set(beside) == set(alone) == {"fixmatch/10/seed 0", "supervised/10/seed 0"}
    for name, run in alone.items():
        assert {**beside[name], "training": None, "tests": None} == {**run, "training": None, "tests": None}
        assert beside[name]["training"]["validated_on"] == run["training"]["validated_on"]
        assert set(beside[name]["tests"]) == {"0", "20", "40"}
    assert told.count("not run") == 48 - 6


def test_a_second_run_adds_what_is_missing_and_keeps_the_rest(pool: Path) -> None:
    told = call("--cells", "raum/10,fixmatch/10/20", "--seeds", "1")
    runs = kept()["runs"]
    assert set(runs) == {"raum/10/seed 0", "fixmatch/10/seed 0"}  # one training for all three columns
    assert set(runs["raum/10/seed 0"]["tests"]) == {"0", "20", "40"}
    assert told.count("not run") == 48 - 6
    assert "- raum/10/20 against fixmatch:" in told
    runs["raum/10/seed 0"]["training"]["mark"] = "not made again"
    Path("cells.json").write_text(json.dumps(kept() | {"runs": runs}))
    told = call("--cells", "supervised/10/0", "--seeds", "1")
    assert kept()["runs"]["raum/10/seed 0"]["training"]["mark"] == "not made again"
    assert told.count("not run") == 48 - 9
    assert "- raum/10/40 against supervised:" in told
    told = call("--cells", "supervised/10/0", "--seeds", "1", "--steps", "1")
    assert kept()["runs"]["supervised/10/seed 0"]["values"]["steps"] == 1
    assert told.count("not run") == 48 - 3  # the others had other values: neither told nor thrown away
    assert len(kept()["runs"]) == 3


def test_training_under_occlusion_takes_one_network_for_each_column(pool: Path) -> None:
    call("--cells", "supervised/50/0,supervised/50/40", "--seeds", "1", "--occlude-training")
    runs = kept()["runs"]
    assert set(runs) == {"supervised/50/seed 0/trained with 0", "supervised/50/seed 0/trained with 40"}
    assert runs["supervised/50/seed 0/trained with 40"]["values"]["occlusion_rate"] == 0.4
    assert set(runs["supervised/50/seed 0/trained with 40"]["tests"]) == {"40"}


def test_another_plans_file_is_refused(pool: Path) -> None:
    Path("cells.json").write_text("{}")
    with pytest.raises(errors.BadRequest, match=r"cells\.json holds no cells of table 1.*another --json FILE"):
        call("--seeds", "1")
    plan = reproducing.Plan("folder", Path("pool"), table1.cells(["raum/10/0"]), [0], steps=1)
    settings = reproducing._settings(plan) | {"attention": "acol"}
    Path("cells.json").write_text(json.dumps({"settings": settings, "runs": {}}))
    with pytest.raises(errors.BadRequest, match="made with attention 'acol', not 'region'"):
        reproducing.table(plan, Path("cells.json"), progress=lambda _done, _text: None)
