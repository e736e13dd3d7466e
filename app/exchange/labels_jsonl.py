"""Labels as JSON lines: an object a line, with the names of a CSV's columns; written and read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from app.exchange import answers, beside, fields, rows
from store.database import Database


def export(db: Database, path: Path, up_to: int | None = None) -> dict[str, int]:
    """Write an object a line and settled image; returns counts by state."""
    counts = {"labelled": 0, "rejected": 0}
    with beside.file(path) as new, new.open("w", encoding="utf-8") as file:
        for answer in answers.settled(db, up_to):
            counts[answer.state] += 1
            file.write(json.dumps(answers.fields(answer), ensure_ascii=False, allow_nan=False) + "\n")
    return counts


def read(path: Path) -> Iterator[rows.Told]:
    """The answers of a file, one a line, each with at least an image (or its digest) and a class or a reason."""
    known: dict[tuple[str, ...], dict[str, str]] = {}
    for line, told in objects(path):
        if isinstance(told, rows.Problem):
            yield told
            continue
        names = tuple(told)
        try:
            if names not in known:
                if len(known) > 1000:
                    known.clear()
                known[names] = {names[at]: role for at, role in rows.roles(names).items()}
            yield from fields.said(line, told, known[names])
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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value")
