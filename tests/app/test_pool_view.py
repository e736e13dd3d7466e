"""The page's look at the whole pool: the newest publication's files, mapped, never those of another network."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from app import pool_view, predictions
from store.records import Publication

META = {"checkpoint": "checkpoints/round-1", "class_ids": [4, 7], "watermark": 3}
SHOWN = Publication(
    id=5, kind="refresh", watermark=3, created_at=1.0, checkpoint=META["checkpoint"], embeddings="embeddings/round-1"
)


def leave(workspace: Path, publication: int, **meta: object) -> None:
    found = predictions.Predictions(
        np.array([2, 3, 5, 9], np.int64),
        np.array([7, 4, 7, 7], np.int32),
        np.array([0.9, 0.8, 0.95, 0.99], np.float32),
        np.array([0.0, 0.0, 0.0, 0.5], np.float32),
        META | meta,
    )
    predictions.write(workspace, publication, found)


def test_a_view_orders_a_class_by_how_safe_it_is_and_finds_images(tmp_path: Path) -> None:
    leave(tmp_path, 5)
    view = pool_view.Reader(tmp_path).view(SHOWN)
    assert view is not None
    assert view.image_ids_N[view.best_first(7)].tolist() == [5, 2, 9], "what may fit no class comes last"
    assert view.best_first(1).tolist() == []
    assert view.rows_of([9, 4, 2, 100]).tolist() == [3, -1, 0, -1]
    assert isinstance(view.image_ids_N, np.memmap)


def test_the_view_follows_the_publication_and_never_shows_another_network(tmp_path: Path) -> None:
    reader = pool_view.Reader(tmp_path)
    assert reader.view(SHOWN) is None, "nothing was written yet"
    leave(tmp_path, 4)
    before = reader.view(SHOWN)
    assert before is not None
    assert before.publication == 4, "for the moment until the files of 5 are there"
    leave(tmp_path, 5)
    after = reader.view(SHOWN)
    assert after is not None
    assert after.publication == 5
    assert reader.view(SHOWN) is after, "opened once"
    assert reader.view(dataclasses.replace(SHOWN, id=6, checkpoint="checkpoints/round-2")) is None
    assert reader.view(dataclasses.replace(SHOWN, id=7, kind="cold")) is None
    assert reader.view(None) is None
    later = reader.view(dataclasses.replace(SHOWN, id=6))
    assert later is not None
    assert later.publication == 5


def test_a_damaged_folder_is_no_view(tmp_path: Path) -> None:
    leave(tmp_path, 5)
    (predictions.folder(tmp_path, 5) / "confidence.npy").write_bytes(b"torn")
    assert pool_view.Reader(tmp_path).view(SHOWN) is None


def test_embeddings_are_mapped_and_read_again_when_they_have_grown(tmp_path: Path) -> None:
    folder = tmp_path / "embeddings" / "round-1"
    reader = pool_view.Reader(tmp_path)
    assert reader.embeddings(SHOWN) is None
    for count in (2, 3):
        fresh = folder.with_name(f"fresh-{count}")
        fresh.mkdir(parents=True)
        np.save(fresh / "image_ids.npy", np.arange(count, dtype=np.int64))
        np.save(fresh / "embeddings.npy", np.ones((count, 4), np.float16))
        (fresh / "meta.json").write_text(json.dumps({"count": count}), encoding="utf-8")
        if folder.exists():
            folder.rename(folder.with_name("old"))
        fresh.rename(folder)
        found = reader.embeddings(SHOWN)
        assert found is not None
        assert found.embeddings_ND.shape == (count, 4)
