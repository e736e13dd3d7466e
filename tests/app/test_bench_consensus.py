"""`bench consensus` on small sizes: every method has a row, and the page of people names every method."""

import json
import re
from pathlib import Path

import pytest

from app import bench_consensus, consensus_crowd, consensus_speed
from model import consensus

PAGE = Path(__file__).resolve().parents[2] / "docs" / "people.md"


def test_every_table_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.json"
    kept = {"model .85, 2 of 5", "no model, 2 of 5"}
    monkeypatch.setattr(consensus_crowd, "SETTINGS", {n: s for n, s in consensus_crowd.SETTINGS.items() if n in kept})
    monkeypatch.setattr(consensus_speed, "names", lambda others: ["auto"])
    bench_consensus.command(
        answers=300,
        people=5,
        classes=4,
        items=60,
        seeds=1,
        others=False,
        json_file=file,
        fewest=2,
        again_seeds=2,
        again_answers=60,
    )
    figures = json.loads(file.read_text("utf-8"))
    assert set(figures["accuracy"]) == set(consensus_crowd.SETTINGS)
    assert set(figures["accuracy"]["model .85, 2 of 5"]) == {*consensus.METHODS, "at its word"}
    assert set(figures["label_errors"]) == {"confident learning", "and nearest images"}
    assert set(figures["speed"]) == {"auto"}
    again = figures["asking again"]
    assert list(again) == ["again_rate 0", "again_rate 0.1", "again_rate 0.3"]
    assert again["again_rate 0"]["images"] == 60, "every answer is on a new image"
    assert all(row["images"] + row["asked again"] == 60 for row in again.values())
    assert all(0.5 < row["labels right"] <= 1 for row in again.values())
    assert all(row["seconds"] >= 0 and row["arrays MB"] >= 0 for row in figures["speed"].values())


def test_the_page_of_people_has_a_row_for_each_method() -> None:
    named = re.findall(r"^\| `(\w+)`", PAGE.read_text("utf-8"), re.M)
    assert sorted(named) == sorted(consensus.METHODS)
