"""Changing the classes as people do: effects told before, conflicts in a sentence, every change taken back."""

import uuid
from typing import Any

import numpy as np
import pytest

from app import class_views, errors, predictions, taxonomy
from store import annotators, labels, queue
from store.records import NewEvent, NewPublication, QueueRow
from tests.app.conftest import Workspace
from tests.app.test_learning import label


def change(workspace: Workspace, class_id: int, act: str, annotator: str = "ada", **more: Any) -> int:
    return taxonomy.change(workspace.db, class_id, {"act": act, "annotator": annotator, **more}, now=9.0)["act"]


def names(workspace: Workspace) -> list[str]:
    return [each["name"] for each in taxonomy.all_(workspace.db)]


def texts(workspace: Workspace) -> list[str]:
    return [each["text"] for each in class_views.history(workspace.db)]


def overview(workspace: Workspace) -> dict[str, Any]:
    return class_views.overview(workspace.db, workspace.settings.workspace)


def publish(workspace: Workspace) -> int:
    """A queue of three images that suggest the second class first, one the third."""
    a, b, c = workspace.class_ids
    rows = [
        QueueRow(position=at, image_id=workspace.ids[-1 - at], reason="uncertain", suggestions=[(first, 0.6), (a, 0.4)])
        for at, first in enumerate((b, b, c, b))
    ]
    with workspace.db.write() as tx:
        return queue.publish(tx, NewPublication(kind="refresh", watermark=0, created_at=1.0), rows)


def test_effects_are_told_before_and_happen_at_once(workspace: Workspace) -> None:
    round_, square, striped = workspace.class_ids
    label(workspace, workspace.ids[:12])
    with workspace.db.write() as tx:
        other = annotators.ensure(tx, "ben", 1.0).id
        new = NewEvent(
            uuid=str(uuid.uuid4()), image_id=workspace.ids[20], annotator_id=other, kind="label", class_id=square
        )
        labels.append(tx, new, 2.0)
    publish(workspace)
    before = {row["class_id"]: row["count"] for row in overview(workspace)["classes"]}
    told = class_views.preview(workspace.db, square, "merge", round_)
    assert told["sentence"] == (
        f"Merging square into round moves {before[square]} labels of 2 people; 3 queue suggestions follow. "
        "It can be undone."
    )
    assert (told["labels"], told["people"], told["suggestions"]) == (before[square], 2, 3)
    change(workspace, square, "merge", into=round_)
    after = overview(workspace)
    assert {row["class_id"]: row["count"] for row in after["classes"]} == {
        round_: before[round_] + before[square],
        striped: before[striped],
    }
    assert [(row["name"], row["status"], row["merged_into"]) for row in after["gone"]] == [("square", "merged", round_)]
    assert "goes" in class_views.preview(workspace.db, striped, "retire")["sentence"]
    with pytest.raises(errors.BadRequest, match="into another class in use"):
        class_views.preview(workspace.db, striped, "merge", striped)
    with pytest.raises(errors.NotFound):
        class_views.preview(workspace.db, 99, "retire")
    taxonomy.undo(workspace.db, after["act"], "ben", now=10.0)
    assert {row["class_id"]: row["count"] for row in overview(workspace)["classes"]} == before
    assert texts(workspace)[:2] == ["undid: merged square into round", "merged square into round"]


def test_what_the_model_expects_follows_a_merge(workspace: Workspace) -> None:
    round_, square, striped = workspace.class_ids
    assert {row["expected"] for row in overview(workspace)["classes"]} == {None}
    ids = np.array(workspace.ids, np.int64)
    tops = np.array([workspace.truth[each] for each in workspace.ids], np.int32)
    sure = np.ones(len(ids), np.float32)
    found = predictions.Predictions(ids, tops, sure, 0 * sure, {"class_ids": workspace.class_ids})
    predictions.write(workspace.settings.workspace, 1, found)
    assert {row["expected"] for row in overview(workspace)["classes"]} == {16}
    change(workspace, striped, "merge", into=square)
    assert [row["expected"] for row in overview(workspace)["classes"]] == [16, 32]
    assert round_ in workspace.class_ids


def test_every_change_has_words_and_is_taken_back_in_turn(workspace: Workspace) -> None:
    round_, square, striped = workspace.class_ids
    label(workspace, workspace.ids[:12])
    mine = class_views.candidates(workspace.db, square, 5)
    added = taxonomy.add(workspace.db, "dot", now=8.0, annotator="ada", parent_id=round_)["class_id"]
    start = overview(workspace)
    change(workspace, round_, "rename", name="disc")
    change(workspace, square, "note", note=" four corners ")
    change(workspace, square, "shortcut", shortcut="q")
    change(workspace, square, "images", image_ids=mine[:2])
    change(workspace, added, "move", parent_id=square, before=None)
    change(workspace, striped, "move", parent_id=None, before=round_)
    change(workspace, striped, "retire")
    assert names(workspace) == ["disc", "square", "dot"]
    assert texts(workspace)[:8] == [
        "retired striped",
        "moved striped",
        "put dot under square",
        "chose 2 reference images for square",
        "pinned square to the key q",
        "wrote the note of square",
        "renamed round to disc",
        "added dot",
    ]
    card = class_views.card(workspace.db, added)
    assert (card["above"], card["note"]) == (["square"], "")
    assert class_views.card(workspace.db, square) == {
        "class_id": square, "name": "square", "above": [], "note": "four corners", "shortcut": "q",
        "image_ids": mine[:2], "chosen": True,
    }  # fmt: skip
    for _ in range(7):
        assert taxonomy.undo(workspace.db, None, "ada", now=11.0)["undone"]
    assert overview(workspace)["classes"] == start["classes"]
    assert taxonomy.undo(workspace.db, None, "nobody", now=12.0)["undone"] is None
    newest = class_views.history(workspace.db, count=1)[0]["seq"]
    taxonomy.undo(workspace.db, newest, "ben", now=12.0)
    assert texts(workspace)[0] == "did again: renamed round to disc"
    assert class_views.history(workspace.db, class_id=added, count=9)[-1]["text"] == "added dot"


def test_conflicts_are_said_in_a_sentence_and_change_nothing(workspace: Workspace) -> None:
    round_, square, striped = workspace.class_ids
    seen = overview(workspace)["act"]
    change(workspace, striped, "retire", annotator="ben")
    for act, more, sentence in (
        ("rename", {"name": "SQUARE"}, "already called 'square'"),
        ("rename", {"name": " "}, "needs a name"),
        ("rename", {}, "name must be a text"),
        ("move", {"parent_id": round_}, "cannot stand under itself"),
        ("move", {"parent_id": striped}, "not in use"),
        ("shortcut", {"shortcut": "x"}, "no free key"),
        ("images", {"image_ids": workspace.ids[:1]}, "not labelled as this class"),
        ("merge", {"into": striped}, "cannot be merged into 'striped', which is retired"),
        ("merge", {}, "into is missing"),
        ("explode", {}, "act must be one of"),
    ):
        with pytest.raises(errors.BadRequest, match=sentence):
            change(workspace, round_, act, **more)
    with pytest.raises(errors.BadRequest, match="was retired by ben: restore it first"):
        change(workspace, striped, "rename", name="bars")
    with pytest.raises(errors.BadRequest, match="ben has retired 'striped' meanwhile"):
        change(workspace, striped, "rename", name="bars", seen=seen)
    with pytest.raises(errors.BadRequest, match="ben has retired 'striped' meanwhile"):
        change(workspace, round_, "merge", into=striped, seen=seen)
    change(workspace, square, "rename", annotator="ben", name="box")
    with pytest.raises(errors.BadRequest, match="ben has changed 'box' meanwhile"):
        change(workspace, square, "rename", name="cube", seen=seen)
    change(workspace, square, "note", note="no conflict: another field", seen=seen)
    assert names(workspace) == ["round", "box"]


def test_a_card_without_chosen_images_shows_labelled_ones_but_never_the_holdout(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12] + workspace.held)
    for class_id in workspace.class_ids:
        card = class_views.card(workspace.db, class_id)
        assert not card["chosen"]
        assert card["image_ids"]
        assert {workspace.truth[each] for each in card["image_ids"]} == {class_id}
        assert not set(card["image_ids"]) & set(workspace.held)
    first, second, _ = workspace.class_ids
    mine = class_views.candidates(workspace.db, first, 100)
    change(workspace, first, "images", image_ids=mine[:1])
    change(workspace, first, "merge", into=second)
    assert class_views.card(workspace.db, first)["name"] == "square", "a merged class shows the one that stands for it"
