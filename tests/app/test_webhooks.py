"""Webhooks to a real server: what is told, signed, tried again, left out; that a hanging one holds nothing up."""

import contextlib
import dataclasses
import hashlib
import hmac
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import server
from pathlib import Path
from typing import Any

import pytest

from app import errors, settings, supervisor, webhooks
from store import rounds
from tests.app.conftest import Workspace
from tests.app.test_worker import published_up_to, say, wait, working
from tests.web import process

DOCS = (process.ROOT / "docs" / "api.md").read_text(encoding="utf-8")


class Receiver(server.ThreadingHTTPServer):
    """`got`: what came, as (headers by lower-case name, body); `answers`: the next statuses, then 204; nothing is answered
    while `free` is not set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.free = threading.Event()
        self.free.set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?key=hidden"

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


class _Handler(server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(
            ({name.lower(): value for name, value in self.headers.items()} | {"path": self.path}, body)
        )
        self.server.free.wait(20)
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.free.set()
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(webhooks, "PAUSES", (0.01, 0.02))
    monkeypatch.delenv(webhooks.SECRET, raising=False)


def teller(workspace: Workspace, address: str, secret: bytes = b"", **more: Any) -> webhooks.Teller:
    """One that has looked once, so that it tells what comes from now on."""
    chosen = dataclasses.replace(workspace.settings, **{"webhook_labels": 3, **more})
    made = webhooks.Teller(chosen, address, secret, threading.Event())
    made.step(workspace.db)
    return made


def label(workspace: Workspace, *positions: int) -> None:
    for at in positions:
        say(workspace.db, workspace.ids[at], workspace.class_ids[0])


def begun(workspace: Workspace) -> int:
    with workspace.db.write() as tx:
        return rounds.begin(tx, 1, {"labels": 9}, 0, 5.0)


def ended(workspace: Workspace, **metrics: Any) -> int:
    number = begun(workspace)
    with workspace.db.write() as tx:
        rounds.publish(tx, number, metrics, "checkpoints/x.safetensors", 7.0)
    return number


def test_answers_are_told_when_enough_have_come_each_once(workspace: Workspace, receiver: Receiver) -> None:
    label(workspace, 0, 1, 2)
    one = teller(workspace, receiver.address)
    label(workspace, 3, 4)
    one.step(workspace.db)
    assert receiver.got == [], "what was before it does not count"
    label(workspace, 5, 6)
    one.step(workspace.db)
    one.step(workspace.db)
    (told,) = receiver.told()
    sent_at = told.pop("sent_at")
    assert abs(sent_at - time.time()) < 60
    assert told == {
        "event": "labels", "id": "labels-7", "answers": 4, "up_to": 7, "labelled": 7, "rejected": 0,
        "pool": len(workspace.ids) - 7, "workspace": workspace.settings.workspace.name,
    }  # fmt: skip
    headers, _ = receiver.got[0]
    assert headers["path"] == "/hook?key=hidden"
    assert headers["content-type"] == "application/json"
    assert headers["x-raum-delivery"] == "labels-7"
    assert "x-raum-signature" not in headers


def test_rounds_are_told_in_order_with_how_they_ended(workspace: Workspace, receiver: Receiver) -> None:
    ended(workspace)
    one = teller(workspace, receiver.address)
    ended(workspace, accuracy=0.5, reliability=[[0.1, 0.2, 3]])
    ended(workspace, kept_because="worse on the holdout")
    running = begun(workspace)
    one.step(workspace.db)
    assert [(each["id"], each["outcome"], each["why"]) for each in receiver.told()] == [
        ("round-2", "published", None),
        ("round-3", "kept", "worse on the holdout"),
    ]
    first = receiver.told()[0]
    assert first["metrics"] == {"accuracy": 0.5}
    assert (first["begun_at"], first["finished_at"], first["labels"], first["round"]) == (5.0, 7.0, 9, 2)
    with workspace.db.write() as tx:
        rounds.fail(tx, running, "out of memory", 8.0)
    again = webhooks.Teller(one.settings, receiver.address, b"", threading.Event())  # the worker started again
    again.step(workspace.db)
    assert [(each["id"], each["outcome"], each["why"]) for each in receiver.told()[2:]] == [
        ("round-4", "failed", "out of memory")
    ]


def test_a_round_that_was_running_at_the_first_look_is_told(workspace: Workspace, receiver: Receiver) -> None:
    running = begun(workspace)
    one = teller(workspace, receiver.address)
    with workspace.db.write() as tx:
        rounds.fail(tx, running, "stopped", 8.0)
    one.step(workspace.db)
    assert [each["id"] for each in receiver.told()] == ["round-1"]


def test_a_server_that_answers_500_first_is_tried_again(
    workspace: Workspace, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    one = teller(workspace, receiver.address.replace("//", "//ann:pass%40word@"), b"key")
    receiver.answers = [500, 302]
    ended(workspace)
    one.step(workspace.db)
    assert [each["id"] for each in receiver.told()] == ["round-1"] * 3
    assert len({body for _, body in receiver.got}) == 1, "the same bytes"
    assert {headers["path"] for headers, _ in receiver.got} == {"/hook?key=hidden"}, "no redirect is followed"
    for headers, body in receiver.got:
        assert headers["x-raum-signature"] == "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
        assert headers["authorization"] == "Basic YW5uOnBhc3NAd29yZA=="
    assert "answered 500" in caplog.text
    assert "answered 302" in caplog.text
    assert f"http://127.0.0.1:{receiver.server_port}/…" in caplog.text
    assert not re.search("hidden|pass|hook\\b(?!s)|ann:", caplog.text.replace("webhook", ""))


def test_what_three_tries_did_not_bring_is_left_out_and_the_next_is_told(
    workspace: Workspace, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    one = teller(workspace, receiver.address)
    receiver.answers = [500, 500, 500]
    ended(workspace)
    ended(workspace)
    one.step(workspace.db)
    assert [each["id"] for each in receiver.told()] == ["round-1"] * 3 + ["round-2"]
    assert "round-1 is left out after 3 tries" in caplog.text


@pytest.mark.parametrize("address", ["http://127.0.0.1:{free}/a?key=hidden", "http://no..name/?key=hidden"])
def test_nobody_there_is_one_line_for_each_try(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    one = teller(workspace, address.format(free=process.free_port()))
    ended(workspace)
    one.step(workspace.db)
    assert len(caplog.messages) == 4
    assert "hidden" not in caplog.text


def test_pauses_end_with_the_worker_and_the_next_one_tells_it(workspace: Workspace, receiver: Receiver) -> None:
    one = teller(workspace, receiver.address)
    receiver.answers = [500]
    ended(workspace)
    one.ended.set()
    one.step(workspace.db)
    assert len(receiver.got) == 1
    webhooks.Teller(one.settings, receiver.address, b"", threading.Event()).step(workspace.db)
    assert [each["id"] for each in receiver.told()] == ["round-1"] * 2


def test_a_hanging_address_holds_up_no_other_and_not_the_end(workspace: Workspace, receiver: Receiver) -> None:
    held = Receiver()
    held.free.clear()
    threading.Thread(target=held.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    chosen = dataclasses.replace(workspace.settings, webhooks=(held.address, receiver.address), webhook_labels=1)
    for address in chosen.webhooks:
        teller(workspace, address)
    label(workspace, 0)
    with webhooks.telling(chosen):
        wait(lambda: bool(receiver.got and held.got), 10)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    held.free.set()
    held.shutdown()
    held.server_close()


def test_the_secret_comes_from_the_environment_or_a_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = workspace.settings.workspace
    chosen = dataclasses.replace(
        workspace.settings, webhooks=(receiver.address,), webhook_labels=1, webhook_secret_file="key"
    )
    for write in (None, b" \n"):
        if write:
            (folder / "key").write_bytes(write)
        with pytest.raises(errors.SettingsError, match="webhook_secret_file"), webhooks.telling(chosen):
            pass
    (folder / "key").write_bytes(b"of the file\n")
    teller(workspace, receiver.address)
    for number, secret in enumerate((b"of the file", b"of the environment"), 1):
        if number == 2:
            monkeypatch.setenv(webhooks.SECRET, secret.decode())
        label(workspace, number)
        with webhooks.telling(chosen):
            wait(lambda: len(receiver.got) == number, 10)  # noqa: B023
        headers, body = receiver.got[-1]
        assert headers["x-raum-signature"] == "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    assert "of the" not in caplog.text


@contextlib.contextmanager
def documented(port: int, secret: str) -> Iterator[Callable[[], list[str]]]:
    """The receiver of docs/api.md as a process; gives the lines that it has printed."""
    (text,) = re.findall(r"^```python\n([^`]*serve_forever[^`]*)^```", DOCS, re.M)
    command = [sys.executable, "-c", text.replace("8000", str(port))]
    environment = {**os.environ, webhooks.SECRET: secret}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as receiving:
        lines: list[str] = []
        assert receiving.stdout is not None
        reading = threading.Thread(target=lambda: lines.extend(receiving.stdout or ()), daemon=True)
        reading.start()
        try:
            wait(lambda: supervisor.answers(("127.0.0.1", port)), 30)
            yield lambda: list(lines)
        finally:
            receiving.terminate()
            reading.join(5)


def test_the_documented_receiver_takes_ours_and_refuses_others(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```", DOCS, re.M | re.S)
    port = process.free_port()
    folder: Path = workspace.settings.workspace
    (folder / "settings.toml").write_text(toml.replace("8000", str(port)), encoding="utf-8")
    chosen = settings.load(folder, webhook_labels=1)
    (address,) = chosen.webhooks
    (folder / chosen.webhook_secret_file).write_text("open sesame", encoding="utf-8")
    ours = webhooks.Teller(chosen, address, webhooks._secret(chosen), threading.Event())
    with documented(port, "open sesame") as lines:
        ours.step(workspace.db)
        label(workspace, 0)
        ours.step(workspace.db)
        wait(lambda: len(lines()) == 1, 10)
        assert json.loads(lines()[0])["id"] == "labels-1"
        ours.secret = b"another"
        label(workspace, 1)
        ours.step(workspace.db)
        wait(lambda: len(lines()) == 4, 10)
        assert lines()[1:] == ["not from RAUM\n"] * 3
    assert "answered 403" in caplog.text


def test_a_worker_tells_and_refreshes_though_nobody_answers_it(workspace: Workspace, receiver: Receiver) -> None:
    receiver.free.clear()
    folder = workspace.settings.workspace
    lines = f"image_size = 32\nrounds = false\nwebhook_labels = 2\nwebhooks = ['{receiver.address}']\n"
    (folder / "settings.toml").write_text(lines, encoding="utf-8")
    teller = webhooks.Teller(settings.load(folder), receiver.address, b"", threading.Event())
    teller.step(workspace.db)  # what comes from now on is told, however late the worker's own first look is
    with working(folder):
        wait(lambda: published_up_to(workspace.db) == 0, 120)  # a busy machine takes long to import torch
        say(workspace.db, workspace.ids[0], workspace.class_ids[0])
        say(workspace.db, workspace.ids[1], workspace.class_ids[1])
        wait(lambda: bool(receiver.got), 20)
        last = say(workspace.db, workspace.ids[2], workspace.class_ids[2])
        wait(lambda: published_up_to(workspace.db) >= last, 20)
        assert len(receiver.got) == 1, "it still waits for the first answer"
        receiver.free.set()
    assert receiver.told()[0]["id"] == "labels-2"
