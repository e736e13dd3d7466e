"""Reading JSON that others wrote: one object whole, or a long array item by item, with the place of what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from app.exchange import rows

LARGEST_WHOLE = 1 << 30  # bytes of a file that must be read whole; it takes about five times that of memory
LONGEST_ITEM = 1 << 24  # characters
_PART = 1 << 20


def whole(path: Path) -> dict[str, Any]:
    """The object that a file holds; raises Unreadable."""
    size = os.path.getsize(path)
    if size > LARGEST_WHOLE:
        told = f"{size / 2**30:.1f} GB, read are {LARGEST_WHOLE >> 30}: split the file, or convert it to JSON lines"
        raise rows.Unreadable(1, "too long", told)
    try:
        told = json.loads("".join(_parts(path)), parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise rows.Unreadable(1, "not JSON", f"no JSON: {rows.plain(str(problem))}") from problem
    if not isinstance(told, dict):
        raise rows.Unreadable(1, "not JSON", f"a {type(told).__name__}, not an object in braces")
    return told


def items(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of an array, one after the other, so that a file of any length takes little memory; raises Unreadable."""
    decoder, parts = json.JSONDecoder(parse_constant=_refuse), _parts(path)
    text, at, number, line = "", 0, 0, 1
    begun = False
    while True:
        at = _after_space(text, at)
        if at == len(text):
            line += text.count("\n")
            text, at = next(parts, ""), 0
            if not text:
                raise rows.Unreadable(number + 1, "not JSON", "the file ends in the middle: is it whole?")
            continue
        if not begun:
            if text[at] != "[":
                raise rows.Unreadable(
                    1, "not JSON", f"the file begins with {rows.shown(text[at : at + 10])}, not with ["
                )
            begun, at = True, at + 1
        elif text[at] == "]":
            return
        elif text[at] == "," and number:
            at += 1
        elif text[at] != "{":
            where = line + text.count("\n", 0, at)
            told = f"{rows.shown(text[at : at + 20])} on line {where:,}, where an object in braces belongs"
            raise rows.Unreadable(number + 1, "not JSON", told)
        else:
            number += 1
            while True:
                try:
                    item, end = decoder.raw_decode(text, at)
                    break
                except (ValueError, RecursionError) as problem:  # unfinished, or wrong: what follows tells
                    more = next(parts, "") if len(text) - at <= LONGEST_ITEM else ""
                    if not more:
                        where = line + text.count("\n", 0, getattr(problem, "pos", at))
                        told = f"no JSON on line {where:,}: {rows.plain(getattr(problem, 'msg', str(problem)))}"
                        raise rows.Unreadable(number, "not JSON", told) from problem
                    line += text.count("\n", 0, at)
                    text, at = text[at:] + more, 0
            yield item
            at = end


def _parts(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file, a megabyte at a time; raises Unreadable where it is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            size = _PART
            while part := file.read(size):
                yield part
                size = min(2 * size, LONGEST_ITEM)
    except UnicodeDecodeError as problem:
        raise rows.Unreadable(1, "encoding", "this is not UTF-8: save it as UTF-8") from problem


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value")
