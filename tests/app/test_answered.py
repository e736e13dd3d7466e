"""A person's own last answers: newest first, one an image, only what stands."""

import uuid

import pytest

from app import answered, errors
from store import annotators, labels
from store.records import NewEvent
from tests.app.conftest import Workspace


def say(workspace: Workspace, image_id: int, kind: str, person: str = "ann", **more: object) -> str:
    with workspace.db.write() as tx:
        who = annotators.ensure(tx, person, 1.0)
        identifier = str(uuid.uuid4())
        class_id = workspace.truth[image_id] if kind == "label" else None
        values = {
            "uuid": identifier,
            "image_id": image_id,
            "kind": kind,
            "class_id": class_id,
            "source": "page",
            **more,
        }
        labels.append(tx, NewEvent(annotator_id=who.id, **values), 2.0)  # type: ignore[arg-type]
    return identifier


def test_ones_own_answers_newest_first(workspace: Workspace) -> None:
    first, second, third = workspace.ids[:3]
    say(workspace, first, "label", queue_reason="audit")
    gone = say(workspace, second, "label")
    say(workspace, third, "reject")
    last = say(workspace, third, "reject", reason="bad_image")
    say(workspace, first, "label", person="ben")
    with workspace.db.write() as tx:
        taken = labels.get_by_uuid(tx, gone)
        assert taken is not None
        seq = taken.seq
    say(workspace, second, "retract", target_seq=seq)
    found = answered.own(workspace.db, annotator="ann", count=10)
    assert [(each["image_id"], each["previous"]["kind"]) for each in found] == [(third, "reject"), (first, "label")]
    assert found[0]["previous"]["uuid"] == last
    assert found[0]["previous"]["reason"] == "bad_image"
    assert found[1]["blind"], "what was asked blind is shown blind again"
    older = answered.own(workspace.db, annotator="ann", count=10, before=last)
    assert [each["image_id"] for each in older] == [first]
    assert answered.own(workspace.db, annotator="nobody", count=10) == []
    with pytest.raises(errors.NotFound):
        answered.own(workspace.db, annotator="ann", count=10, before=str(uuid.uuid4()))
    with pytest.raises(errors.BadRequest):
        answered.own(workspace.db, annotator="ann", count=0)
