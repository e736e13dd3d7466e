"""Predictions on disk are whole, checked and pruned; audits are even draws from what is open when they are asked."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from app import auditing, errors, predictions
from store import queue
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh


def make(count: int = 5, **meta: object) -> predictions.Predictions:
    return predictions.Predictions(
        np.arange(1, count + 1),
        np.full(count, 7, np.int32),
        np.linspace(0.5, 1.0, count, dtype=np.float32),
        np.zeros(count, np.float32),
        {"class_ids": [7, 9], "labels": 3, **meta},
    )


def test_predictions_come_back_as_written(tmp_path: Path) -> None:
    predictions.write(tmp_path, 4, make(watermark=8))
    found = predictions.load(tmp_path, 4)
    assert found.image_ids_N.tolist() == [1, 2, 3, 4, 5]
    assert found.top_class_N.tolist() == [7] * 5
    assert found.confidence_N[-1] == 1.0
    assert (found.meta["publication"], found.meta["watermark"]) == (4, 8)


def test_what_is_known_of_bad_pictures_lowers_the_score_and_old_files_know_nothing(tmp_path: Path) -> None:
    assert make().bad_image_N is None
    predictions.write(tmp_path, 4, dataclasses.replace(make(), bad_image_N=np.linspace(0, 1, 5, dtype=np.float32)))
    found = predictions.load(tmp_path, 4)
    np.testing.assert_allclose(found.score_N, make().score_N * (1 - found.bad_image_N))
    np.save(predictions.folder(tmp_path, 4) / predictions.BAD, np.zeros(4, np.float32))
    with pytest.raises(errors.BadRequest, match="bad_image"):
        predictions.load(tmp_path, 4)


def test_the_newest_are_kept_and_the_newest_measured(tmp_path: Path) -> None:
    for publication in range(1, 8):
        predictions.write(tmp_path, publication, make())
        if publication in (1, 2):
            assert predictions.keep_measured(tmp_path, publication, {"of": publication})
    assert predictions.published(tmp_path) == [7, 6, 5, 2]
    assert predictions.measured(tmp_path) == {"of": 2}
    assert not predictions.keep_measured(tmp_path, 3, {})


def test_what_is_missing_or_broken_is_told_by_name(tmp_path: Path) -> None:
    assert predictions.newest(tmp_path) is None
    assert predictions.measured(tmp_path) is None
    with pytest.raises(errors.NotFound, match="publication 3"):
        predictions.load(tmp_path, 3)
    predictions.write(tmp_path, 3, make())
    file = predictions.folder(tmp_path, 3) / "confidence.npy"
    np.save(file, np.zeros(4, np.float32))
    with pytest.raises(errors.BadRequest, match="confidence"):
        predictions.load(tmp_path, 3)
    file.write_bytes(b"half")
    with pytest.raises(errors.BadRequest, match="cannot be read"):
        predictions.load(tmp_path, 3)


def test_a_refresh_leaves_the_whole_pools_predictions(workspace: Workspace) -> None:
    opened = held(workspace)
    refresh(workspace, opened)
    assert predictions.newest(workspace.settings.workspace) is None  # nothing to predict before two classes
    label(workspace, workspace.ids[:12])
    done = refresh(workspace, opened)
    found = predictions.load(workspace.settings.workspace, done.publication)
    assert found.image_ids_N.tolist() == sorted(workspace.ids + workspace.held)
    assert set(found.top_class_N.tolist()) <= set(workspace.class_ids)
    with workspace.db.read() as tx:
        row = queue.head(tx, done.publication, 1)[0]
    at = found.image_ids_N.tolist().index(row.image_id)
    assert found.top_class_N[at] == row.suggestions[0][0]
    assert found.confidence_N[at] == pytest.approx(row.suggestions[0][1], abs=1e-4)


def test_an_audit_is_an_even_draw_from_what_is_open_when_it_is_asked() -> None:
    rng, count, drawn, chances_of = np.random.default_rng(0), 12, np.zeros(12), []
    for _ in range(6000):
        mixed, chances = auditing.mix(np.arange(count), count, rate=0.3, held=np.array([5]), rng=rng)
        assert sorted(mixed) == list(range(count))
        first = mixed[0]
        if first in chances:
            drawn[first] += 1
            chances_of.append(chances[first])
    assert drawn[5] == 0
    assert set(chances_of) == {1 / 11}
    share = drawn[np.arange(count) != 5] / drawn.sum()
    assert np.abs(share - 1 / 11).max() < 4 * np.sqrt(1 / 11 / drawn.sum())
