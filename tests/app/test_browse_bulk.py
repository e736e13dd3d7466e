"""One decision about many images: what is stored, what is left alone, sent twice, and taken back as a whole."""

import uuid
from typing import Any

import pytest

from app import browse, browse_bulk, errors, labelling, pool_view
from app.browse_views import Query
from store import annotators, blind, labels, picked, queue
from store.records import Event, NewEvent, NewPublication, QueueRow
from tests.app.conftest import Workspace
from tests.app.test_browse import _publish


@pytest.fixture
def browser(workspace: Workspace) -> browse.Browser:
    folder = workspace.settings.workspace
    return browse.Browser(workspace.db, folder, pool_view.Reader(folder))


def _act(browser: browse.Browser, ids: list[int], action: str, **more: Any) -> tuple[str, dict[str, Any]]:
    body = {"uuid": str(uuid.uuid4()), "annotator": "rea", "action": action, "image_ids": ids, **more}
    return body["uuid"], browse_bulk.act(browser, body, now=9.0)


def _undo(browser: browse.Browser, action: str, who: str = "rea") -> dict[str, Any]:
    return browse_bulk.undo(browser.db, uuid=str(uuid.uuid4()), annotator=who, target=action, now=10.0)


def _say(workspace: Workspace, who: str, kind: str, image_id: int, **more: Any) -> None:
    event = {"uuid": str(uuid.uuid4()), "annotator": who, "kind": kind, "image_id": image_id, **more}
    labelling.submit(workspace.db, event, now=5.0)


def _events(workspace: Workspace) -> list[Event]:
    with workspace.db.read() as tx:
        return list(labels.all_events(tx))


def _settled(workspace: Workspace) -> dict[int, int | None]:
    with workspace.db.read() as tx:
        assert labels.wrong_states(tx) == []
        return {each.image_id: each.class_id for each in labels.settled(tx)}


def test_many_are_labelled_at_once_and_one_undo_takes_all_back(workspace: Workspace, browser: browse.Browser) -> None:
    _publish(workspace)
    chosen, class_id = workspace.ids[:20], workspace.class_ids[1]
    action, told = _act(browser, chosen, "label", class_id=class_id, shown=True)
    assert told == {"saved": True, "changed": 20, "left": 0}
    assert _settled(workspace) == dict.fromkeys(chosen, class_id)
    first = _events(workspace)[0]
    assert (first.input_mode, first.queue_reason, first.kind, first.propensity) == ("bulk", "browse", "label", None)
    assert first.suggestion_visible
    assert first.suggestion_class_id in workspace.class_ids
    assert _undo(browser, action) == {"undone": True, "images": 20}
    assert _settled(workspace) == {}
    assert _undo(browser, action) == {"undone": False, "images": 0}
    assert len(_events(workspace)) == 40


def test_the_same_action_sent_again_changes_nothing(workspace: Workspace, browser: browse.Browser) -> None:
    body = {
        "uuid": str(uuid.uuid4()),
        "annotator": "rea",
        "action": "reject",
        "reason": "bad_image",
        "image_ids": workspace.ids[:3],
    }
    first = browse_bulk.act(browser, body, now=9.0)
    assert browse_bulk.act(browser, body, now=11.0) == first
    assert [(event.kind, event.reason) for event in _events(workspace)] == [("reject", "bad_image")] * 3
    back = {"uuid": str(uuid.uuid4()), "annotator": "rea", "target": body["uuid"], "now": 12.0}
    assert browse_bulk.undo(workspace.db, **back) == browse_bulk.undo(workspace.db, **back)
    assert len(_events(workspace)) == 6


def test_the_holdout_is_never_answered_by_the_lot(workspace: Workspace, browser: browse.Browser) -> None:
    ids = workspace.held[:2] + workspace.ids[:2]
    _, told = _act(browser, ids, "label", class_id=workspace.class_ids[0])
    assert told == {"saved": True, "changed": 2, "left": 2}
    assert sorted(_settled(workspace)) == sorted(workspace.ids[:2])
    _, told = _act(browser, workspace.held[:2], "reject")
    assert told["changed"] == 0
    with workspace.db.read() as tx:
        assert blind.asked(tx) == [], "nothing of it counts as asked blind"
    _, told = _act(browser, workspace.held[:2], "flag", note="what is this?")
    assert told["changed"] == 2


def test_what_others_said_is_decided_by_a_review_and_comes_back(workspace: Workspace, browser: browse.Browser) -> None:
    one, two = workspace.ids[:2]
    first, second, _ = workspace.class_ids
    _say(workspace, "ada", "label", one, class_id=first)
    action, _ = _act(browser, [one, two], "label", class_id=second)
    assert [event.kind for event in _events(workspace)] == ["label", "review", "label"]
    assert _settled(workspace) == {one: second, two: second}
    _undo(browser, action)
    assert _settled(workspace) == {one: first}
    with pytest.raises(errors.BadRequest, match="somebody else's"):
        _undo(browser, action, who="ada")


def test_taking_back_is_about_ones_own_answers_and_imported_ones(workspace: Workspace, browser: browse.Browser) -> None:
    mine, hers, imported = workspace.ids[:3]
    first, second, _ = workspace.class_ids
    _say(workspace, "rea", "label", mine, class_id=first, queue_reason="audit", propensity=0.1)
    _say(workspace, "rea", "label", mine, class_id=second)
    _say(workspace, "ada", "label", hers, class_id=first)
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "import", 1.0).id
        new = NewEvent(uuid="u", image_id=imported, annotator_id=person, kind="label", class_id=first, source="import")
        labels.append(tx, new, 6.0)
    before = _settled(workspace)
    action, told = _act(browser, [mine, hers, imported], "retract")
    assert (told["changed"], told["left"]) == (2, 1)
    assert _settled(workspace) == {hers: first}
    assert _undo(browser, action) == {"undone": True, "images": 2}
    assert _settled(workspace) == before
    again = _events(workspace)[-3:]
    assert {(event.annotator_id == person, event.source) for event in again} == {(False, "page"), (True, "import")}
    assert next(event for event in again if event.queue_reason == "audit").propensity == 0.1
    with workspace.db.read() as tx:
        assert [each.image_id for each in blind.asked(tx)] == [mine]
    assert _undo(browser, action) == {"undone": False, "images": 0}, "what was said again is not said a third time"


def test_a_thousand_images_are_one_transaction_and_more_are_refused(
    workspace: Workspace, browser: browse.Browser
) -> None:
    for wrong in ([], [1.5], ["1"], "1", list(range(1, 1002))):
        with pytest.raises(errors.BadRequest):
            _act(browser, wrong, "flag")  # type: ignore[arg-type]
    for action, more in (("paint", {}), ("label", {}), ("reject", {"class_id": 1})):
        with pytest.raises(errors.BadRequest):
            _act(browser, workspace.ids[:1], action, **more)
    with pytest.raises(errors.NotFound):
        _act(browser, [*workspace.ids[:5], 10**9], "flag")
    with pytest.raises(errors.BadRequest):
        _act(browser, workspace.ids[:5], "label", class_id=10**6)
    assert _events(workspace) == [], "all or none"


def test_undo_while_labelling_does_not_pick_one_image_out_of_an_action(
    workspace: Workspace, browser: browse.Browser
) -> None:
    own, *chosen = workspace.ids[:5]
    _say(workspace, "rea", "label", own, class_id=workspace.class_ids[0])
    _act(browser, chosen, "label", class_id=workspace.class_ids[0])
    done = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="rea", client="tab", now=11.0)
    assert done["item"]["image_id"] == own
    assert sorted(_settled(workspace)) == sorted(chosen)


def test_audits_that_are_to_come_stay_random_draws_and_blind(workspace: Workspace, browser: browse.Browser) -> None:
    _publish(workspace)
    audit, other = workspace.ids[:2]
    new = NewPublication(kind="refresh", watermark=0, created_at=2.0, embeddings="embeddings/start")
    rows = [QueueRow(position=0, image_id=audit, reason="audit", propensity=0.02)]
    with workspace.db.write() as tx:
        queue.publish(tx, new, rows)
    shown = {
        each["image_id"]: each["suggestion"] for each in browse.window(browser, Query(), start=0, count=60)["images"]
    }
    assert shown[audit] is None
    assert shown[other] is not None
    _, told = _act(browser, [audit, other], "label", class_id=workspace.class_ids[0])
    assert (told["changed"], told["left"]) == (1, 1)
    assert list(_settled(workspace)) == [other]
    with workspace.db.read() as tx:
        assert picked.settled_by_model_choice(tx) == {other}, "a label that a person picked teaches, but is no draw"
