"""Two page processes on one PostgreSQL database, alone and behind a proxy that sends each request to either."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app import moving, settings
from store import database, labels, queue
from tests import postgres
from tests.web import process, team
from tests.web.browser import IMAGE, press
from tests.web.test_team import enter

CONF = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; {user}
events {{ worker_connections 64; }}
http {{
    log_format told "$upstream_addr"; access_log {folder}/access.log told; {places}
    upstream pages {{ server 127.0.0.1:{one}; server 127.0.0.1:{two}; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://pages; proxy_set_header Host $http_host; proxy_http_version 1.1; }}
    }}
}}
"""


@dataclass
class Two:
    """Two pages of one workspace, by their ports."""

    settings: settings.Settings
    one: int
    two: int

    def client(self, port: int) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)


@pytest.fixture(scope="module")
def two(postgresql: postgres.Server, team_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    workspace = shutil.copytree(team_template, tmp_path_factory.mktemp("two") / "workspace")
    (workspace / "settings.toml").write_text("holdout_rate = 0.0\nhidden_rate = 0.0\n", encoding="utf-8")
    url = postgresql.new()
    moving.move(settings.load(workspace), url.render_as_string(hide_password=False), now=time.time())
    found = Two(settings.load(workspace), process.free_port(), process.free_port())
    with process.page(workspace, found.one), process.page(workspace, found.two):
        yield found
    postgresql.drop(url)


def _next(client: httpx.Client, headers: dict[str, str], count: int) -> list[dict[str, Any]]:
    answer = client.post(f"/api/v1/next?count={count}&client=tab", headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["images"])


def _label(client: httpx.Client, headers: dict[str, str], image: dict[str, Any]) -> int:
    said = {
        "uuid": str(uuid4()),
        "image_id": image["image_id"],
        "lease": image["lease"],
        "kind": "label",
        "class_id": 1,
    }
    answer = client.post("/api/v1/events", json={**said, "client": "tab"}, headers=headers)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["event_id"])


def test_who_logs_in_at_one_page_claims_and_answers_at_the_other(two: Two) -> None:
    with two.client(two.one) as one, two.client(two.two) as other:
        ann, ben = team.session(one, "Ann"), team.session(other, "Ben")
        hers, his = _next(other, ann, 4), _next(one, ben, 4)
        assert not {each["image_id"] for each in hers} & {each["image_id"] for each in his}
        assert [each["image_id"] for each in _next(one, ann, 4)] == [each["image_id"] for each in hers], "her own"
        _label(one, ann, hers[0])
        undone = other.post("/api/v1/undo", json={"uuid": str(uuid4()), "client": "tab"}, headers=ann).json()
        assert undone["item"]["image_id"] == hers[0]["image_id"]
        _label(other, ann, hers[0])
        _label(one, ben, his[0])
        counts = [client.get("/api/v1/status", headers=ann).json()["labels"] for client in (one, other)]
        assert counts[0] == counts[1]
        for client, who in ((other, ann), (one, ben)):
            client.post("/api/v1/release", json={"client": "tab"}, headers=who)
    with closing(database.open(two.settings.database)) as db, db.read() as tx:
        assert [event.kind for event in labels.all_events(tx)] == ["label", "retract", "label", "label"]
        assert queue.live_leases(tx, time.time() + 60) == [], "given back at either page"


def test_who_logs_out_at_one_page_is_out_at_the_other(two: Two) -> None:
    with two.client(two.one) as one, two.client(two.two) as other:
        ann = team.session(one, "Ann")
        assert other.get("/api/v1/classes", headers=ann).status_code == 200
        assert one.post("/logout", headers=ann, follow_redirects=False).status_code in (200, 204, 303)
        assert one.get("/api/v1/classes", headers=ann).status_code == 401
        deadline = time.monotonic() + 8
        while other.get("/api/v1/classes", headers=ann).status_code != 401:
            assert time.monotonic() < deadline, "still let in at the other page"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def proxy(two: Two, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of an nginx in front of both, and its log of which one each request went to."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx is installed, the pages are not tried behind one")
    folder, port = tmp_path_factory.mktemp("nginx"), process.free_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    conf = CONF.format(
        folder=folder, port=port, one=two.one, two=two.two, places=places, user="" if os.geteuid() else "user root;"
    )
    (folder / "nginx.conf").write_text(conf, encoding="utf-8")
    with process.running([nginx, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], port):
        yield f"http://127.0.0.1:{port}", folder / "access.log"


def test_behind_a_proxy_a_browser_meets_both_and_notices_nothing(
    two: Two, proxy: tuple[str, Path], chromium: Any
) -> None:
    address, log = proxy
    with closing(database.open(two.settings.database)) as db, db.read() as tx:
        before = labels.watermark(tx)
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    tab = context.new_page()
    tab.goto(address)
    enter(tab, "Rene")
    tab.wait_for_selector(".raum-slot .raum")
    for number in range(1, 5):
        tab.wait_for_selector(IMAGE)
        press(tab, "1")
        with closing(database.open(two.settings.database)) as db:
            deadline = time.monotonic() + 15
            while True:
                with db.read() as tx:
                    if labels.watermark(tx) >= before + number:
                        break
                assert time.monotonic() < deadline, "an answer never came"
                time.sleep(0.05)
    context.close()
    met = set(log.read_text(encoding="utf-8").split())
    assert met == {f"127.0.0.1:{two.one}", f"127.0.0.1:{two.two}"}


def test_while_the_server_is_away_nothing_is_lost_and_both_pages_come_back(
    two: Two, postgresql: postgres.Server
) -> None:
    with two.client(two.one) as one, two.client(two.two) as other:
        ben = team.session(one, "Ben")
        [image] = _next(one, ben, 1)
        said = {
            "uuid": str(uuid4()),
            "image_id": image["image_id"],
            "lease": image["lease"],
            "kind": "label",
            "class_id": 1,
        }
        postgresql.stop("fast")
        try:
            for client in (one, other):
                answer = client.post("/api/v1/events", json={**said, "client": "tab"}, headers=ben)
                assert answer.status_code == 503, answer.text
                assert "cannot be reached" in answer.json()["error"]
        finally:
            postgresql.start()
        ids = {client.post("/api/v1/events", json=said, headers=ben).json()["event_id"] for client in (one, other, one)}
        assert len(ids) == 1, "said again at either page it counts once"
