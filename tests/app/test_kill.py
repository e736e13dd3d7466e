"""Page and worker are killed with -9 at random moments, twenty times: no acknowledged answer is lost, no image given twice."""

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
import pytest
import sqlalchemy as sa

from store import database, labels
from tests.app.conftest import Workspace

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
PEOPLE = 3


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
                self._post(
                    client, "/api/v1/undo", {"uuid": str(uuid.uuid4()), "annotator": self.name, "client": self.name}
                )

    def _post(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        while not self.stop.is_set():
            try:
                response = client.post(path, json=body)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if response.status_code != 200:
                self.problems.append(f"{path}: {response.status_code} {response.text}")
                return None
            return dict(response.json())
        return None


class Stack:
    """Page and worker over one workspace, started again after each kill."""

    def __init__(self, workspace: Path, port: int) -> None:
        self.common = ["--workspace", str(workspace)]
        self.port = port
        self.processes = {name: self.start(name) for name in ("page", "worker")}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        options = ["--port", str(self.port)] if name == "page" else []
        command = [sys.executable, str(ROOT / "launch.py"), name, *self.common, *options]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()
        self.processes[name] = self.start(name)

    def wait_for_page(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=1).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError("the page did not come back")

    def end(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)


@pytest.mark.skipif(os.name != "posix", reason="kill -9 needs POSIX")
@pytest.mark.timeout(240)
def test_twenty_kills_lose_nothing_and_give_no_image_twice(workspace: Workspace) -> None:
    (workspace.settings.workspace / "settings.toml").write_text(
        "image_size = 32\nsteps = 4\nround_min_labels = 8\nround_after_labels = 8\n", encoding="utf-8"
    )
    port, stop, rng = free_port(), threading.Event(), random.Random(7)
    stack = Stack(workspace.settings.workspace, port)
    people = [Person(f"p{n}", f"http://127.0.0.1:{port}", workspace.class_ids, stop) for n in range(PEOPLE)]
    threads = [threading.Thread(target=person.work) for person in people]
    try:
        stack.wait_for_page()
        for thread in threads:
            thread.start()
        for number in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.8))
            stack.kill("worker" if number % 2 else "page")
            if number % 2 == 0:
                stack.wait_for_page()
        time.sleep(1.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        stack.end()
    _check(workspace, people)


def _check(workspace: Workspace, people: list[Person]) -> None:
    assert not [problem for person in people for problem in person.problems]
    acknowledged = [identifier for person in people for identifier in person.acknowledged]
    assert len(acknowledged) > 20
    db = database.open(workspace.settings.database)
    with db.write() as tx:
        assert tx.execute(sa.text("PRAGMA integrity_check")).scalar_one() == "ok"
        stored = {event.uuid for event in labels.all_events(tx)}
        assert set(acknowledged) <= stored
        assert labels.rebuild(tx) == 0
    db.close()
    for image_id in {image for person in people for image in person.held}:
        spans = sorted((span, person.name) for person in people for span in person.held.get(image_id, []))
        for (first, a), (second, b) in itertools.pairwise(spans):
            assert a == b or first[1] <= second[0] + 1e-3 or second[1] <= first[0], f"image {image_id} was given twice"
