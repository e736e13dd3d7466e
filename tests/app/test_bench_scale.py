"""bench scale takes every step on a small workspace, beside which a person goes on answering, and finds nothing wrong."""

import os
from pathlib import Path

import pytest

from app import bench_scale

STEPS = [
    "list the folder",
    "ingest, nothing new",
    "verify",
    "backup",
    "the day's backup",
    "verify --rebuild",
    "restore",
]


@pytest.mark.skipif(os.name != "posix", reason="memory is counted on POSIX systems only")
def test_every_step_is_measured_and_a_person_answers_meanwhile(tmp_path: Path) -> None:
    figures = bench_scale.run(tmp_path, pool=700, answers=50, alone_seconds=0.3)
    assert list(figures["steps"]) == STEPS
    assert all(step["seconds"] > 0 for step in figures["steps"].values())
    assert all(figures["answer_ms"][name]["n"] > 0 for name in ("alone", *STEPS[:-1]))
    assert figures["daily_backups_left"] in (9, 10), "seven days, and the last ones of as many weeks more as make four"
    told = bench_scale.told(figures)
    assert all(name in told for name in STEPS)
