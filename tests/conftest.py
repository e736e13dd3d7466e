"""What every test may use: the project's root and the real image sets beside it, where they exist."""

import os
from collections.abc import Iterator
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before NumPy and torch: small work on few cores
    os.environ.setdefault(_name, "1")

os.environ["RAUM_CACHE"] = os.path.join(os.path.dirname(__file__), "no-cache")  # what a person has fetched is no test's

import pytest  # noqa: E402

from tests import postgres  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real image sets and weights; a test that needs it skips by name where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real image sets are absent ({folder.name}/ is not beside the project)")
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A running PostgreSQL server; a test that needs it skips by name where none is installed."""
    yield from postgres.serve()
