"""Figures, tables and picture of a simulation, against numbers known by heart."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich import console as consoles

from app import simulate, simulate_plot, simulate_report, simulate_tables
from tests.app import test_simulate

LABELS = [10, 20, 30, 40]
BASE = np.array([[0.1, 0.35, 0.55, 0.7], [0.2, 0.35, 0.55, 0.6], [0.1, 0.32, 0.51, 0.6]])


def test_savings_are_paired_over_seeds() -> None:
    found = simulate_report.against_random(LABELS, BASE + 0.2, BASE, 0.5)
    assert found["saved"] == found["saved_per_seed"] == pytest.approx(1 - 20 / 30)
    assert found["saved_bound"] == "exact"
    assert found["aubc_gain_interval"] == pytest.approx(
        [0.2, 0.2]
    )  # every seed gains the same: unpaired it would not be
    assert found["saved_interval"] == pytest.approx([1 / 3, 1 / 3])
    assert found["harm"] == 0
    arm = simulate_report.arm(LABELS, BASE, 0.9)
    assert arm["labels_to_target"] is arm["labels_to_target_high"] is arm["labels_to_target_low"] is None
    assert arm["labels_to_target_per_seed"] == [None, None, None]


def test_the_bootstrap_of_a_mean_has_the_width_that_theory_gives() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, size=(200, 1))
    gains = np.repeat(noise, 4, axis=1)  # of standard deviation .1: 1.96 x .1 / sqrt(200) to either side
    low, high = simulate_report.against_random(LABELS, 0.5 + gains, np.full((200, 4), 0.5), 0.9)["aubc_gain_interval"]
    half = 1.96 * noise.std(ddof=1) / np.sqrt(200)
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)
    assert (high + low) / 2 == pytest.approx(noise.mean(), abs=0.1 * half)


def test_curves_that_never_cross_are_read_against_us() -> None:
    low, high = np.full((4, 4), 0.3), np.tile([0.3, 0.6, 0.6, 0.6], (4, 1))
    found = simulate_report.against_random(LABELS, high, low, 0.5)
    assert (found["saved_bound"], found["saved"]) == ("at least", pytest.approx(1 - 20 / 50))
    assert (found["seeds_reached"], found["seeds_reached_random"]) == (4, 0)
    found = simulate_report.against_random(LABELS, low, high, 0.5)
    assert (found["saved_bound"], found["saved"], found["saved_per_seed"]) == ("none", None, None)
    assert found["saved_interval"] == [None, None]
    assert (found["harm"], found["harm_at"]) == (pytest.approx(0.3), 20)
    mixed = np.concatenate([high[:3], low[:1]])  # one seed of four never gets there
    found = simulate_report.against_random(LABELS, mixed, high, 0.5)
    assert found["saved_per_seed"] == 0
    assert found["saved_per_seed_interval"][0] is None


def test_wins_are_paired_t_tests() -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 1.0, 30)  # shared by both: unpaired, the difference would drown in it
    told = simulate_report.wins({"a": luck + 0.3 + rng.normal(0, 0.1, 30), "b": luck, "c": luck.copy()})
    assert told["a"]["b"]["wins"]
    assert not told["b"]["a"]["wins"]
    assert told["b"]["a"]["p"] == pytest.approx(told["a"]["b"]["p"])
    assert told["b"]["c"] == {"difference": 0.0, "p": 1.0, "wins": False}
    assert told["a"]["b"]["difference"] == pytest.approx(-told["b"]["a"]["difference"])


def test_harm_is_below_by_more_than_two_standard_errors() -> None:
    gains = np.array([-1.0, -2.0, -3.0, -2.0])  # mean -2, standard error .41
    assert simulate_report.is_below(gains)
    assert not simulate_report.is_below(gains + 1.3)
    assert not simulate_report.is_below(-gains)


@pytest.fixture(scope="module")
def result() -> dict:
    material, plan = test_simulate._material(), test_simulate._plan("auto", "entropy", budget=80)
    return simulate.run(material, plan)


def test_the_printed_tables_fit_and_name_every_strategy(result: dict) -> None:
    out = consoles.Console(width=120, file=io.StringIO(), record=True)
    for table in simulate_tables.of(result):
        out.print(table)
    text = out.export_text()
    for word in ("random", "auto", "entropy", "AUBC", "labels to 0.7", "refreshes only", "saved", "harm", "AUROC"):
        assert word in text
    assert "…" not in text  # nothing is cut
    assert max(len(line) for line in text.splitlines()) <= 120


def test_the_picture_has_its_size_and_shows_every_strategy(result: dict, tmp_path: Path) -> None:
    file = tmp_path / "out" / "curves.png"
    simulate_plot.draw([result], file)
    with Image.open(file) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", simulate_plot.ONE)
        pixels = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    for colour in (simulate_plot.RANDOM, *simulate_plot.COLOURS[:2]):
        wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - wanted).max(axis=1) < 12).sum() > 200
    assert (pixels == 255).all(axis=1).mean() > 0.3
    simulate_plot.draw([result, result], file)
    with Image.open(file) as drawn:
        assert drawn.size == (2 * simulate_plot.SMALL[0], simulate_plot.SMALL[1])


def test_a_single_point_and_a_single_seed_can_be_drawn(tmp_path: Path) -> None:
    one = simulate.run(test_simulate._material(), test_simulate._plan("auto", seeds=1, budget=8))
    simulate_plot.draw([one], tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as drawn:
        assert len(drawn.getcolors(1 << 24)) > 20
