"""Receipts: counted over the open pool, from the answers between two watermarks, never over a new network."""

from pathlib import Path

import numpy as np
import pytest

from app import errors, predictions, receipts
from store import annotators, database, labels, queue
from store.records import NewEvent, NewPublication
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh


def said(
    top: list[int], confidence: list[float], *, ids: list[int] | None = None, watermark: int = 3
) -> predictions.Predictions:
    return predictions.Predictions(
        np.array(ids or range(1, len(top) + 1), np.int64),
        np.array(top, np.int32),
        np.array(confidence, np.float32),
        np.zeros(len(top), np.float32),
        {"watermark": watermark, "class_ids": [1, 2], "checkpoint": None, "embeddings": "embeddings/a"},
    )


def test_only_open_images_that_changed_count_the_surest_first(tmp_path: Path) -> None:
    assert receipts.changes(tmp_path, said([1, 1], [0.9, 0.9]), (), network="embeddings/a") == {}, (
        "nothing to compare with"
    )
    predictions.write(tmp_path, 7, said([1, 1, 1, 2, 2], [0.5] * 5))
    after = said([2, 1, 2, 1, 1], [0.6, 0.9, 0.8, 0.7, 0.9], ids=[1, 2, 3, 4, 6], watermark=9)
    found = receipts.changes(tmp_path, after, {4}, network="embeddings/a")["receipt"]
    assert found == {"since": 3, "changed": 2, "sample": [[3, 1, 2], [1, 1, 2]]}
    assert receipts.changes(tmp_path, after, {4}, network="embeddings/b") == {}
    assert receipts.changes(tmp_path, None, (), network="embeddings/a") == {}


def test_a_refresh_leaves_its_receipt(workspace: Workspace) -> None:
    opened = held(workspace)
    label(workspace, workspace.ids[:8])
    first = refresh(workspace, opened)
    assert "receipt" not in first.metrics
    label(workspace, workspace.ids[8:20])
    second = refresh(workspace, opened)
    told = second.metrics["receipt"]
    assert told["since"] == first.watermark
    before = predictions.load(workspace.settings.workspace, first.publication)
    after = predictions.load(workspace.settings.workspace, second.publication)
    apart = set(workspace.ids[:20]) | set(workspace.held)
    moved = before.image_ids_N[before.top_class_N != after.top_class_N]
    assert told["changed"] == len(set(moved.tolist()) - apart)
    assert len(told["sample"]) == min(told["changed"], receipts.SHOWN)
    [mine] = receipts.listed(workspace.db, annotator="ann", count=5)
    assert (mine["mine"], mine["others"], mine["changed"]) == (12, 0, told["changed"])
    assert {answer["image_id"] for answer in mine["answers"]} == set(workspace.ids[8:20])
    assert receipts.listed(workspace.db, annotator="somebody else", count=5) == []
    with pytest.raises(errors.BadRequest, match="count"):
        receipts.listed(workspace.db, annotator="ann", count=0)


def test_answers_are_counted_as_the_refresh_saw_them(workspace: Workspace) -> None:
    db: database.Database = workspace.db
    label(workspace, workspace.ids[:3])
    with db.write() as tx:
        ann, ben = annotators.ensure(tx, "ann", 1.0), annotators.ensure(tx, "ben", 1.0)
        events = list(labels.all_events(tx))
        back = [
            NewEvent(uuid=f"b{n}", image_id=each.image_id, annotator_id=ann.id, kind="retract", target_seq=each.seq)
            for n, each in enumerate(events)
        ]
        labels.append(tx, back[0], 3.0)
        of_ben = NewEvent(uuid="ben", image_id=workspace.ids[5], annotator_id=ben.id, kind="reject")
        labels.append(tx, of_ben, 3.0)
        mark = labels.watermark(tx)
        receipt = {"since": 0, "changed": 4, "sample": []}
        queue.publish(
            tx, NewPublication(kind="refresh", watermark=mark, created_at=4.0, metrics={"receipt": receipt}), []
        )
        labels.append(tx, back[1], 5.0)
    [told] = receipts.listed(db, annotator="ann", count=5)
    assert (told["mine"], told["others"]) == (2, 1), "what was taken back before the refresh taught nothing"
    assert [answer["stands"] for answer in told["answers"]] == [True, False], "and later only shows as taken back"
