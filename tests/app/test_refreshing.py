"""Two kinds of refresh: labels taken in by single steps at once, and fits beside that lose nothing said meanwhile."""

import gc
import time
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from app import learning, pool, predictions, refreshing
from store import annotators, classes, labels, queue
from store.records import NewEvent
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label


@pytest.fixture
def refresher(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[refreshing.Refresher]:
    monkeypatch.setattr(refreshing, "SLOW_SECONDS", 0.0)  # as if the pool were large
    made = refreshing.Refresher(workspace.db, workspace.settings)
    yield made
    made.end()


def step(made: refreshing.Refresher, opened: pool.Pool, *, classes_: int = 0, resting: bool = False) -> object:
    return made.refresh(opened, classes_, now=time.time(), rng=np.random.default_rng(1), resting=resting)


def ended(made: refreshing.Refresher) -> None:
    assert made.running is not None
    made.running[1].result(timeout=30)


def fitted(made: refreshing.Refresher, opened: pool.Pool) -> learning.Refreshed:
    """Past the first fit, which is made at once, and the second, from which steps may start."""
    made.at_once(opened, now=time.time(), rng=np.random.default_rng(1))
    assert step(made, opened) is None  # a fit has begun beside; there is nothing to show yet
    ended(made)
    done = step(made, opened)
    assert isinstance(done, learning.Refreshed)
    return done


def open_ids(workspace: Workspace, publication: int) -> set[int]:
    with workspace.db.read() as tx:
        return {row.image_id for row in queue.head(tx, publication)}


def say(workspace: Workspace, kind: str, image_id: int, **more: object) -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0)
        event = NewEvent(uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=person.id, kind=kind, **more)
        labels.append(tx, event, 3.0)


def test_a_label_is_known_at_once_and_teaches(workspace: Workspace, refresher: refreshing.Refresher) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    before = fitted(refresher, opened)
    weights = refresher.kept.found.layer.weights_RK
    new = workspace.ids[12]
    assert new in open_ids(workspace, before.publication)
    label(workspace, [new])
    done = step(refresher, opened)
    assert done.watermark == before.watermark + 1
    assert new not in open_ids(workspace, done.publication)
    assert done.metrics["labels"] == 13
    assert refresher.running is None  # no fit was needed
    assert np.abs(refresher.kept.found.layer.weights_RK - weights).max() > 0
    row = int(np.searchsorted(opened.image_ids, new))
    likely = refresher.kept.found.layer.likeliest_at(opened.prepared.x_NR[[row]])
    assert workspace.truth[new] == refresher.kept.found.seen.class_ids[likely.class_M[0]]
    assert predictions.published(workspace.settings.workspace)[0] == before.publication  # they wait for the next fit


def test_draws_of_the_steps_between_two_fits_are_of_the_same_noise(
    workspace: Workspace, refresher: refreshing.Refresher
) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    fitted(refresher, opened)
    noise = refresher.kept.noise
    label(workspace, [workspace.ids[12]])
    step(refresher, opened)
    assert refresher.kept.noise is noise
    refresher._begin(opened, 0, now=time.time(), rng=np.random.default_rng(2))
    ended(refresher)
    step(refresher, opened)
    assert refresher.kept.noise is not noise


def test_a_reject_and_a_skip_need_no_fit_and_what_was_taken_back_does(
    workspace: Workspace, refresher: refreshing.Refresher
) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    fitted(refresher, opened)
    refused, skipped = workspace.ids[12:14]
    say(workspace, "reject", refused, reason="bad_image")
    say(workspace, "skip", skipped)
    done = step(refresher, opened)
    shown = open_ids(workspace, done.publication)
    assert refused not in shown
    assert skipped in shown
    assert done.metrics["rejected"] == 1
    assert not refresher.wants(opened, 0, resting=False)
    assert refresher.wants(opened, 0, resting=True)  # what a reject teaches is fitted
    with workspace.db.read() as tx:
        seq = labels.watermark(tx) - 1
    say(workspace, "retract", refused, target_seq=seq)
    step(refresher, opened)
    assert refresher.wants(opened, 0, resting=False)
    step(refresher, opened)
    ended(refresher)
    done = step(refresher, opened)
    assert refused in open_ids(workspace, done.publication)
    assert done.metrics["rejected"] == 0


def test_a_fit_takes_in_what_was_said_while_it_ran(workspace: Workspace, refresher: refreshing.Refresher) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    fitted(refresher, opened)
    label(workspace, [workspace.ids[12]])
    step(refresher, opened)
    refresher._begin(opened, 0, now=time.time(), rng=np.random.default_rng(2))
    ended(refresher)
    label(workspace, [workspace.ids[13]])
    done = step(refresher, opened)
    with workspace.db.read() as tx:
        assert done.watermark == labels.watermark(tx)
    assert done.metrics["labels"] == 14
    assert workspace.ids[13] not in open_ids(workspace, done.publication)
    assert predictions.published(workspace.settings.workspace)[0] == done.publication


def test_at_rest_and_after_many_labels_a_fit_begins(
    workspace: Workspace, refresher: refreshing.Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    fitted(refresher, opened)
    assert not refresher.wants(opened, 0, resting=True)
    label(workspace, [workspace.ids[12]])
    step(refresher, opened)
    assert not refresher.wants(opened, 0, resting=False)
    assert refresher.wants(opened, 0, resting=True)
    monkeypatch.setattr(refreshing, "FEWEST_NEW", 1)
    assert refresher.wants(opened, 0, resting=False)


def test_other_classes_or_another_pool_need_a_fit(workspace: Workspace, refresher: refreshing.Refresher) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    fitted(refresher, opened)
    assert refresher.is_quick(opened, 0)
    assert not refresher.is_quick(opened, 1)
    assert not refresher.is_quick(held(workspace), 0)
    with workspace.db.write() as tx:
        new = classes.add(tx, "a new one", 2.0)
    say(workspace, "label", workspace.ids[12], class_id=new.id)
    assert step(refresher, opened, classes_=1) is None
    ended(refresher)
    done = step(refresher, opened, classes_=1)
    assert done.metrics["classes"] == 4
    assert done.metrics["labels"] == 13


def test_a_fit_that_fails_is_told_and_begun_again(
    workspace: Workspace, refresher: refreshing.Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    refresher.at_once(opened, now=time.time(), rng=np.random.default_rng(1))
    with monkeypatch.context() as broken:
        broken.setattr(refreshing.ranking, "fit", lambda *_, **__: 1 / 0)
        assert step(refresher, opened) is None
        with pytest.raises(ZeroDivisionError):
            ended(refresher)
        with pytest.raises(ZeroDivisionError):
            step(refresher, opened)
    assert step(refresher, opened) is None
    ended(refresher)
    assert isinstance(step(refresher, opened), learning.Refreshed)


def test_while_typical_images_are_asked_their_order_stays(
    workspace: Workspace, refresher: refreshing.Refresher
) -> None:
    label(workspace, workspace.ids[:3])  # fewer than two for each class
    opened = held(workspace)
    before = fitted(refresher, opened)
    with workspace.db.read() as tx:
        order = [row.image_id for row in queue.head(tx, before.publication) if row.reason == "typical"]
    label(workspace, [order[0]])
    done = step(refresher, opened)
    with workspace.db.read() as tx:
        after = [row.image_id for row in queue.head(tx, done.publication) if row.reason in ("typical", "uncertain")]
    kept = [image_id for image_id in after if image_id in order]
    assert kept == [image_id for image_id in order[1:] if image_id in kept]
    assert len(kept) >= len(order) - 4  # some may have become audits by lot


def test_beside_answers_a_fit_orders_few_images_anew_and_at_rest_all(
    workspace: Workspace, refresher: refreshing.Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    fitted(refresher, opened)
    monkeypatch.setattr(refreshing, "MOST_DRAWN", 4)
    lengths = []
    for resting in (False, True):
        refresher._begin(opened, 0, now=time.time(), rng=np.random.default_rng(2))
        ended(refresher)
        done = step(refresher, opened, resting=resting)
        lengths.append(len(open_ids(workspace, done.publication)))
    few, whole = lengths
    assert few < whole


def test_what_is_known_of_the_images_is_not_looked_through_for_garbage(
    workspace: Workspace, refresher: refreshing.Refresher
) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    try:
        fitted(refresher, opened)
        looked_through = {id(each) for each in gc.get_objects()}
        assert id(opened.paths) not in looked_through
        assert id(refresher.kept) not in looked_through
        frozen = gc.get_freeze_count()
        step(refresher, opened)  # the same images: nothing is frozen anew
        assert gc.get_freeze_count() <= frozen
    finally:
        gc.unfreeze()
