"""What runs beside the worker: obeys the page's commands, starts rounds and reading in child processes, reports their ends."""

import json
import logging
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from app import backups, errors, policy, processes
from app.settings import Settings
from store import commands, labels, rounds, workers
from store import settings as stored
from store.database import Database
from store.records import Command

STOPPED = "a person stopped it"
EMBED = "embed"  # the verb that embeds with another backbone, and its row among the workers
PRETRAIN = "pretrain-pool"  # the same for pretraining on the pool's own images
ASKED = "embedding:"  # settings rows, by who asks: what is to be embedded, and helped with (app/sharing.py)

log = logging.getLogger("raum.worker")


class Children:
    """The child processes of one worker, one of each verb at most."""

    def __init__(
        self, db: Database, settings: Settings, own: Mapping[str, Callable[[Command], None]] | None = None
    ) -> None:
        """`own`: commands that the worker does itself; each act finishes its command or raises AppError."""
        self.db, self.settings = db, settings
        self.acts: dict[str, Callable[[Command], None]] = {
            "ingest": self._ingest,
            "demo": self._ingest,
            "train": self._train_now,
            "stop": self._stop_round,
            "backup": self._back_up_now,
            "pause": lambda command: self._pause(command, True),
            "resume": lambda command: self._pause(command, False),
            **(own or {}),
        }
        self.running: dict[str, processes.Child] = {}  # by verb
        self.ended: dict[str, str | None] = {}  # by verb: what the last one complained, None when all went well
        self.next_look_at_backups = 0.0
        self.round_failed_at = -1  # watermark of the last failed round, -1 after a good one
        self.round_stopped = False  # by a person
        with self.db.write() as tx:  # what the worker before left behind
            rounds.fail_stale(tx, time.time(), alive=lambda pid: False)
            commands.recover(tx, time.time(), again=("ingest", "demo", "train"))

    @property
    def reading(self) -> bool:
        """Whether images are being read just now."""
        return "ingest" in self.running

    def end(self) -> None:
        """End the children; what they had begun is begun again by the next worker."""
        for child in self.running.values():
            child.process.terminate()
        for child in self.running.values():
            try:
                child.process.wait(5)
            except subprocess.TimeoutExpired:
                child.process.kill()

    def look_after_children(self) -> bool:
        """Tell who asked for a child how it ended."""
        for name, child in list(self.running.items()):
            code = child.process.poll()
            if code is None:
                continue
            stopped = name == "round" and self.round_stopped
            with self.db.write() as tx:
                if child.command_id is not None:
                    problem = (STOPPED if stopped else child.complaint(code)) if code else None
                    commands.finish(tx, child.command_id, error=problem, now=time.time())
                if name == "backup":
                    self._tell_of_backup(tx, child.complaint(code) if code else None)
                if name == "round":
                    how = STOPPED if stopped else processes.ending(code) if code < 0 else None
                    rounds.fail_stale(tx, time.time(), alive=lambda pid: False, how=how)
                    self.round_failed_at = labels.watermark(tx) if code else -1
                workers.beat(tx, name, pid=0, phase="idle", fraction=None, message="", now=time.time())
                stored.remove_setting(tx, f"{ASKED}{name}")  # it was killed
            if stopped:
                self.round_stopped = False
            self.ended[name] = child.complaint(code) if code else None
            del self.running[name]  # after it is written down: a full disk is tried again
            log.info("%s ended with code %s", name, code)
        return False

    def obey(self) -> bool:
        """Take the oldest command of the page, if there is one; what cannot be done is answered with a sentence."""
        with self.db.read() as tx:
            if not commands.pending(tx):
                return False
        with self.db.write() as tx:
            command = commands.take(tx, time.time())
        if command is None:
            return False
        try:
            if command.kind not in self.acts:
                raise errors.BadRequest(f"unknown command {command.kind!r}")
            self.acts[command.kind](command)
        except errors.AppError as problem:
            with self.db.write() as tx:
                commands.finish(tx, command.id, error=str(problem), now=time.time())
        return True

    def start_round_when_due(self, *, untrained: bool = False) -> bool:
        """A round in a child, when the policy finds it due, none is running and nobody has paused."""
        if "round" in self.running:
            return False
        with self.db.read() as tx:
            if stored.get_setting(tx, "paused", False) or not policy.round_is_due(
                tx, self.settings, failed_at=self.round_failed_at, now=time.time(), untrained=untrained
            ):
                return False
        self._start("round", ["--backbone", self.settings.backbone], None)
        return True

    def start_embedding(self) -> None:
        """Embed the pool with the settings' backbone; `ended` tells how it went."""
        self._start(EMBED, ["--backbone", self.settings.backbone], None)

    def start_pretraining(self) -> None:
        """Teach the settings' backbone the pool's images; `ended` tells how it went."""
        self._start(PRETRAIN, ["--backbone", self.settings.backbone], None)

    def start_backup_when_due(self) -> bool:
        """The day's backup in a child, when something changed."""
        now = time.monotonic()
        if "backup" in self.running or now < self.next_look_at_backups:
            return False
        self.next_look_at_backups = now + backups.LOOK_SECONDS
        if not backups.due(self.db, self.settings, now=time.time()):
            return False
        self._start("backup", [], None)
        return True

    def _tell_of_backup(self, tx: Connection, failure: str | None) -> None:
        """On the page as the last failure, until one succeeds; in the log."""
        stored.set_setting(tx, backups.FAILED, failure)
        if failure:
            log.warning("no backup: %s", failure)

    def _ingest(self, command: Command) -> None:
        if self.reading:
            raise errors.BadRequest("images are being read already; ask again when that has ended")
        arguments = ["--demo"]
        if command.kind == "ingest":
            arguments = ["--images", str(command.payload.get("folder", ""))]
            if command.payload.get("classes"):
                chosen = self.settings.workspace / "classes.json"
                chosen.write_text(json.dumps(command.payload["classes"]), encoding="utf-8")
                arguments += ["--classes", str(chosen)]
            if command.payload.get("labels_from_folders"):
                arguments += ["--labels-from-folders"]
            arguments += _of_boxes(command.payload.get("boxes"))
        self._start("ingest", arguments, command.id)

    def _train_now(self, command: Command) -> None:
        with self.db.read() as tx:
            classes = len(labels.per_class(tx))
        if classes < 2:
            raise errors.BadRequest("a round needs labels of at least two classes; label a few images first")
        if "round" in self.running:
            raise errors.BadRequest("a round is running already")
        self._start("round", ["--backbone", self.settings.backbone], command.id)

    def _stop_round(self, command: Command) -> None:
        """The next one then waits for new labels, as after a failure."""
        if "round" not in self.running:
            raise errors.BadRequest("no round is running")
        self.round_stopped = True
        self.running["round"].process.terminate()
        with self.db.write() as tx:
            commands.finish(tx, command.id, now=time.time())

    def _back_up_now(self, command: Command) -> None:
        if "backup" in self.running:
            raise errors.BadRequest("a backup is being written already")
        name = time.strftime("raum-%Y-%m-%d-%H%M%S.db", time.gmtime())
        self._start("backup", ["--to", str(backups.folder(self.settings) / name)], command.id)

    def _pause(self, command: Command, paused: bool) -> None:
        with self.db.write() as tx:
            stored.set_setting(tx, "paused", paused)
            commands.finish(tx, command.id, error=None, now=time.time())

    def _start(self, verb: str, arguments: list[str], command_id: int | None) -> None:
        self.ended.pop(verb, None)
        self.running[verb] = processes.Child(self.settings, verb, arguments, command_id)


def _of_boxes(boxes: dict[str, Any] | None) -> list[str]:
    """The options of `ingest` that say the same."""
    if boxes is None:
        return []
    arguments = ["--boxes", str(boxes["file"]), *(["--empty-scenes"] if boxes.get("empty") else [])]
    if boxes.get("confidence") is not None:
        arguments += ["--box-confidence", str(boxes["confidence"])]
    if boxes.get("categories"):
        arguments += ["--box-categories", ",".join(boxes["categories"])]
    return arguments
