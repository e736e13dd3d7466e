"""The vulnerability audit of .ci/run: a found one fails, no network is said, and is never taken for a clean report."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
assert SPEC is not None
assert SPEC.loader is not None
audit = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

CLEAN = {"name": "numpy", "version": "2.3.0", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0+cpu)"}
FAULTY = {"name": "pip", "version": "25.0", "vulns": [{"id": "CVE-2025-8869", "fix_versions": ["25.3"], "aliases": []}]}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([CLEAN, UNKNOWN], 0, "1 packages without a known vulnerability, 1 that PyPI does not know"),
        ([CLEAN, FAULTY, UNKNOWN], 1, "pip 25.0: CVE-2025-8869, mended in 25.3"),
        ([UNKNOWN, UNKNOWN], 0, "skipped, no network"),
    ],
)
def test_the_verdict_on_a_report(packages: list[dict[str, Any]], status: int, said: str) -> None:
    code, sentence = audit.verdict({"dependencies": packages, "fixes": []})
    assert code == status
    assert said in sentence


def test_no_report_is_no_clean_report() -> None:
    assert audit.verdict(None, "x\nConnectionError: no route\n") == (
        0,
        "pip-audit: skipped, no network (ConnectionError: no route)",
    )


def test_ci_runs_it_with_the_pinned_version() -> None:
    assert '/bin/python" .ci/audit.py' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip-audit==" in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
