"""docs/reliability.md: every test that a row names exists, in one of the files that the row names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = [line for line in (ROOT / "docs/reliability.md").read_text(encoding="utf-8").splitlines() if "`tests/" in line]
FAULTS = [row for row in ROWS if row.startswith("| ")]


def test_there_are_faults() -> None:
    assert len(FAULTS) > 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.strip("| ")[:60])
def test_every_named_test_exists(row: str) -> None:
    files = [ROOT / name for name in re.findall(r"`(?:\S+ )*?(tests/[\w/]+\.py)", row)]
    assert all(file.is_file() for file in files), row
    defined = [
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)
    ]
    for named in re.findall(r"`(test_[\w…]+)`", row):
        start, _, end = named.partition("…")
        assert any(name.startswith(start) and name.endswith(end) for name in defined), f"{named} is in none of {files}"
