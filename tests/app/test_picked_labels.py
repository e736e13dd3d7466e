"""Answers of the grid and of yes or no teach, but are no random draw: what the estimates and the learning make of them."""

import uuid

import numpy as np

from app import measuring, predictions, ranking_spots, snapshot
from model import last_layer
from store import annotators, blind, labels, queue
from store.records import NewEvent, NewPublication
from tests.app.conftest import Workspace


def answer(workspace: Workspace, image_id: int, reason: str, **more: object) -> None:
    event = NewEvent(
        uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=1, kind="label", class_id=workspace.truth[image_id],
        queue_reason=reason, **more,
    )  # fmt: skip
    with workspace.db.write() as tx:
        annotators.ensure(tx, "ann", 1.0)
        labels.append(tx, event, 2.0)


def publish(workspace: Workspace) -> int:
    with workspace.db.write() as tx:
        new = NewPublication(kind="refresh", watermark=labels.watermark(tx), created_at=1.0)
        return queue.publish(tx, new, [])


def test_they_are_never_taken_for_blind_answers_and_are_told_apart_in_learning(workspace: Workspace) -> None:
    for at, reason in enumerate(("uncertain", "grid", "yesno", "audit")):
        answer(workspace, workspace.ids[at], reason, propensity=1 / 40 if reason == "audit" else None)
    with workspace.db.read() as tx:
        assert [each.image_id for each in blind.asked(tx)] == [workspace.ids[3]]
        seen = snapshot.take(tx, holdout={}, now=0.0)
    assert seen.picked == set(workspace.ids[1:3])
    assert set(seen.labelled) == set(workspace.ids[:4]), "they teach like any other"
    ids = np.array(sorted(workspace.ids + workspace.held), np.int64)
    spots = ranking_spots.Spots(ids, seen)
    assert ids[spots.picked_N].tolist() == workspace.ids[1:3]


def test_pages_held_by_somebody_want_no_maps(workspace: Workspace) -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0).id
        for image_id, reason in ((workspace.ids[0], "grid"), (workspace.ids[1], "uncertain")):
            queue.lease_for(tx, image_id, person, "tab", now=1.0, lease_seconds=99.0, reason=reason)
        seen = snapshot.take(tx, holdout={}, now=2.0)
    assert set(seen.leased) == set(workspace.ids[:2])
    assert seen.single == [workspace.ids[1]]


def test_a_page_answered_after_the_audit_was_drawn_is_counted_once(workspace: Workspace) -> None:
    answer(workspace, workspace.ids[0], "uncertain")
    published = publish(workspace)
    open_then = len(workspace.ids) - 1
    for image_id in workspace.ids[1:25]:
        answer(workspace, image_id, "grid", publication_id=published)
    answer(workspace, workspace.ids[30], "audit", publication_id=published, propensity=1 / open_then)
    answer(workspace, workspace.ids[31], "audit", propensity=1 / 20)
    ids = np.array(sorted(workspace.ids + workspace.held), np.int64)
    nothing = np.zeros(len(ids), np.float32)
    meta = {"class_ids": workspace.class_ids, "temperature": 1.0, "round": None, "checkpoint": None}
    found = predictions.Predictions(ids, np.full(len(ids), workspace.class_ids[0], np.int32), nothing, nothing, meta)
    points = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
    prepared = last_layer.prepare(points, rng=np.random.default_rng(0))
    told = measuring.situation(workspace.db, found, prepared, gold_rate=0.0)
    assert told.blind.asked_T.tolist() == [1, 26], "at its publication; without one, at its answer"
    assert told.blind.open_T.tolist() == [open_then, 20]
    assert told.blind.asked_T[0] + told.blind.open_T[0] == len(workspace.ids)
    assert ids[told.taught.picked].tolist() == workspace.ids[1:25]
