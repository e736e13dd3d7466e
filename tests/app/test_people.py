"""Several people: their consensus is what is learned, soft where they differ; one person costs nothing and changes nothing."""

import csv
import dataclasses
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import (
    agreement,
    agreement_model,
    consensus_file,
    errors,
    labelling,
    learning,
    pool,
    pool_files,
    review,
    review_file,
    reviewing,
    snapshot,
)
from app.exchange import labels_csv
from model import last_layer, train
from store import annotators, answers, labels, queue
from store.records import NewEvent
from tests.app.conftest import Workspace
from tests.app.test_learning import held, refresh, run_round

RNG = np.random.default_rng(0)


def say(workspace: Workspace, name: str, image_id: int, class_id: int | None, kind: str | None = None) -> int:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, name, 1.0)
        new = NewEvent(
            uuid=str(uuid.uuid4()),
            image_id=image_id,
            annotator_id=person.id,
            kind=kind or ("reject" if class_id is None else "label"),
            class_id=class_id,
        )
        return labels.append(tx, new, 2.0)[0].seq


def other(workspace: Workspace, image_id: int) -> int:
    at = workspace.class_ids.index(workspace.truth[image_id])
    return workspace.class_ids[(at + 1) % 3]


def three_people(workspace: Workspace) -> list[int]:
    """Ada and Ben are right about twenty-one images; Cyd, who speaks last, is wrong about every third of them."""
    ids = workspace.ids[:21]
    for number, image_id in enumerate(ids):
        for name in ("ada", "ben"):
            say(workspace, name, image_id, workspace.truth[image_id])
        say(workspace, "cyd", image_id, other(workspace, image_id) if number % 3 == 0 else workspace.truth[image_id])
    return ids


def seen_by(workspace: Workspace, opened: pool.Pool) -> snapshot.Snapshot:
    with workspace.db.read() as tx:
        return snapshot.take(tx, holdout=opened.holdout, now=1.0)


def settled(workspace: Workspace, opened: pool.Pool) -> snapshot.Snapshot:
    seen = seen_by(workspace, opened)
    return agreement.settle(seen, opened.image_ids, opened.prepared, settings=workspace.settings, rng=RNG)[0]


@pytest.mark.parametrize("method", ["auto", "majority", "crowdlab", "dawid_skene", "dawid_skene_model"])
def test_the_consensus_is_the_training_label_not_what_was_said_last(workspace: Workspace, method: str) -> None:
    plain = dataclasses.replace(workspace.settings, attention="cam")  # the classifier has but 16 cells: all count alike
    ids, opened = three_people(workspace), held(dataclasses.replace(workspace, settings=plain))
    before = seen_by(workspace, opened)
    wrong = [i for i in ids if workspace.class_ids[before.labelled[i]] != workspace.truth[i]]
    assert len(wrong) == 7
    chosen = dataclasses.replace(workspace.settings, consensus=method)
    after, _ = agreement.settle(before, opened.image_ids, opened.prepared, settings=chosen, rng=RNG)
    assert [workspace.class_ids[after.labelled[i]] for i in ids] == [workspace.truth[i] for i in ids]
    for probs_K in after.soft.values():
        assert probs_K.sum() == pytest.approx(1.0)


def test_soft_labels_reach_the_refresh_and_the_round(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    three_people(workspace)
    say(workspace, "ada", workspace.ids[30], workspace.class_ids[0])
    say(workspace, "ben", workspace.ids[30], workspace.class_ids[1])
    heard: dict[str, Any] = {}

    def listen(name: str, real: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            heard[name] = more.get("targets_LK", more.get("targets_NK"))
            return real(*args, **more)

        return call

    opened = held(workspace)
    monkeypatch.setattr(last_layer, "fit", listen("fit", last_layer.fit))
    monkeypatch.setattr(train, "train", listen("train", train.train))
    refresh(workspace, opened)
    pool_files.save(opened)
    run_round(workspace)
    for name in ("train", "fit"):
        assert heard[name].shape == (22, 3)
        assert heard[name].sum(axis=1) == pytest.approx(np.ones(22))
        assert (heard[name].max(axis=1) < 0.99).any()


def test_one_person_alone_changes_nothing_and_nothing_is_computed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image_id in workspace.ids[:12]:
        say(workspace, "ada", image_id, workspace.truth[image_id])
        say(workspace, "import", image_id, other(workspace, image_id))
    opened = held(workspace)
    before = seen_by(workspace, opened)
    assert before.said == []
    monkeypatch.setattr(agreement_model, "model", lambda *_, **__: pytest.fail("computed"))
    assert settled(workspace, opened) == before
    done = refresh(workspace, opened)
    with workspace.db.read() as tx:
        assert "again" not in {row.reason for row in queue.head(tx, done.publication)}
    assert not (workspace.settings.workspace / consensus_file.NAME).exists()


def test_most_people_reject_an_image_or_it_is_labelled(workspace: Workspace) -> None:
    three_people(workspace)
    first, second = workspace.ids[30], workspace.ids[31]
    for name, class_id in (("ada", None), ("ben", None), ("cyd", workspace.class_ids[0])):
        say(workspace, name, first, class_id)
    for name, class_id in (("ada", workspace.class_ids[1]), ("ben", workspace.class_ids[1]), ("cyd", None)):
        say(workspace, name, second, class_id)
    seen = settled(workspace, held(workspace))
    assert first in seen.rejected
    assert first not in seen.labelled
    assert second not in seen.rejected
    assert seen.labelled[second] == 1


def test_a_review_is_the_label_whatever_people_said(workspace: Workspace) -> None:
    ids = three_people(workspace)
    wrong = other(workspace, ids[1])
    say(workspace, "dee", ids[1], wrong, kind="review")
    seen = settled(workspace, held(workspace))
    assert workspace.class_ids[seen.labelled[ids[1]]] == wrong
    assert ids[1] not in seen.soft


def test_holdout_images_go_by_most_people_and_never_by_the_model(workspace: Workspace) -> None:
    three_people(workspace)
    image_id = workspace.held[0]
    for name, class_id in (("ada", 1), ("ben", 1), ("cyd", 2)):
        say(workspace, name, image_id, workspace.class_ids[class_id])
    opened = held(workspace)
    assert seen_by(workspace, opened).holdout_labels[image_id] == 2
    assert settled(workspace, opened).holdout_labels[image_id] == 1
    assert image_id not in settled(workspace, opened).soft


def test_disputed_images_are_asked_again_blind_of_whoever_has_not_answered(workspace: Workspace) -> None:
    for image_id in workspace.ids[:46]:
        say(workspace, "ada", image_id, workspace.truth[image_id])
    for image_id in workspace.ids[:6]:
        say(workspace, "ben", image_id, other(workspace, image_id))
    opened = held(workspace)
    refresh(workspace, opened)
    with workspace.db.read() as tx:
        rows = queue.head(tx, queue.current(tx).id)
    again = [row for row in rows if row.reason == "again"]
    assert again
    assert len(again) <= workspace.settings.again_rate * workspace.settings.queue_length
    assert {row.image_id for row in again} <= set(workspace.ids[:46])
    assert not any(row.suggestions or row.overlays or row.neighbours for row in again)
    ask = {"db": workspace.db, "client": "t", "count": 40, "now": 3.0, "rng": RNG, "holdout_rate": 0.0}
    items = [item for item in labelling.next_images(annotator="cyd", **ask) if item["reason"] == "again"]
    assert {item["image_id"] for item in items} == {row.image_id for row in again}
    assert all(item["blind"] and not item["suggestions"] for item in items)
    assert {item["why"] for item in items} == {"asked again: two people would make sure"}
    none = dataclasses.replace(workspace.settings, again_rate=0.0)
    learning.refresh(workspace.db, none, opened, now=4.0, rng=RNG)
    with workspace.db.read() as tx:
        assert "again" not in {row.reason for row in queue.head(tx, queue.current(tx).id)}


def lists(workspace: Workspace, kind: str) -> list[dict[str, Any]]:
    found = review.items(workspace.db, workspace.settings.workspace, kind=kind, count=50, reviewer="dee")
    images: list[dict[str, Any]] = found["images"]
    assert found["counts"][kind] == len(images)
    return images


def decide(workspace: Workspace, item: dict[str, Any], decision: str, name: str = "dee", **more: Any) -> dict[str, Any]:
    event = {"uuid": str(uuid.uuid4()), "image_id": item["image_id"], "annotator": name, "seen": item["seen"]}
    return review.decide(workspace.db, {**event, "decision": decision, **more}, now=5.0)


def test_the_lists_hold_errors_disagreements_flags_and_rejects_with_what_was_said(workspace: Workspace) -> None:
    assert workspace.settings.consensus == "auto", "no holdout answer has judged the model: it overrules nobody"
    ids = three_people(workspace)
    for image_id in workspace.ids[21:33]:
        say(workspace, "ada", image_id, workspace.truth[image_id])
    slip = workspace.ids[33]
    say(workspace, "ada", slip, other(workspace, slip))
    say(workspace, "ben", workspace.ids[40], None)
    say(workspace, "ben", workspace.ids[41], None, kind="flag")
    opened = held(workspace)
    refresh(workspace, opened)
    reviewing.look(workspace.db, workspace.settings, opened)
    disputed = lists(workspace, "disagreement")
    assert {item["image_id"] for item in disputed} == {ids[at] for at in range(0, 21, 3)}
    assert [said["annotator"] for said in disputed[0]["said"]] == ["ada", "ben", "cyd"]
    assert disputed[0]["suggestions"]
    assert all(item["current"]["class_id"] == workspace.truth[item["image_id"]] for item in disputed), "the consensus"
    near = {image for group in disputed[0]["neighbours"] for image in group["image_ids"]}
    assert near
    assert disputed[0]["image_id"] not in near
    assert [item["image_id"] for item in lists(workspace, "reject")] == [workspace.ids[40]]
    (flagged,) = lists(workspace, "flag")
    assert (flagged["image_id"], flagged["current"]) == (workspace.ids[41], None)
    told = review.people(workspace.db, workspace.settings.workspace)
    quality = {row["name"]: row for row in told["people"]}
    assert quality["cyd"]["accuracy"] < quality["ada"]["accuracy"]
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in quality.values())


def test_a_decision_leaves_the_list_folds_and_can_be_taken_back(workspace: Workspace) -> None:
    three_people(workspace)
    opened = held(workspace)
    reviewing.look(workspace.db, workspace.settings, opened)
    first, second, third, fourth = lists(workspace, "disagreement")[:4]
    decide(workspace, first, "label", class_id=workspace.class_ids[2])
    decide(workspace, second, "reject", reason="bad_image")
    decide(workspace, third, "discuss")
    with pytest.raises(errors.BadRequest, match="dee has decided about this image meanwhile"):
        decide(workspace, first, "label", name="eve", class_id=workspace.class_ids[1])
    left = {item["image_id"] for item in lists(workspace, "disagreement")}
    assert left.isdisjoint({item["image_id"] for item in (first, second, third)})
    assert fourth["image_id"] in left
    with workspace.db.read() as tx:
        states = [labels.state(tx, item["image_id"]) for item in (first, second, third)]
        assert answers.flagged(tx) == [third["image_id"]]
    assert [(state.kind, state.class_id, state.reason) for state in states[:2]] == [
        ("label", workspace.class_ids[2], None),
        ("reject", None, "bad_image"),
    ]
    for item in (third, second, first):
        done = review.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="dee", target=None, now=6.0)
        assert (done["undone"], done["image_id"]) == (True, item["image_id"])
    assert not review.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="dee", target=None, now=6.0)["undone"]
    assert {item["image_id"] for item in lists(workspace, "disagreement")} >= {first["image_id"], third["image_id"]}


def test_decisions_that_make_no_sense_are_refused_by_name(workspace: Workspace) -> None:
    item = {"image_id": workspace.ids[0], "seen": 0}
    for decision, more, why in (
        ("maybe", {}, "decision must be one of"),
        ("label", {}, "needs a class_id"),
        ("reject", {"class_id": workspace.class_ids[0]}, "only a label"),
        ("reject", {"reason": "ugly"}, "reason must be one of"),
        ("label", {"class_id": 999}, "no class has id 999"),
    ):
        with pytest.raises(errors.BadRequest, match=why):
            decide(workspace, item, decision, **more)
    with pytest.raises(errors.NotFound):
        decide(workspace, {"image_id": 999, "seen": 0}, "discuss")
    with pytest.raises(errors.BadRequest, match="kind must be one of"):
        review.items(workspace.db, workspace.settings.workspace, kind="x", count=1, reviewer="dee")


def test_a_looker_waits_for_a_pause_but_not_for_ever() -> None:
    looker = reviewing.Looker()
    looker.watermark, looker.at = 5, 100.0
    assert not looker.is_due(5, now=1000.0, last_answer=0.0)
    assert not looker.is_due(6, now=110.0, last_answer=109.0)
    assert looker.is_due(6, now=111.5, last_answer=109.0)
    assert looker.is_due(6, now=161.0, last_answer=160.5)


def test_an_empty_workspace_is_not_looked_at(workspace: Workspace) -> None:
    with workspace.db.read() as tx:
        empty = pool.open_(workspace.settings, queue.current(tx), [])
    assert not reviewing.Looker().step(workspace.db, empty, watermark=0, now=1000.0, last_answer=0.0)


def test_before_the_first_look_every_list_is_empty(workspace: Workspace) -> None:
    for kind in review_file.KINDS:
        assert lists(workspace, kind) == []


def test_the_csv_tells_how_many_answered_and_how_far_they_agree(workspace: Workspace, tmp_path: Path) -> None:
    ids = three_people(workspace)
    say(workspace, "ada", workspace.ids[30], workspace.class_ids[0])
    refresh(workspace, held(workspace))
    labels_csv.export(workspace.db, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = {int(row["image_id"]): row for row in csv.DictReader(file)}
    assert (rows[ids[0]]["answers"], rows[ids[0]]["agreement"]) == ("3", "0.3333"), "what was said last is exported"
    assert float(rows[ids[0]]["consensus_probability"]) < 0.5
    assert (rows[ids[1]]["answers"], rows[ids[1]]["agreement"]) == ("3", "1.0")
    alone = rows[workspace.ids[30]]
    assert (alone["answers"], alone["agreement"], alone["consensus_probability"]) == ("1", "1.0", "")
