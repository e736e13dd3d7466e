"""Gold images: decided by a reviewer, never taught, asked like any image, and their answers change nothing but a count."""

import dataclasses
import time
import uuid
from typing import Any

import numpy as np
import pytest

from app import (
    answered,
    following,
    labelling,
    learning,
    measure,
    measuring,
    predictions,
    ranking_rows,
    snapshot,
    study,
)
from store import annotators, blind, gold, labels, queue
from store.records import NewEvent, QueueRow
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label


def review(workspace: Workspace, image_ids: list[int], name: str = "rene") -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, name, 1.0, role="reviewer")
        for image_id in image_ids:
            labels.append(
                tx,
                NewEvent(
                    uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=person.id, kind="review",
                    class_id=workspace.truth[image_id],
                ),
                3.0,
            )  # fmt: skip


@pytest.fixture
def golden(workspace: Workspace) -> Workspace:
    """Twenty-four labels, six of them reviewed, and a queue that knows of it."""
    label(workspace, workspace.ids[:24])
    review(workspace, workspace.ids[:6])
    workspace.settings = dataclasses.replace(workspace.settings, gold_rate=0.5)
    learning.refresh(workspace.db, workspace.settings, held(workspace), now=4.0, rng=np.random.default_rng(0))
    return workspace


def ask(workspace: Workspace, name: str, *, count: int = 100, rate: float = 0.5) -> list[dict[str, Any]]:
    return labelling.next_images(
        workspace.db, annotator=name, client=name, count=count, now=5.0, rng=np.random.default_rng(1), holdout_rate=0.0,
        gold_rate=rate,
    )  # fmt: skip


def answer(workspace: Workspace, name: str, item: dict[str, Any], class_id: int) -> dict[str, Any]:
    top = item["suggestions"][0]["class_id"]
    event = {
        "uuid": str(uuid.uuid4()), "annotator": name, "image_id": item["image_id"], "kind": "label", "class_id": class_id,
        "lease": item["lease"], "publication": item["publication"], "queue_reason": item["reason"],
        "suggestion_class_id": top, "suggestion_visible": True,
    }  # fmt: skip
    return labelling.submit(workspace.db, event, now=6.0)


def test_what_is_gold_does_not_teach_and_is_not_open_and_each_class_keeps_labels(golden: Workspace) -> None:
    with golden.db.read() as tx:
        plain = snapshot.take(tx, holdout={}, now=0.0)
        seen = snapshot.take(tx, holdout={}, now=0.0, with_gold=True)
        rows = queue.head(tx, queue.current(tx).id)  # type: ignore[union-attr]
    assert (len(plain.labelled), plain.gold) == (24, [])
    assert set(seen.gold) == set(golden.ids[:6])
    assert len(seen.labelled) == 18
    assert {row.image_id for row in rows if row.reason == "gold"} == set(seen.gold)
    assert len({row.image_id for row in rows}) == len(rows) == rows[-1].position + 1
    assert all(row.suggestions and row.overlays and row.epistemic is not None for row in rows if row.reason == "gold")


def test_what_is_measured_was_not_taught_gold_either_and_judges_it_there(golden: Workspace) -> None:
    """Nothing taught it, so it is no training; a person labelled it, so it counts as labelled and as an answer."""
    found = predictions.newest(golden.settings.workspace)
    assert found is not None
    opened = held(golden)
    told, plain = (measuring.situation(golden.db, found, opened.prepared, gold_rate=rate) for rate in (0.5, 0.0))
    ids = found.image_ids_N
    assert set(ids[told.gold].tolist()) == set(golden.ids[:6])
    assert set(ids[told.taught.labelled_L].tolist()) == set(golden.ids[6:24])
    assert [golden.class_ids[at] for at in told.gold_labels] == [golden.truth[int(i)] for i in ids[told.gold]]
    assert (told.people, len(told.asked), len(told.open_scores_N)) == (24, 24, len(plain.open_scores_N))
    assert (plain.people, len(plain.taught.labelled_L), len(plain.gold)) == (24, 24, 0)
    row = np.array([np.flatnonzero(ids == golden.ids[30])[0]])
    one = np.array([1])
    audit = measure.Blind(row, np.zeros(1, np.int64), np.zeros(1, bool), one, one, np.array([24]))
    with_blind = dataclasses.replace(told, blind=audit)
    share = measure.all_of(measure.measure(with_blind, rng=np.random.default_rng(0)))["estimate"]
    without = dataclasses.replace(with_blind, gold=told.gold[:0], gold_labels=told.gold_labels[:0])
    less = measure.all_of(measure.measure(without, rng=np.random.default_rng(0)))["estimate"]
    assert share["accuracy"] > less["accuracy"], "an image that nothing was taught of may still be known"


def test_few_labels_are_not_spent_on_gold(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:6])
    review(workspace, workspace.ids[:6])
    with workspace.db.read() as tx:
        plain, seen = (snapshot.take(tx, holdout={}, now=0.0, with_gold=each).counts() for each in (False, True))
    assert all(seen[at] >= min(number, 2) for at, number in plain.items())
    assert sum(seen.values()) >= 5


def test_gold_looks_like_any_image_and_comes_once_to_each_but_the_reviewer(golden: Workspace) -> None:
    reviewed = set(golden.ids[:6])
    assert not reviewed & {item["image_id"] for item in ask(golden, "rene")}
    assert not reviewed & {item["image_id"] for item in ask(golden, "dora", rate=0.0)}
    for name in ("ben", "cyd"):
        items = ask(golden, name)
        mine = [item for item in items if item["image_id"] in reviewed]
        assert {item["image_id"] for item in mine} == reviewed, "several people hold the same ones at once"
        assert items == ask(golden, name), "a reload"
        assert not any("gold" in str(item) for item in items)
        assert all(item["reason"] == "uncertain" and item["suggestions"] and not item["blind"] for item in mine)
        assert all("the model is unsure, epistemic" in item["why"] for item in mine)
        answer(golden, name, mine[0], golden.truth[mine[0]["image_id"]])
        assert mine[0]["image_id"] not in {item["image_id"] for item in ask(golden, name)}


def test_a_gold_answer_settles_nothing_measures_nothing_and_can_be_taken_back(golden: Workspace) -> None:
    item = next(each for each in ask(golden, "ben") if each["image_id"] in golden.ids[:6])
    image, wrong = item["image_id"], next(k for k in golden.class_ids if k != golden.truth[item["image_id"]])
    answer(golden, "ben", item, wrong)
    with golden.db.read() as tx:
        state, last = labels.state(tx, image), labels.of_image(tx, image)[-1]
        assert (state.class_id, state.lane) == (golden.truth[image], "closed")
        assert last.queue_reason == "gold"
        assert blind.asked(tx) == []
        assert gold.decided(tx)[image] == golden.truth[image]
    assert "gold" not in str(answered.own(golden.db, annotator="ben", count=5))
    undone = labelling.undo(golden.db, uuid=str(uuid.uuid4()), annotator="ben", client="ben", now=7.0)
    assert (undone["item"]["image_id"], undone["item"]["reason"]) == (image, "uncertain")
    assert image in {each["image_id"] for each in ask(golden, "ben")}


def test_following_a_wrong_suggestion_on_gold_is_told(golden: Workspace) -> None:
    items = [each for each in ask(golden, "ben") if each["image_id"] in golden.ids[:6]]
    for item in items:
        answer(golden, "ben", item, item["suggestions"][0]["class_id"])
    wrong = sum(each["suggestions"][0]["class_id"] != golden.truth[each["image_id"]] for each in items)
    told = next(row for row in following.steering(golden.db)["people"] if row["name"] == "ben")
    assert (told["shown"], told["wrong"]) == ([6, 6], [wrong, wrong])


def test_a_review_that_is_taken_back_ends_it(golden: Workspace) -> None:
    with golden.db.write() as tx:
        person = annotators.by_name(tx, "rene")
        for event in [each for each in labels.all_events(tx) if each.kind == "review"][:3]:
            values = {"image_id": event.image_id, "kind": "retract", "target_seq": event.seq}
            labels.append(tx, NewEvent(uuid=str(uuid.uuid4()), annotator_id=person.id, **values), time.time())  # type: ignore[union-attr]
    found = {item["image_id"] for item in ask(golden, "ben")} & set(golden.ids[:6])
    assert found == set(golden.ids[3:6])


def test_a_study_brings_gold_where_the_setting_has_none(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:24])
    review(workspace, workspace.ids[:6])
    found, opened = [], held(workspace)
    for terms in ({}, {"images": 4, "suggestion": True, "map": True, "gold": 0.5}):
        if terms:
            study.begin(workspace.db, terms, now=3.5)
        learning.refresh(workspace.db, workspace.settings, opened, now=4.0, rng=np.random.default_rng(0))
        found.append({item["image_id"] for item in ask(workspace, "ben", rate=0.0)} & set(workspace.ids[:6]))
    assert found == [set(), set(workspace.ids[:6])]


@pytest.mark.parametrize(("rows", "gold_rows"), [(0, 3), (3, 3), (10, 3), (2, 5), (7, 0), (40, 7)])
def test_gold_is_spread_over_the_queue_and_nothing_is_lost(rows: int, gold_rows: int) -> None:
    plain = [QueueRow(position=at, image_id=at, reason="uncertain") for at in range(rows)]
    more = [QueueRow(position=0, image_id=100 + at, reason="gold") for at in range(gold_rows)]
    out = ranking_rows.mixed(plain, more)
    assert [row.position for row in out] == list(range(rows + gold_rows))
    assert [row.image_id for row in out if row.reason == "gold"] == [row.image_id for row in more]
    assert [row.image_id for row in out if row.reason != "gold"] == list(range(rows))
