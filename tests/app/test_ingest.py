"""Ingest: every file kind, every fault, re-runs, classes and labels that come with a folder."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import ingest, ingest_files
from store import annotators, classes, database, images, labels, records
from store.database import Database

NOW = 1_700_000_000.0


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = database.open(tmp_path / "workspace" / "raum.db")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    return made


def picture(seed: int, *, width: int = 96, height: int = 64, mode: str = "RGB") -> Image.Image:
    """A picture that looks like no other: coarse random colours."""
    rng = np.random.default_rng(seed)
    cells = Image.fromarray(rng.integers(0, 256, size=(8, 12, 3), dtype=np.uint8))
    return cells.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def take_in(db: Database, folder: Path, **options: object) -> ingest.IngestReport:
    workspace = db.path.parent if db.path is not None else folder
    return ingest.ingest(db, folder, workspace=workspace, now=NOW, **options)  # type: ignore[arg-type]


def stored(db: Database) -> dict[str, records.Image]:
    """Usable images by file name."""
    with db.read() as tx:
        return {Path(image.path).name: image for image in images.all_ok(tx)}


def quarantined(db: Database) -> dict[str, str]:
    """Problems by file name."""
    with db.read() as tx:
        return {os.path.basename(image.path): image.problem or "" for image in images.quarantined(tx)}


def thumbnail(db: Database, image: records.Image) -> Image.Image:
    assert db.path is not None
    return Image.open(ingest.thumbnail_path(db.path.parent, image.id))


def save_each_kind(folder: Path) -> None:
    picture(1).save(folder / "plain.jpg")
    picture(2, mode="CMYK").save(folder / "cmyk.JPEG")
    picture(3, mode="L").save(folder / "grey.png")
    picture(4, mode="RGBA").save(folder / "alpha.png")
    picture(5, mode="P").save(folder / "palette.png")
    deep = np.asarray(picture(6, mode="L"), dtype=np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep).save(folder / "deep.tif")
    picture(7).save(folder / "lossless.webp", lossless=True)
    picture(8).save(folder / "bitmap.bmp")
    picture(9).save(folder / "scan.TIFF")
    picture(10).save(folder / "moving.gif", save_all=True, append_images=[picture(11)])
    picture(12, mode="1").save(folder / "ink.png")
    (folder / "a" / "b").mkdir(parents=True)
    picture(13).save(folder / "a" / "b" / "nested.jpg")


def test_every_kind_is_read_with_size_digest_hash_and_thumbnail(db: Database, folder: Path) -> None:
    save_each_kind(folder)
    report = take_in(db, folder)
    assert quarantined(db) == {}
    assert report.added == report.found == 13
    for name, image in stored(db).items():
        assert (image.width, image.height) == (96, 64), name
        assert image.digest is not None
        assert len(image.digest) == 64
        assert image.phash is not None
        assert len(image.phash) == 16
        with thumbnail(db, image) as small:
            assert (small.size, small.mode, small.format) == ((96, 64), "RGB", "JPEG"), name


def test_a_moving_image_gives_its_first_frame(db: Database, folder: Path) -> None:
    red, blue = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue"))
    red.save(folder / "moving.gif", save_all=True, append_images=[blue])
    take_in(db, folder)
    with thumbnail(db, stored(db)["moving.gif"]) as small:
        pixel = small.getpixel((20, 20))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 200
    assert pixel[2] < 60


def test_exif_orientation_turns_size_and_thumbnail(db: Database, folder: Path) -> None:
    sideways = Image.new("RGB", (80, 40), "white")
    sideways.paste("red", (0, 0, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter: what is left in the file is on top
    sideways.save(folder / "turned.jpg", exif=exif, quality=95)
    take_in(db, folder)
    image = stored(db)["turned.jpg"]
    assert (image.width, image.height) == (40, 80)
    with thumbnail(db, image) as small:
        assert small.size == (40, 80)
        top, bottom = small.getpixel((20, 5)), small.getpixel((20, 75))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[1] < 80
    assert bottom[1] > 200


def test_exif_time_is_kept(db: Database, folder: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2001:09:09 01:46:40"
    exif.get_ifd(0x8769)[0x9291] = "25"
    picture(1).save(folder / "timed.jpg", exif=exif)
    picture(2).save(folder / "untimed.jpg")
    take_in(db, folder)
    assert stored(db)["timed.jpg"].taken_at == pytest.approx(1_000_000_000.25)
    assert stored(db)["untimed.jpg"].taken_at is None


def test_a_large_photograph_gets_a_small_thumbnail(db: Database, folder: Path) -> None:
    picture(1, width=1600, height=1200).save(folder / "large.jpg")
    take_in(db, folder)
    with thumbnail(db, stored(db)["large.jpg"]) as small:
        assert small.size == (256, 192)


def png_that_says(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims a huge size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def save_faults(folder: Path) -> None:
    whole = io.BytesIO()
    picture(1, width=300, height=300).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    png = io.BytesIO()
    picture(2, width=300, height=300).save(png, "PNG")
    (folder / "cut.png").write_bytes(png.getvalue()[: len(png.getvalue()) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image at all", encoding="utf-8")
    (folder / "bomb.png").write_bytes(png_that_says(20_000, 20_000))
    (folder / "vast.png").write_bytes(png_that_says(2_000_000_000, 2_000_000_000))
    (folder / "drawing.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", encoding="utf-8")


def test_what_cannot_be_read_is_quarantined_by_name_and_stops_nobody(db: Database, folder: Path) -> None:
    save_faults(folder)
    for number in range(5):
        picture(100 + number).save(folder / f"good{number}.jpg")
    report = take_in(db, folder)
    problems = quarantined(db)
    assert set(problems) == {"cut.jpg", "cut.png", "empty.jpg", "text.jpg", "bomb.png", "vast.png", "drawing.png"}
    assert all(problems.values())
    assert "0 bytes" in problems["empty.jpg"]
    assert "400 megapixels" in problems["bomb.png"]
    assert (report.added, report.quarantined) == (5, 7)
    assert len(stored(db)) == 5


def test_the_pixel_limit_is_a_setting(db: Database, folder: Path) -> None:
    picture(1, width=200, height=100).save(folder / "small.png")
    picture(2, width=201, height=100).save(folder / "over.png")
    take_in(db, folder, max_megapixels=0.02)
    assert list(stored(db)) == ["small.png"]
    assert list(quarantined(db)) == ["over.png"]


def test_a_name_that_is_no_utf8_is_quarantined(db: Database, folder: Path) -> None:
    picture(1).save(folder / "fine.jpg")
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes((folder / "fine.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    take_in(db, folder)
    assert list(quarantined(db)) == ["caf\\xe9.jpg"]
    assert take_in(db, folder).known == 2


def test_odd_names_are_taken_as_they_are(db: Database, folder: Path) -> None:
    names = ["it's.jpg", 'say "hi".jpg', "two\nlines.jpg", "<b>bold.jpg", "שלום.jpg", "=1+1.jpg", "100%.jpg"]
    for number, name in enumerate(names):
        picture(number).save(folder / name)
    take_in(db, folder)
    assert sorted(stored(db)) == sorted(names)


def test_links_hidden_files_other_files_and_the_workspace_are_passed_over(db: Database, folder: Path) -> None:
    picture(1).save(folder / "real.jpg")
    picture(2).save(folder / ".hidden.jpg")
    (folder / ".git").mkdir()
    picture(3).save(folder / ".git" / "inside.jpg")
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    outside = folder.parent / "outside"
    outside.mkdir()
    picture(4).save(outside / "secret.jpg")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "out").symlink_to(outside, target_is_directory=True)
    (folder / "secret.jpg").symlink_to(outside / "secret.jpg")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "there.jpg").symlink_to("back.jpg")
    (folder / "back.jpg").symlink_to("there.jpg")
    report = take_in(db, folder)
    assert list(stored(db)) == ["real.jpg"]
    assert report.links == 6
    picture(5).save(db.path.parent / "own.jpg") if db.path else None
    assert take_in(db, folder.parent).added == 1  # only outside/secret.jpg: not what lies in the workspace
    assert "own.jpg" not in stored(db)


def test_running_again_adds_only_what_is_new_and_keeps_ids(db: Database, folder: Path) -> None:
    for number in range(6):
        picture(number).save(folder / f"{number}.jpg")
    (folder / "bad.jpg").write_bytes(b"x")
    take_in(db, folder)
    before = stored(db)
    picture(50).save(folder / "later.jpg")
    report = take_in(db, folder)
    after = stored(db)
    assert (report.added, report.known, report.quarantined) == (1, 7, 0)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"later.jpg"}


def test_a_known_image_whose_file_became_another_is_reported(db: Database, folder: Path) -> None:
    for number in range(3):
        picture(number).save(folder / f"{number}.jpg")
    take_in(db, folder)
    os.utime(folder / "0.jpg", ns=(1, 1))  # only touched
    picture(9).save(folder / "1.jpg")
    report = take_in(db, folder)
    assert report.changed == [str(folder / "1.jpg")]
    assert report.added == 0


def test_labelling_can_start_after_the_first_batch_and_progress_grows(db: Database, folder: Path) -> None:
    for number in range(60):
        picture(number, width=24, height=16).save(folder / f"{number}.png")
    seen: list[tuple[float, int]] = []
    take_in(db, folder, progress=lambda fraction, message: seen.append((fraction, len(stored(db)))))
    assert seen == [(0.8, 48), (1.0, 60)]


def test_stopping_keeps_what_was_read_and_the_next_run_takes_the_rest(db: Database, folder: Path) -> None:
    for number in range(60):
        picture(number, width=24, height=16).save(folder / f"{number}.png")
    report = take_in(db, folder, stop=lambda: True)
    assert report.stopped
    assert report.added == len(stored(db)) == 48
    assert take_in(db, folder).added == 12
    assert db.path is not None
    assert not (db.path.parent / "thumbnails" / "new").exists()


def test_the_first_batch_is_drawn_from_all_folders(db: Database, folder: Path) -> None:
    for top in range(4):
        (folder / str(top)).mkdir()
        for number in range(30):
            picture(top * 30 + number, width=24, height=16).save(folder / str(top) / f"{number}.png")
    take_in(db, folder, stop=lambda: True)
    with db.read() as tx:
        tops = [Path(image.path).parent.name for image in images.all_ok(tx)]
    assert {tops.count(str(top)) for top in range(4)} <= set(range(4, 25))


def test_same_seed_same_holdout(tmp_path: Path, folder: Path) -> None:
    for number in range(40):
        picture(number, width=24, height=16).save(folder / f"{number}.png")
    sides = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        opened = database.open(tmp_path / name / "raum.db")
        take_in(opened, folder, seed=seed)
        sides.append({name: image.holdout for name, image in stored(opened).items()})
        opened.close()
    assert sides[0] == sides[1]
    assert sides[0] != sides[2]


def image_folder(folder: Path) -> None:
    for top in ("owl", "Crow"):
        (folder / top).mkdir()
        for number in range(4):
            picture(len(top) * 10 + number).save(folder / top / f"{number}.jpg")


def test_folder_names_become_classes_and_only_when_asked_labels(db: Database, folder: Path) -> None:
    image_folder(folder)
    assert take_in(db, folder).classes == ["Crow", "owl"]
    with db.read() as tx:
        assert labels.settled(tx) == []
    report = take_in(db, folder, labels_from_folders=True)
    assert (report.labels, report.classes) == (8, [])
    with db.read() as tx:
        names = {label_class.id: label_class.name for label_class in classes.all_(tx)}
        for settled in labels.settled(tx):
            assert Path(images.get(tx, settled.image_id).path).parent.name == names[settled.class_id or 0]
            assert settled.source == "import"
    assert take_in(db, folder, labels_from_folders=True).labels == 0


def test_labels_come_with_new_images_and_never_over_an_answer(db: Database, folder: Path) -> None:
    image_folder(folder)
    take_in(db, folder)
    some = next(iter(stored(db).values()))
    with db.write(durable=True) as tx:
        person = annotators.ensure(tx, "Ann", NOW)
        event = records.NewEvent(uuid="u", image_id=some.id, annotator_id=person.id, kind="reject", reason="bad_image")
        labels.append(tx, event, NOW)
    picture(77).save(folder / "owl" / "new.jpg")
    assert take_in(db, folder, labels_from_folders=True).labels == 8  # 7 open ones and the new one
    with db.read() as tx:
        assert labels.state(tx, some.id).kind == "reject"


def test_folders_that_name_no_class_of_the_list_are_reported_and_not_labelled(db: Database, folder: Path) -> None:
    image_folder(folder)
    report = take_in(db, folder, class_names=["Owl"], labels_from_folders=True)
    assert (report.classes, report.labels, report.unmatched) == (["Owl"], 4, ["Crow"])


def test_class_names_from_a_file(db: Database, folder: Path) -> None:
    picture(1).save(folder / "x.jpg")
    listed = folder / "names.txt"
    listed.write_text("\ufeff# my birds\n  House Sparrow \n\nTree Sparrow\n=cmd\n", encoding="utf-8")
    assert take_in(db, folder, classes_file=listed).classes == ["House Sparrow", "Tree Sparrow", "=cmd"]
    assert take_in(db, folder, classes_file=listed).classes == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"Owl\nCrow\nowl \n", "line 3"), (b"# nothing\n\n", "no class names"), (b"caf\xe9\n", "UTF-8")],
)
def test_a_class_list_that_cannot_be_used_is_refused_before_anything_is_read(
    db: Database, folder: Path, content: bytes, complaint: str
) -> None:
    picture(1).save(folder / "x.jpg")
    (folder / "names.txt").write_bytes(content)
    with pytest.raises(ingest.IngestError, match=complaint):
        take_in(db, folder, classes_file=folder / "names.txt")
    assert stored(db) == {}


def test_folders_that_hold_nothing_are_refused_by_name(db: Database, folder: Path) -> None:
    with pytest.raises(ingest.IngestError, match="there is no folder"):
        take_in(db, folder / "missing")
    with pytest.raises(ingest.IngestError, match=r"no JPEG.* images"):
        take_in(db, folder)
    picture(1).save(folder / "x.jpg")
    with pytest.raises(ingest.IngestError, match="is a file"):
        take_in(db, folder / "x.jpg")
    with pytest.raises(ingest.IngestError, match="one folder per class"):
        take_in(db, folder, labels_from_folders=True)


def test_a_folder_that_is_a_link_to_itself_is_refused_in_a_sentence(db: Database, folder: Path) -> None:
    (folder / "round").symlink_to("round", target_is_directory=True)
    with pytest.raises(ingest.IngestError, match=r"there is no folder .*round"):
        take_in(db, folder / "round")


def test_a_killed_ingest_leaves_nothing_that_the_next_one_minds(db: Database, folder: Path) -> None:
    picture(1).save(folder / "x.jpg")
    assert db.path is not None
    left = db.path.parent / "thumbnails" / "new"
    left.mkdir(parents=True)
    (left / "0.jpg").write_bytes(b"half a thumb")
    take_in(db, folder)
    with thumbnail(db, stored(db)["x.jpg"]) as small:
        small.load()


def test_many_files_in_one_folder_are_listed_fast(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number:06d}.jpg").touch()
    told: list[int] = []
    walk = ingest_files.walk(tmp_path, tell=told.append)
    assert len(walk.files) == 3000
    assert told == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_files, "TELL_EVERY", 1000)
        ingest_files.walk(tmp_path, tell=told.append)
    assert told == [1000, 2000, 3000]
    assert [file.name for file in walk.files] == sorted(file.name for file in walk.files)


def test_real_photographs_come_in_whole(db: Database, shared_data: Path) -> None:
    report = take_in(db, shared_data / "birds" / "Bobolink", class_names=["Bobolink"])
    assert report.quarantined == 0
    assert report.added == len(list((shared_data / "birds" / "Bobolink").glob("*.jpg")))
