"""`bench select` measures each strategy in a process of its own; docs/strategies.md has a row for each."""

import json
import re
from pathlib import Path

import pytest

from app import bench_select, errors
from model import acquisition

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
    assert "probcover" in capsys.readouterr().out


def test_an_unknown_strategy_is_refused_before_anything_is_made() -> None:
    with pytest.raises(errors.BadRequest, match="no strategy is named 'badg'"):
        bench_select.select([10**9], ["badg"], dim=8, classes=4, draws=2, count=5, json_file=None)


def test_the_page_of_strategies_has_a_row_for_each() -> None:
    named = re.findall(r"^\| `(\w+)`", PAGE.read_text("utf-8"), re.M)
    assert sorted(named) == sorted(acquisition.STRATEGIES)
