"""Several workers embed one pool on a server's database: nothing twice, nothing left out, the same as one alone."""

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest

from app import children, learning, pool, pool_files, settings, sharing, switching
from model import half
from store import annotators, classes, database, images, labels, queue
from store import settings as stored
from store.records import NewEvent, NewImage
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
    monkeypatch.setattr(half, "has_units", lambda device: False)  # its roundings are a batch's own
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
        (told,) = sharing._asked(tx)
    assert helper._begin({**told, "last": 16})
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
        told = {"folder": "embeddings/start-other", "checkpoint": None, "network": None, "slice": 0, "last": 60}
        stored.set_setting(tx, children.ASKED + "worker", told)
    gone = dataclasses.replace(chosen, backbone="hf:/gone")
    assert [sharing.Helper(db, each).step() for each in (chosen, gone)] == ["", ""]


@contextmanager
def helping(chosen: settings.Settings, count: int = 2) -> Iterator[set[str]]:
    """Workers that stand by, each in a thread with a connection of its own; yields what they say."""
    said, ended = set[str](), threading.Event()

    def help_() -> None:
        with closing(database.open(chosen.database)) as db:
            helper = sharing.Helper(db, chosen)
            while not ended.is_set():
                said.add(helper.step())
                time.sleep(0.01)
            helper.end()

    threads = [threading.Thread(target=help_) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield said
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """How often each image was embedded, by network; a little slower, so that others have their turn."""
    found: Counter[tuple[str, int]] = Counter()
    plain = pool.extend

    def counted(held: pool.Pool, chosen: list, *, seconds: float) -> int:
        done = plain(held, chosen[:8], seconds=seconds)
        found.update((held.folder, image.id) for image in chosen[:done])
        time.sleep(0.05)
        return done

    monkeypatch.setattr(pool, "extend", counted)
    return found


def test_a_rounds_new_network_looks_at_the_pool_with_the_help_of_others(
    shared: tuple[settings.Settings, database.Database], looked: Counter[tuple[str, int]]
) -> None:
    chosen, db = shared
    told = []
    with db.write() as tx:
        person = annotators.ensure(tx, "Ann", 1.0).id
        ids = [classes.add(tx, name, 1.0).id for name in ("a", "b")]
        for image in images.all_ok(tx)[:20]:
            event = NewEvent(
                uuid=str(image.id), image_id=image.id, annotator_id=person, kind="label", class_id=ids[image.id % 2]
            )
            labels.append(tx, event, 2.0)
    with helping(chosen) as said:
        learning.round_(
            db,
            chosen,
            clock=time.time,
            progress=lambda *words: told.append(words),
            shared=sharing.Learner(db, chosen, "round"),
        )
    assert any(each.startswith("helps to look") for each in said)
    assert set(looked) == {("embeddings/round-1", number) for number in range(1, 61)}
    assert set(looked.values()) == {1}
    with db.read() as tx:
        current, known = queue.current(tx), images.all_ok(tx)
        assert sharing._asked(tx) == []
    held = pool.open_(chosen, current, known)
    assert held.image_ids.tolist() == [number for number in range(1, 61) if number != 42]
    alone = pool.Pool(chosen, held.net, held.checkpoint, held.name)
    pool.extend(alone, known[:8], seconds=60.0)
    np.testing.assert_allclose(held.embeddings_ND[:8], alone.embeddings_ND, atol=2e-3)  # kept as float16
    assert not list((chosen.workspace / "embeddings").glob("*.parts"))


def test_another_backbone_is_taken_up_with_the_help_of_others(
    shared: tuple[settings.Settings, database.Database], looked: Counter[tuple[str, int]]
) -> None:
    chosen, db = shared
    held, counts = pool.open_wanted(chosen, []), []
    with helping(chosen) as said:
        learner = sharing.Learner(db, chosen, children.EMBED)
        switching.fill(db, held, lambda done, total: counts.append(done), shared=learner)
    assert any(each.startswith("helps to look") for each in said)
    assert set(looked.values()) == {1}
    assert (len(looked), counts[-1]) == (60, 59)
    again = pool.open_wanted(chosen, [])
    pool_files.read(again)
    assert again.image_ids.tolist() == held.image_ids.tolist()


def test_a_killed_childs_work_is_asked_for_no_more(shared: tuple[settings.Settings, database.Database]) -> None:
    chosen, db = shared
    held, learner, helper = (
        pool.open_wanted(chosen, []),
        sharing.Learner(db, chosen, "round"),
        sharing.Helper(db, chosen),
    )
    assert grow(learner, held, db) == 8
    learner.let_go()  # as the end of its process does
    assert helper.step().startswith("helps")
    with db.write() as tx:
        stored.remove_setting(tx, children.ASKED + "round")  # app/children.py
    assert helper.step() == ""
    assert helper.duty is None
    another = sharing.Learner(db, chosen, "round")
    assert grow(another, held, db) == 8
    another.let_go()
    sharing.Learner(db, chosen)
    with db.read() as tx:
        assert sharing._asked(tx) == [], "the next worker asks for nothing that it does not do"
