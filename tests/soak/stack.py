"""Page and worker as `launch.py serve` starts them, people who label over HTTP, and what they were promised."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from store import database, labels

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Person:
    """Labels over HTTP as fast as the server lets him, and repeats what was not acknowledged with the same uuid."""

    name: str
    base: str
    class_ids: list[int]
    stop: threading.Event
    acknowledged: list[str] = field(default_factory=list)
    held: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)

    def work(self) -> None:
        rng = random.Random(self.name)
        with httpx.Client(base_url=self.base, timeout=10) as client:
            while not self.stop.is_set():
                answer = self._post(client, f"/api/v1/next?count=2&annotator={self.name}&client={self.name}", {})
                asked = time.monotonic()
                for item in answer["images"] if answer else []:
                    self._answer(client, item, asked, rng)
                time.sleep(0.02)

    def _answer(self, client: httpx.Client, item: dict[str, Any], asked: float, rng: random.Random) -> None:
        event = {
            "uuid": str(uuid.uuid4()),
            "image_id": item["image_id"],
            "lease": item["lease"],
            "annotator": self.name,
            "kind": "label",
            "class_id": rng.choice(self.class_ids),
        }
        if self._post(client, "/api/v1/events", event):
            self.acknowledged.append(event["uuid"])
            self.held[item["image_id"]].append((asked, time.monotonic()))
            if rng.random() < 0.6:  # so that the small pool is never used up
                taken_back = {"uuid": str(uuid.uuid4()), "annotator": self.name, "client": self.name}
                if (self._post(client, "/api/v1/undo", taken_back) or {}).get("undone"):
                    self.acknowledged.append(taken_back["uuid"])

    def _post(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Post until it is answered, as the browser's outbox does: 5xx is tried again, too."""
        while not self.stop.is_set():
            try:
                response = client.post(path, json=body)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if response.status_code == 503:
                continue
            if response.status_code != 200:
                self.problems.append(f"{path}: {response.status_code} {response.text}")
                return None
            return dict(response.json())
        return None


class Stack:
    """`launch.py serve` over one workspace, in a process group of its own."""

    def __init__(self, workspace: Path) -> None:
        self.workspace, self.port = workspace, free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "launch.py"), "serve", "--workspace", str(self.workspace)]
        with (self.workspace / "serve.log").open("ab") as out:
            self.serve = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=out, stderr=out, start_new_session=True
            )

    def kill(self, what: str) -> None:
        """Kill -9 "all" processes at once, as a power cut does, or one of "serve", "page" and "worker"."""
        if what == "all":
            os.killpg(self.serve.pid, signal.SIGKILL)
        elif what == "serve":
            self.serve.kill()
        elif (pid := self.pid(what)) is not None:
            os.kill(pid, signal.SIGKILL)
        if what in ("all", "serve"):
            self.serve.wait()
            self.wait(lambda: not self.answers(), "the page of a killed serve ends by itself")
            self.start()
        self.wait(self.answers, "the page comes back")

    def pid(self, name: str) -> int | None:
        """The process that holds a role; None while there is none or it has just ended."""
        try:
            pid = int((self.workspace / f"{name}.pid").read_text(encoding="utf-8"))
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        return pid

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def wait(self, done: Any, what: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                told = (self.workspace / "serve.log").read_text(encoding="utf-8")[-3000:]
                raise AssertionError(f"not within {seconds} s: {what}\n{told}")
            time.sleep(0.05)

    def end(self) -> None:
        self.serve.terminate()
        self.serve.wait(30)


def check(workspace: Path, people: list[Person]) -> int:
    """Compare what people were told with the store; returns how many acknowledgements there were."""
    assert not [problem for person in people for problem in person.problems]
    acknowledged = [identifier for person in people for identifier in person.acknowledged]
    db = database.open(workspace / "raum.db")
    with db.write() as tx:
        assert tx.execute(sa.text("PRAGMA integrity_check")).scalar_one() == "ok"
        stored = [event.uuid for event in labels.all_events(tx)]
        assert len(stored) == len(set(stored))
        assert set(acknowledged) <= set(stored)
        assert labels.rebuild(tx) == 0
    db.close()
    for image_id in {image for person in people for image in person.held}:
        spans = sorted((span, person.name) for person in people for span in person.held.get(image_id, []))
        for (first, a), (second, b) in itertools.pairwise(spans):
            assert a == b or first[1] <= second[0] + 1e-3 or second[1] <= first[0], f"image {image_id} was given twice"
    return len(acknowledged)
