"""Next, submit, undo: what an annotator's tab gets and what counts afterwards."""

import uuid
from typing import Any

import numpy as np
import pytest

from app import errors, labelling
from store import labels, queue
from store.records import NewPublication, QueueRow
from tests.app.conftest import Workspace

RNG = np.random.default_rng(0)


def ask(workspace: Workspace, client: str = "tab", count: int = 3, holdout_rate: float = 0.0) -> list[dict[str, Any]]:
    return labelling.next_images(
        workspace.db, annotator="ann", client=client, count=count, now=100.0, rng=RNG, holdout_rate=holdout_rate
    )


def answer(workspace: Workspace, image_id: int, **fields: Any) -> dict[str, Any]:
    event = {"uuid": str(uuid.uuid4()), "image_id": image_id, "annotator": "ann", "kind": "skip", **fields}
    return labelling.submit(workspace.db, event, now=101.0)


def publish(workspace: Workspace, reason: str = "uncertain") -> int:
    rows = [
        QueueRow(
            position=position,
            image_id=image_id,
            reason=reason,
            epistemic=0.42,
            suggestions=[(workspace.class_ids[1], 0.7), (workspace.class_ids[0], 0.3)],
            neighbours=[(workspace.class_ids[1], [workspace.ids[-1]])],
            overlays=["evidence", "contrast"],
        )
        for position, image_id in enumerate(workspace.ids[:10])
    ]
    new = NewPublication(kind="refresh", watermark=0, created_at=1.0, calibrated=True, pool_size=18_204)
    with workspace.db.write() as tx:
        return queue.publish(tx, new, rows)


def test_without_a_queue_images_come_in_random_order_and_nothing_is_suggested(workspace: Workspace) -> None:
    item = ask(workspace)[0]
    assert item["suggestions"] == item["overlays"] == item["neighbours"] == []
    assert item["why"] == "no model yet: a random image"


def test_an_item_says_why_it_is_asked_and_what_its_maps_show(workspace: Workspace) -> None:
    published = publish(workspace)
    item = ask(workspace)[2]
    assert item["why"] == "rank 3 of 18,204: the model is unsure, epistemic 0.42"
    assert [each["name"] for each in item["suggestions"]] == ["square", "round"]
    captions = {each["kind"]: each["caption"] for each in item["overlays"]}
    assert captions == {
        "evidence": "where the evidence for square lies",
        "contrast": "what speaks for square rather than round",
    }
    assert item["overlays"][0]["url"] == f"/overlay/{published}/{item['image_id']}?kind=evidence"
    assert item["neighbours"][0]["image_ids"] == [workspace.ids[-1]]


@pytest.mark.parametrize("reason", ["audit", "holdout"])
def test_audit_and_holdout_are_asked_blind(workspace: Workspace, reason: str) -> None:
    publish(workspace, reason="audit")
    item = ask(workspace, holdout_rate=float(reason == "holdout"))[0]
    assert item["reason"] == reason
    assert item["blind"]
    assert item["suggestions"] == item["overlays"] == item["neighbours"] == []
    assert "blind" in item["why"]


def test_waiting_images_get_the_newer_suggestions_and_an_older_one_is_marked(workspace: Workspace) -> None:
    first = publish(workspace)
    before = ask(workspace, count=2)
    second = publish(workspace)
    again = ask(workspace, count=2)
    assert [item["image_id"] for item in again] == [item["image_id"] for item in before]
    assert {item["publication"] for item in before} == {first}
    assert {item["publication"] for item in again} == {second}
    with workspace.db.write() as tx:
        queue.publish(tx, NewPublication(kind="refresh", watermark=0, created_at=2.0, pool_size=9), [])
    assert all(item["older"] and item["publication"] == first for item in ask(workspace, count=2))


def test_an_answer_counts_once_however_often_it_is_sent(workspace: Workspace) -> None:
    item, same = ask(workspace)[0], str(uuid.uuid4())
    first = answer(workspace, item["image_id"], kind="label", class_id=workspace.class_ids[0], uuid=same)
    second = answer(workspace, item["image_id"], kind="label", class_id=workspace.class_ids[0], uuid=same)
    assert first == second
    with workspace.db.read() as tx:
        assert labels.counts(tx)["events"] == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "like"}, "kind must be one of"),
        ({"kind": "label"}, "class_id"),
        ({"kind": "label", "class_id": 10**6}, "1000000"),
        ({"kind": "label", "class_id": "1"}, "integer"),
        ({"kind": "reject", "reason": "dull"}, "dull"),
        ({"uuid": "x"}, "UUID"),
        ({"annotator": " "}, "annotator"),
        ({"annotator": "a\nb"}, "annotator"),
        ({"shown_ms": float("nan")}, "finite"),
        ({"note": "x" * 3000}, "2000"),
    ],
)
def test_a_malformed_answer_is_refused_by_its_value_and_changes_nothing(
    workspace: Workspace, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(errors.BadRequest, match=said):
        answer(workspace, workspace.ids[0], **fields)
    with workspace.db.read() as tx:
        assert labels.counts(tx)["events"] == 0


def test_an_unknown_image_is_not_found(workspace: Workspace) -> None:
    with pytest.raises(errors.NotFound, match="999"):
        answer(workspace, 999)


def test_undo_goes_back_without_end_and_shows_each_answer_as_it_was(workspace: Workspace) -> None:
    items = ask(workspace)
    for number, item in enumerate(items):
        answer(workspace, item["image_id"], kind="label", class_id=workspace.class_ids[number])
    for number in (2, 1, 0):
        done = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="ann", client="tab", now=102.0)
        assert done["item"]["image_id"] == items[number]["image_id"]
        before = {
            "kind": "label",
            "class_id": workspace.class_ids[number],
            "reason": None,
            "region": None,
            "asked": None,
        }
        assert done["item"]["previous"] == before
    done = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="ann", client="tab", now=103.0)
    assert done == {"undone": False, "event_id": None, "item": None}


def test_an_undo_sent_twice_takes_back_one_answer(workspace: Workspace) -> None:
    items, same = ask(workspace), str(uuid.uuid4())
    for item in items[:2]:
        answer(workspace, item["image_id"], kind="label", class_id=workspace.class_ids[0])
    taken = [labelling.undo(workspace.db, uuid=same, annotator="ann", client="tab", now=102.0) for _ in range(2)]
    assert taken[0]["event_id"] == taken[1]["event_id"]
    with workspace.db.read() as tx:
        assert labels.counts(tx)["labelled"] == 1


def test_a_reject_and_its_reason_are_taken_back_together(workspace: Workspace) -> None:
    item = ask(workspace)[0]
    answer(workspace, item["image_id"], kind="reject")
    answer(workspace, item["image_id"], kind="reject", reason="bad_image")
    done = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="ann", client="tab", now=102.0)
    assert done["item"]["previous"]["reason"] == "bad_image"
    with workspace.db.read() as tx:
        assert labels.counts(tx)["rejected"] == 0


def test_two_tabs_of_one_person_hold_different_images(workspace: Workspace) -> None:
    publish(workspace)
    left, right = ask(workspace, client="left"), ask(workspace, client="right")
    assert not {item["image_id"] for item in left} & {item["image_id"] for item in right}
    labelling.release(workspace.db, annotator="ann", client="left", now=101.0)
    assert {i["image_id"] for i in ask(workspace, client="third")} == {i["image_id"] for i in left}


def test_an_undo_takes_back_the_answer_that_its_tab_means(workspace: Workspace) -> None:
    left, right = ask(workspace, client="left", count=1)[0], ask(workspace, client="right", count=1)[0]
    meant = str(uuid.uuid4())
    answer(workspace, left["image_id"], kind="label", class_id=workspace.class_ids[0], uuid=meant)
    answer(workspace, right["image_id"], kind="label", class_id=workspace.class_ids[1])
    done = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="ann", client="left", target=meant, now=102.0)
    assert done["item"]["image_id"] == left["image_id"]


def test_an_undo_of_only_one_answer_takes_no_other(workspace: Workspace) -> None:
    first, second, *_ = ask(workspace)
    target = str(uuid.uuid4())
    answer(workspace, first["image_id"], kind="label", class_id=workspace.class_ids[0], uuid=target)
    answer(workspace, second["image_id"], kind="label", class_id=workspace.class_ids[0])

    def take_back(**more: bool) -> dict[str, Any]:
        identifier = str(uuid.uuid4())
        return labelling.undo(
            workspace.db, uuid=identifier, annotator="ann", client="tab", target=target, now=102.0, **more
        )

    assert take_back(only=True)["item"]["image_id"] == first["image_id"]
    assert take_back(only=True) == {"undone": False, "event_id": None, "item": None}
    assert take_back()["item"]["image_id"] == second["image_id"], "else the latest is meant"
