"""Labels as JSON lines: an object a line, with the same names as the columns of a CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from app.exchange import rows


def read(path: Path) -> Iterator[rows.Row | rows.Problem | None]:
    """The answers of a file, one a line, each with at least an image (or its digest) and a class or a reason."""
    known: dict[tuple[str, ...], dict[int, str]] = {}
    for line, told in objects(path):
        if isinstance(told, rows.Problem):
            yield told
            continue
        names = tuple(told)
        try:
            if names not in known:
                if len(known) > 1000:
                    known.clear()
                known[names] = rows.roles(names)
            cells = {role: _text(names[at], told[names[at]]) for at, role in known[names].items()}
            yield rows.row(line, cells)
        except rows.Wrong as wrong:
            yield rows.Problem(line, wrong.kind, wrong.text)


def objects(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | rows.Problem]]:
    """The JSON object of every line that is not empty, or what is wrong with it."""
    for number, line in rows.lines(path):
        if not line.strip():
            continue
        try:
            told = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as problem:  # also numbers of thousands of digits
            yield number, rows.Problem(number, "not JSON", f"no JSON: {rows.shown(str(problem))}")
            continue
        if isinstance(told, dict):
            yield number, told
        else:
            yield number, rows.Problem(number, "not JSON", f"a {type(told).__name__}, not an object in braces")


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rows.ROLES.get(name.casefold()) == "at":
        return repr(value)
    raise rows.Wrong(
        "not text", f"{rows.shown(name)} is {rows.shown(json.dumps(value))}: write it as a text, in quotes"
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value")
