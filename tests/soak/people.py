"""People who label over HTTP as fast as the page lets them, and whether the store keeps what they were promised."""

import itertools
import random
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import sqlalchemy as sa

from store import database, labels

TAKEN_BACK = 0.6  # of the answers


class Held(NamedTuple):
    """That somebody was given an image and answered it; unix times."""

    given: float
    acknowledged: float
    uuid: str = ""
    reason: str = ""


@dataclass
class Person:
    """Repeats what was not acknowledged with the same uuid, as the browser's outbox does."""

    name: str
    base: str
    class_ids: list[int]
    stop: threading.Event
    acknowledged: dict[str, float] = field(default_factory=dict)  # uuid -> when
    cut: dict[str, float] = field(default_factory=dict)  # uuid of what was on its way when the page died -> unix time
    held: dict[int, list[Held]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)

    def work(self) -> None:
        rng = random.Random(self.name)
        with httpx.Client(base_url=self.base, timeout=10) as client:
            while not self.stop.is_set():
                answer = self._post(client, f"/api/v1/next?count=2&annotator={self.name}&client={self.name}", {})
                given = time.time()
                items = answer["images"] if answer else []
                for item in items:
                    self._answer(client, item, given, rng)
                if not items:  # the pool is used up: bring something back
                    self._take_back(client)

    def _answer(self, client: httpx.Client, item: dict[str, Any], given: float, rng: random.Random) -> None:
        event = {
            "uuid": str(uuid.uuid4()),
            "image_id": item["image_id"],
            "lease": item["lease"],
            "annotator": self.name,
            "kind": "label",
            "class_id": rng.choice(self.class_ids),
        }
        if self._post(client, "/api/v1/events", event):
            self.acknowledged[event["uuid"]] = time.monotonic()
            self.held[item["image_id"]].append(Held(given, time.time(), event["uuid"], item["reason"]))
            if rng.random() < TAKEN_BACK:
                self._take_back(client)

    def _take_back(self, client: httpx.Client) -> None:
        taken_back = {"uuid": str(uuid.uuid4()), "annotator": self.name, "client": self.name}
        if (self._post(client, "/api/v1/undo", taken_back) or {}).get("undone"):
            self.acknowledged[taken_back["uuid"]] = time.monotonic()

    def _post(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Post until it is answered: what the page could not take now (503) is sent again, too."""
        while not self.stop.is_set():
            try:
                response = client.post(path, json=body)
            except httpx.TransportError as problem:
                if isinstance(problem, httpx.ConnectError):
                    time.sleep(0.2)  # while there is no page; trying more often would slow its start
                else:
                    self.cut.setdefault(body.get("uuid", path), time.time())
                continue
            if response.status_code == 503:
                continue
            if response.status_code != 200:
                self.problems.append(f"{path}: {response.status_code} {response.text}")
                return None
            return dict(response.json())
        return None


def check(workspace: Path, people: list[Person]) -> dict[str, Any]:
    """Compare what people were told with the store: counts of what was promised and of everything that is wrong."""
    acknowledged = {uuid: at for person in people for uuid, at in person.acknowledged.items()}
    cut = {uuid: at for person in people for uuid, at in person.cut.items() if uuid in acknowledged}
    db = database.open(workspace / "raum.db")
    with db.write() as tx:
        damage = [text for text in tx.execute(sa.text("PRAGMA integrity_check")).scalars() if text != "ok"]
        stored = {event.uuid: event.received_at for event in labels.all_events(tx)}
        rows, gaps = tx.execute(sa.text("SELECT count(*), max(seq) - count(*) FROM label_events")).one()
        wrong_states = labels.rebuild(tx)
    db.close()
    times, twice = sorted(acknowledged.values()), _given_twice(people, stored)
    return {
        "acknowledged": len(acknowledged),
        "on their way when the page was killed": len(cut),
        "of those stored already": sum(stored.get(uuid, at + 1) <= at for uuid, at in cut.items()),
        "longest time without an answer, s": round(max((b - a for a, b in itertools.pairwise(times)), default=0.0), 1),
        "wrong": {
            "acknowledged and lost": len(acknowledged.keys() - stored.keys()),
            "given to two at once": len(twice),
            "counted twice": rows - len(stored),
            "gaps between events": gaps or 0,
            "states that are not the fold": wrong_states,
            "complaints of integrity_check": len(damage),
            "requests refused": sum(len(person.problems) for person in people),
        },
        "problems": [problem for person in people for problem in person.problems][:5] + damage[:5] + twice[:5],
    }


def _given_twice(people: list[Person], stored: dict[str, float]) -> list[str]:
    """Images that two people held at the same time, each from being given it until his answer was stored.

    From then on another may be asked "again", also where the page dies before it acknowledges.
    """
    spans = defaultdict(list)
    for person in people:
        for image_id, held in person.held.items():
            ends = [min(each.acknowledged, stored.get(each.uuid, each.acknowledged)) for each in held]
            spans[image_id] += [(*found, person.name) for found in zip(held, ends, strict=True)]
    return [
        f"image {image_id} was held by two: {held}"
        for image_id, held in spans.items()
        if any(
            a[2] != b[2] and b[0].given < a[1] - 1e-3
            for a, b in itertools.combinations(sorted(held, key=lambda each: each[0].given), 2)
        )
    ]
