"""What an import would do: the whole file is checked, and each row decided on as the import itself would."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from sqlalchemy.engine import Connection

from app import errors, import_check, import_steps, imported
from app.exchange import formats, rows
from app.import_steps import KEPT, NEW, THERE
from store import annotators, images

Tell = Callable[[float, str], None]


class ImportRefused(errors.BadRequest):
    """Nothing of the file was stored; the message lists what is wrong with it, by line."""

    def __init__(self, sentence: str, lines: list[str]) -> None:
        super().__init__("\n  ".join([f"{sentence}:", *lines]))
        self.sentence, self.lines = sentence, lines


@dataclass(frozen=True)
class Asked:
    """What a person wants imported, and how."""

    path: Path
    format: str = "csv"
    dry_run: bool = False
    add_classes: bool = False
    annotators: bool = False
    over: str = "nobody"
    called: str = ""  # what the file is called, where its path does not tell


@dataclass
class Preview:
    """What an import would do. `per_class`: new labels by class name; `held`: new answers of holdout images."""

    checked: import_check.Checked
    counts: Counter[str] = field(default_factory=Counter)
    per_class: Counter[str] = field(default_factory=Counter)
    held: int = 0
    guesses: int = 0  # predictions and soft labels that are not there yet


def preview(tx: Connection, asked: Asked, spool: IO[str], out: IO[str] | None, tell: Tell) -> Preview:
    """Check the whole file and say what each row would become; good rows, each once, are written to `out`.

    Raises ImportRefused when anything is wrong.
    """
    checked = import_check.check(
        tx, asked.path, spool, name=asked.format, add_classes=asked.add_classes, with_annotators=asked.annotators,
        progress=lambda line: tell(0.0, f"reading {formats.PLACES.get(asked.format, formats.line)(line)}"),
    )  # fmt: skip
    _refuse(asked, checked.problems)
    seen = Preview(checked)
    class_ids = [class_id for _, class_id in checked.classes]
    people = _people(tx, checked)
    seen.guesses = imported.fresh(tx, checked.guesses, class_ids)
    decider = import_steps.Decider(tx, record(asked, checked, 0, 0.0), class_ids, people)
    held, kept = images.holdout(tx), set[str | None]()
    spool.seek(0)
    once = (row for row in import_check.staged(spool) if not _among(row.line, checked.repeated))
    for batch in import_steps.batches(once):
        for row, (_, verdict) in zip(batch, decider.decide(batch), strict=True):
            if verdict == import_steps.CLASH:
                checked.problems.add(rows.Problem(row.line, "uuid", f"{row.uuid} is another event here"))
            if row.kind == "retract" and row.target in kept:
                verdict = KEPT
            if verdict == KEPT and row.uuid is not None:
                kept.add(row.uuid)
            seen.counts[verdict] += 1
            if verdict == NEW:
                seen.held += row.image_id in held
                seen.per_class[_named(row, checked)] += 1
            if out is not None:
                out.write(import_check.line_of(row))
    _refuse(asked, checked.problems)
    return seen


def record(asked: Asked, checked: import_check.Checked | None, number: int, now: float) -> import_steps.Import:
    return import_steps.Import(
        id=number, uuid=str(uuid.uuid4()), file=rows.shown(asked.called or asked.path.name), format=asked.format,
        over=asked.over == "people", rows=checked.rows if checked else 0, begun_at=now,
    )  # fmt: skip


def _people(tx: Connection, checked: import_check.Checked) -> list[int | None]:
    found = [annotators.by_name(tx, name) for name in checked.annotators]
    return [person.id if person else None for person in found]


def _among(line: int, repeated: np.ndarray) -> bool:
    at = int(np.searchsorted(repeated, line))
    return at < len(repeated) and int(repeated[at]) == line


def _named(row: import_check.Staged, checked: import_check.Checked) -> str:
    if row.class_code is not None:
        return checked.classes[row.class_code][0]
    return {"reject": "rejected", "review": "rejected"}.get(row.kind, row.kind)


def _refuse(asked: Asked, problems: import_check.Problems) -> None:
    if problems.counts:
        raise ImportRefused(f"nothing of {rows.shown(asked.called or asked.path.name)} is imported", problems.lines())


def told(seen: Preview, added: str) -> list[str]:
    counts, checked = seen.counts, seen.checked
    per_class = ", ".join(f"{rows.plain(name)} {number:,}" for name, number in seen.per_class.most_common(20))
    more = f", and {len(seen.per_class) - 20:,} more" if len(seen.per_class) > 20 else ""
    told = [f"{counts[NEW]:,} answers {added}" + (f" ({per_class}{more})" if per_class else "")]
    if seen.held:
        told.append(f"{seen.held:,} of them are of holdout images: they measure, and are never trained on")
    if seen.guesses:
        told.append(
            f"{seen.guesses:,} predictions {added}, to be suggested until the first model here: {_models(checked)}"
        )
    if checked.new_classes:
        told.append(f"{len(checked.new_classes):,} new classes: {', '.join(map(rows.plain, checked.new_classes[:20]))}")
    lines = {
        "are there already": counts[THERE],
        "kept out: people answered those images here (--over people adds them as newer answers)": counts[KEPT],
        "say again what a line before them said": len(checked.repeated),
        "only a model answered: passed over": checked.of_model,
        "name images in quarantine: passed over": checked.quarantined,
    }
    told += [f"passed over: {number:,} {what}" for what, number in checked.passed.items()]
    return told + [f"{number:,} rows {what}" for what, number in lines.items() if number]


def _models(checked: import_check.Checked) -> str:
    names = list(checked.guesses.names)
    return ", ".join(map(rows.shown, names[:5])) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
