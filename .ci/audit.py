"""Ask PyPI's advisory service about every package installed beside this Python: exit 1 when one has a known vulnerability.

Without the service nothing can be said, and that is what is printed: pip-audit itself then finds "no known
vulnerabilities", with each package named as one that it could not look up.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SECONDS = 60


def verdict(report: dict[str, Any] | None, said: str = "") -> tuple[int, str]:
    """Exit status and sentence for pip-audit's JSON report; None where it wrote none, with what it `said` instead."""
    if report is None:
        return 0, f"pip-audit: skipped, no network ({said.strip().splitlines()[-1] if said.strip() else 'no report'})"
    packages = report["dependencies"]
    known = [package for package in packages if "vulns" in package]
    faults = [
        f"  {package['name']} {package['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for package in known
        for fault in package["vulns"]
    ]
    if faults:
        return 1, "\n".join([f"pip-audit: {len(faults)} known vulnerabilities", *faults])
    if not known:
        return 0, "pip-audit: skipped, no network (PyPI's advisory service knows none of the packages)"
    unknown = len(packages) - len(known)
    return 0, f"pip-audit: {len(known)} packages without a known vulnerability, {unknown} that PyPI does not know"


def main() -> int:
    """Run pip-audit for at most a minute and print the verdict."""
    with tempfile.TemporaryDirectory() as place:
        written = Path(place) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--timeout", "10"]
        try:
            done = subprocess.run(
                [*command, "--format", "json", "--output", str(written)],
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            said = done.stderr
        except subprocess.TimeoutExpired:
            said = f"no answer within {SECONDS} s"
        report = json.loads(written.read_text(encoding="utf-8")) if written.is_file() else None
    status, sentence = verdict(report, said)
    print(sentence)
    return status


if __name__ == "__main__":
    sys.exit(main())
