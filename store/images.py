"""The images table: adding files, and reading them back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, records, schema

_T = schema.images
_CHUNK = 500  # bound parameters per statement stay far under SQLite's limit
_PAGE = 10_000  # rows fetched at a time


def add_many(tx: Connection, rows: Sequence[records.NewImage]) -> list[int]:
    """Add files and return the ids of the new ones in order; a path already there (or repeated) is left alone."""
    ids: list[int] = []
    for chunk in _chunks(rows):
        first: dict[str, records.NewImage] = {}
        for row in chunk:
            first.setdefault(row.path, row)
        seen = set(tx.scalars(sa.select(_T.c.path).where(_T.c.path.in_(first))))
        new = [row for path, row in first.items() if path not in seen]
        if new:
            ids += _insert(tx, new)
    return ids


def known_paths(tx: Connection) -> dict[str, tuple[int, int]]:
    """Map every path, quarantined ones too, to (mtime_ns, bytes)."""
    rows = tx.execute(sa.select(_T.c.path, _T.c.mtime_ns, _T.c.bytes))
    return {path: (mtime_ns, size) for path, mtime_ns, size in rows}


def known_scenes(tx: Connection) -> dict[str, tuple[int, int, int, int]]:
    """Map every file of which boxes are stored to (mtime_ns, bytes, width, height)."""
    rows = tx.execute(
        sa.select(_T.c.scene, _T.c.mtime_ns, _T.c.bytes, _T.c.scene_width, _T.c.scene_height)
        .where(_T.c.scene.is_not(None))
        .distinct()
    )
    return {scene: (mtime_ns, size, width, height) for scene, mtime_ns, size, width, height in rows}


def of_scene(tx: Connection, scene: str) -> list[records.Image]:
    """List the usable boxes of a file by id."""
    query = sa.select(_T).where(_T.c.scene == scene, _T.c.status == "ok").order_by(_T.c.id)
    return [_image(row) for row in tx.execute(query)]


def ids_of(tx: Connection, paths: Sequence[str]) -> dict[str, int]:
    """Map those of these paths that are known to their ids."""
    found: dict[str, int] = {}
    for chunk in _chunks(paths):
        rows = tx.execute(sa.select(_T.c.path, _T.c.id).where(_T.c.path.in_(chunk)))
        found.update((path, image_id) for path, image_id in rows)
    return found


def get(tx: Connection, image_id: int) -> records.Image:
    """Read one image; raises errors.UnknownImage."""
    row = tx.execute(sa.select(_T).where(_T.c.id == image_id)).one_or_none()
    if row is None:
        raise errors.UnknownImage(f"no image has id {image_id}")
    return _image(row)


def get_many(tx: Connection, ids: Iterable[int]) -> list[records.Image]:
    """Read images in the order asked; raises errors.UnknownImage for the first that is missing."""
    wanted = list(ids)
    found: dict[int, records.Image] = {}
    for chunk in _chunks(wanted):
        rows = tx.execute(sa.select(_T).where(_T.c.id.in_(chunk)))
        found.update((row.id, _image(row)) for row in rows)
    missing = [image_id for image_id in wanted if image_id not in found]
    if missing:
        raise errors.UnknownImage(f"no image has id {missing[0]} ({len(missing)} of {len(wanted)} are missing)")
    return [found[image_id] for image_id in wanted]


def all_ok(tx: Connection) -> list[records.Image]:
    """List the usable images by id."""
    return [_image(row) for row in tx.execute(sa.select(_T).where(_T.c.status == "ok").order_by(_T.c.id))]


def ever(tx: Connection) -> list[records.Image]:
    """List every image, quarantined ones too, by id."""
    return [_image(row) for row in tx.execute(sa.select(_T).order_by(_T.c.id))]


def places(tx: Connection) -> Iterator[tuple[int, str, str | None, bool]]:
    """Go through id, path and digest of every image and whether it is usable, by id, a page at a time."""
    last, columns = 0, (_T.c.id, _T.c.path, _T.c.digest, _T.c.status == "ok")
    while page := tx.execute(sa.select(*columns).where(_T.c.id > last).order_by(_T.c.id).limit(_PAGE)).all():
        for last, path, digest, usable in page:
            yield last, path, digest, usable


def all_after(tx: Connection, image_id: int, count: int | None = None) -> list[records.Image]:
    """List the usable images with a greater id, by id: what was added since; the first `count` of them, if given."""
    query = sa.select(_T).where(_T.c.status == "ok", _T.c.id > image_id).order_by(_T.c.id).limit(count)
    return [_image(row) for row in tx.execute(query)]


def newest(tx: Connection) -> int:
    """Give the greatest id of a usable image; 0 without any."""
    return tx.scalar(sa.select(sa.func.max(_T.c.id)).where(_T.c.status == "ok")) or 0


def each_ok(tx: Connection) -> Iterator[records.Image]:
    """Go through the usable images by id, some thousand in memory at a time."""
    last = 0
    while page := all_after(tx, last, _PAGE):
        yield from page
        last = page[-1].id


def holdout(tx: Connection) -> dict[int, int]:
    """Map the usable holdout images to their half: 1 calibration, 2 test."""
    query = sa.select(_T.c.id, _T.c.holdout).where(_T.c.status == "ok", _T.c.holdout > 0).order_by(_T.c.id)
    return {image_id: half for image_id, half in tx.execute(query)}


def quarantined(tx: Connection) -> list[records.Image]:
    """List the images that could not be used, by id; each carries its problem."""
    return [_image(row) for row in tx.execute(sa.select(_T).where(_T.c.status == "quarantined").order_by(_T.c.id))]


def hashes(tx: Connection) -> records.Hashes:
    """List what duplicate search and the holdout draw need, over usable images that have a perceptual hash."""
    columns = (_T.c.id, _T.c.phash, _T.c.group_id, _T.c.holdout)
    query = sa.select(*columns).where(_T.c.status == "ok", _T.c.phash.is_not(None)).order_by(_T.c.id)
    out = records.Hashes([], [], [], [])
    for image_id, phash, group_id, holdout in tx.execute(query):
        out.ids.append(image_id)
        out.phashes.append(int(phash, 16))
        out.groups.append(-1 if group_id is None else group_id)
        out.holdout.append(holdout)
    return out


def groups(tx: Connection, *, largest: int, members: int) -> tuple[int, int, list[list[int]]]:
    """Count the groups of two usable images or more and their images, and list the ids of the largest groups.

    Of each, the first `members` ids; larger groups first."""
    size = sa.func.count().label("size")
    of = sa.select(_T.c.group_id, size).where(_T.c.status == "ok", _T.c.group_id.is_not(None))
    many = of.group_by(_T.c.group_id).having(size > 1).subquery()
    count, total = tx.execute(sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(many.c.size), 0))).one()
    ranked = sa.select(many.c.group_id).order_by(many.c.size.desc(), many.c.group_id).limit(largest)
    listed: dict[int, list[int]] = {group_id: [] for group_id in tx.scalars(ranked)}
    inside = sa.select(_T.c.group_id, _T.c.id).where(_T.c.group_id.in_(list(listed)), _T.c.status == "ok")
    for group_id, image_id in tx.execute(inside.order_by(_T.c.id)):
        if len(listed[group_id]) < members:
            listed[group_id].append(image_id)
    return int(count), int(total), list(listed.values())


def counts(tx: Connection) -> dict[str, int]:
    """Count images: total, ok, quarantined; and of the ok ones: pool, holdout (calibration and test together)."""
    rows = tx.execute(sa.select(_T.c.status, _T.c.holdout, sa.func.count()).group_by(_T.c.status, _T.c.holdout)).all()
    ok = {holdout: number for status, holdout, number in rows if status == "ok"}
    usable, total = sum(ok.values()), sum(number for _, _, number in rows)
    return {
        "total": total,
        "ok": usable,
        "quarantined": total - usable,
        "pool": ok.get(0, 0),
        "holdout": ok.get(1, 0) + ok.get(2, 0),
        "calibration": ok.get(1, 0),
        "test": ok.get(2, 0),
    }


def _insert(tx: Connection, rows: list[records.NewImage]) -> list[int]:
    values: list[dict[str, Any]] = [vars(row) for row in rows]
    insert = sa.insert(_T).returning(_T.c.id, sort_by_parameter_order=True)
    ids = list(tx.scalars(insert, values))
    states = [_first_state(image_id, row) for image_id, row in zip(ids, rows, strict=True)]
    tx.execute(sa.insert(schema.image_state), states)
    return ids


def _first_state(image_id: int, row: records.NewImage) -> dict[str, Any]:
    lane = schema.CLOSED if row.status != "ok" else schema.HOLDOUT if row.holdout else schema.POOL
    return {"image_id": image_id, "lane": lane, "draw": _draw(row), "answers": 0, "skips": 0, "flags": 0, "said_by": ""}


def _draw(row: records.NewImage) -> int:
    """Give the image its place in the random order: 31 bits that depend on nothing a model sees."""
    digest = hashlib.sha256(f"{row.digest}\0{row.path}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _image(row: sa.Row[Any]) -> records.Image:
    return records.Image(**row._asdict())


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
