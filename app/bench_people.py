"""Simulated people at a page's HTTP routes, each a tab that asks, looks and answers as the real one does.

`python -m app.bench_people PLAN` (Plan as JSON) runs them in a process of its own and prints what they met as JSON.
"""

import contextlib
import dataclasses
import http.client
import json
import random
import sys
import threading
import time
import uuid
from typing import Any
from urllib.parse import urlencode

AHEAD = 6  # images that a tab holds: the one shown and five decoded ahead
STATUS_SECONDS = 2.5
PATIENCE = 10.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """`people`, who come `arrivals` seconds apart, answer every `pace` seconds for `seconds`; `classes`: what they may say."""

    port: int
    people: int
    seconds: float
    classes: list[int]
    pace: float = 1.0
    arrivals: float = 0.25
    seed: int = 0


@dataclasses.dataclass
class Met:
    """What one person met: `given` image ids, `saved` uuids that the server called saved, seconds by kind of request."""

    given: list[int] = dataclasses.field(default_factory=list)
    saved: dict[str, int] = dataclasses.field(default_factory=dict)  # uuid -> image
    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    refused: list[str] = dataclasses.field(default_factory=list)
    late: int = 0  # answers that came more than half a pace after their time
    without: int = 0  # times that no image was at hand


class Person:
    """One tab: a connection that stays open, the images that it holds, and what it met."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan, self.number = plan, number
        self.name, self.client = f"person {number}", str(uuid.uuid4())
        self.rng = random.Random(f"{plan.seed} {number}")
        self.line = http.client.HTTPConnection("127.0.0.1", plan.port, timeout=PATIENCE)
        self.waiting: list[dict[str, Any]] = []
        self.answered: set[int] = set()
        self.edition = ""  # of the class list that the tab has
        self.seen: set[str] = set()  # addresses that the browser keeps
        self.met = Met()

    def work(self) -> None:
        """Answer at fixed times, whatever the answer before took, until the time is over."""
        with contextlib.closing(self.line):
            self._work()

    def _work(self) -> None:
        time.sleep(self.number * self.plan.arrivals)
        self._look()
        due = began = time.monotonic() + self.rng.uniform(0, self.plan.pace)
        asked = began - self.rng.uniform(0, STATUS_SECONDS)
        while due < began + self.plan.seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self.met.late += time.monotonic() - due > self.plan.pace / 2
            self._answer()
            self._look()
            if time.monotonic() - asked > STATUS_SECONDS:
                asked = time.monotonic()
                who = urlencode({"annotator": self.name, "edition": self.edition})
                self.edition = (self._timed("status", "GET", f"/api/v1/status?{who}") or {}).get("edition", "")
            due += self.plan.pace

    def _answer(self) -> None:
        if not self.waiting:
            self.met.without += 1
            return
        item = self.waiting.pop(0)
        self.answered.add(item["image_id"])
        body = {
            "uuid": str(uuid.uuid4()), "annotator": self.name, "client": self.client, "image_id": item["image_id"],
            "lease": item["lease"], "publication": item["publication"], "kind": "label",
            "class_id": self.rng.choice(self.plan.classes), "shown_ms": 1000.0 * self.plan.pace, "input_mode": "key",
            "queue_reason": item["reason"], "position": item["position"], "propensity": item["propensity"],
        }  # fmt: skip
        if self._timed("answer", "POST", "/api/v1/events", body) is not None:
            self.met.saved[body["uuid"]] = item["image_id"]

    def _look(self) -> None:
        """Claim what is missing and fetch what is new; the time until the first new picture is there is the next image's."""
        began = time.monotonic()
        who = urlencode({"count": AHEAD, "annotator": self.name, "client": self.client})
        told = self._timed("claim", "POST", f"/api/v1/next?{who}")
        if told is None:
            return
        known = {item["image_id"] for item in self.waiting} | self.answered
        new = [item for item in told["images"] if item["image_id"] not in known]
        self.met.given += [item["image_id"] for item in told["images"]]
        for at, item in enumerate(new):
            self._timed("picture", "GET", f"/image/{item['image_id']}", keep=True)
            if not at:
                self.met.seconds.setdefault("next image", []).append(time.monotonic() - began)
            near = [f"/thumb/{each}" for group in item["neighbours"][:3] for each in group["image_ids"][:3]]
            for address in [each["url"] for each in item["overlays"]] + near:
                self._timed("map or thumbnail", "GET", address, keep=True)
        self.waiting += new

    def _timed(
        self, kind: str, method: str, address: str, body: dict[str, Any] | None = None, keep: bool = False
    ) -> dict[str, Any] | None:
        """The reply, an empty one of a picture; None where the server refused, which is noted."""
        if keep and address in self.seen:
            return {}
        began = time.monotonic()
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            self.line.request(method, address, json.dumps(body) if body is not None else None, headers)
            reply = self.line.getresponse()
            read = reply.read()
        except (OSError, http.client.HTTPException) as problem:
            self.line.close()
            self.met.refused.append(f"{kind}: {type(problem).__name__}")
            return None
        self.met.seconds.setdefault(kind, []).append(time.monotonic() - began)
        if reply.status != 200:
            self.met.refused.append(f"{kind}: {reply.status} {read[:200].decode('utf-8', 'replace')}")
            return None
        self.seen.update([address] if keep else [])
        return {} if keep else dict(json.loads(read))


def run(plan: Plan) -> list[Met]:
    """All people of the plan, a thread each, until their time is over."""
    people = [Person(plan, number) for number in range(plan.people)]
    threads = [threading.Thread(target=person.work) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [person.met for person in people]


if __name__ == "__main__":
    print(json.dumps([dataclasses.asdict(met) for met in run(Plan(**json.loads(sys.argv[1])))]))
