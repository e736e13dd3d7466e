"""The evidence grid: which images it shows, what a confirmed page leaves, how it is taken back, and that rounds learn it."""

import json
import uuid
from typing import Any

import pytest

from app import errors, evidence_file, labelling, modes, proposals, regions, snapshot
from store import annotators, images, labels
from store.records import Event, NewEvent
from tests.app.conftest import Workspace
from tests.app.test_learning import label
from tests.app.test_propagating import BOX, mark

FOUND = (0.1, 0.2, 0.3, 0.4)


@pytest.fixture
def proposed(workspace: Workspace) -> list[int]:
    """Every image of the first class but the marked one, labelled by ann, the surest first."""
    chosen = [i for i in workspace.ids if workspace.truth[i] == workspace.class_ids[0]]
    label(workspace, chosen)
    mark(workspace, chosen[0])
    rows = [evidence_file.Row(image_id=i, box=FOUND, score=0.9 - at / 100) for at, i in enumerate(chosen[1:])]
    of_class = evidence_file.Class(class_id=workspace.class_ids[0], marked=1, rows=rows)
    evidence_file.write(workspace.settings.workspace, evidence_file.Proposals(watermark=1, classes=[of_class]))
    return chosen[1:]


def page(workspace: Workspace, *, who: str = "ann", **more: Any) -> dict[str, Any]:
    asked = {name: more.pop(name) for name in ("count", "class_id", "named") if name in more}
    tab = modes.read_tab({"annotator": who, "client": "tab:evidence", **more})
    return proposals.page(workspace.db, workspace.settings.workspace, tab, **({"count": 6} | asked))


def shown(told: dict[str, Any]) -> list[int]:
    return [each["image_id"] for each in told["images"]]


def boxes(told: dict[str, Any]) -> dict[str, Any]:
    events = [
        {
            "uuid": str(uuid.uuid4()),
            "image_id": each["image_id"],
            "class_id": told["class_id"],
            "region": each["region"],
        }
        for each in told["images"]
    ]
    return {"annotator": "ann", "events": events}


def stored(workspace: Workspace) -> list[Event]:
    with workspace.db.read() as tx:
        return list(labels.all_events(tx))


def state(workspace: Workspace, image_id: int) -> Any:
    with workspace.db.read() as tx:
        return labels.state(tx, image_id)


def test_a_page_shows_the_surest_boxes_of_ones_own_images(workspace: Workspace, proposed: list[int]) -> None:
    told = page(workspace)
    assert shown(told) == proposed[:6]
    assert (told["class_id"], told["marked"]) == (workspace.class_ids[0], 1)
    assert told["images"][0]["region"] == {"x": 0.1, "y": 0.2, "w": 0.3, "h": 0.4}
    assert told["classes"] == [{"class_id": workspace.class_ids[0], "name": told["name"], "images": len(proposed)}]
    assert shown(page(workspace, holding=proposed[:2], without={str(told["class_id"]): proposed[2:3]})) == proposed[3:9]
    assert shown(page(workspace, who="ben")) == [], "what somebody else said is not said again by Ben"
    assert shown(page(workspace, class_id=workspace.class_ids[1], named=True)) == []
    assert shown(page(workspace, class_id=workspace.class_ids[1])) == proposed[:6]


def test_a_confirmed_page_is_kept_as_drawn_boxes_are_and_rounds_take_it(
    workspace: Workspace, proposed: list[int]
) -> None:
    before = {i: state(workspace, i) for i in proposed}
    said, count = boxes(page(workspace)), len(stored(workspace))
    assert proposals.confirm(workspace.db, said, now=9.0) == {"saved": 6}
    assert proposals.confirm(workspace.db, said, now=10.0) == {"saved": 6}, "a second send changes nothing"
    new = stored(workspace)[count:]
    assert [event.image_id for event in new] == proposed[:6]
    assert {(e.kind, e.class_id, e.overlay_kind, e.input_mode, e.shown_ms) for e in new} == {
        ("label", workspace.class_ids[0], "proposed", "grid", None)
    }
    for image_id in proposed[:6]:
        after = state(workspace, image_id)
        assert (after.class_id, after.annotator_id, after.lane) == (
            before[image_id].class_id, before[image_id].annotator_id, before[image_id].lane,
        )  # fmt: skip
    with workspace.db.read() as tx:
        taught = snapshot.evidence(tx)
    assert {image_id: taught[image_id] for image_id in proposed[:6]} == dict.fromkeys(proposed[:6], FOUND)
    assert len(taught) == 7, "with the one that was drawn"
    assert shown(page(workspace)) == proposed[6:12]


def test_why_an_image_was_asked_stays_with_its_answer(workspace: Workspace, proposed: list[int]) -> None:
    audit = {"uuid": str(uuid.uuid4()), "annotator": "ann", "image_id": proposed[0], "kind": "label"}
    audit |= {"class_id": workspace.class_ids[0], "queue_reason": "audit", "propensity": 0.02, "shown_ms": 900.0}
    labelling.submit(workspace.db, audit, now=5.0)
    proposals.confirm(workspace.db, boxes(page(workspace)), now=9.0)
    last = [event for event in stored(workspace) if event.image_id == proposed[0]][-1]
    assert (last.queue_reason, last.propensity, last.shown_ms) == ("audit", 0.02, None)
    assert regions.read(last.region) is not None


def test_a_page_is_taken_back_whole_and_the_labels_stand(workspace: Workspace, proposed: list[int]) -> None:
    said = boxes(page(workspace))
    proposals.confirm(workspace.db, said, now=9.0)
    body = {"annotator": "ann", "uuid": str(uuid.uuid4()), "targets": [each["uuid"] for each in said["events"]]}
    other = proposals.take_back(workspace.db, body | {"annotator": "ben", "uuid": str(uuid.uuid4())}, now=10.0)
    assert other == {"undone": 0}, "only who said it takes it back"
    assert proposals.take_back(workspace.db, body, now=10.0) == {"undone": 6}
    assert proposals.take_back(workspace.db, body, now=11.0) == {"undone": 0}
    assert shown(page(workspace)) == proposed[:6]
    assert all(state(workspace, i).class_id == workspace.class_ids[0] for i in proposed)
    with workspace.db.read() as tx:
        assert len(snapshot.evidence(tx)) == 1


def test_an_undo_after_a_reload_takes_the_page_back_too(workspace: Workspace, proposed: list[int]) -> None:
    proposals.confirm(workspace.db, boxes(page(workspace)), now=9.0)
    told = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="ann", client="tab", now=10.0)
    assert told["undone"]
    with workspace.db.read() as tx:
        assert len(snapshot.evidence(tx)) == 1
    assert state(workspace, proposed[0]).class_id == workspace.class_ids[0]


def test_what_changed_meanwhile_is_left_and_told(workspace: Workspace, proposed: list[int]) -> None:
    said = boxes(page(workspace))
    changed = {"uuid": str(uuid.uuid4()), "annotator": "ann", "image_id": proposed[0], "kind": "label"}
    labelling.submit(workspace.db, changed | {"class_id": workspace.class_ids[1]}, now=5.0)
    mark(workspace, proposed[1])
    told = proposals.confirm(workspace.db, said, now=9.0)
    assert (told["saved"], told["note"][:18]) == (4, "2 of these were le")
    assert state(workspace, proposed[0]).class_id == workspace.class_ids[1], "an old class is not said again"
    with workspace.db.read() as tx:
        assert snapshot.evidence(tx)[proposed[1]] == tuple(BOX.values())


def test_of_an_import_s_image_the_box_is_the_person_s_first_answer(workspace: Workspace, proposed: list[int]) -> None:
    with workspace.db.write() as tx:
        importer = annotators.ensure(tx, snapshot.IMPORTER, 1.0).id
        known = {image.id for image in images.all_ok(tx)} - {event.image_id for event in labels.all_events(tx)}
        image_id = min(i for i in known if i in workspace.ids)
        event = NewEvent(
            uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=importer, kind="label",
            class_id=workspace.class_ids[0], source="import",
        )  # fmt: skip
        labels.append(tx, event, 2.0)
    rows = [evidence_file.Row(image_id=image_id, box=FOUND, score=0.9)]
    of_class = evidence_file.Class(class_id=workspace.class_ids[0], marked=1, rows=rows)
    evidence_file.write(workspace.settings.workspace, evidence_file.Proposals(watermark=1, classes=[of_class]))
    told = page(workspace, who="ben")
    assert shown(told) == [image_id]
    proposals.confirm(workspace.db, boxes(told) | {"annotator": "ben"}, now=9.0)
    last = stored(workspace)[-1]
    assert (last.source, last.queue_reason, last.suggestion_visible) == ("page", "evidence", True)


def body(**more: Any) -> dict[str, Any]:
    event = {"uuid": str(uuid.uuid4()), "image_id": 1, "class_id": 1, "region": {"x": 0, "y": 0, "w": 1, "h": 1}}
    return {"annotator": "ann", "events": [event | more]}


@pytest.mark.parametrize(
    "sent", [{"annotator": "ann"}, body(region=None), body(class_id=None), body(region={"x": 2}), body(uuid="x")]
)
def test_what_is_no_box_is_refused_and_nothing_is_kept(workspace: Workspace, sent: dict[str, Any]) -> None:
    with pytest.raises(errors.BadRequest):
        proposals.confirm(workspace.db, sent, now=1.0)
    assert stored(workspace) == []


def test_an_image_that_is_not_there_is_told(workspace: Workspace) -> None:
    with pytest.raises(errors.NotFound, match="99999"):
        proposals.confirm(workspace.db, body(image_id=99_999), now=1.0)
    assert json.dumps(page(workspace)["images"]) == "[]"
