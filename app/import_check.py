"""Reads a label file wholly and checks every row, before anything is stored; what it makes of the rows waits in a file."""

from __future__ import annotations

import array
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from app import import_places, imported, snapshot
from app.exchange import formats, rows
from store import classes
from store import errors as store_errors

CHUNK = 500  # rows looked up at once
TOLD = 20  # problems told with their lines
MOST_NAMES = 10_000  # new classes, or annotators, of one file


class Staged(NamedTuple):
    """A checked row; `class_code`, `annotator_code` and `asked_code` are positions in the lists of Checked."""

    line: int
    image_id: int
    kind: str
    class_code: int | None
    annotator_code: int
    reason: str | None
    note: str | None
    at: float | None
    uuid: str | None
    target: str | None
    asked_code: int | None = None  # rows that an earlier version staged have none


@dataclass
class Problems:
    """How many there are of each kind, and the first of them."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[rows.Problem] = field(default_factory=list)
    place: formats.Place = formats.line

    def add(self, problem: rows.Problem) -> None:
        self.counts[problem.kind] += 1
        if len(self.first) < TOLD:
            self.first.append(problem)

    def lines(self) -> list[str]:
        """What a person is told: the first problems by line, and how many there are of each kind."""
        told = [f"{self.place(each.line)}: {each.text}" for each in sorted(self.first)]
        left = self.counts.total() - len(told)
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.counts.most_common())
        return [*told, *([f"... and {left:,} more"] if left else []), f"problems: {kinds}"]


@dataclass
class Checked:
    """What a file holds. `classes`: names with their ids, None for one that is to be added."""

    problems: Problems = field(default_factory=Problems)
    classes: list[tuple[str, int | None]] = field(default_factory=list)
    annotators: list[str] = field(default_factory=lambda: [snapshot.IMPORTER])
    rows: int = 0
    of_model: int = 0  # rows of a certified export that nobody said: passed over
    passed: Counter[str] = field(default_factory=Counter)  # what has no place here, as formats say it
    guesses: imported.Guesses = field(default_factory=imported.Guesses)
    quarantined: int = 0  # rows of images that are in quarantine: passed over
    repeated: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # lines that say the same again

    @property
    def new_classes(self) -> list[str]:
        return [name for name, class_id in self.classes if class_id is None]


def check(
    tx: Connection,
    path: Path,
    spool: IO[str],
    *,
    name: str,
    add_classes: bool,
    with_annotators: bool,
    progress: Callable[[int], None] = lambda lines: None,
) -> Checked:
    """Read `path` in the format `name`, write every good row to `spool` as Staged, and say all that is wrong."""
    checked = Checked(Problems(place=formats.PLACES.get(name, formats.line)))
    names, people, places = (
        _Names(tx, checked, add_classes),
        _People(checked, with_annotators),
        import_places.Places(tx),
    )
    seen = _Seen(log=name == "events")
    for chunk in _chunks(formats.IMPORTS[name](path), checked):
        for row, position in zip(chunk, places.find(tx, chunk), strict=True):
            if isinstance(position, rows.Problem):
                checked.problems.add(position)
                continue
            if not places.usable[position]:
                checked.quarantined += 1
                continue
            try:
                if isinstance(row, rows.Guess):
                    shares = [(names.code_of(each), share) for each, share in row.shares]
                    checked.guesses.add(places.ids[position], row.model, shares)
                    continue
                staged = Staged(
                    row.line, places.ids[position], row.kind, names.code(row), people.code(row.annotator), row.reason,
                    row.note, row.at, row.uuid, row.target, people.code(row.asked) or None,
                )  # fmt: skip
            except rows.Wrong as wrong:
                checked.problems.add(rows.Problem(row.line, wrong.kind, wrong.text))
                continue
            seen.add(staged)
            spool.write(line_of(staged))
            checked.rows += 1
        progress(chunk[-1].line if chunk else 0)
    checked.repeated = seen.repeated(checked.problems)
    counts = (checked.problems.counts, checked.of_model, checked.quarantined, checked.passed, checked.guesses)
    if not checked.rows and not any(counts):
        checked.problems.add(rows.Problem(1, "empty", "the file holds no rows"))
    return checked


def line_of(row: Staged) -> str:
    """A row as a line of a spool."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def staged(spool: IO[str]) -> Iterator[Staged]:
    """The rows of a spool from where it stands."""
    return (Staged(*json.loads(line)) for line in spool)


def _chunks(found: Iterator[rows.Told], checked: Checked) -> Iterator[list[rows.Row | rows.Guess]]:
    """Rows some hundred at a time; problems and what is passed over are counted here."""

    def good() -> Iterator[rows.Row | rows.Guess]:
        try:
            for each in found:
                if isinstance(each, (rows.Row, rows.Guess)):
                    yield each
                elif each is None:
                    checked.of_model += 1
                elif isinstance(each, rows.Passed):
                    checked.passed[each.what] += each.times
                else:
                    checked.problems.add(each)
        except rows.Unreadable as end:
            checked.problems.add(end.problem)

    source = good()
    while chunk := list(itertools.islice(source, CHUNK)):
        yield chunk


class _Names:
    """Class names to codes; a merged class goes by the one that took it over."""

    def __init__(self, tx: Connection, checked: Checked, add: bool) -> None:
        self.tx, self.checked, self.add, self.hinted = tx, checked, add, 0
        ever, final = classes.ever(tx), classes.resolve(tx)
        by_id = {each.id: each for each in ever}
        merged = {classes.folded(each.name): final[each.id] for each in ever if each.status == "merged"}
        active = {classes.folded(each.name): each.id for each in ever if each.status == "active"}
        usable = {folded: id_ for folded, id_ in (merged | active).items() if by_id[id_].status == "active"}
        self.known = [each.name for each in ever if each.status == "active"]
        self.codes: dict[str, int] = {}
        for folded, id_ in usable.items():
            self.codes[folded] = len(checked.classes)
            checked.classes.append((by_id[id_].name, id_))
        self.cached: dict[str, int] = {}

    def code(self, row: rows.Row) -> int | None:
        if row.class_name is None or row.kind not in ("label", "review"):
            return None
        return self.code_of(row.class_name)

    def code_of(self, name: str) -> int:
        code = self.cached.get(name)
        if code is None:
            folded = classes.folded(name)
            code = self.codes.get(folded)
            if code is None:
                code = self.codes[folded] = self._new(name)
            if len(self.cached) < MOST_NAMES:
                self.cached[name] = code
        return code

    def _new(self, name: str) -> int:
        if not self.add:
            self.hinted += 1
            hint = f": {rows.nearest(name, self.known)}" if self.hinted <= TOLD else ""
            raise rows.Wrong("unknown class", f"{rows.shown(name)} is no class here{hint}")
        if len(self.codes) >= MOST_NAMES + len(self.known):
            raise rows.Wrong("class name", f"more than {MOST_NAMES:,} new classes: is that the right column?")
        try:
            spelled = classes.storable(self.tx, name)
        except store_errors.Refused as problem:
            raise rows.Wrong("class name", str(problem)) from problem
        self.checked.classes.append((spelled, None))
        return len(self.checked.classes) - 1


class _People:
    """Annotators' names to codes; 0 is the importer."""

    def __init__(self, checked: Checked, wanted: bool) -> None:
        self.checked, self.wanted, self.codes = checked, wanted, {snapshot.IMPORTER: 0}

    def code(self, name: str | None) -> int:
        if not self.wanted or name is None:
            return 0
        name = name.strip()
        if name not in self.codes:
            if len(self.codes) > MOST_NAMES:
                raise rows.Wrong("annotator", f"more than {MOST_NAMES:,} annotators: is that the right column?")
            self.codes[name] = len(self.checked.annotators)
            self.checked.annotators.append(name)
        return self.codes[name]


class _Seen:
    """What was said of which image on which line, 24 bytes a row, to find what was said twice."""

    def __init__(self, *, log: bool) -> None:
        self.log, self.whos, self.whats, self.lines = log, array.array("q"), array.array("q"), array.array("q")

    def add(self, row: Staged) -> None:
        self.whos.append(hash(row.uuid) if self.log else row.image_id * (2 * MOST_NAMES) + row.annotator_code)
        self.whats.append(0 if self.log else hash((row.kind, row.class_code, row.reason)))
        self.lines.append(row.line)

    def repeated(self, problems: Problems) -> NDArray[np.int64]:
        """The lines that say again what a line before them said; what they say otherwise is a problem."""
        if not self.lines:
            return np.empty(0, np.int64)
        who, what, line = (np.frombuffer(each, np.int64) for each in (self.whos, self.whats, self.lines))
        order = np.argsort(who, kind="stable")
        who, what, line = who[order], what[order], line[order]
        starts = np.flatnonzero(np.diff(who, prepend=who[0] - 1))
        first = np.repeat(starts, np.diff(starts, append=len(who)))
        later = np.arange(len(who)) > first
        otherwise = np.ones(len(who), bool) if self.log else what != what[first]
        for at in np.flatnonzero(later & otherwise).tolist():
            told = "its uuid is that of" if self.log else "another answer for the image of"
            problems.add(rows.Problem(int(line[at]), "twice", f"{told} {problems.place(int(line[first[at]]))}"))
        return np.sort(line[later & ~otherwise])
