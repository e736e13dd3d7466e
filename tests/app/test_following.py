"""How far suggestions steer people: what is hidden by lot, what is remembered of it, and what the comparison says."""

import uuid

import numpy as np
import pytest

from app import following, labelling
from store import annotators, labels, queue
from store.records import NewEvent, NewPublication, QueueRow
from tests.app.conftest import Workspace


@pytest.fixture
def asked(workspace: Workspace) -> Workspace:
    """A queue over the whole pool that suggests the right class for every image."""
    rows = [
        QueueRow(position=at, image_id=image_id, reason="uncertain", suggestions=[(workspace.truth[image_id], 0.7)])
        for at, image_id in enumerate(workspace.ids)
    ]
    with workspace.db.write() as tx:
        queue.publish(tx, NewPublication(kind="refresh", watermark=0, created_at=1.0, pool_size=len(rows)), rows)
    return workspace


def next_images(workspace: Workspace, rate: float, client: str = "a") -> list[dict[str, object]]:
    return labelling.next_images(
        workspace.db, annotator="ann", client=client, count=40, now=1.0, rng=np.random.default_rng(0),
        holdout_rate=0.0, hidden_rate=rate,
    )  # fmt: skip


def test_a_share_comes_without_suggestion_the_same_ones_after_a_reload(asked: Workspace) -> None:
    found = next_images(asked, 0.3)
    hidden = [item["image_id"] for item in found if not item["suggestions"]]
    assert 4 <= len(hidden) <= 20
    assert all(item["blind"] and "suggestion hidden" in str(item["why"]) for item in found if not item["suggestions"])
    assert [item["image_id"] for item in next_images(asked, 0.3) if not item["suggestions"]] == hidden
    assert all(item["suggestions"] for item in next_images(asked, 0.0))
    assert not any(item["suggestions"] for item in next_images(asked, 1.0))


def test_an_image_answered_without_its_suggestion_still_remembers_what_that_was(asked: Workspace) -> None:
    item = next_images(asked, 1.0)[0]
    event = {
        "uuid": str(uuid.uuid4()), "annotator": "ann", "image_id": item["image_id"], "kind": "label",
        "class_id": asked.class_ids[0], "publication": item["publication"], "lease": item["lease"],
        "suggestion_visible": False, "queue_reason": "uncertain",
    }  # fmt: skip
    labelling.submit(asked.db, event, now=2.0)
    labelling.submit(asked.db, event, now=2.0)
    with asked.db.read() as tx:
        (stored,) = labels.all_events(tx)
    assert (stored.suggestion_class_id, stored.suggestion_probability) == (asked.truth[item["image_id"]], 0.7)
    assert not stored.suggestion_visible


def say(workspace: Workspace, name: str, at: int, *, follows: bool, shown: bool, **more: object) -> None:
    suggested, other = workspace.class_ids[:2]
    fields = {"queue_reason": "uncertain", "source": "page", "input_mode": "key"} | more
    with workspace.db.write() as tx:
        event = NewEvent(
            uuid=str(uuid.uuid4()), image_id=workspace.ids[at], annotator_id=annotators.ensure(tx, name, 1.0).id,
            kind="label", class_id=suggested if follows else other, suggestion_class_id=suggested,
            suggestion_visible=shown, **fields,
        )  # fmt: skip
        labels.append(tx, event, 2.0)


def test_agreement_is_compared_with_and_without_the_suggestion_by_person_and_class(workspace: Workspace) -> None:
    for at in range(20):
        say(workspace, "ann", at, follows=at < 18, shown=True)
    for at in range(20, 30):
        say(workspace, "ann", at, follows=at < 25, shown=False)
    say(workspace, "ann", 30, follows=True, shown=True, queue_reason="audit")
    say(workspace, "ann", 31, follows=True, shown=True, input_mode="grid")
    say(workspace, "ben", 0, follows=False, shown=True)
    told = following.steering(workspace.db)
    ann, ben = told["people"]
    assert (ann["shown"], ann["hidden"]) == ([20, 18], [10, 5])
    assert ann["difference"] == pytest.approx(0.4)
    assert (round(ann["low"], 3), round(ann["high"], 3)) == (0.069, 0.673)
    assert ann["wrong"] == [1, 1]
    assert (ben["difference"], ben["shown"]) == (None, [1, 0])
    assert [(row["name"], row["shown"]) for row in told["classes"]] == [("round", [21, 18])]
