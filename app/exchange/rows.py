"""What every import format reads: lines of UTF-8 text, columns by their usual names, and one Row for each answer."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from app import clock, errors, ingest_files, labelling, scenes
from store import classes

LONGEST_LINE = 1 << 20  # bytes
LONGEST_PATH, LONGEST_NOTE = 4096, 2000  # characters
MODEL = "model"  # `source` of the rows in a certified export that nobody said
MOST_SHARES = 1000  # classes of one soft label or prediction
COLUMNS = {  # what a column holds -> names it goes by
    "image": ("path", "image", "file", "filename", "file_name", "image_path", "filepath", "file_path", "image_name"),
    "class": ("class", "label", "class_name", "label_name", "category", "species"),
    "digest": ("digest", "sha256"),
    "state": ("state", "kind"),
    "reason": ("reason",),
    "note": ("note", "comment"),
    "annotator": ("annotator", "annotated_by", "labeler", "person"),
    "at": ("answered_at", "annotated_at", "time", "timestamp"),
    "source": ("source",),
    "soft": ("soft_label",),
    "box": ("box_xywh",),  # left, top, width and height in pixels, as JSON; or each in a column of its own
    **{side: (side,) for side in ("box_x", "box_y", "box_w", "box_h")},
}
ROLES = {name: role for role, names in COLUMNS.items() for name in names}
STATES = {"labelled": "label", "labeled": "label", "label": "label", "rejected": "reject", "reject": "reject"}


_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]*)?")


class Problem(NamedTuple):
    """What is wrong on a line; `kind` is what such problems are counted under."""

    line: int
    kind: str
    text: str


class Unreadable(Exception):
    """From this line on nothing can be made of the file."""

    def __init__(self, line: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(line, kind, text)


class Wrong(Exception):
    """One row cannot be taken; the rows after it are still read."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


@dataclass(frozen=True, slots=True)
class Row:
    """One answer in a file. `kind` as in label events; `uuid` and `target` (what a retract takes back) in event logs only."""

    line: int
    image: str  # path or file name; may be empty where there is a digest
    digest: str | None
    kind: str
    class_name: str | None = None
    reason: str | None = None
    note: str | None = None
    annotator: str | None = None
    at: float | None = None  # unix seconds
    uuid: str | None = None
    target: str | None = None
    asked: str | None = None  # the name of whom a skip passes the image to
    also: str = ""  # another name of the file, looked for where `image` is none here


@dataclass(frozen=True, slots=True)
class Guess:
    """What a model, or several people together, hold an image for: (class name, probability) pairs, never trained on.

    Raises Wrong for a name that cannot be looked up."""

    line: int
    image: str
    digest: str | None
    shares: tuple[tuple[str, float], ...]
    model: str
    also: str = ""

    def __post_init__(self) -> None:
        for text, most, what in ((self.image, LONGEST_PATH, "image"), (self.also, LONGEST_PATH, "image")):
            _fit(text, most, what)
        _fit(self.digest or "", 128, "digest")
        _fit(self.model, 100, "model")


class Passed(NamedTuple):
    """Something in a file that has no place here; `what` ends a sentence that begins with how many there are."""

    what: str
    times: int = 1


Told = Row | Guess | Passed | Problem | None  # what a format reads; None for a row that only a model answered


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a UTF-8 file, with or without a byte order mark; raises Unreadable where it is none."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            if number == 1:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise Unreadable(1, "encoding", "this is UTF-16: save it as UTF-8")
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) > LONGEST_LINE:
                raise Unreadable(
                    number, "not text", f"a line of more than {LONGEST_LINE:,} bytes: is this a text file?"
                )
            if b"\0" in raw:
                raise Unreadable(number, "not text", "a NUL byte: this is no text file, or not UTF-8")
            try:
                yield number, raw.decode()
            except UnicodeDecodeError as problem:
                raise Unreadable(
                    number, "encoding", f"byte {problem.start + 1} is not UTF-8: save it as UTF-8"
                ) from problem


def roles(names: Sequence[str]) -> dict[int, str]:
    """Which column holds what, by position; raises Wrong when two hold the same, or image or class is not there."""
    told = [name.strip().casefold().replace(" ", "_").replace("-", "_") for name in names]
    found = {at: ROLES[name] for at, name in enumerate(told) if name in ROLES}
    for role in found.values():
        twice = [names[at] for at, each in found.items() if each == role]
        if len(twice) > 1:
            raise Wrong("columns", f"{' and '.join(map(repr, twice))} both give the {role}: keep one of them")
    held = set(found.values())
    for role, others in (("image", {"digest"}), ("class", {"state", "reason"})):  # a list of rejects needs no class
        if role not in held and not held & others:
            raise Wrong("columns", _missing(role, [name for at, name in enumerate(names) if at not in found]))
    return found


def probability(name: str, value: Any) -> float:
    """A number from 0 to 1 beside a class name that can be stored; raises Wrong."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise Wrong("probability", f"{shown(json.dumps(value))} for class {shown(name)} is no probability from 0 to 1")
    _fit(name, classes.LONGEST_NAME, "class")
    return float(value)


def row(line: int, cells: Mapping[str, str]) -> Row | None:
    """The row that these cells by role make, None for one that only a model said; raises Wrong."""
    if cells.get("source", "").strip() == MODEL:
        return None
    name, reason = cells.get("class", "").strip(), cells.get("reason", "").strip()
    told = cells.get("state", "").strip().casefold()
    if told and told not in STATES:
        hint = (
            "read an event log with --format events"
            if told in labelling.KINDS or told == "retract"
            else "labelled or rejected"
        )
        raise Wrong("state", f"{shown(told)} is no state of an image: {hint}")
    kind = STATES[told] if told else "reject" if reason and not name else "label"
    image, also = boxed(cells.get("image", ""), box(cells))
    return checked(
        Row(
            line, image, cells.get("digest", "").strip() or None, kind, name or None, reason or None,
            cells.get("note") or None, cells.get("annotator", "").strip() or None, moment(cells.get("at", "")),
            also=also,
        )
    )  # fmt: skip


def boxed(image: str, place: tuple[int, int, int, int] | None) -> tuple[str, str]:
    """The name of a box in a file, and the file's own, which is meant where it is here whole."""
    return (image, "") if place is None else (scenes.named(image, place), image)


def box(cells: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """The box that these cells give, None without; raises Wrong."""
    sides = [cells.get(side, "").strip() for side in ("box_x", "box_y", "box_w", "box_h")]
    told: Any = [float(side) if _NUMBER.fullmatch(side) else side for side in sides] if any(sides) else None
    if cells.get("box", "").strip():
        try:
            told = json.loads(cells["box"])
        except (ValueError, RecursionError):
            told = cells["box"]
    if told is None:
        return None
    numbers = isinstance(told, list) and len(told) == 4 and all(type(each) in (int, float) for each in told)
    if not numbers or not all(0 <= each < 1e9 for each in told) or min(map(round, told[2:])) < 1:
        raise Wrong("box", f"{shown(json.dumps(told))} is no box: write left, top, width and height in pixels")
    x, y, w, h = map(round, told)
    return x, y, w, h


def checked(row: Row) -> Row:
    """The same row; raises Wrong for what no event may hold."""
    if not row.image and not row.digest:
        raise Wrong("empty", "no image is named")
    if row.kind == "label" and not row.class_name:
        raise Wrong("empty", "no class is named")
    if row.kind == "reject" and row.class_name:
        raise Wrong("contradiction", f"class {shown(row.class_name)} for a rejected image")
    if row.kind == "label" and row.reason:
        raise Wrong("contradiction", f"a reason to reject beside class {shown(row.class_name or '')}")
    for text, most, what in (
        (row.image, LONGEST_PATH, "image"), (row.also, LONGEST_PATH, "image"), (row.digest, 128, "digest"),
        (row.note, LONGEST_NOTE, "note"), (row.class_name, classes.LONGEST_NAME, "class"),
        (row.uuid, 64, "uuid"),
    ):  # fmt: skip
        _fit(text or "", most, what)
    if row.reason and row.reason not in labelling.REASONS:
        raise Wrong("reason", f"{shown(row.reason)} is no reason: {nearest(row.reason, labelling.REASONS)}")
    if row.asked and row.kind != "skip":
        raise Wrong("contradiction", f"a {row.kind} asks {shown(row.asked)}: only a skip passes an image to somebody")
    for name in (row.annotator, row.asked):
        if name is not None:
            try:
                labelling.checked_name(name)
            except errors.BadRequest as problem:
                raise Wrong("annotator", shown(str(problem))) from problem
    return row


def _fit(text: str, most: int, what: str) -> None:
    if len(text) > most:
        raise Wrong("too long", f"the {what} has {len(text):,} characters, at most {most:,} are taken")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise Wrong("encoding", f"the {what} holds half a character (a lone surrogate)")
    if "\0" in text:
        raise Wrong("not text", f"the {what} holds a NUL character")


def moment(text: str) -> float | None:
    """Unix seconds of a written time or number, None of nothing; raises Wrong."""
    text = text.strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = clock.moment(text)
        except errors.BadRequest as problem:
            raise Wrong("time", f"{shown(text)} is no time: write it like 2026-11-25T14:30") from problem
    if not math.isfinite(seconds) or not 0 <= seconds < 1e11:
        raise Wrong("time", f"{shown(text)} is no time after 1970")
    return seconds


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint: the nearest known name, or the first known ones."""
    folded = {each.casefold(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.casefold()[:255], folded, n=1)
    if near:
        return f"did you mean {shown(folded[near[0]])}?"
    return (
        f"known are {', '.join(map(shown, known[:5]))}{', ...' if len(known) > 5 else ''}" if known else "none is known"
    )


def shown(text: str) -> str:
    """A text in quotes, cut where it is long, that no terminal is led by."""
    return f"'{plain(text)}'"


def plain(text: str) -> str:
    """The same without quotes."""
    return ingest_files.shown(text[:80]) + ("..." if len(text) > 80 else "")


def _missing(role: str, others: Sequence[str]) -> str:
    known = COLUMNS[role]
    near = next((f"did you mean {known[0]!r} by {shown(name)}? " for name in others if _is_near(name, known)), "")
    found = f"the first line holds {', '.join(map(shown, others[:6]))}; " if others else ""
    return f"no column gives the {role}: {near}{found}it may be called {', '.join(known)}"


def _is_near(name: str, known: Sequence[str]) -> bool:
    return bool(difflib.get_close_matches(name.strip().casefold()[:100], known, n=1, cutoff=0.7))
