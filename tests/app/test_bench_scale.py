"""bench scale takes every step on small workspaces, beside which a person goes on answering, and tells how costs grow."""

import copy
import os
from typing import Any

import pytest

from app import bench_scale, bench_scale_told

STEPS = [
    "ingest, nothing decoded",
    "refresh",
    "list the folder",
    "ingest, nothing new",
    "verify",
    "backup",
    "the day's backup",
    "verify --rebuild",
    "export csv",
    "export jsonl",
    "restore",
]
SIZE = 1000


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of one small workspace."""
    if os.name != "posix":
        pytest.skip("memory is counted on POSIX systems only")
    return bench_scale.run(tmp_path_factory.mktemp("scale"), SIZE, alone_seconds=0.3, pages=2)


def test_every_step_is_measured_and_a_person_answers_meanwhile(figures: dict[str, Any]) -> None:
    assert list(figures["steps"]) == STEPS
    assert all(min(step["seconds"], step["cpu_s"]) > 0 and step["peak_mb"] > 20 for step in figures["steps"].values())
    beside = [name for name in STEPS if name not in ("ingest, nothing decoded", "restore")]
    assert list(figures["answer_ms"]) == ["alone", *beside]
    assert figures["answer_ms"]["alone"]["n"] > 0
    assert figures["refresh"]["published_s"] < 5
    assert figures["browse"]["page_ms"]["all, surest first"]["n"] == 2, "the refresh's predictions are what is browsed"
    assert 100 < figures["browse"]["page_peak_mb"] < 1000
    assert figures["daily_backups_left"] in (9, 10), "seven days, and the last ones of as many weeks more as make four"


def test_the_tables_name_every_step_its_growth_and_what_is_missed(figures: dict[str, Any]) -> None:
    larger = copy.deepcopy(figures)
    larger["steps"]["export csv"]["cpu_s"] = 100 * figures["steps"]["export csv"]["cpu_s"]
    larger["refresh"]["published_s"] = 7.5
    both = {"machine": "a machine", "database": "SQLite", "sizes": {SIZE: figures, 10 * SIZE: larger}}
    told = bench_scale_told.told(both)
    assert all(name in told for name in [*STEPS, *bench_scale_told.LATENCIES, "the page process", "1k-10k"])
    assert bench_scale_told.targets(both)["growth exponent of a step's CPU seconds, the greatest"] == 2.0
    assert "publishing a refresh, s: 7.5 (at most 5, missed)" in told
    assert next(line for line in told.splitlines() if "restore" in line).endswith(" 0.0")
