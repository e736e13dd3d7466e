"""What a simulation prints: its tables, readable at 120 columns."""

from __future__ import annotations

import bisect
from typing import Any

from rich.table import Table

FIRST_BATCHES = 5  # after them an out-of-class score has had rejects to learn from


def of(result: dict[str, Any]) -> list[Table]:
    """All tables of one result."""
    return [accuracy(result), against_random(result), figures(result), wins(result)]


def accuracy(result: dict[str, Any]) -> Table:
    """Accuracy at a few budgets, AUBC with standard error, labels to the target with 95 % interval."""
    labels_B, target = result["labels"], result["target"]
    after_rounds = {bisect.bisect_left(labels_B, at) for at in result["plan"]["rounds_at"]}
    some = {0, 1, len(labels_B) // 4, len(labels_B) // 2, len(labels_B) - 1} | after_rounds
    shown = sorted(some & set(range(len(labels_B))))
    title = f"{result['name']}, {result['conditions']}: test accuracy by labels, {result['seeds']} seeds"
    out = _table(title, ["strategy", *[f"@{labels_B[b]}" for b in shown], "AUBC", f"labels to {target:.4g}"])
    out.caption = f"target: {result['target_told']}. {result['measured']}"
    for name, told in result["strategies"].items():
        low, high = (_labels(told[f"labels_to_target_{end}"]) for end in ("low", "high"))
        out.add_row(
            name,
            *[f"{told['mean'][b]:.3f}" for b in shown],
            _with_se(told["aubc"], told["aubc_se"]),
            f"{_labels(told['labels_to_target'])} [{low}, {high}]",
        )
    return out


def against_random(result: dict[str, Any]) -> Table:
    """Gain in AUBC, labels saved both ways, harm; all paired by seed."""
    columns = ["strategy", "AUBC gain", "saved, mean curves", "saved, median seed", "seeds there (random)", "harm"]
    out = _table("against random, paired by seed; [95 % interval by bootstrap over seeds]", columns)
    out.caption = (
        "saved: share of random's labels at the target. Where random never gets there, one step beyond the budget "
        "counts (≥); 'none': the strategy itself does not get there. harm: the most that random's mean curve lies above"
    )
    for name, told in result["strategies"].items():
        versus = told.get("against_random")
        if versus is None:
            continue
        low, high = versus["aubc_gain_interval"]
        mark = " ▼" if versus["harmful"] else ""
        bound = "≥ " if versus["saved_bound"] == "at least" else ""
        median = "≥ " if versus["seeds_reached_random"] < result["seeds"] else ""
        out.add_row(
            name,
            f"{versus['aubc_gain']:+.4f} [{low:+.4f}, {high:+.4f}]{mark}",
            _saved(bound, versus["saved"], versus["saved_interval"]),
            _saved(median, versus["saved_per_seed"], versus["saved_per_seed_interval"]),
            f"{versus['seeds_reached']} ({versus['seeds_reached_random']}) of {result['seeds']}",
            f"{versus['harm']:.3f} @{versus['harm_at']}" if versus["harm"] > 0 else "none",
        )
    return out


def figures(result: dict[str, Any]) -> Table:
    """Calibration, finding mistakes, in-class share of what was asked, classes found."""
    middle = len(result["labels"]) // 2
    at = f"@{result['labels'][middle]}"
    columns = [
        "strategy",
        f"ECE {at}",
        "ECE end",
        "NLL end",
        f"AUROC {at}",
        "AUROC end",
        f"in class, first {FIRST_BATCHES}",
    ]
    columns += ["in class, later", "classes, first", "classes, end"]
    out = _table("means over seeds", columns)
    out.caption = "AUROC: mistakes found by 1 - largest probability; in class: share of the asked, by batches"
    for name, told in result["strategies"].items():
        points = told["points"]
        later = range(FIRST_BATCHES, len(result["labels"]))
        out.add_row(
            name,
            _number(_mean(points, "ece", [middle])),
            _number(_mean(points, "ece", [-1])),
            _number(_mean(points, "nll", [-1])),
            _number(_mean(points, "auroc", [middle])),
            _number(_mean(points, "auroc", [-1])),
            _number(_mean(points, "in_class", range(min(FIRST_BATCHES, len(result["labels"]))))),
            _number(_mean(points, "in_class", later)),
            _number(_mean(points, "classes", [0]), 1),
            _number(_mean(points, "classes", [-1]), 1),
        )
    return out


def wins(result: dict[str, Any]) -> Table:
    """Differences in AUBC, row minus column, in points of a hundred."""
    names = list(result["strategies"])
    out = _table("AUBC in points, row minus column; *: paired two-sided t-test over seeds, p < .05", ["", *names])
    for row in names:
        cells = [result["wins"][row].get(col) for col in names]
        out.add_row(
            row, *["·" if c is None else f"{100 * c['difference']:+.2f}{'*' if c['p'] < 0.05 else ' '}" for c in cells]
        )
    return out


def grid(told: dict[str, Any], *, name: str, seeds: int, measured: str) -> list[Table]:
    """The no-harm grid: a row for each strategy, a column for each condition, and the mean; and wins over cells."""
    columns = ["strategy", *[cell.replace(" ", "\n", 1) for cell in told["cells"]], "mean\nof cells"]
    out = _table(f"{name}: AUBC, and its difference from random in points ± SE, {seeds} seeds paired", columns)
    out.caption = (
        f"▼: below random by more than two standard errors. Long tail: accuracy is the mean over classes. {measured}"
    )
    for strategy, row in told["strategies"].items():
        cells = [
            f"{area:.4f}" + ("" if strategy == "random" else f"\n{_points(gain, se)}{' ▼' if bad else ''}")
            for area, gain, se, bad in zip(row["aubc"], row["gain"], row["gain_se"], row["harmful"], strict=True)
        ]
        mean = f"{row['mean_aubc']:.4f}"
        mean += "" if strategy == "random" else f"\n{_points(row['mean_gain'], row['mean_gain_se'])}"
        out.add_row(strategy, *cells, mean, end_section=True)
    names = list(told["strategies"])
    counts = _table(
        f"cells of {len(told['cells'])} in which the row beats the column (paired t-test, p < .05)", ["", *names]
    )
    for strategy in names:
        counts.add_row(strategy, *[str(told["wins"][strategy].get(other, "·")) for other in names])
    return [out, counts]


def _table(title: str, columns: list[str]) -> Table:
    out = Table(title=title, title_justify="left", caption_justify="left", padding=(0, 1))
    for at, column in enumerate(columns):
        out.add_column(column, justify="left" if at == 0 else "right", no_wrap=at == 0)
    return out


def _with_se(value: float, se: float | None) -> str:
    return f"{value:.4f}" + (f" ± {se:.4f}" if se is not None else "")


def _points(gain: float, se: float | None) -> str:
    return f"{100 * gain:+.2f}" + (f"±{100 * se:.2f}" if se is not None else "")


def _labels(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _saved(bound: str, value: float | None, interval: list[float | None]) -> str:
    ends = ["none" if end is None else f"{end:.0%}" for end in interval]
    return f"{bound if value is not None else ''}{'none' if value is None else f'{value:.0%}'} [{ends[0]}, {ends[1]}]"


def _mean(points: list[list[dict[str, Any]]], name: str, at: Any) -> float | None:
    values = [seed[b][name] for seed in points for b in at if seed[b][name] is not None]
    return sum(values) / len(values) if values else None


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"
