"""verify finds each thing that was broken on purpose, names it, says what to do, and finds nothing in a whole workspace."""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from app import backups, errors, ingest, predictions, settings, verify_files, verifying
from model.data import pixels
from store import annotators, database, images, labels, queue, refold
from store.records import NewEvent, NewPublication

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_764_000_000.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of twelve ingested images, three answers, a published round with its files, a cache, a backup."""
    home = tmp_path_factory.mktemp("whole")
    place = home / "w"
    for number in range(12):
        path = home / "pictures" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((40 + number, 40), 60).convert("RGB").save(path)
    chosen = settings.load(place)
    with closing(database.open(chosen.database)) as db:
        ingest.ingest(db, home / "pictures", workspace=place, now=NOW, class_names=["owl", "crow"])
        with db.write(durable=True) as tx:
            known = images.all_ok(tx)
            person = annotators.ensure(tx, "ann", NOW).id
            for image in known[:3]:
                new = NewEvent(uuid=f"u{image.id}", image_id=image.id, annotator_id=person, kind="label", class_id=1)
                labels.append(tx, new, NOW)
        publish(db, place, [image.id for image in known], "checkpoints/round-1.safetensors")
    cache = pixels.PixelCache(place / "cache", side=32)
    cache.read([image.id for image in known], [image.path for image in known])
    backups.by_hand(chosen, None, now=NOW)
    return home


def publish(db: database.Database, place: Path, ids: list[int], name: str) -> None:
    (place / "checkpoints").mkdir(exist_ok=True)
    save_file({"a": np.ones((2, 3), np.float32), "b": np.ones(5, np.float16)}, place / name, metadata={"raum": "{}"})
    folder = place / "embeddings" / "round-1"
    folder.mkdir(parents=True)
    np.save(folder / "image_ids.npy", np.array(ids, np.int64))
    np.save(folder / "embeddings.npy", np.ones((len(ids), 4), np.float16))
    (folder / "meta.json").write_text(json.dumps({"last_id": ids[-1]}))
    one_N = np.ones(len(ids), np.float32)
    found = predictions.Predictions(np.array(ids), one_N.astype(np.int32), one_N, one_N * 0, {"class_ids": [1, 2]})
    with db.write() as tx:
        new = NewPublication(
            kind="round", watermark=3, created_at=NOW, checkpoint=name, embeddings="embeddings/round-1"
        )
        published = queue.publish(tx, new, [])
    predictions.write(place, published, found)


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """A copy to break; its images are the copy's own."""
    home = tmp_path / "home"
    shutil.copytree(whole, home)
    with closing(sqlite3.connect(home / "w" / "raum.db")) as raw:
        raw.execute("UPDATE images SET path = replace(path, ?, ?)", (str(whole), str(home)))
        raw.commit()
    for path in (home / "pictures").iterdir():  # as a copy with its times
        os.utime(path, ns=(path.stat().st_atime_ns, (whole / "pictures" / path.name).stat().st_mtime_ns))
    return home


def look(home: Path, **more: Any) -> list[verifying.Finding]:
    return list(verifying.verify(settings.load(home / "w"), **more))


def sql(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / "w" / "raum.db")) as raw:
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute(statement)
        raw.commit()


def the(home: Path, pattern: str) -> Path:
    return sorted((home / "w").glob(pattern))[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def test_a_whole_workspace_has_nothing_wrong(home: Path) -> None:
    assert look(home) == []
    assert look(home, every_byte=True) == []
    with pytest.raises(errors.BadRequest, match="no workspace"):
        verifying.verify(settings.load(home / "nowhere"))


def _older(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - 9000,) * 2)


BROKEN: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "state": (
        lambda home: sql(home, "UPDATE image_state SET answers = 7 WHERE image_id = 2"),
        "state", "image 2", "not what its events say",
    ),
    "reference": (
        lambda home: sql(home, "UPDATE image_state SET annotator_id = 99 WHERE image_id = 2"),
        "database", "raum.db", "points to a row of annotators",
    ),
    "newer": (lambda home: sql(home, "UPDATE alembic_version SET version_num = '9999'"), "database", "raum.db", "9999"),
    "older": (lambda home: sql(home, "UPDATE alembic_version SET version_num = '0001'"), "database", "raum.db", "0001"),
    "not a database": (
        lambda home: (home / "w" / "raum.db").write_bytes(b"x" * 9999), "database", "raum.db", "not a SQLite file",
    ),
    "image gone": (lambda home: (home / "pictures" / "4.png").unlink(), "missing image", "4.png", "not there"),
    "image cut": (lambda home: cut(home / "pictures" / "4.png"), "changed image", "4.png", "other bytes"),
    "checkpoint gone": (
        lambda home: the(home, "checkpoints/*").unlink(), "checkpoint", "round-1.safetensors", "not there",
    ),
    "checkpoint cut": (lambda home: cut(the(home, "checkpoints/*")), "checkpoint", "round-1.safetensors", "describes"),
    "embeddings cut": (lambda home: cut(the(home, "embeddings/*/embeddings.npy")), "embeddings", "round-1", "read"),
    "embeddings gone": (lambda home: shutil.rmtree(the(home, "embeddings/*")), "embeddings", "round-1", "not there"),
    "embeddings not finite": (
        lambda home: np.save(the(home, "embeddings/*/embeddings.npy"), np.full((12, 4), np.nan, np.float16)),
        "embeddings", "round-1", "not finite",
    ),
    "cache cut": (lambda home: cut(the(home, "cache/32/*.pixels.npy")), "cache", "pixels.npy", "read"),
    "cache ids gone": (lambda home: the(home, "cache/32/*.ids.npy").unlink(), "cache", "pixels.npy", "read"),
    "predictions cut": (lambda home: cut(the(home, "predictions/*/confidence.npy")), "predictions", "/1", "read"),
    "thumbnail cut": (lambda home: cut(the(home, "thumbnails/0/*.jpg")), "thumbnail", ".jpg", "halfway"),
    "thumbnail empty": (lambda home: the(home, "thumbnails/0/*.jpg").write_bytes(b""), "thumbnail", ".jpg", "empty"),
    "backup cut": (lambda home: the(home, "backups/*.db").write_bytes(b"y" * 5000), "backup", "raum-", "not a SQLite"),
    "half a checkpoint": (
        lambda home: _older(home / "w" / "checkpoints" / ".round-2.safetensors.0a1b.tmp"), "unfinished", "round-2", "3 hours",
    ),
    "half a cache": (lambda home: _older(home / "w" / "cache" / "32" / "tmp-ab.ids.npy"), "unfinished", "tmp-ab", "never"),
    "half a backup": (
        lambda home: _older(home / "w" / "backups" / ".daily-2026-01-01.db.77.half"), "unfinished", "daily-", "never",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_what_was_broken_is_found_named_and_has_a_remedy(home: Path, fault: str) -> None:
    break_it, kind, what, why = BROKEN[fault]
    break_it(home)
    found = look(home)
    assert [one.kind for one in found] == [kind]
    assert what in found[0].what
    assert why in found[0].why
    assert found[0].todo
    (line,) = verifying.sentences(found)
    assert line.startswith(f"{kind}: ")


def test_an_event_that_is_gone_is_counted_and_its_image_named(home: Path) -> None:
    sql(home, "DROP TRIGGER label_events_no_delete")
    sql(home, "UPDATE image_state SET event_seq = NULL WHERE event_seq = 3")
    sql(home, "DELETE FROM label_events WHERE seq = 3")
    found = look(home)
    assert [one.kind for one in found] == ["events", "state"]
    assert "1 of the events" in found[0].why


def test_a_touched_image_is_read_again_and_silent_rot_is_found_when_every_byte_is_read(home: Path) -> None:
    touched, rotten = home / "pictures" / "1.png", home / "pictures" / "2.png"
    os.utime(touched)
    before, content = rotten.stat(), bytearray(rotten.read_bytes())
    content[-20] ^= 1
    rotten.write_bytes(content)
    os.utime(rotten, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(home) == []
    assert [(one.kind, one.what) for one in look(home, every_byte=True)] == [("changed image", str(rotten))]


def test_states_are_rebuilt_only_when_asked_and_after_a_backup(home: Path) -> None:
    sql(home, "UPDATE image_state SET answers = 7")
    assert len(look(home)) == 12
    assert "12 states were folded anew" in verifying.rebuild(settings.load(home / "w"), now=NOW + 1)
    assert look(home) == []
    assert len(list((home / "w" / "backups").iterdir())) == 2


def test_a_large_workspace_is_looked_through_piece_by_piece_and_progress_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "AT_ONCE", 5)
    monkeypatch.setattr(refold, "_PAGE", 5)
    sql(home, "UPDATE image_state SET answers = 7 WHERE image_id > 4")
    shutil.rmtree(home / "pictures")
    told: list[tuple[float, str]] = []
    found = look(home, progress=lambda fraction, what: told.append((fraction, what)))
    assert [one.what for one in found if one.kind == "state"] == [f"image {number}" for number in range(5, 13)]
    assert sum(one.kind == "missing image" for one in found) == 12
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0 == fractions[0] < fractions[-1] <= 1
    assert (0.75, "image file 10 of 12") in told
    assert "8 states were folded anew" in verifying.rebuild(settings.load(home / "w"), now=NOW + 1)


def test_many_of_one_kind_are_cut_short_in_words_and_whole_in_json(home: Path) -> None:
    shutil.rmtree(home / "pictures")
    command = [sys.executable, str(ROOT / "launch.py"), "verify", "--workspace", str(home / "w")]
    in_words = subprocess.run(command, capture_output=True, text=True)
    assert in_words.returncode == 1
    assert len(in_words.stdout.splitlines()) == verifying.NAMED + 1
    assert "7 more of the same" in in_words.stdout
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert as_json.returncode == 1
    told = json.loads(as_json.stdout)
    assert told["wrong"] == len(told["findings"]) == 12


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "ends in its head"),
        (b"\0\0\0", "ends in its head"),
        (struct.pack("<Q", 0) + b"{}", "claims 0 bytes"),
        (struct.pack("<Q", 1 << 40) + b"{}", "claims 1,099,511,627,776 bytes"),
        (struct.pack("<Q", 3) + b"{}", "claims 3 bytes"),
        (struct.pack("<Q", 2) + b"{]", "not JSON"),
        (struct.pack("<Q", 2) + b"[]", "no table"),
        (b"\x80\x04\x95pickle here" + b"x" * 40, "claims"),
    ],
)
def test_a_header_outside_its_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert said in str(verify_files.checkpoint(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F7", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2]}},
        {"a": 3},
    ],
)  # fmt: skip
def test_tensors_that_overlap_or_do_not_fill_the_file_are_named(tmp_path: Path, tensors: dict[str, object]) -> None:
    header = json.dumps(tensors).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    assert verify_files.checkpoint(tmp_path / "a.safetensors") is not None
