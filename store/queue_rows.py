"""Queue rows and publications on their way between records and tables."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from store import errors, records, schema

_JSON = ("suggestions", "neighbours")


def check(rows: Sequence[records.QueueRow]) -> None:
    """Refuse repeated images and numbers that are not finite by errors.BadQueue."""
    if len({row.image_id for row in rows}) < len(rows) or len({row.position for row in rows}) < len(rows):
        raise errors.BadQueue("the queue names an image or a position twice")
    for row in rows:
        numbers = [row.total, row.epistemic, row.aleatoric, row.margin, row.propensity]
        numbers += [probability for _, probability in row.suggestions]
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise errors.BadQueue(f"image {row.image_id} has a number that is not finite: {numbers}")


class Ready(list[dict[str, Any]]):
    """Rows that were checked and turned into column values, before anybody has to wait for the write lock."""


def ready(rows: Sequence[records.QueueRow]) -> Ready:
    """Check and turn; raises errors.BadQueue."""
    check(rows)
    return Ready(from_row(row) for row in rows)


def from_row(row: records.QueueRow) -> dict[str, Any]:
    """Give the column values of a queue row; lists become JSON, an overlay its kind or [kind, what belongs to it]."""
    values = vars(row) | {name: json.dumps(getattr(row, name)) for name in _JSON}
    beside = values.pop("beside")
    drawn = [[kind, beside[kind]] if beside.get(kind) else kind for kind in row.overlays]
    return values | {"overlays": json.dumps(drawn, allow_nan=False)}


def to_row(row: sa.Row[Any]) -> records.QueueRow:
    """Give the record of a queue row."""
    values = {name: row._mapping[name] for name in schema.queue.c.keys() if name != "publication_id"}  # noqa: SIM118
    values["suggestions"] = [(class_id, probability) for class_id, probability in json.loads(row.suggestions)]
    values["neighbours"] = [(class_id, list(ids)) for class_id, ids in json.loads(row.neighbours)]
    drawn = [each if isinstance(each, list) else [each, {}] for each in json.loads(row.overlays)]
    values["overlays"] = [kind for kind, _ in drawn]
    values["beside"] = {kind: facts for kind, facts in drawn if facts}
    return records.QueueRow(**values)


def to_publication(row: sa.Row[Any]) -> records.Publication:
    """Give the record of a publication row."""
    return records.Publication(**row._asdict() | {"metrics": json.loads(row.metrics)})
