"""What `bench scale` found as tables: costs by size with their growth, what a person waits for, and the targets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

TARGETS = {  # at a million images, on 2 cores
    "claim, p95, beyond a bare commit's p95, ms": 10.0,
    "publishing a refresh, s": 5.0,
    "a page of Browse, the slowest p95, ms": 200.0,
    "peak memory of the page process, MB": 1000.0,
    "growth exponent of a step's CPU seconds, the greatest": 1.1,
}
LATENCIES: dict[str, Callable[[dict[str, Any]], float]] = {  # milliseconds, of what was found at one size
    "a bare commit, p50": lambda found: found["bare_commit_ms"]["p50"],
    "a bare commit, p95": lambda found: found["bare_commit_ms"]["p95"],
    "claim, p50": lambda found: found["claim_ms"]["alone"]["p50"],
    "claim, p95": lambda found: found["claim_ms"]["alone"]["p95"],
    "answer, p50": lambda found: found["answer_ms"]["alone"]["p50"],
    "answer, p95": lambda found: found["answer_ms"]["alone"]["p95"],
    "the status line, p95": lambda found: found["status_ms"]["p95"],
    "fitting and ranking in a refresh": lambda found: 1000 * found["refresh"]["ranked_s"],
    "publishing it": lambda found: 1000 * found["refresh"]["published_s"],
    "Browse, first page, the slowest": lambda found: max(found["browse"]["first_page_ms"].values()),
    "Browse, a page anywhere, the slowest p95": lambda found: _slowest(found),
}


def told(figures: dict[str, Any]) -> str:
    """The figures as tables and sentences."""
    sizes: dict[int, dict[str, Any]] = figures["sizes"]
    ns, found = list(sizes), list(sizes.values())
    last = found[-1]
    gaps = [f"{_short(n)}-{_short(m)}" for n, m in itertools.pairwise(ns)]
    columns = [*(f"{_short(n)}{unit}" for n in ns for unit in (", s", ", CPU s", ", MB")), *gaps]
    lines = [f"{'':>26}" + "".join(f"{head:>11}" for head in columns)]
    for name in last["steps"]:
        pairs = [each["steps"][name] for each in found]
        cells = [each[key] for each in pairs for key in ("seconds", "cpu_s", "peak_mb")]
        lines.append(_row(name, [*cells, *growth(ns, [each["cpu_s"] for each in pairs])]))
    cells = [cell for each in found for cell in (None, None, each["browse"]["page_peak_mb"])]
    lines.append(_row("the page process", [*cells, *growth(ns, [each["browse"]["page_peak_mb"] for each in found])]))
    lines += ["", f"{'milliseconds':>42}" + "".join(f"{head:>11}" for head in [*map(_short, ns), *gaps])]
    for name, of in LATENCIES.items():
        values = [of(each) for each in found]
        lines.append(_row(name, [*(round(value, 1) for value in values), *growth(ns, values)], 42))
    lines += ["", *_beside(last, ns[-1]), "", *(f"{name}: {value:,} (at most {TARGETS[name]:g}"
              f"{', missed' if value > TARGETS[name] else ''})" for name, value in targets(figures).items())]  # fmt: skip
    size = f"a database of {last['database_mb']:,} MB, " if last["database_mb"] else ""
    lines += [
        f"{figures['database']}, {size}{last['daily_backups_left']} daily backups left by rotation of 40; {figures['machine']}",
        "growth: the exponent of the number of images between two sizes, of CPU seconds and of the page's memory, which other "
        "programs do not change; claim and answer: one person, one image, 20 ms of pause; a bare commit: one durable row, "
        "through sqlite3 alone; peak: of the step's own process; a tenth of the images is labelled, for the exports nearly "
        "all; the page: after every filter, order, the map and a bulk action",
    ]
    return "\n".join(lines)


def growth(sizes: Sequence[int], values: Sequence[float | None]) -> list[float | None]:
    """The exponent e of value ~ size^e between each size and the next."""
    pairs = zip(zip(sizes, values, strict=True), zip(sizes[1:], values[1:], strict=True), strict=False)
    return [round(math.log(b / a) / math.log(m / n), 2) if a and b else None for (n, a), (m, b) in pairs]


def targets(figures: dict[str, Any]) -> dict[str, float]:
    """What was reached of TARGETS, at the greatest size."""
    ns, found = list(figures["sizes"]), list(figures["sizes"].values())
    last, names = found[-1], list(found[-1]["steps"])
    grown = [growth(ns, [each["steps"][name]["cpu_s"] for each in found])[-1:] for name in names]
    reached = (
        last["claim_ms"]["alone"]["p95"] - last["bare_commit_ms"]["p95"],
        last["refresh"]["published_s"],
        _slowest(last),
        last["browse"]["page_peak_mb"] or 0,
        max((each for (each,) in filter(None, grown) if each is not None), default=0.0),
    )
    return {name: round(value, 2) for name, value in zip(TARGETS, reached, strict=True)}


def _beside(found: dict[str, Any], size: int) -> list[str]:
    """How long a person waited beside each step."""
    lines = [f"{f'beside it at {_short(size)}, ms':>26}"
             + "".join(f"{head:>11}" for head in ("claim p50", "p95", "answer p50", "p95", "max"))]  # fmt: skip
    for name, claim in found["claim_ms"].items():
        answer = found["answer_ms"][name]
        cells = [*(claim.get(key) for key in ("p50", "p95")), *(answer.get(key) for key in ("p50", "p95", "max"))]
        lines.append(_row("nothing" if name == "alone" else name, cells))
    return lines


def _slowest(found: dict[str, Any]) -> float:
    return max(float(row["p95"]) for row in found["browse"]["page_ms"].values())


def _row(name: str, cells: Sequence[float | None], width: int = 26) -> str:
    return f"{name:>{width}}" + "".join(f"{'-' if cell is None else format(cell, ','):>11}" for cell in cells)


def _short(size: int) -> str:
    for unit, name in ((1_000_000, "M"), (1000, "k")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)
