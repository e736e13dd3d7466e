"""The worker looks for marked evidence in a class's other images: what it publishes, when, and what it leaves alone."""

import json
import uuid

import pytest

from app import evidence_file, propagating
from app.evidence_file import Proposals
from store import annotators, labels
from store.records import NewEvent
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label

BOX = {"x": 0.2, "y": 0.2, "w": 0.5, "h": 0.5}


def mark(workspace: Workspace, image_id: int) -> str:
    """The label of an image said with a region, as a page sends it; returns its uuid."""
    identifier = str(uuid.uuid4())
    with workspace.db.write() as tx:
        about = {"image_id": image_id, "annotator_id": annotators.ensure(tx, "ann", 1.0).id}
        event = NewEvent(
            uuid=identifier, kind="label", class_id=workspace.truth[image_id], region=json.dumps(BOX), **about
        )
        labels.append(tx, event, 2.0)
    return identifier


def search(workspace: Workspace, made: propagating.Propagator, opened: object) -> int:
    """Steps until nothing is left to do; returns how many there were."""
    with workspace.db.read() as tx:
        watermark = labels.watermark(tx)
    steps = 0
    while made.step(workspace.db, opened, watermark=watermark, idle=propagating.IDLE_SECONDS):  # type: ignore[arg-type]
        steps += 1
    return steps


def published(workspace: Workspace) -> Proposals:
    return evidence_file.read(workspace.settings.workspace)


def test_a_region_is_looked_for_in_the_class_s_other_labelled_images(workspace: Workspace) -> None:
    labelled = workspace.ids[:18]
    label(workspace, labelled + workspace.held[:3])
    mark(workspace, labelled[0])
    made, opened = propagating.Propagator(), held(workspace)
    assert search(workspace, made, opened) > 0
    (found,) = published(workspace)["classes"]
    same = {i for i in labelled[1:] if workspace.truth[i] == workspace.truth[labelled[0]]}
    assert found["class_id"] == workspace.truth[labelled[0]]
    assert found["marked"] == 1
    assert {row["image_id"] for row in found["rows"]} == same, "no held-out image, no other class, not the marked one"
    for row in found["rows"]:
        x, y, w, h = row["box"]
        assert 0 <= x <= x + w <= 1
        assert 0 <= y <= y + h <= 1
        assert 0 <= row["score"] <= 1
    scores = [row["score"] for row in found["rows"]]
    assert scores == sorted(scores, reverse=True)
    assert evidence_file.count(workspace.settings.workspace) == len(same)


def test_nobody_waits_for_it_and_nothing_is_done_twice(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    label(workspace, workspace.ids[:12])
    made, opened = propagating.Propagator(), held(workspace)
    assert search(workspace, made, opened) == 0
    assert not (workspace.settings.workspace / evidence_file.NAME).exists(), "nobody has marked anything"
    mark(workspace, workspace.ids[0])
    assert not made.step(workspace.db, opened, watermark=99, idle=propagating.IDLE_SECONDS - 0.1)
    assert search(workspace, made, opened) > 0
    assert search(workspace, made, opened) == 0
    before = published(workspace)["classes"]
    looked = list[int]()
    embed = propagating._features
    monkeypatch.setattr(propagating, "_features", lambda held, part: looked.extend(part) or embed(held, part))
    new = next(i for i in workspace.ids[12:] if workspace.truth[i] == workspace.truth[workspace.ids[0]])
    label(workspace, [new])
    search(workspace, made, opened)
    assert looked == [new], "only what is new is looked at"
    assert len(published(workspace)["classes"][0]["rows"]) == len(before[0]["rows"]) + 1


def test_what_is_taken_back_takes_its_proposals_along(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    said = mark(workspace, workspace.ids[0])
    made, opened = propagating.Propagator(), held(workspace)
    search(workspace, made, opened)
    assert published(workspace)["classes"]
    with workspace.db.write() as tx:
        event = labels.get_by_uuid(tx, said)
        assert event is not None
        about = {"image_id": event.image_id, "annotator_id": event.annotator_id, "target_seq": event.seq}
        labels.append(tx, NewEvent(uuid=str(uuid.uuid4()), kind="retract", **about), 3.0)
    search(workspace, made, opened)
    assert published(workspace)["classes"] == []


def test_a_class_s_proposals_are_bounded(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_file, "MOST_IMAGES", 2)
    monkeypatch.setattr(evidence_file, "MOST_CLASSES", 1)
    label(workspace, workspace.ids[:30])
    for image_id in workspace.ids[:3]:
        mark(workspace, image_id)
    search(workspace, propagating.Propagator(), held(workspace))
    assert [len(each["rows"]) for each in published(workspace)["classes"]] == [2]


def test_a_search_that_is_overtaken_begins_anew(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    mark(workspace, workspace.ids[0])
    made, opened = propagating.Propagator(), held(workspace)
    opened.images_per_s = 0.1  # one image a step
    made.step(workspace.db, opened, watermark=1, idle=9.0)
    mark(workspace, workspace.ids[1])
    search(workspace, made, opened)
    assert len(published(workspace)["classes"]) == 2
