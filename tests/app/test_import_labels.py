"""Importing labels: everything a file holds or nothing, whatever is in it, and nothing that people said is overwritten."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from app import errors, import_steps, importing, settings, snapshot
from app.exchange import formats, labels_csv
from store import annotators, classes, database, images, label_batches, labels, records

NOW = 1_700_000_000.0
NAMES = [
    "one.jpg",
    "two.jpg",
    "sub/one.jpg",
    "sub/three.jpg",
    "deep/a/b/c/d/four.jpg",
    "=1+2.jpg",
    'q"u,o;t\ne.jpg',
    "שלום.jpg",
]
HOSTILE = ["=1+1", "-x", 'say "hi"', "a,b;c", "'quoted'", "'=x", "عربي", "<b>", "+49", "@home", "=SUM(A1)\u00a0"]
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class World:
    """A workspace of rows without pixels, and short words for what is done to it."""

    settings: settings.Settings
    db: database.Database
    ids: dict[str, int] = field(default_factory=dict)
    said: int = 0

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.settings.workspace / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run(self, path: Path, **options: object) -> list[str]:
        return importing.run(self.settings, importing.Asked(path, **options), now=NOW)  # type: ignore[arg-type]

    def refused(self, text: str | bytes, **options: object) -> str:
        before = self.events()
        with pytest.raises(errors.AppError) as refusal:
            self.run(self.file("bad", text), **options)
        assert self.events() == before
        assert not list((self.settings.workspace / "imports").glob("*"))
        return str(refusal.value)

    def say(self, name: str, class_name: str, who: str = "Ann") -> records.Event:
        self.said += 1
        with self.db.write() as tx:
            known = classes.by_name(tx, class_name)
            new = records.NewEvent(
                uuid=f"u{self.said}", image_id=self.ids[name], annotator_id=annotators.ensure(tx, who, NOW).id,
                kind="label", class_id=known.id if known else classes.add(tx, class_name, NOW).id,
            )  # fmt: skip
            return labels.append(tx, new, NOW)[0]

    def events(self) -> list[records.Event]:
        with self.db.read() as tx:
            return list(labels.all_events(tx))

    def labelled(self) -> dict[str, str | None]:
        """Image -> class that counts now, None for a reject; the states are the fold of the events."""
        with self.db.read() as tx:
            assert labels.wrong_states(tx)[0] == []
            names = {each.id: each.name for each in classes.ever(tx)}
            paths = {image_id: name for name, image_id in self.ids.items()}
            return {
                paths[each.image_id]: None if each.class_id is None else names[each.class_id]
                for each in labels.settled(tx)
            }


def make(folder: Path, template: Path, names: list[str], class_names: list[str], root: str = "/pool") -> World:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, folder / "raum.db")
    world = World(settings.load(folder), database.open(folder / "raum.db"))
    rows = [
        records.NewImage(
            path=f"{root}/{name}", digest=hashlib.sha256(name.encode()).hexdigest(), holdout=int(name == "two.jpg")
        )
        for name in names
    ]
    with world.db.write() as tx:
        world.ids = dict(zip(names, images.add_many(tx, rows), strict=True))
        for name in class_names:
            classes.add(tx, name, NOW)
    return world


@pytest.fixture
def world(tmp_path: Path, template: Path) -> Iterator[World]:
    made = make(tmp_path / "w", template, NAMES, ["owl", "crow"])
    yield made
    made.db.close()


@pytest.fixture
def other(tmp_path: Path, template: Path) -> Iterator[World]:
    """The same pictures in other places under other ids, and none of the classes."""
    made = make(tmp_path / "other", template, [*reversed(NAMES)], [], root="/elsewhere/files")
    yield made
    made.db.close()


def test_a_plain_csv_in_any_order_with_the_usual_names(world: World) -> None:
    told = world.run(
        world.file("l.csv", "\ufeffLabel;Filename\nOwl;two.jpg\r\ncrow;./sub/one.jpg\n\nowl;/pool/one.jpg\n")
    )
    assert world.labelled() == {"two.jpg": "owl", "sub/one.jpg": "crow", "one.jpg": "owl"}
    assert told[0] == "3 answers added (owl 2, crow 1)"
    assert told[1].startswith("1 of them are of holdout images")
    with world.db.read() as tx:
        taken = snapshot.take(tx, holdout=images.holdout(tx), now=NOW)
    assert list(taken.holdout_labels) == [world.ids["two.jpg"]]
    assert world.ids["two.jpg"] not in taken.labelled
    assert {event.source for event in world.events()} == {"import"}


@pytest.mark.parametrize(
    "written", ["deep/a/b/c/d/four.jpg", "four.jpg", "d/four.jpg", "pool/deep/a/b/c/d/four.jpg", "a\\b\\c\\d\\four.jpg"]
)
def test_an_image_is_found_by_any_end_of_its_path(world: World, written: str) -> None:
    world.run(world.file("l.csv", f"path\tclass\n{written}\towl\n"))
    assert world.labelled() == {"deep/a/b/c/d/four.jpg": "owl"}


def test_a_name_that_two_images_share_is_the_path_in_the_folder_or_an_error(world: World) -> None:
    world.run(world.file("l.csv", "path,class\none.jpg,owl\n"))
    assert world.labelled() == {"one.jpg": "owl"}
    with world.db.write() as tx:
        images.add_many(tx, [records.NewImage(path="/pool/x/same.jpg"), records.NewImage(path="/pool/y/same.jpg")])
    told = world.refused("path,class\nsame.jpg,owl\nz/b/c/d/e/same.jpg,owl\n/else/x/two.jpg,owl\n")
    assert "line 2: 'same.jpg' may be any of 'x/same.jpg', 'y/same.jpg'" in told
    assert "line 3: 'z/b/c/d/e/same.jpg' is no image here" in told
    assert "line 4: '/else/x/two.jpg' is no image here: the file name is that of 'two.jpg'" in told


def test_a_moved_file_is_found_by_its_digest_and_another_file_in_its_place_is_refused(world: World) -> None:
    digest = hashlib.sha256(b"two.jpg").hexdigest()
    world.run(world.file("l.csv", f"path,digest,class\nmoved/away.jpg,{digest},owl\n"))
    assert world.labelled() == {"two.jpg": "owl"}
    assert "has another content here" in world.refused(f"path,digest,class\none.jpg,{'0' * 64},owl\n")


def told_of(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return sorted((row["class"], row["annotator"]) for row in csv.DictReader(file))


def test_what_the_csv_export_wrote_comes_back_whatever_the_names(world: World, other: World, tmp_path: Path) -> None:
    given = dict(zip(NAMES, HOSTILE, strict=False))
    for name, class_name in given.items():
        world.say(name, class_name)
    expected = world.labelled()
    assert set(expected) == set(given)
    formats.export(world.db, tmp_path / "out.csv", name="csv")
    assert "unknown class" in other.refused((tmp_path / "out.csv").read_bytes())
    told = other.run(tmp_path / "out.csv", add_classes=True, annotators=True)
    assert other.labelled() == expected
    assert told[0].startswith(f"{len(given)} answers added")
    with other.db.read() as tx:
        assert annotators.by_name(tx, "Ann") is not None
    formats.export(other.db, tmp_path / "again.csv", name="csv")
    kept = [told_of(tmp_path / name) for name in ("out.csv", "again.csv")]
    assert kept[0] == kept[1]


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Zl", "Zp")), min_size=1, max_size=12))
def test_any_cell_that_the_export_writes_is_read_as_it_was(text: str) -> None:
    assert labels_csv.as_said(str(labels_csv.safe(text))) == text


def test_rejects_reasons_times_and_people_come_along(world: World) -> None:
    text = (
        "path,class,reason,annotator,answered_at,note\n"
        "one.jpg,owl,,Ben,2023-05-01T10:00:00+00:00,dark\ntwo.jpg,,bad_image,Ann,1690000000.5,\n"
    )
    world.run(world.file("l.csv", text), annotators=True)
    assert world.labelled() == {"one.jpg": "owl", "two.jpg": None}
    one, two = world.events()
    assert (one.note, one.client_at, two.reason, two.client_at) == ("dark", 1682935200.0, "bad_image", 1690000000.5)
    with world.db.read() as tx:
        assert [person.name for person in annotators.all_(tx)][-2:] == ["Ben", "Ann"]


def test_json_lines(world: World) -> None:
    text = '{"path": "one.jpg", "class": "owl", "time": 1690000000}\n\n{"digest": null, "file": "two.jpg", "state": "rejected"}\n'
    world.run(world.file("l.jsonl", text), format="jsonl")
    assert world.labelled() == {"one.jpg": "owl", "two.jpg": None}


def test_an_event_log_of_another_workspace_comes_whole_with_its_people_and_what_they_took_back(
    world: World, other: World, tmp_path: Path
) -> None:
    def append(name: str, kind: str, who: str, class_name: str | None = None, **more: object) -> records.Event:
        with world.db.write() as tx:
            known = classes.by_name(tx, class_name) if class_name else None
            new = records.NewEvent(
                uuid=str(uuid.uuid4()), image_id=world.ids[name], annotator_id=annotators.ensure(tx, who, NOW).id, kind=kind,
                class_id=known.id if known else None, **more,  # type: ignore[arg-type]
            )  # fmt: skip
            return labels.append(tx, new, NOW)[0]

    append("one.jpg", "label", "Ann", "owl")
    append("one.jpg", "label", "Ben", "crow")
    taken = append("two.jpg", "label", "Ann", "crow")
    append("two.jpg", "retract", "Ann", target_seq=taken.seq)
    append("sub/one.jpg", "reject", "Ben", reason="other")
    append("sub/one.jpg", "flag", "Ann")
    with world.db.write() as tx:
        ben = annotators.ensure(tx, "Ben", NOW).id
    append("sub/three.jpg", "skip", "Ann", asked_id=ben, note="an owl?")
    append("=1+2.jpg", "label", "Ben", "owl")
    append("=1+2.jpg", "review", "Cy", "crow")
    log = tmp_path / "log.jsonl"
    formats.export(world.db, log, name="events")
    other.run(log, format="events", add_classes=True, annotators=True)
    assert other.labelled() == world.labelled() == {"one.jpg": "crow", "sub/one.jpg": None, "=1+2.jpg": "crow"}
    for db, ids in ((world.db, world.ids), (other.db, other.ids)):
        with db.read() as tx:
            assert labels.state(tx, ids["sub/one.jpg"]).flags == 1
            assert labels.state(tx, ids["sub/three.jpg"]).skips == 1
            assert len(labels.state(tx, ids["one.jpg"]).people) == 2
    with other.db.read() as tx:
        found = annotators.by_name(tx, "Ben")
        (passed,) = (each for each in labels.all_events(tx) if each.kind == "skip")
    assert found is not None
    assert (passed.asked_id, passed.note) == (found.id, "an owl?")
    count = len(other.events())
    assert "9 rows are there already" in other.run(log, format="events", annotators=True)
    assert "9 rows are there already" in world.run(log, format="events")  # its own log
    assert len(other.events()) == count
    importing.undo(other.settings, 1, now=NOW)
    assert other.labelled() == {}
    other.run(log, format="events", annotators=True)
    assert other.labelled() == world.labelled()
    assert "9 rows are there already" in other.run(log, format="events", annotators=True)
    lines = log.read_text().splitlines()
    first, second = (json.loads(line) for line in lines[:2])
    assert "does not stand before it" in other.refused("\n".join([lines[3], *lines[:3]]), format="events")
    twice = json.dumps(second | {"uuid": first["uuid"]})
    assert "its uuid is that of line 1" in other.refused(f"{lines[0]}\n{twice}", format="events")
    asks = json.dumps(first | {"asked": "Ben"})
    assert "only a skip passes an image" in other.refused(asks, format="events")
    old = {name: value for name, value in first.items() if name not in ("asked", "asked_id")}
    assert "1 rows are there already" in other.run(other.file("old.jsonl", json.dumps(old)), format="events")
    elsewhere = json.dumps(first | {"path": "two.jpg", "digest": None})
    assert "is another event here" in world.refused(elsewhere, format="events")


def test_what_people_said_is_kept_unless_asked_and_an_import_is_undone_as_a_whole(world: World) -> None:
    world.say("one.jpg", "crow")
    path = world.file("l.csv", "path,class\none.jpg,owl\ntwo.jpg,owl\n")
    told = world.run(path)
    assert "1 rows kept out: people answered those images here (--over people adds them as newer answers)" in told
    assert world.labelled() == {"one.jpg": "crow", "two.jpg": "owl"}
    told = world.run(path)
    assert told[:2] == ["nothing to add", "0 answers added"]
    world.run(path, over="people")
    assert world.labelled() == {"one.jpg": "owl", "two.jpg": "owl"}
    assert "1 answers were taken back" in importing.undo(world.settings, 2, now=NOW)[-1]
    assert world.labelled() == {"one.jpg": "crow", "two.jpg": "owl"}
    importing.undo(world.settings, 1, now=NOW)
    assert world.labelled() == {"one.jpg": "crow"}
    with pytest.raises(errors.BadRequest, match="taken back already"):
        importing.undo(world.settings, 1, now=NOW)
    with pytest.raises(errors.BadRequest, match="no such import"):
        importing.undo(world.settings, 9, now=NOW)
    world.run(path)
    assert world.labelled() == {"one.jpg": "crow", "two.jpg": "owl"}
    world.run(world.file("m.csv", "path,class\ntwo.jpg,crow\n"))
    assert world.labelled()["two.jpg"] == "crow"


def test_a_dry_run_says_the_same_and_leaves_every_byte(world: World) -> None:
    world.say("one.jpg", "crow")
    path = world.file("l.csv", "path,class\none.jpg,owl\ntwo.jpg,new\ntwo.jpg,new\n")
    world.db.checkpoint()
    before = (world.settings.database.read_bytes(), sorted(world.settings.workspace.iterdir()))
    told = world.run(path, dry_run=True, add_classes=True)
    assert (world.settings.database.read_bytes(), sorted(world.settings.workspace.iterdir())) == before
    done = world.run(path, add_classes=True)
    assert told[1:] == [done[0].replace("added", "would be added"), *done[1:-1]]
    assert "1 new classes: new" in done
    assert "1 rows say again what a line before them said" in done
    assert world.labelled() == {"one.jpg": "crow", "two.jpg": "new"}


BAD: list[tuple[str | bytes, str]] = [
    (b"", "line 1"),
    (b"path,class\n", "the file holds no rows"),
    (b"\xff\xfep\0a\0t\0h\0", "line 1: this is UTF-16"),
    (b"path,class\none.jpg,owl\ntwo.jpg,\xe9\n", "line 3: byte 9 is not UTF-8"),
    (b"path,class\none.jpg,o\0wl\n", "line 2: a NUL byte"),
    (b"\x89PNG\r\n\x1a\n\0\0\0", "is not UTF-8"),
    (b"x" * 2_000_000, "line 1: a line of more than"),
    ("image,klass\none.jpg,owl\n", "no column gives the class"),
    ("pth,class\none.jpg,owl\n", "did you mean 'path' by 'pth'?"),
    ("path,class,label\none.jpg,owl,owl\n", "'class' and 'label' both give the class"),
    ("path,class\none.jpg,owll\n", "line 2: 'owll' is no class here: did you mean 'owl'?"),
    ("path,class\nnone.jpg,owl\n", "line 2: 'none.jpg' is no image here"),
    ("path,class\none.jpg,owl\none.jpg,crow\n", "line 3: another answer for the image of line 2"),
    ("path,class\n,owl\n", "line 2: no image is named"),
    ("path,class\none.jpg,\n", "line 2: no class is named"),
    ("path,class\none.jpg\n", "line 2: 1 cells, the first line has 2"),
    ("path,class\none.jpg,owl,x\n", "line 2: 3 cells"),
    ('path,class\none.jpg,"owl\n', "line 2: no CSV from here on"),
    ("path,class\none.jpg," + "x" * 300 + "\n", "the class has 300 characters"),
    ("path,class\none.jpg," + "x" * 200_000 + "\n", "no CSV from here on: field larger"),
    ("path,class,reason\none.jpg,owl,bad_image\n", "a reason to reject beside class"),
    ("path,class,reason\none.jpg,,bad_imag\n", "did you mean 'bad_image'?"),
    ("path,class,state\none.jpg,owl,skip\n", "read an event log with --format events"),
    ("path,class,time\none.jpg,owl,nan\n", "'nan' is no time"),
    ("path,class,time\none.jpg,owl,yesterday\n", "'yesterday' is no time"),
    ("path,class,annotator\none.jpg,owl,a\x07\n", "annotator must be a name"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=[told for _, told in BAD])
def test_a_wrong_file_is_told_by_line_and_nothing_of_it_is_stored(world: World, text: str | bytes, told: str) -> None:
    assert told in world.refused(text, annotators=True)


BAD_JSON = [
    ('{"path": "one.jpg", "class": NaN}', "NaN is no value"),
    ('{"path": "one.jpg", "class": 3}', "write it as a text, in quotes"),
    ('{"path": "one.jpg", "clas": "owl"}', "did you mean 'class' by 'clas'?"),
    ('{"path": "one.jpg", "class": "o\\u0000wl"}', "the class holds a NUL character"),
    ('{"path": "one.jpg", "class": "\\ud800"}', "half a character"),
    ("[1]", "a list, not an object"),
    ("{", "no JSON"),
    ("[" * 100_000, "no JSON"),
    ('{"path": "one.jpg", "class": "owl", "time": ' + "9" * 5000 + "}", "no JSON"),
]


@pytest.mark.parametrize(("text", "told"), BAD_JSON, ids=[told + str(at) for at, (_, told) in enumerate(BAD_JSON)])
def test_wrong_json_is_told_by_line(world: World, text: str, told: str) -> None:
    refusal = world.refused('{"path": "two.jpg", "class": "owl"}\n' + text, format="jsonl")
    assert "line 2: " in refusal
    assert told in refusal


def test_the_first_twenty_problems_are_told_and_all_are_counted(world: World) -> None:
    told = world.refused("path,class\n" + "one.jpg,owll\n" * 30 + "no.jpg,owl\n" * 5)
    assert told.count("line ") == 20
    assert "... and 15 more" in told
    assert "problems: 30 unknown class, 5 unknown image" in told


def test_a_folder_a_pipe_a_missing_file_and_a_missing_workspace_are_refused(world: World, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, told in ((tmp_path, "is a folder"), (tmp_path / "pipe", "is a pipe"), (tmp_path / "no", "No such file")):
        with pytest.raises(errors.BadRequest, match=told):
            world.run(path)
    with pytest.raises(errors.BadRequest, match="no import format 'xml': choose coco, croissant, csv"):
        world.run(world.file("l", "x"), format="xml")
    with pytest.raises(errors.BadRequest, match="there is no workspace"):
        importing.run(settings.load(tmp_path / "none"), importing.Asked(world.file("l", "x")), now=NOW)
    assert not (tmp_path / "none").exists()


def test_the_models_rows_of_a_certified_export_are_nobodys_labels(world: World) -> None:
    told = world.run(world.file("l.csv", "path,class,source\none.jpg,owl,person\ntwo.jpg,owl,model\n"))
    assert "1 rows only a model answered: passed over" in told
    assert world.labelled() == {"one.jpg": "owl"}


CELLS = st.one_of(
    st.sampled_from(
        ["one.jpg", "two.jpg", "owl", "crow", "path", "class", "bad_image", "label", "", "'", '"', ",", "\n", ";"]
    ),
    st.text(max_size=6),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[World]:
    made = make(tmp_path_factory.mktemp("fuzz") / "w", template, NAMES, ["owl", "crow"])
    yield made
    made.db.close()


@hypothesis.settings(max_examples=120, deadline=None)
@hypothesis.given(
    st.sampled_from(["csv", "jsonl", "events"]),
    st.one_of(
        st.binary(max_size=60),
        st.lists(CELLS, max_size=12).map(
            lambda cells: ("path,class\n" + ",".join(cells)).encode("utf-8", "surrogatepass")
        ),
        st.lists(
            st.dictionaries(
                st.sampled_from(
                    ["path", "class", "reason", "kind", "seq", "uuid", "target_seq", "received_at", "digest"]
                ),
                st.one_of(CELLS, st.integers(-1, 3), st.floats(), st.none(), st.lists(st.integers(), max_size=1)),
            ),
            max_size=4,
        ).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    ),
)
def test_whatever_a_file_holds_it_is_taken_whole_or_refused_in_words(fuzzed: World, name: str, content: bytes) -> None:
    before, refused = len(fuzzed.events()), False
    try:
        fuzzed.run(fuzzed.file("any", content), format=name, add_classes=True, annotators=True)
    except errors.AppError:
        refused = True
    assert not refused or len(fuzzed.events()) == before
    with fuzzed.db.read() as tx:
        assert all(each.status == import_steps.DONE for each in import_steps.all_(tx))


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.parametrize("at", [1, 2, 4])
def test_an_import_killed_in_the_middle_is_finished_by_whoever_comes_next(
    tmp_path: Path, template: Path, at: int
) -> None:
    names = [f"{number:04}.jpg" for number in range(2000)]
    world = make(tmp_path / "w", template, names, ["owl", "crow"])
    path = world.file(
        "l.csv", "path,class\n" + "".join(f"{name},{'owl' if n % 2 else 'crow'}\n" for n, name in enumerate(names))
    )
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom app import import_steps, importing, settings\n"
        "real, left = import_steps.save, [int(sys.argv[3])]\n"
        "def save(tx, one):\n    left[0] -= 1\n    real(tx, one)\n    left[0] or os.kill(os.getpid(), signal.SIGKILL)\n"
        "import_steps.save = save\n"
        "importing.run(settings.load(Path(sys.argv[1])), importing.Asked(Path(sys.argv[2])), now=1.0)\n"
    )
    command = [sys.executable, "-c", code, str(world.settings.workspace), str(path), str(at)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    stored = len(world.events())
    assert stored == max(0, at - 2) * import_steps.BATCH  # the transaction in which it was killed left nothing
    if at > 2:
        assert importing.carry_on(world.db, world.settings, now=NOW)  # as the worker does
        assert len(world.events()) == stored + import_steps.BATCH
    told = world.run(path)
    assert len(world.labelled()) == 2000
    assert len(world.events()) == 2000
    assert ("which had been cut short, is done now" in told[0]) == (at > 1)
    assert not list((world.settings.workspace / "imports").iterdir())
    assert not importing.carry_on(world.db, world.settings, now=NOW)
    world.db.close()


@pytest.mark.parametrize("damage", ["gone", "cut", "cut at a line", "other bytes"])
def test_an_import_whose_rows_are_gone_or_damaged_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(import_steps, "BATCH", 1)
    path = world.file("l.csv", "path,class\none.jpg,owl\ntwo.jpg,owl\nsub/one.jpg,owl\n")
    with importing.role(world.settings):
        one, _ = importing._prepared(world.db, world.settings, importing.Asked(path), NOW, lambda *_: None)
        assert one is not None
        assert import_steps.step(world.db, world.settings.workspace, one, NOW)
    assert world.labelled() == {"one.jpg": "owl"}
    waiting = one.path(world.settings.workspace)
    lines = waiting.read_bytes().splitlines(keepends=True)
    if damage == "gone":  # as after the restore of a database that was copied in the middle
        waiting.unlink()
    else:
        rest = {"cut": lines[1][:9], "cut at a line": lines[1], "other bytes": b"\xff\xfe[]\n" * 2}[damage]
        waiting.write_bytes(lines[0] + rest)
    with importing.role(world.settings):
        assert "is undone now" in importing.finish(world.db, world.settings, now=NOW)[0]
    assert world.labelled() == {}


def test_the_worker_finishes_what_was_cut_short_and_leaves_a_living_import_alone(world: World) -> None:
    from app import worker

    path = world.file("l.csv", "path,class\none.jpg,owl\ntwo.jpg,owl\n")
    looking = object.__new__(worker.Worker)
    looking.db, looking.settings, looking.next_look_for_imports = world.db, world.settings, 0.0
    with importing.role(world.settings):
        importing._prepared(world.db, world.settings, importing.Asked(path), NOW, lambda *_: None)
        assert not looking._finish_import()
        assert world.events() == []
    assert not looking._finish_import(), "it looks once a second"
    looking.next_look_for_imports = 0.0
    assert looking._finish_import()
    assert world.labelled() == {"one.jpg": "owl", "two.jpg": "owl"}
    assert not looking._finish_import()


def test_one_import_at_a_time(world: World) -> None:
    with importing.role(world.settings), pytest.raises(errors.WorkspaceBusy, match="another import runs"):
        world.run(world.file("l.csv", "path,class\none.jpg,owl\n"))


def test_a_full_disk_says_so_and_nothing_is_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing.os, "fsync", full)
    with pytest.raises(importing.store_errors.CannotWrite, match="No space left on device; nothing is imported"):
        world.run(world.file("l.csv", "path,class\none.jpg,owl\n"))
    assert world.events() == []
    assert not list((world.settings.workspace / "imports").iterdir())


def test_the_command_line_ends_with_2_and_no_traceback(world: World) -> None:
    path = world.file("l.csv", "path,class\none.jpg,owll\n")
    command = [sys.executable, "launch.py", "import-labels", str(path), "--workspace", str(world.settings.workspace)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "line 2: 'owll' is no class here: did you mean 'owl'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_places_are_found_whatever_is_in_a_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_PAGE", 3)
    with world.db.read() as tx:
        assert [place[0] for place in images.places(tx)] == sorted(world.ids.values())
        assert label_batches.between(tx, 1, 9, 5) == []
