"""What learning leaves, kept on a storage: another machine has it from there, and a storage that is away stops nothing."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from app import (
    artifact_keeping,
    artifact_objects,
    artifacts,
    doctor,
    errors,
    evidence_file,
    overview,
    pool,
    pool_files,
    pool_view,
    progress,
    published_model,
    settings,
    sharing,
    verifying,
)
from store import database, queue
from store import settings as stored
from tests import postgres
from tests.app.conftest import S3_KEYS, Workspace
from tests.app.test_learning import held, label, refresh, run_round
from tests.app.test_sharing import grow, shared  # noqa: F401  # a fixture

ROOT = Path(__file__).resolve().parents[2]
PLACE = "memory://bucket/raum"
KEPT = ("embeddings", "predictions", "overlays", "checkpoints")


@pytest.fixture
def learnt(workspace: Workspace, memory: Any) -> Workspace:
    """A workspace with a refresh published, whose settings name a storage in memory."""
    workspace.settings = dataclasses.replace(workspace.settings, artifacts=PLACE)
    label(workspace, workspace.ids[:20])
    refreshed(workspace)
    return workspace


def refreshed(workspace: Workspace) -> pool.Pool:
    opened = held(workspace)
    pool_files.save(opened)
    refresh(workspace, opened)
    return opened


def elsewhere(workspace: Workspace, name: str = "other") -> settings.Settings:
    """Another machine: the same database and storage, a folder of its own."""
    folder = workspace.settings.workspace / name
    folder.mkdir()
    return dataclasses.replace(workspace.settings, workspace=folder)


def kept(folder: Path) -> list[Path]:
    return [path for name in KEPT for path in (folder / name).rglob("*") if path.is_file()]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept(folder)}


def current(workspace: Workspace) -> Any:
    with workspace.db.read() as tx:
        return queue.current(tx)


def row(workspace: Workspace, name: str) -> dict[str, Any]:
    with workspace.db.read() as tx:
        return dict(artifacts.known(tx, workspace.settings)[name])


def test_another_machine_has_what_is_shown(learnt: Workspace, memory: Any) -> None:
    assert artifacts.keep(learnt.db, learnt.settings) == 3
    assert artifacts.keep(learnt.db, learnt.settings) == 0, "once"
    other = elsewhere(learnt)
    assert artifact_keeping.bring_shown(learnt.db, other) == 3
    assert artifact_keeping.bring_shown(learnt.db, other) == 0
    here = files(learnt.settings.workspace)
    assert files(other.workspace) == here
    assert {name.partition("/")[0] for name in here} == {"embeddings", "predictions", "overlays"}
    reader, shown = pool_view.Reader(other.workspace), current(learnt)
    view, embeddings = reader.view(shown), reader.embeddings(shown)
    assert view is not None
    assert embeddings is not None
    assert view.publication == shown.id
    assert len(embeddings.image_ids_N) == 60


def test_boxes_that_are_proposed_come_to_other_pages(learnt: Workspace, memory: Any) -> None:
    found = evidence_file.Class(
        class_id=1, marked=2, rows=[evidence_file.Row(image_id=3, box=(0, 0, 0.5, 0.5), score=0.9)]
    )
    evidence_file.write(learnt.settings.workspace, evidence_file.Proposals(watermark=4, classes=[found]))
    other = elsewhere(learnt)
    artifacts.keep(learnt.db, learnt.settings)
    artifact_keeping.bring_shown(learnt.db, other)
    assert evidence_file.read(other.workspace)["classes"][0]["rows"][0]["image_id"] == 3


def test_what_is_new_follows_and_what_no_page_reads_goes(learnt: Workspace, memory: Any) -> None:
    other = elsewhere(learnt)
    for at in range(3):
        label(learnt, learnt.ids[20 + at : 21 + at])
        refresh(learnt, held(learnt))
        assert artifacts.keep(learnt.db, learnt.settings) == (3 if not at else 2), (
            "embeddings once, maps and predictions"
        )
        artifact_keeping.bring_shown(learnt.db, other)
        assert pool_view.Reader(other.workspace).view(current(learnt)).publication == current(learnt).id  # type: ignore[union-attr]
    assert len(memory.ls("/bucket/raum")) == 3
    assert len(list((other.workspace / "predictions").iterdir())) == 3


def test_a_rounds_network_comes_to_who_learns_or_asks_it(learnt: Workspace, memory: Any) -> None:
    run_round(learnt)
    artifacts.keep(learnt.db, learnt.settings)
    other, shown = elsewhere(learnt), current(learnt)
    assert shown.checkpoint == "checkpoints/round-1.safetensors"
    (round_,) = overview.history(learnt.db, other)["rounds"]
    assert round_["kept"], "one can go back to it, though it is not here"
    assert [each.what for each in verifying.verify(other) if each.kind in ("checkpoint", "embeddings")] == []
    _, told = published_model.load(learnt.db, other, now=time.time())
    assert "round-1" in told
    assert files(other.workspace)[shown.checkpoint] == files(learnt.settings.workspace)[shown.checkpoint]
    opened = held(dataclasses.replace(learnt, settings=other))
    assert (opened.checkpoint, opened.note, len(opened.image_ids)) == (shown.checkpoint, "", 60)
    third = elsewhere(learnt, "third")
    artifact_keeping.at_hand(learnt.db, third, shown.checkpoint)
    assert set(files(third.workspace)) == {name for name in files(learnt.settings.workspace) if "round-1" in name}, (
        "to go back to a round, nothing else is needed"
    )


def test_of_two_that_learnt_the_last_one_counts(learnt: Workspace, memory: Any) -> None:
    artifacts.keep(learnt.db, learnt.settings)
    other, name = elsewhere(learnt), current(learnt).embeddings
    artifact_keeping.bring_shown(learnt.db, other)
    (learnt.settings.workspace / name / "meta.json").write_text("stale", encoding="utf-8")  # written, and never put
    artifact_keeping.bring_shown(learnt.db, learnt.settings)
    assert files(learnt.settings.workspace)[f"{name}/meta.json"] == b"stale", (
        "who learns is not overwritten by what it put"
    )
    (other.workspace / name / "meta.json").write_text("newer", encoding="utf-8")
    assert artifacts.keep(learnt.db, other) == 1
    assert artifact_keeping.bring_shown(learnt.db, learnt.settings) == 1
    assert files(learnt.settings.workspace)[f"{name}/meta.json"] == b"newer"


# --- what is not taken


def packed(members: list[tarfile.TarInfo]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return made.getvalue()


def member(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 4) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, size if kind == tarfile.REGTYPE else 0
    made.linkname = "/etc/passwd"
    return made


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:1000] + bytes([content[1000] ^ 1]) + content[1001:],
        lambda content: content + bytes(10240),
        lambda content: content[: len(content) // 2],
        lambda content: b"nothing of the sort",
    ],
)
def test_what_is_not_what_was_put_there_is_not_taken(
    learnt: Workspace, memory: Any, spoil: Callable[[bytes], bytes]
) -> None:
    artifacts.keep(learnt.db, learnt.settings)
    other, name = elsewhere(learnt), current(learnt).embeddings
    place = f"/bucket/raum/{row(learnt, name)['object']}"
    memory.pipe(place, spoil(memory.cat(place)))
    with pytest.raises(errors.RemoteError, match=r"not taken|cannot fetch"):
        artifacts.bring(learnt.db, other, name)
    assert list((other.workspace / "embeddings").iterdir()) == []
    artifact_keeping.at_hand(learnt.db, other)
    opened = held(dataclasses.replace(learnt, settings=other))
    assert len(opened.image_ids) == 60, "looked at again"


@pytest.mark.parametrize(
    "bad", [member("../out"), member("a/b"), member(".hidden"), member("meta.json", kind=tarfile.SYMTYPE)]
)
def test_only_plain_files_are_taken_out(learnt: Workspace, memory: Any, bad: tarfile.TarInfo) -> None:
    artifacts.keep(learnt.db, learnt.settings)
    other, name, content = elsewhere(learnt), current(learnt).embeddings, packed([bad])
    told = row(learnt, name) | {"bytes": len(content)}
    memory.pipe(f"/bucket/raum/{told['object']}", content)
    with pytest.raises(errors.RemoteError, match="is no plain file"):
        artifact_objects.fetch(PLACE, told, other.workspace / name)
    assert not (other.workspace / "out").exists()
    assert list((other.workspace / "embeddings").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["embeddings/../settings.toml", "embeddings/..", "raum.db", "overlays/x", "/etc/passwd"]
)
def test_only_artifacts_have_a_place(learnt: Workspace, name: str) -> None:
    with learnt.db.write() as tx:
        stored.set_setting(tx, artifacts.PREFIX + name, {"at": PLACE, "object": "x", "sha256": "", "bytes": 1})
    with pytest.raises(errors.BadRequest, match="is no artifact"):
        artifacts.bring(learnt.db, learnt.settings, name)


def test_an_address_that_another_one_named_is_not_asked(learnt: Workspace, memory: Any) -> None:
    artifacts.keep(learnt.db, learnt.settings)
    other = dataclasses.replace(elsewhere(learnt), artifacts="memory://elsewhere")
    assert artifact_keeping.bring_shown(learnt.db, other) == 0
    moved = dataclasses.replace(learnt.settings, artifacts="memory://elsewhere")
    assert artifacts.keep(learnt.db, moved) == 3, "a new storage gets everything"
    assert artifact_keeping.bring_shown(learnt.db, other) == 3


# --- a storage that fails


class Shaky(MemoryFileSystem):
    """A file system that is away while it is told so, or lets something happen while a file is written."""

    protocol = "shaky"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    away = False
    meanwhile: Callable[[], object] | None = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("shaky://", "memory://")))

    def _open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        if Shaky.away:
            raise ConnectionResetError("nobody answers")
        if Shaky.meanwhile and mode == "wb":
            Shaky.meanwhile()
        return super()._open(path, mode, **more)


@pytest.fixture
def shaky(learnt: Workspace) -> Iterator[Workspace]:
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    learnt.settings = dataclasses.replace(learnt.settings, artifacts="shaky://bucket/raum")
    yield learnt
    Shaky.away, Shaky.meanwhile = False, None
    Shaky.store.clear()


def test_a_storage_that_is_away_stops_nothing_and_is_said(shaky: Workspace) -> None:
    Shaky.away, pause, pauses = True, 0.0, []
    for _ in range(10):
        pause = artifact_keeping.tried(shaky.db, shaky.settings, "put", artifacts.keep, pause)
        pauses.append(pause)
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    said = progress.status(shaky.db, now=time.time())["last_failure"]
    assert said.startswith("artifacts: cannot write shaky://bucket/raum: ConnectionResetError: nobody answers")
    assert progress.status(shaky.db, now=time.time() + 1000)["last_failure"] is None, "nobody tries any more"
    assert doctor._artifacts(shaky.settings.workspace) == {}, "settings.toml names none"
    label(shaky, shaky.ids[20:22])
    refresh(shaky, held(shaky))
    with pytest.raises(errors.RemoteError):
        artifact_objects.tried("shaky://bucket/raum/")
    Shaky.away = False
    assert (
        artifact_keeping.tried(shaky.db, shaky.settings, "put", artifacts.keep, pause) == artifact_keeping.LOOK_SECONDS
    )
    assert progress.status(shaky.db, now=time.time())["last_failure"] is None
    assert artifact_keeping.bring_shown(shaky.db, elsewhere(shaky)) == 3
    Shaky.away = True
    artifact_keeping.at_hand(shaky.db, elsewhere(shaky, "third"))  # which raises nothing


def test_what_is_written_anew_meanwhile_is_put_the_next_time(shaky: Workspace) -> None:
    opened, name = held(shaky), current(shaky).embeddings
    Shaky.meanwhile = lambda: pool_files.save(opened)
    assert not artifacts.put(shaky.db, shaky.settings, name)
    assert Shaky.store == {}, "nothing is left of it"
    Shaky.meanwhile = None
    assert artifacts.put(shaky.db, shaky.settings, name)


def test_doctor_tries_the_storage(workspace: Workspace, memory: Any) -> None:
    toml = workspace.settings.workspace / "settings.toml"
    toml.write_text(f"artifacts = '{PLACE}/'\n", encoding="utf-8")
    assert " ms to put, read and remove" in doctor._artifacts(workspace.settings.workspace)["artifacts"]
    assert memory.find("/bucket") == []
    toml.write_text("artifacts = 'gopher9://x/y'\n", encoding="utf-8")
    assert "cannot use gopher9://x/y" in doctor._artifacts(workspace.settings.workspace)["artifacts"]


@pytest.mark.parametrize(
    "address", ["https://host/x", "bucket/raum", "s3://", "file:///tmp/x", "s3://id:secret@bucket/x"]
)
def test_an_address_that_cannot_be_used_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(errors.SettingsError, match="setting 'artifacts'") as refused:
        settings.load(tmp_path, artifacts=address)
    assert "secret@" not in str(refused.value)


# --- real threads, servers and processes


def test_beside_page_and_worker_it_goes_by_itself(learnt: Workspace, memory: Any) -> None:
    other = elsewhere(learnt)
    with artifact_keeping.keeping(learnt.settings), artifact_keeping.bringing(other):
        deadline = time.monotonic() + 30
        while len(kept(other.workspace)) < len(kept(learnt.settings.workspace)):  # unread: some are still being renamed
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not [each for each in threading.enumerate() if each.name.startswith("artifacts")]
    with artifact_keeping.keeping(dataclasses.replace(learnt.settings, artifacts="")):
        assert not [each for each in threading.enumerate() if each.name.startswith("artifacts")]


def test_slices_of_workers_without_a_shared_folder(
    shared: tuple[settings.Settings, database.Database],  # noqa: F811
    postgresql: postgres.Server,
    memory: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen, db = dataclasses.replace(shared[0], artifacts=PLACE), shared[1]
    other = dataclasses.replace(chosen, workspace=tmp_path / "other")
    looked: Counter[int] = Counter()
    plain = pool.extend

    def counted(held_: pool.Pool, chosen_: list, *, seconds: float) -> int:
        done = plain(held_, chosen_, seconds=seconds)
        looked.update(image.id for image in chosen_[:done])
        return done

    monkeypatch.setattr(pool, "extend", counted)
    opened, learner, helper = pool.open_wanted(chosen, []), sharing.Learner(db, chosen), sharing.Helper(db, other)
    try:
        said = set()
        while grow(learner, opened, db) >= 0:
            said.add(helper.step())
        assert len(memory.ls("/bucket/raum")) >= 2, "slices lie there"
        learner.end(opened)
    finally:
        learner.let_go()
        helper.end()
    assert len(said) >= 3, "it helped"
    assert (len(looked), set(looked.values())) == (60, {1})
    assert opened.image_ids.tolist() == [number for number in range(1, 61) if number != 42]
    assert memory.find("/bucket") == []


def test_an_s3_bucket_between_two_machines(
    workspace: Workspace, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed, s3:// is not tried")
    fs = s3fs.S3FileSystem(key="an id", secret="a secret 77", endpoint_url=s3)
    fs.mkdir("models")
    label(workspace, workspace.ids[:20])
    workspace.db.close()
    environment = {**os.environ, **S3_KEYS, "AWS_ENDPOINT_URL": s3}

    def launch(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "launch.py", *map(str, words), "--artifacts", "s3://models/raum"]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)

    one, other = workspace.settings.workspace, tmp_path / "other"
    (one / "settings.toml").write_text("image_size = 32\n", encoding="utf-8")
    first = launch("refresh", "--workspace", one, "--backbone", "vmamba_nano")
    assert first.returncode == 0, first.stderr
    assert len(fs.ls("models/raum")) == 4, "embeddings, predictions, maps, the review's lists"
    other.mkdir()
    shutil.copy(one / "settings.toml", other)
    second = launch("predict", one / "pictures", "--workspace", other, "--database", f"sqlite:///{one}/raum.db")
    assert second.returncode == 0, second.stderr
    assert len(second.stdout.splitlines()) == 61
    here = {name: content for name, content in files(one).items() if name.startswith("embeddings")}
    assert {name: files(other).get(name) for name in here} == here
    for path in (*one.rglob("*"), *other.rglob("*")):
        assert not path.is_file() or b"a secret 77" not in path.read_bytes(), "no credential is written down"
    for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.RemoteError, match="cannot use s3://no-such-bucket/raum: there is nothing there"):
        artifact_objects.tried("s3://no-such-bucket/raum")
    assert " ms to put" in artifact_objects.tried("s3://models/raum")
