"""Images that could not be read are tried again and come in, at their place, while what is shown stays as it is."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from app import pool, pool_files, retrying, worker
from store import images, queue, records
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh

AWAY = (7, 8, 30, 60)  # image ids


@pytest.fixture
def gone(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> dict[int, Path]:
    """Where pictures lie that are away."""
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.0)
    with workspace.db.read() as tx:
        places = {image.id: Path(image.path) for image in images.get_many(tx, AWAY)}
    for place in places.values():
        place.rename(place.with_suffix(".away"))
    return places


def images_of(workspace: Workspace) -> list[records.Image]:
    with workspace.db.read() as tx:
        return images.all_ok(tx)


def back(place: Path) -> None:
    place.with_suffix(".away").rename(place)


def tried(retry: retrying.Retry, opened: pool.Pool) -> pool.Pool | None:
    """Steps until a try has ended and what came is embedded."""
    deadline, begun = time.monotonic() + 60, retry.next_try
    while retry.next_try == begun or retry.found is not None:
        assert time.monotonic() < deadline
        if (whole := retry.step(opened)) is not None:
            return whole
        time.sleep(0.005)
    return None


def test_what_is_back_comes_in_at_its_place(workspace: Workspace, gone: dict[int, Path]) -> None:
    label(workspace, [image_id for image_id in workspace.ids if image_id not in AWAY][:20])
    opened = held(workspace)
    opened.complete = True
    pool_files.save(opened)
    assert opened.unreadable == set(AWAY)
    refresh(workspace, opened)
    retry = retrying.Retry(workspace.db, workspace.settings)
    assert tried(retry, opened) is None
    for image_id in AWAY[:3]:
        back(gone[image_id])
    whole = tried(retry, opened)
    assert whole is not None
    assert whole.image_ids.tolist() == list(range(1, 60))
    assert whole.unreadable == {60}
    assert len(opened.image_ids) == 56, "whoever still reads the old one is not disturbed"
    alone = pool.open_wanted(workspace.settings, [])
    pool.extend(alone, images_of(workspace)[:30], seconds=60.0)
    np.testing.assert_allclose(whole.embeddings_ND[:30], alone.embeddings_ND, atol=2e-3)  # kept as float16
    np.testing.assert_array_equal(whole.looks_NF[:30], alone.looks_NF)
    refresh(workspace, whole)
    with workspace.db.read() as tx:
        shown = queue.current(tx)
        assert shown is not None
        assert set(AWAY[:3]) & {row.image_id for row in queue.head(tx, shown.id)}
    retry.end()


def test_a_worker_that_starts_anew_knows_what_is_missing(workspace: Workspace, gone: dict[int, Path]) -> None:
    pool_files.save(held(workspace))
    for place in gone.values():
        back(place)
    again = held(workspace)
    assert (again.unreadable, len(again.image_ids)) == (set(AWAY), 56)
    again.complete = True
    retry = retrying.Retry(workspace.db, workspace.settings)
    whole = tried(retry, again)
    assert whole is not None
    assert (whole.unreadable, whole.image_ids.tolist()) == (set(), list(range(1, 61)))
    assert held(workspace).image_ids.tolist() == list(range(1, 61)), "it is kept"
    retry.end()


def test_pauses_grow_and_what_cannot_be_decoded_stops_nothing(
    workspace: Workspace, gone: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = held(workspace)
    opened.complete = True
    retry, pauses = retrying.Retry(workspace.db, workspace.settings), []
    retry.pause = 60.0
    for _ in range(8):
        retry.next_try = 0.0
        assert tried(retry, opened) is None
        pauses.append(retry.pause)
    assert pauses == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert retry.next_try > time.monotonic() + 3000
    assert retry.step(opened) is None
    assert retry.running is None, "not before its time"
    gone[30].write_bytes(b"no picture")
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 60.0)
    retry.next_try = 0.0
    assert tried(retry, opened) is None
    assert retry.pause == 120.0, "the longer, too, where a file is there again and is no picture"
    retry.end()
    assert retry._readable([image for image in images_of(workspace) if image.id not in AWAY]) == [], (
        "an end is not waited for"
    )


def test_the_worker_publishes_what_came_back(workspace: Workspace, gone: dict[int, Path]) -> None:
    label(workspace, [image_id for image_id in workspace.ids if image_id not in AWAY][:20])
    one, deadline = worker.Worker(workspace.settings), time.monotonic() + 120
    try:
        while not one.pool.complete:
            one._grow()
            one._refresh()
            assert time.monotonic() < deadline
        assert one.pool.unreadable == set(AWAY)
        for place in gone.values():
            back(place)
        while one.pool.unreadable:
            one._switch()
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        one.end()
    with workspace.db.read() as tx:
        current = queue.current(tx)
    assert current is not None
    assert current.pool_size == 48 - 20, "every open image of the pool"
