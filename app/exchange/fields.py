"""The fields of an object or of a table's row, by the usual names of columns, to the answer and the soft label in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app import imported
from app.exchange import rows


def said(line: int, told: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[rows.Row | rows.Guess | None]:
    """What the fields of a JSON object or of a table's row say; `names` gives the role of each; raises Wrong."""
    cells = {role: _text(name, role, told[name]) for name, role in names.items()}
    yield from of_cells(line, cells)


def of_cells(line: int, cells: Mapping[str, str]) -> Iterator[rows.Row | rows.Guess | None]:
    """The answer that these cells by role make, and the soft label beside it; raises Wrong."""
    one = rows.row(line, cells)
    yield one
    if one is not None and cells.get("soft"):
        yield rows.Guess(line, one.image, one.digest, shares(cells["soft"]), imported.SOFT, one.also)


def shares(text: str) -> tuple[tuple[str, float], ...]:
    """A soft label from JSON, an object of probabilities by class name that sum to 1 at most; raises Wrong."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise rows.Wrong("soft label", f"the soft label {rows.shown(text)} is no JSON") from problem
    if not isinstance(told, dict) or not 0 < len(told) <= rows.MOST_SHARES:
        raise rows.Wrong(
            "soft label", f"{rows.shown(text)} is no soft label: write probabilities by class, {{'Owl': 0.8}}"
        )
    return tuple((name, rows.probability(name, each)) for name, each in told.items())


def _text(name: str, role: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if (isinstance(value, dict) and role == "soft") or (isinstance(value, list) and role == "box"):
        return json.dumps(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and (role == "at" or role.startswith("box_")):
        return repr(value)
    told = rows.shown(json.dumps(value, default=str))
    raise rows.Wrong("not text", f"{rows.shown(name)} is {told}: write it as a text, in quotes")
