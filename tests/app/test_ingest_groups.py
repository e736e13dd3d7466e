"""Groups and holdout: near-duplicates and bursts stay together, the holdout has its size, whatever the order."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from app import ingest, ingest_files, ingest_groups, ingest_read, ingest_similar
from store import database, images, records


def reading(
    path: str, *, digest: str, phash: str | None = None, taken_at: float | None = None, picture: int | None = None
) -> ingest_read.Reading:
    """A reading made up; `picture` seeds the small picture."""
    signature = None
    if picture is not None:
        vector = np.random.default_rng(picture).standard_normal(24 * 24 * 3).astype(np.float32)
        signature = vector / np.linalg.norm(vector)
    found = ingest_files.Found(path, path, "", 1, 1)
    return ingest_read.Reading(found, None, digest, 9, 9, phash, taken_at, signature)


def grouping(seed: int = 0) -> ingest_groups.Grouping:
    return ingest_groups.Grouping(ingest_similar.Index(stored=lambda number: None), np.random.default_rng(seed))


def cut(readings: list[ingest_read.Reading], size: int) -> list[list[ingest_read.Reading]]:
    return [readings[start : start + size] for start in range(0, len(readings), size)]


def place_all(
    readings: list[ingest_read.Reading], *, batch: int, seed: int = 0
) -> tuple[ingest_groups.Grouping, list[ingest_groups.Place]]:
    made, places = grouping(seed), []
    for part in cut(readings, batch):
        places += made.place(part, to_come=len(readings) - len(places) - len(part))
    return made, places


@settings(max_examples=60, deadline=None)
@given(
    digests=st.lists(st.integers(0, 60), min_size=1, max_size=300),
    batch=st.integers(1, 120),
    seed=st.integers(0, 5),
)
def test_equal_files_are_one_group_on_one_side_and_others_are_not(digests: list[int], batch: int, seed: int) -> None:
    readings = [reading(f"/x/{n}.jpg", digest=str(digest)) for n, digest in enumerate(digests)]
    _, places = place_all(readings, batch=batch, seed=seed)
    by_digest: dict[int, set[ingest_groups.Place]] = defaultdict(set)
    for digest, place in zip(digests, places, strict=True):
        by_digest[digest].add(place)
    assert all(len(found) == 1 for found in by_digest.values())
    assert len({next(iter(found)).group_id for found in by_digest.values()}) == len(by_digest)


@pytest.mark.parametrize(("count", "wanted"), [(1, 0), (9, 1), (100, 20), (1185, 237), (2000, 400), (5000, 400)])
@pytest.mark.parametrize("batch", [48, 200])
def test_the_holdout_is_a_fifth_or_400_in_equal_halves(count: int, wanted: int, batch: int) -> None:
    readings = [reading(f"/x/{n}.jpg", digest=str(n)) for n in range(count)]
    made, places = place_all(readings, batch=batch)
    sides = [place.holdout for place in places]
    assert len(sides) - sides.count(0) == wanted
    assert abs(sides.count(1) - sides.count(2)) <= 1
    assert made.held == [sides.count(0), sides.count(1), sides.count(2)]


def test_the_holdout_is_spread_over_the_whole_ingest() -> None:
    readings = [reading(f"/x/{n}.jpg", digest=str(n)) for n in range(4000)]
    _, places = place_all(readings, batch=200)
    drawn = [sum(place.holdout > 0 for place in places[start : start + 1000]) for start in range(0, 4000, 1000)]
    assert all(80 <= number <= 120 for number in drawn)


def test_a_later_ingest_fills_the_holdout_up_and_leaves_the_first_as_it_was() -> None:
    first = [reading(f"/x/{n}.jpg", digest=str(n)) for n in range(500)]
    _, places = place_all(first, batch=200)
    stored = [
        records.Image(id=n, path=r.found.name, digest=r.digest, group_id=p.group_id, holdout=p.holdout)
        for n, (r, p) in enumerate(zip(first, places, strict=True), start=1)
    ]
    again = grouping(1)
    again.recall(stored)
    more = [reading(f"/y/{n}.jpg", digest=f"y{n}") for n in range(1000)]
    more += [reading(f"/z/{n}.jpg", digest=str(n)) for n in range(500)]  # copies of the first
    later = []
    for part in cut(more, 200):
        later += again.place(part, to_come=len(more) - len(later) - len(part))
    assert later[1000:] == places
    assert sum(again.held[1:]) <= 400
    assert sum(place.holdout > 0 for place in later[:1000]) >= 150
    assert not {place.group_id for place in later[:1000]} & {place.group_id for place in places}


def test_bursts_are_chained_within_a_folder_only() -> None:
    times = [0.0, 2.5, 5.0, 20.0, 22.0, 60.0]
    readings = [reading(f"/a/{n}.jpg", digest=f"a{n}", taken_at=t) for n, t in enumerate(times)]
    readings += [reading("/b/0.jpg", digest="b0", taken_at=2.5), reading("/a/9.jpg", digest="a9")]
    _, places = place_all(readings, batch=3)
    assert [place.group_id for place in places] == [1, 1, 1, 2, 2, 3, 4, 5]


def test_images_between_two_groups_of_one_batch_join_them() -> None:
    times = [0.0, 5.0, 2.5]
    _, places = place_all([reading(f"/a/{n}.jpg", digest=f"a{n}", taken_at=t) for n, t in enumerate(times)], batch=3)
    assert len({place.group_id for place in places}) == 1


def test_an_image_between_groups_on_both_sides_goes_to_the_pool_and_is_counted() -> None:
    stored = [
        records.Image(id=1, path="/a/1.jpg", digest="1", group_id=1, holdout=2, taken_at=0.0),
        records.Image(id=2, path="/a/2.jpg", digest="2", group_id=2, holdout=0, taken_at=5.0),
    ]
    made = grouping()
    made.recall(stored)
    assert made.place([reading("/a/3.jpg", digest="3", taken_at=2.5)], to_come=0) == [ingest_groups.Place(2, 0)]
    assert made.straddling == 1


def test_hashes_alone_do_not_make_a_near_duplicate() -> None:
    close = ["f0f0f0f0f0f0f0f0", "f0f0f0f0f0f0f0f3"]
    same = [reading(f"/{n}.jpg", digest=str(n), phash=phash, picture=1) for n, phash in enumerate(close)]
    other = [reading(f"/{n}.jpg", digest=str(n), phash=phash, picture=n) for n, phash in enumerate(close)]
    far = [
        reading(f"/{n}.jpg", digest=str(n), phash=p, picture=1) for n, p in enumerate((close[0], "0ff0f0f0f0f0f0ff"))
    ]
    counts = [len({place.group_id for place in place_all(made, batch=2)[1]}) for made in (same, other, far)]
    assert counts == [1, 2, 2]


@pytest.mark.parametrize("value", [0, 1 << 63, 2**64 - 1])
def test_hashes_of_plain_images_say_nothing(value: int) -> None:
    plain = [reading(f"/{n}.jpg", digest=str(n), phash=f"{value:016x}", picture=1) for n in range(2)]
    assert len({place.group_id for place in place_all(plain, batch=2)[1]}) == 2


def photograph(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, size=(9, 12, 3), dtype=np.uint8))
    fine = rng.integers(-20, 20, size=(240, 320, 3))
    pixels = np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC)) + fine
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def save_copies(folder: Path, seed: int) -> None:
    """One photograph five times: as it is, copied, smaller, compressed harder, brighter."""
    image = photograph(seed)
    image.save(folder / f"{seed}-a.png")
    (folder / f"{seed}-b.png").write_bytes((folder / f"{seed}-a.png").read_bytes())
    image.resize((160, 120), Image.Resampling.LANCZOS).save(folder / f"{seed}-c.png")
    image.save(folder / f"{seed}-d.jpg", quality=35)
    ImageEnhance.Brightness(image).enhance(1.15).save(folder / f"{seed}-e.jpg", quality=90)


def test_copies_of_real_files_share_a_group_and_a_side_also_across_runs(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(30):
        save_copies(folder, seed)
    later = {path: path.read_bytes() for path in folder.glob("*-[de].jpg")}
    for path in later:
        path.unlink()
    db = database.open(tmp_path / "w" / "raum.db")
    assert ingest.ingest(db, folder, workspace=tmp_path / "w", now=1.0).added == 90
    for path, content in later.items():
        path.write_bytes(content)
    assert ingest.ingest(db, folder, workspace=tmp_path / "w", now=2.0).added == 60
    with db.read() as tx:
        groups: dict[str, set[tuple[int | None, int]]] = defaultdict(set)
        for image in images.all_ok(tx):
            groups[Path(image.path).name.split("-")[0]].add((image.group_id, image.holdout))
        held = sum(image.holdout > 0 for image in images.all_ok(tx))
    db.close()
    assert all(len(places) == 1 for places in groups.values())
    assert len(set.union(*groups.values())) == 30
    assert 10 <= held <= 30


def test_bursts_come_in_one_piece_whatever_the_order(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for burst in range(12):
        for shot in range(10):
            exif = Image.Exif()
            exif.get_ifd(0x8769)[0x9003] = f"2024:05:01 10:{burst:02d}:{shot * 2:02d}"
            small = photograph(burst * 10 + shot).resize((32, 24))
            out = io.BytesIO()
            small.save(out, "JPEG", exif=exif)
            (folder / f"IMG_{burst * 10 + shot:04d}.jpg").write_bytes(out.getvalue())
    db = database.open(tmp_path / "w" / "raum.db")
    report = ingest.ingest(db, folder, workspace=tmp_path / "w", now=1.0)
    with db.read() as tx:
        stored = images.all_ok(tx)
    db.close()
    places = {int(Path(image.path).stem[4:]) // 10: set() for image in stored}
    for image in stored:
        places[int(Path(image.path).stem[4:]) // 10].add((image.group_id, image.holdout))
    assert report.straddling == 0
    assert all(len(found) == 1 for found in places.values())
    assert sum(image.holdout > 0 for image in stored) in (10, 20)


def test_the_measured_rates_hold_on_real_photographs(tmp_path: Path, shared_data: Path) -> None:
    db = database.open(tmp_path / "raum.db")
    ingest.ingest(db, shared_data / "birds_unlabelled", workspace=tmp_path, now=1.0)
    with db.read() as tx:
        stored = images.all_ok(tx)
    db.close()
    assert len({image.group_id for image in stored}) >= len(stored) - 3


def test_what_is_stored_is_recalled_in_pieces_and_groups_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_groups, "RECALLED_AT_ONCE", 3)
    found = grouping()
    stored = [
        records.Image(
            id=number, path=f"{number}.jpg", digest=f"{number}", width=1, height=1, bytes=1, mtime_ns=1, phash=None,
            group_id=None if number == 2 else number // 2, holdout=number % 3, status="ok", problem=None,
            taken_at=None, added_at=1.0,
        )
        for number in range(1, 9)
    ]  # fmt: skip
    found.recall(iter(stored))
    assert found.groups == [0, 5, 1, 2, 2, 3, 3, 4], "who has no group gets a new one"
    assert found.held == [2, 3, 3]
    assert found.sides[5] == 2
