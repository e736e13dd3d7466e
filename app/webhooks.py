"""Tells other programs over HTTP that a round has ended or that people have answered: beside the worker, never in its way."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from sqlalchemy import Connection

from app import errors
from app.settings import Settings
from store import database, labels, rounds
from store import errors as store_errors
from store import settings as stored
from store.records import Round

SECRET = "RAUM_WEBHOOK_SECRET"  # environment variable; goes before the file
LOOK_SECONDS = 0.5
TIMEOUT = 10.0  # seconds, of connecting and of each wait for the answer
PAUSES = (2.0, 10.0)  # seconds before the second and the third try
FIGURES = ("accuracy", "low", "high", "ece", "n", "seconds")

log = logging.getLogger("raum.worker")
Json = dict[str, Any]


@contextlib.contextmanager
def telling(settings: Settings) -> Iterator[None]:
    """While the block runs, each address of the settings is told, in a thread of its own; how far, the database keeps.

    Raises SettingsError where the secret's file cannot be used.
    """
    secret, ended = _secret(settings) if settings.webhooks else b"", threading.Event()
    threads = [
        threading.Thread(target=Teller(settings, address, secret, ended).run, daemon=True)
        for address in settings.webhooks
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        deadline = time.monotonic() + 1.0
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))  # one that waits for an answer ends with the process


def _secret(settings: Settings) -> bytes:
    """What signs; empty: nothing is signed."""
    given = os.environ.get(SECRET, "").strip()
    if given or not settings.webhook_secret_file:
        return given.encode()
    file = settings.workspace / settings.webhook_secret_file
    try:
        found = file.read_bytes().strip()
    except OSError as problem:
        raise errors.SettingsError(
            f"setting 'webhook_secret_file': {file} cannot be read: {problem.strerror}"
        ) from None
    if not found:
        raise errors.SettingsError(f"setting 'webhook_secret_file': {file} is empty; write the secret into it")
    return found


class Teller:
    """One address: what it was told last, and what comes next."""

    def __init__(self, settings: Settings, address: str, secret: bytes, ended: threading.Event) -> None:
        self.settings, self.secret, self.ended = settings, secret, ended
        parts = urlsplit(address)
        login, _, place = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=place, fragment=""))
        self.login = base64.b64encode(unquote(login).encode()).decode()
        self.shown = f"{parts.scheme}://{place}/…"  # a path may be a secret, too
        self.key = f"webhook:{hashlib.sha256(address.encode()).hexdigest()[:16]}"
        self.opener = urllib.request.build_opener(_Stay)

    def run(self) -> None:
        """Look and tell until the end."""
        while not self.ended.is_set():
            try:
                with contextlib.closing(database.open(self.settings.database)) as db:
                    while not self.ended.is_set():
                        self.step(db)
                        self.ended.wait(LOOK_SECONDS)
            except store_errors.StoreError as problem:  # busy, full, or a server that is away: look again later
                log.warning("webhook %s: %s", self.shown, problem)
                self.ended.wait(10 * LOOK_SECONDS)

    def step(self, db: database.Database) -> None:
        """Tell what is new, oldest first; what three tries did not bring there is left out."""
        with db.read() as tx:
            told = stored.get_setting(tx, self.key)
            found = self._news(tx, told) if told else []
            start = _now(tx) if told is None else told
        if told is None:  # a new address is told what comes from now on
            self._keep(db, start)
        for body, reached in found:
            if not self._deliver(body):
                return  # asked to end: the next worker tells it
            self._keep(db, reached)

    def _keep(self, db: database.Database, reached: Json) -> None:
        with db.write() as tx:
            stored.set_setting(tx, self.key, reached)

    def _news(self, tx: Connection, told: Json) -> list[tuple[Json, Json]]:
        """What to tell, and how far the address is told then."""
        found: list[tuple[Json, Json]] = []
        for each in rounds.all_(tx, after=told["round"]):
            if each.status == "running":
                break
            told = {**told, "round": each.id}
            found.append((_of_round(each), told))
        seq = labels.watermark(tx)
        if seq - told["event"] >= self.settings.webhook_labels:
            counts = labels.counts(tx)
            body = {"event": "labels", "id": f"labels-{seq}", "answers": seq - told["event"], "up_to": seq}
            body |= {name: counts[name] for name in ("labelled", "rejected", "pool")}
            found.append((body, {**told, "event": seq}))
        return found

    def _deliver(self, body: Json) -> bool:
        """Up to three tries; False when the worker ends before it is decided."""
        sent = json.dumps({**body, "workspace": self.settings.workspace.name, "sent_at": time.time()}).encode()
        for pause in (*PAUSES, None):
            problem = self._post(sent, body)
            if problem is None:
                return True
            log.warning("webhook %s, %s: %s", self.shown, body["id"], problem)
            if pause is not None and self.ended.wait(pause):
                return False
        log.error("webhook %s: %s is left out after %d tries", self.shown, body["id"], len(PAUSES) + 1)
        return True

    def _post(self, sent: bytes, body: Json) -> str | None:
        """What went wrong, in words that hold nothing of the address or of the answer; None: it was taken."""
        headers = {"Content-Type": "application/json", "User-Agent": "RAUM", "X-RAUM-Delivery": body["id"]}
        if self.secret:
            headers["X-RAUM-Signature"] = "sha256=" + hmac.new(self.secret, sent, hashlib.sha256).hexdigest()
        if self.login:
            headers["Authorization"] = f"Basic {self.login}"
        try:
            request = urllib.request.Request(self.url, sent, headers, method="POST")
            self.opener.open(request, timeout=TIMEOUT).close()
        except urllib.error.HTTPError as problem:
            problem.close()
            return f"answered {problem.code}"
        except OSError as problem:
            cause = getattr(problem, "reason", problem)
            return (isinstance(cause, OSError) and cause.strerror) or type(cause).__name__
        except (http.client.HTTPException, ValueError) as problem:  # no HTTP, or a host name that is none
            return type(problem).__name__
        return None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what is told goes where the settings say, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _now(tx: Connection) -> Json:
    """As if everything that is over had been told."""
    over = 0
    for each in rounds.all_(tx):
        if each.status == "running":
            break
        over = each.id
    return {"round": over, "event": labels.watermark(tx)}


def _of_round(each: Round) -> Json:
    kept = each.metrics.get("kept_because")
    outcome = "failed" if each.status == "failed" else "kept" if kept else "published"
    return {
        "event": "round",
        "id": f"round-{each.id}",
        "round": each.id,
        "outcome": outcome,
        "why": each.error if outcome == "failed" else kept,
        "begun_at": each.begun_at,
        "finished_at": each.finished_at,
        "labels": each.settings.get("labels"),
        "metrics": {name: each.metrics[name] for name in FIGURES if name in each.metrics},
    }
