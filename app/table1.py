"""RAUM-Net's published table of methods, labels and occlusion: its cells, what the paper claims, and what was measured.

The claims are those of the paper's released README. They cannot all come from one protocol (19.8 % on CUB-200-2011 with three
images of a class beside 87.2 % on Cars with four), and neither seeds nor deviations are told: they are no target.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app import errors
from model import config, shares

PUBLISHED = ("fixmatch", "flexmatch", "anomalymatch", "raum")
METHODS = config.METHODS  # the others are no rows of the paper's; `supervised` is what every method has to beat
LABELS = (10, 50)  # per cent
OCCLUSIONS = (0, 20, 40)  # per cent of each test image
AGAINST = ("fixmatch", "supervised")
_CLAIMS = {
    "cub200": {
        10: ((16.5, 12.1, 8.2), (17.2, 12.8, 8.9), (17.8, 13.5, 9.6), (19.8, 16.5, 14.1)),
        50: ((56.8, 50.1, 43.5), (57.5, 51.0, 44.4), (58.2, 51.9, 45.3), (60.9, 57.4, 52.5)),
    },
    "cars": {
        10: ((83.9, 78.2, 70.4), (84.7, 79.1, 71.3), (85.5, 80.0, 72.1), (87.2, 84.3, 79.5)),
        50: ((91.1, 84.8, 78.2), (91.8, 86.3, 79.1), (92.4, 87.0, 80.0), (94.0, 91.2, 86.8)),
    },
}
NOT_RUN = "not run"
Interval = tuple[float, float, float]


class Cell(NamedTuple):
    """One figure of the table; labels and occlusion in per cent."""

    method: str
    labels: int
    occlusion: int


class Outcome(NamedTuple):
    """What one trained network got right of the test images, covered as the cell says; `seed` of the training."""

    cell: Cell
    seed: int
    right_N: NDArray[np.bool_]


def cells(patterns: Sequence[str] = ()) -> list[Cell]:
    """The cells whose METHOD/LABELS/OCCLUSION begins as one of the patterns says, all without any. Raises BadRequest for a
    pattern that no cell fits."""
    every = [Cell(*each) for each in ((m, p, o) for p in LABELS for m in METHODS for o in OCCLUSIONS)]
    fitting = {pattern: [each for each in every if _fits(each, pattern)] for pattern in patterns}
    for pattern, found in fitting.items():
        if not found:
            raise errors.BadRequest(f"no cell is named {pattern!r}; METHOD/LABELS/OCCLUSION is like raum/10/40 or */50")
    return [each for each in every if not patterns or any(each in found for found in fitting.values())]


def _fits(cell: Cell, pattern: str) -> bool:
    parts = pattern.split("/")
    return len(parts) <= 3 and all(fnmatch.fnmatchcase(str(has), part) for has, part in zip(cell, parts, strict=False))


def claimed(dataset: str, cell: Cell) -> float | None:
    """The paper's figure in per cent; None where it has none."""
    if dataset not in _CLAIMS or cell.method not in PUBLISHED:
        return None
    return _CLAIMS[dataset][cell.labels][PUBLISHED.index(cell.method)][OCCLUSIONS.index(cell.occlusion)]


def accuracy(outcomes: Sequence[Outcome]) -> Interval:
    """Mean and 95 % interval in per cent: Student's over the seeds, Wilson's over the images of a single one."""
    if len(outcomes) == 1:
        right_N = outcomes[0].right_N
        low, high = shares.wilson(int(right_N.sum()), len(right_N))
        return 100 * float(right_N.mean()), 100 * low, 100 * high
    return _student([100 * float(each.right_N.mean()) for each in outcomes])


def difference(first: Sequence[Outcome], second: Sequence[Outcome]) -> tuple[Interval, int] | None:
    """Points by which the first is better, with its 95 % interval, and over how many seeds; None where they share none.

    Paired: Student's over the differences of the same seeds; of a single one, the normal one over its images.
    """
    other = {each.seed: each.right_N for each in second}
    pairs = [(each.right_N, other[each.seed]) for each in first if each.seed in other]
    if not pairs:
        return None
    if len(pairs) > 1:
        return _student([100 * (float(own_N.mean()) - float(its_N.mean())) for own_N, its_N in pairs]), len(pairs)
    apart_N = 100 * (pairs[0][0].astype(float) - pairs[0][1].astype(float))
    half = shares.Z * float(apart_N.std(ddof=1)) / len(apart_N) ** 0.5 if len(apart_N) > 1 else float("inf")
    return (float(apart_N.mean()), float(apart_N.mean()) - half, float(apart_N.mean()) + half), 1


def _student(values: Sequence[float]) -> Interval:
    mean, error = float(np.mean(values)), float(stats.sem(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return mean, mean - half, mean + half


def figures(dataset: str, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Every cell: {"cell", "seeds", "measured": [mean, low, high] or None, "claimed", "against": {method: {"difference",
    "seeds", "claimed"}}}, all in per cent."""
    by: dict[Cell, list[Outcome]] = {}
    for each in outcomes:
        by.setdefault(each.cell, []).append(each)
    rows = []
    for cell in cells():
        own, against = by.get(cell, []), {}
        for method in AGAINST:
            rival = cell._replace(method=method)
            found = difference(own, by.get(rival, [])) if method != cell.method else None
            if found is not None:
                claims = claimed(dataset, cell), claimed(dataset, rival)
                gap = None if None in claims else round(claims[0] - claims[1], 1)  # type: ignore[operator]
                against[method] = {"difference": list(found[0]), "seeds": found[1], "claimed": gap}
        rows.append(
            {
                "cell": "/".join(map(str, cell)),
                "seeds": sorted(each.seed for each in own),
                "measured": list(accuracy(own)) if own else None,
                "claimed": claimed(dataset, cell),
                "against": against,
            }
        )
    return rows


def text(dataset: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown, then the paired differences that were measured."""
    head = "".join(f" {occlusion} % covered | claimed |" for occlusion in OCCLUSIONS)
    lines = [
        f"Test accuracy in per cent on {dataset}, mean [95 % interval], beside what the paper claims.",
        "",
        f"| labels | method |{head}",
        "|---|---|" + "---|---|" * len(OCCLUSIONS),
    ]
    found = {row["cell"]: row for row in rows}
    for labels in LABELS:
        for method in METHODS:
            parts = [found[f"{method}/{labels}/{occlusion}"] for occlusion in OCCLUSIONS]
            shown = " | ".join(f"{_shown(row)} | {_number(row['claimed'])}" for row in parts)
            lines.append(f"| {labels} % | {method} | {shown} |")
    told = [line for method in AGAINST for row in rows if (line := _told(row, method))]
    return "\n".join([*lines, "", "Paired differences in points [95 % interval]:", *(told or ["none yet"])])


def _shown(row: Mapping[str, Any]) -> str:
    if row["measured"] is None:
        return NOT_RUN
    mean, low, high = row["measured"]
    return f"{mean:.1f} [{low:.1f}, {high:.1f}], {_seeds(len(row['seeds']))}"


def _told(row: Mapping[str, Any], method: str) -> str:
    if method not in row["against"]:
        return ""
    (mean, low, high), seeds = row["against"][method]["difference"], row["against"][method]["seeds"]
    over = f"{_seeds(seeds)}" + (", over its images" if seeds == 1 else "")
    gap = row["against"][method]["claimed"]
    claim = "" if gap is None else f"; claimed {gap:+.1f}"
    return f"- {row['cell']} against {method}: {mean:+.1f} [{low:+.1f}, {high:+.1f}] ({over}{claim})"


def _seeds(count: int) -> str:
    return f"{count} seed" + ("" if count == 1 else "s")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
