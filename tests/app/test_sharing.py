"""Several workers embed one pool on a server's database: nothing twice, nothing left out, the same as one alone."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from app import pool, settings, sharing
from store import database, images
from store import settings as stored
from store.records import NewImage
from tests import postgres
from tests.app.conftest import Workspace


@pytest.fixture
def shared(
    workspace: Workspace, postgresql: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[settings.Settings, database.Database]]:
    """The pictures of `workspace`, one of them gone, in a server's database; slices of eight."""
    monkeypatch.setattr(sharing, "SLICE", 8)
    monkeypatch.setattr(sharing, "MANY", 16)
    with workspace.db.read() as tx:
        rows = [NewImage(path=each.path, width=32, height=32, bytes=1, mtime_ns=1) for each in images.all_ok(tx)]
    (workspace.settings.workspace / "pictures" / "41.png").unlink()
    url = postgresql.new("template")
    with closing(database.open(url)) as db:
        with db.write() as tx:
            images.add_many(tx, rows)
        yield dataclasses.replace(workspace.settings, database=url), db
    postgresql.drop(url)


def grow(learner: sharing.Learner, held: pool.Pool, db: database.Database) -> int:
    """A step of the worker's growing."""
    with db.read() as tx:
        found = images.all_after(tx, held.last_id)
    return learner.extend(held, found, seconds=0.0) if found else -1


def test_several_embed_what_one_would_and_nothing_twice(
    shared: tuple[settings.Settings, database.Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, db = shared
    alone = pool.open_wanted(chosen, [])
    with db.read() as tx:
        every = images.all_ok(tx)
    pool.extend(alone, every, seconds=60.0)
    looked: Counter[int] = Counter()
    plain = pool.extend

    def counted(held: pool.Pool, chosen_: list, *, seconds: float) -> int:
        done = plain(held, chosen_, seconds=seconds)
        looked.update(image.id for image in chosen_[:done])
        return done

    monkeypatch.setattr(pool, "extend", counted)
    held, learner = pool.open_wanted(chosen, []), sharing.Learner(db, chosen)
    helpers = [sharing.Helper(db, chosen) for _ in range(2)]
    assert helpers[0].step() == ""
    said: set[str] = set()
    while (done := grow(learner, held, db)) >= 0:
        said |= {helper.step() for helper in helpers}
        assert done or any(helper.duty for helper in helpers)
    learner.end(held)
    assert {helper.step() for helper in helpers} == {""}
    assert "helps to look at the images: 49 to 56" in said
    assert len(looked) == 60
    assert set(looked.values()) == {1}
    assert held.image_ids.tolist() == alone.image_ids.tolist() == [i for i in range(1, 61) if i != 42]
    np.testing.assert_allclose(held.embeddings_ND, alone.embeddings_ND, atol=1e-4)
    np.testing.assert_array_equal(held.looks_NF, alone.looks_NF)
    assert (held.unreadable, held.last_id, held.paths) == ({42}, 60, alone.paths)
    assert not list((chosen.workspace / "embeddings").glob("*.parts"))


def test_the_learner_waits_for_a_slice_and_does_it_where_its_helper_ends(
    shared: tuple[settings.Settings, database.Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, db = shared
    held, learner, helper = pool.open_wanted(chosen, []), sharing.Learner(db, chosen), sharing.Helper(db, chosen)
    assert grow(learner, held, db) == 8
    with db.read() as tx:
        told = stored.get_setting(tx, sharing.KEY)
    network = helper._open(told["folder"], told["checkpoint"])
    assert network is not None
    assert helper._begin(network, {**told, "last": 16})
    assert [grow(learner, held, db) for _ in range(2)] == [0, 0]
    helper.end()
    assert grow(learner, held, db) == 0, "it asks the server now and then"
    monkeypatch.setattr(learner, "next_try", 0.0)
    assert grow(learner, held, db) == 8
    assert held.last_id == 16
    learner.let_go()


def test_a_part_that_does_not_fit_is_not_taken_up(shared: tuple[settings.Settings, database.Database]) -> None:
    chosen, db = shared
    held, learner = pool.open_wanted(chosen, []), sharing.Learner(db, chosen)
    folder = chosen.workspace / f"{held.folder}.parts"
    folder.mkdir(parents=True)
    (folder / "0.npz").write_bytes(b"half a f")
    np.savez(
        folder / "1.npz", looked=np.arange(9, 12), ids=np.arange(9, 12), x=np.zeros((3, 4)), looks=np.zeros((3, 5))
    )
    assert [grow(learner, held, db) for _ in range(2)] == [8, 8]
    assert held.embeddings_ND.any(axis=1).all()
    learner.let_go()


def test_who_cannot_have_the_network_stands_by_without_helping(
    shared: tuple[settings.Settings, database.Database],
) -> None:
    chosen, db = shared
    with db.write() as tx:
        told = {"folder": "embeddings/start-other", "checkpoint": None, "slice": 0, "last": 60}
        stored.set_setting(tx, sharing.KEY, told)
    gone = dataclasses.replace(chosen, backbone="hf:/gone")
    assert [sharing.Helper(db, each).step() for each in (chosen, gone)] == ["", ""]
