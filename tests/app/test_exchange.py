"""Exports: what was said comes out whole, safe to open, and only when it is complete."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from PIL import Image

from app import errors, ingest
from app.exchange import formats, imagefolder, labels_csv
from store import annotators, classes, database, images, labels, records
from store.database import Database

NOW = 1_700_000_000.25


@dataclass
class Said:
    """A workspace with images, and a short way to say something about them."""

    db: Database
    folder: Path
    ids: dict[str, int]
    count: int = 0

    def say(self, name: str, kind: str, class_name: str | None = None, **more: object) -> records.Event:
        self.count += 1
        with self.db.write(durable=True) as tx:
            known = classes.by_name(tx, class_name) if class_name else None
            class_id = (known or classes.add(tx, class_name, NOW)).id if class_name else None
            who = annotators.ensure(tx, str(more.pop("who", "Ann")), NOW).id
            event = records.NewEvent(
                uuid=f"u{self.count}", image_id=self.ids[name], annotator_id=who, kind=kind, class_id=class_id,
                **more,  # type: ignore[arg-type]
            )  # fmt: skip
            return labels.append(tx, event, NOW)[0]


@pytest.fixture
def said(tmp_path: Path) -> Iterator[Said]:
    folder = tmp_path / "pictures"
    for number, name in enumerate(("one.jpg", "two.jpg", "three.jpg", "sub/one.jpg", "=1+2.jpg", "open.jpg")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((24 + number, 24), 60).convert("RGB").save(folder / name)
    db = database.open(tmp_path / "w" / "raum.db")
    ingest.ingest(db, folder, workspace=tmp_path / "w", now=NOW)
    with db.read() as tx:
        ids = {str(Path(image.path).relative_to(folder)): image.id for image in images.all_ok(tx)}
    yield Said(db, folder, ids)
    db.close()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_gives_every_settled_image_with_the_answer_that_stands(said: Said, tmp_path: Path) -> None:
    said.say("one.jpg", "label", "Owl", who="Ben", suggestion_probability=0.5, shown_ms=812.0, input_mode="key")
    first = said.say("two.jpg", "label", "Owl")
    said.say("two.jpg", "label", "Crow")
    said.say("three.jpg", "reject", reason="bad_image", note="all black")
    taken = said.say("open.jpg", "label", "Owl")
    said.say("open.jpg", "retract", target_seq=taken.seq)
    target = tmp_path / "out" / "labels.csv"
    assert labels_csv.export(said.db, target) == {"labelled": 2, "rejected": 1}
    by_name = {Path(row["path"]).name: row for row in rows(target)}
    assert set(by_name) == {"one.jpg", "two.jpg", "three.jpg"}
    one = by_name["one.jpg"]
    assert (one["state"], one["class"], one["annotator"], one["source"]) == ("labelled", "Owl", "Ben", "page")
    assert (one["suggestion_probability"], one["answer_ms"], one["input_mode"]) == ("0.5", "812.0", "key")
    assert one["answered_at"] == "2023-11-14T22:13:20.250+00:00"
    assert by_name["two.jpg"]["class"] == "Crow"
    assert int(by_name["two.jpg"]["event"]) > first.seq
    three = by_name["three.jpg"]
    assert (three["state"], three["class"], three["reason"], three["note"]) == (
        "rejected",
        "",
        "bad_image",
        "all black",
    )
    assert [path.name for path in target.parent.iterdir()] == ["labels.csv"]


def test_classes_come_out_as_they_are_called_and_merged_today(said: Said, tmp_path: Path) -> None:
    said.say("one.jpg", "label", "Owl")
    said.say("two.jpg", "label", "Owlet")
    with said.db.write() as tx:
        owl, owlet = classes.by_name(tx, "Owl"), classes.by_name(tx, "Owlet")
        assert owl is not None
        assert owlet is not None
        classes.merge(tx, owlet.id, owl.id, now=3.0)
        classes.rename(tx, owl.id, "Tawny Owl", now=3.0)
    labels_csv.export(said.db, tmp_path / "labels.csv")
    assert {row["class"] for row in rows(tmp_path / "labels.csv")} == {"Tawny Owl"}
    imagefolder.export(said.db, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Tawny Owl"]


@pytest.mark.parametrize("text", ["=1+2", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")'])
def test_no_cell_is_taken_for_a_formula(said: Said, tmp_path: Path, text: str) -> None:
    assert labels_csv.safe(text) == f"'{text}"
    said.say("one.jpg", "label", text, who=text, note=text)
    labels_csv.export(said.db, tmp_path / "labels.csv")
    for row in rows(tmp_path / "labels.csv"):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


@hypothesis.given(st.text(alphabet="'=+-@\t\r\n＝ab,\"", max_size=8))
def test_what_is_read_back_is_what_was_said(text: str) -> None:
    made = io.StringIO()
    csv.writer(made).writerow([labels_csv.safe(text), "end"])
    ((cell, _),) = csv.reader(io.StringIO(made.getvalue(), newline=""))
    assert labels_csv.as_said(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))


def test_ordinary_cells_are_left_alone() -> None:
    assert [labels_csv.safe(cell) for cell in ("Owl", "a=b", "", -1.5, None)] == ["Owl", "a=b", "", -1.5, None]


def test_the_download_is_the_file(said: Said, tmp_path: Path) -> None:
    said.say("one.jpg", "label", 'O"w,l\n')
    labels_csv.export(said.db, tmp_path / "labels.csv")
    assert "".join(labels_csv.lines(said.db)).encode() == (tmp_path / "labels.csv").read_bytes()
    assert next(csv.DictReader(io.StringIO("".join(labels_csv.lines(said.db)))))["class"] == 'O"w,l'


def test_an_older_csv_is_replaced_and_stays_when_writing_fails(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said.say("one.jpg", "label", "Owl")
    target = tmp_path / "labels.csv"
    target.write_text("old", encoding="utf-8")

    def broken(answer: object) -> list[labels_csv.Cell]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(labels_csv, "cells", broken)
        with pytest.raises(OSError, match="No space"):
            labels_csv.export(said.db, target)
    assert target.read_text(encoding="utf-8") == "old"
    assert not list(tmp_path.glob(".labels.csv*"))
    labels_csv.export(said.db, target)
    assert len(rows(target)) == 1


def test_imagefolder_round_trip(said: Said, tmp_path: Path) -> None:
    for name, class_name in (("one.jpg", "Owl"), ("sub/one.jpg", "Owl"), ("two.jpg", "Crow")):
        said.say(name, "label", class_name)
    said.say("three.jpg", "reject", reason="bad_image")
    said.say("=1+2.jpg", "reject")
    done = imagefolder.export(said.db, tmp_path / "out")
    assert (done.labelled, done.rejected, done.missing) == (3, 2, [])
    copied = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*.jpg")}
    twin = f"one-{said.ids['sub/one.jpg']}.jpg", f"one-{said.ids['one.jpg']}.jpg"
    assert {"Owl/one.jpg", "Crow/two.jpg", "_rejected/bad_image/three.jpg"} <= set(copied)
    assert "_rejected/no reason/=1+2.jpg" in copied
    assert len({f"Owl/{name}" for name in twin} & set(copied)) == 1
    assert copied["Crow/two.jpg"].read_bytes() == (said.folder / "two.jpg").read_bytes()
    again = database.open(tmp_path / "w2" / "raum.db")
    report = ingest.ingest(again, tmp_path / "out", workspace=tmp_path / "w2", now=NOW, labels_from_folders=True)
    again.close()
    assert (report.classes, report.labels, report.unmatched) == (["Crow", "Owl"], 3, ["_rejected"])


def test_hard_links_share_the_file(said: Said, tmp_path: Path) -> None:
    said.say("one.jpg", "label", "Owl")
    done = imagefolder.export(said.db, tmp_path / "out", link=True)
    assert done.linked == 1
    assert (tmp_path / "out" / "Owl" / "one.jpg").samefile(said.folder / "one.jpg")


def test_a_file_that_is_gone_or_became_a_link_is_named_and_stops_nobody(said: Said, tmp_path: Path) -> None:
    for name in ("one.jpg", "two.jpg", "three.jpg"):
        said.say(name, "label", "Owl")
    (said.folder / "one.jpg").unlink()
    (said.folder / "two.jpg").unlink()
    (said.folder / "two.jpg").symlink_to("/etc/hostname")
    done = imagefolder.export(said.db, tmp_path / "out")
    assert sorted(done.missing) == sorted(str(said.folder / name) for name in ("one.jpg", "two.jpg"))
    assert (done.labelled, [path.name for path in (tmp_path / "out" / "Owl").iterdir()]) == (1, ["three.jpg"])


def test_a_folder_with_something_in_it_is_refused_and_a_failed_export_leaves_none(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said.say("one.jpg", "label", "Owl")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(errors.BadRequest, match="there already"):
        imagefolder.export(said.db, tmp_path / "out")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(imagefolder.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        imagefolder.export(said.db, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pictures", "w"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("House Sparrow", "House Sparrow"), ("../../etc", "class etc"), ("a/b\\c:d", "a_b_c_d"), ("..", "class"),
        ("CON", "class CON"), ("nul.txt", "class nul.txt"), ("_rejected", "class rejected"), ("dot. ", "dot"),
        ("\u202eabc\n", "class abc_"), ("Чиж", "Чиж"), (".hidden", "class hidden"),
    ],
)  # fmt: skip
def test_class_names_become_names_of_folders_anywhere(name: str, folder: str) -> None:
    assert imagefolder.safe_name(name) == folder


def test_names_that_fall_together_stay_apart_and_long_ones_are_cut(said: Said, tmp_path: Path) -> None:
    said.say("one.jpg", "label", "a/b")
    said.say("two.jpg", "label", "A:b")
    said.say("three.jpg", "label", "ж" * 200)
    imagefolder.export(said.db, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names in (["A_b", "a_b (2)", "ж" * 60], ["A_b (2)", "a_b", "ж" * 60])


def test_formats_by_name(said: Said, tmp_path: Path) -> None:
    said.say("one.jpg", "label", "Owl")
    assert "1 labelled and 0 rejected" in formats.export(said.db, tmp_path / "x.csv", name="csv")
    assert "1 labelled and 0 rejected" in formats.export(said.db, tmp_path / "x", name="imagefolder")
    with pytest.raises(errors.BadRequest, match="coco, croissant, csv, events, fiftyone"):
        formats.export(said.db, tmp_path / "y", name="xml")


def test_an_export_of_nothing_is_an_empty_table(said: Said, tmp_path: Path) -> None:
    labels_csv.export(said.db, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text(encoding="utf-8").strip() == ",".join(labels_csv.COLUMNS)
    assert imagefolder.export(said.db, tmp_path / "x").labelled == 0
