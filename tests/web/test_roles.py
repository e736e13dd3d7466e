"""Every route, asked by everybody over the real app: who gets in stands here in full, not derived from the door's table."""

import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import accounts, settings
from app.web import door_table, server
from store import annotators, labels
from tests.web import team

ASKING = ("nobody", "annotator", "reviewer", "admin", "token:read", "token:label", "token:review", "token:manage")
ALL = " ".join(ASKING)
READERS = "annotator reviewer admin token:read"
LABELLERS = "annotator reviewer admin token:label"
REVIEWERS = "reviewer admin token:review"
ADMINS = "admin token:manage"
BOX = {"x": 0.1, "y": 0.1, "w": 0.3, "h": 0.3}
ROWS = {
    "GET /healthz": ALL,
    "GET /login": ALL,
    "POST /login": ALL,
    "GET /invite": ALL,
    "POST /invite": ALL,
    "GET /manifest.json": ALL,
    "GET /favicon.ico": ALL,
    "GET /robots.txt": ALL,
    "GET /": READERS,
    "GET /assets/{file}": READERS,
    "GET /theme.css": READERS,
    "GET /static/js/iframeResizer.contentWindow.min.js": READERS,
    "GET /surface/{edition}/{name}": READERS,
    "GET /image/{image_id}": READERS,
    "GET /thumb/{image_id}": READERS,
    "GET /scene/{image_id}": READERS,
    "GET /overlay/{publication}/{image_id}": READERS,
    "GET /api/v1/me": READERS,
    "GET /api/v1/status": READERS,
    "GET /api/v1/classes": READERS,
    "GET /api/v1/taxonomy": READERS,
    "GET /api/v1/taxonomy/history": READERS,
    "GET /api/v1/classes/{class_id}/card": READERS,
    "GET /api/v1/classes/{class_id}/images": READERS,
    "GET /api/v1/history": READERS,
    "GET /api/v1/finish": READERS,
    "GET /api/v1/rounds": READERS,
    "POST /api/v1/next": LABELLERS,
    "POST /api/v1/events": LABELLERS,
    "POST /api/v1/undo": LABELLERS,
    "GET /api/v1/answers": LABELLERS,
    "GET /api/v1/receipts": LABELLERS,
    "GET /api/v1/others": LABELLERS,
    "POST /api/v1/renew": LABELLERS,
    "GET /api/v1/modes": LABELLERS,
    "POST /api/v1/modes/grid": LABELLERS,
    "POST /api/v1/modes/yesno": LABELLERS,
    "POST /api/v1/modes/confirm": LABELLERS,
    "POST /api/v1/modes/undo": LABELLERS,
    "POST /api/v1/evidence": LABELLERS,
    "POST /api/v1/evidence/confirm": LABELLERS,
    "POST /api/v1/evidence/undo": LABELLERS,
    "POST /api/v1/release": LABELLERS,
    "GET /api/v1/review": REVIEWERS,
    "POST /api/v1/review": REVIEWERS,
    "POST /api/v1/review/undo": REVIEWERS,
    "GET /api/v1/people": REVIEWERS,
    "POST /api/v1/classes": REVIEWERS,
    "POST /api/v1/classes/{class_id}": REVIEWERS,
    "GET /api/v1/classes/{class_id}/preview": REVIEWERS,
    "POST /api/v1/taxonomy/undo": REVIEWERS,
    "GET /api/v1/browse": REVIEWERS,
    "GET /api/v1/browse/ids": REVIEWERS,
    "GET /api/v1/browse/choices": REVIEWERS,
    "GET /api/v1/browse/image/{image_id}": REVIEWERS,
    "GET /api/v1/browse/map": REVIEWERS,
    "POST /api/v1/browse/act": REVIEWERS,
    "POST /api/v1/browse/undo": REVIEWERS,
    "GET /api/v1/pace": REVIEWERS,
    "GET /api/v1/steering": REVIEWERS,
    "GET /api/v1/study": REVIEWERS,
    "POST /api/v1/study": REVIEWERS,
    "GET /api/v1/confusion": REVIEWERS,
    "GET /api/v1/duplicates": REVIEWERS,
    "POST /api/v1/commands": ADMINS,
    "GET /api/v1/commands/{command_id}": ADMINS,
    "GET /api/v1/log": ADMINS,
    "POST /api/v1/uploads": ADMINS,
    "PUT /api/v1/uploads/{upload}": ADMINS,
    "POST /api/v1/uploads/{upload}/finish": ADMINS,
    "GET /api/v1/quarantine": ADMINS,
    "POST /api/v1/import": ADMINS,
    "GET /api/v1/export": ADMINS,
    "POST /api/v1/export": ADMINS,
    "GET /api/v1/users": ADMINS,
    "POST /api/v1/users": ADMINS,
    "POST /api/v1/users/invite": ADMINS,
    "POST /api/v1/users/role": ADMINS,
    "POST /api/v1/users/active": ADMINS,
    "POST /api/v1/users/logout": ADMINS,
    "GET /api/v1/acts": ADMINS,
    "POST /logout": READERS,
}
QUERIES = {
    "POST /api/v1/next": {"client": "tab", "count": "1"},
    "GET /overlay/{publication}/{image_id}": {"kind": "evidence"},
    "PUT /api/v1/uploads/{upload}": {"name": "a.png"},
    "GET /api/v1/classes/{class_id}/preview": {"act": "retire"},
}
ENDINGS = {  # nobody has looked at these images; they are whole pictures; the file is empty; no such change
    "GET /api/v1/browse/map": (404,),
    "GET /scene/{image_id}": (404,),
    "POST /api/v1/import": (400,),
    "POST /api/v1/taxonomy/undo": (400,),
}
SAMPLES = {
    "{image_id}": "1",
    "{publication}": "1",
    "{edition}": "0",
    "{name}": "main.js",
    "{command_id}": "1",
    "{class_id}": "2",
    "{upload}": "2026-01-01-000000-01234567",
}


def body_of(row: str) -> dict[str, Any] | None:
    """A sound body where the route takes one."""
    return {
        "POST /api/v1/events": {"uuid": str(uuid.uuid4()), "image_id": 1, "kind": "label", "class_id": 1, "client": "tab"},
        "POST /api/v1/undo": {"uuid": str(uuid.uuid4()), "client": "tab"},
        "POST /api/v1/renew": {"client": "tab"},
        "POST /api/v1/modes/grid": {"client": "tab", "count": 6},
        "POST /api/v1/modes/yesno": {"client": "tab", "count": 6},
        "POST /api/v1/modes/confirm": {
            "client": "tab", "out": [],
            "events": [{"uuid": str(uuid.uuid4()), "image_id": 1, "kind": "label", "class_id": 1}],
        },
        "POST /api/v1/modes/undo": {"uuid": str(uuid.uuid4()), "client": "tab", "targets": [str(uuid.uuid4())], "out": []},
        "POST /api/v1/evidence": {"client": "tab", "count": 6},
        "POST /api/v1/evidence/confirm": {
            "events": [{"uuid": str(uuid.uuid4()), "image_id": 1, "class_id": 1, "region": BOX}],
        },
        "POST /api/v1/evidence/undo": {"uuid": str(uuid.uuid4()), "targets": [str(uuid.uuid4())]},
        "POST /api/v1/release": {"client": "tab"},
        "POST /api/v1/review": {"uuid": str(uuid.uuid4()), "image_id": 1, "decision": "label", "class_id": 1, "seen": 10**6},
        "POST /api/v1/review/undo": {"uuid": str(uuid.uuid4())},
        "POST /api/v1/classes": {"name": f"Kind {uuid.uuid4()}"},
        "POST /api/v1/classes/{class_id}": {"act": "note", "note": f"look at {uuid.uuid4()}"},
        "POST /api/v1/taxonomy/undo": {"seq": 10**6},
        "POST /api/v1/study": {"action": "end"},
        "POST /api/v1/commands": {"kind": "pause"},
        "POST /api/v1/uploads": {},
        "POST /api/v1/uploads/{upload}/finish": {},
        "POST /api/v1/browse/act": {"action": "flag", "uuid": str(uuid.uuid4()), "image_ids": [1]},
        "POST /api/v1/browse/undo": {"uuid": str(uuid.uuid4()), "target": str(uuid.uuid4())},
        "POST /api/v1/users": {"name": f"Guest {uuid.uuid4()}", "role": "annotator"},
        "POST /api/v1/users/invite": {"name": "Vic"},
        "POST /api/v1/users/role": {"name": "Vic", "role": "reviewer"},
        "POST /api/v1/users/active": {"name": "Vic", "active": True},
        "POST /api/v1/users/logout": {"name": "Vic"},
    }.get(row)  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, team_template: Path) -> Path:
    made = tmp_path_factory.mktemp("roles") / "workspace"
    shutil.copytree(team_template, made)
    team.fill(made, {"Vic": "annotator"})
    return made


@pytest.fixture(scope="module")
def web(workspace: Path) -> Iterator[TestClient]:
    app = server.create_app(settings.load(workspace))
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def badges(web: TestClient, workspace: Path) -> dict[str, dict[str, str]]:
    """The headers with which each of ASKING asks."""
    made: dict[str, dict[str, str]] = {"nobody": {}}
    for name, role in (("Ann", "annotator"), ("Rene", "reviewer"), ("Ada", "admin")):
        made[role] = team.session(web, name)
    for scope in ("read", "label", "review", "manage"):
        made[f"token:{scope}"] = {"Authorization": f"Bearer {team.token(workspace, 'Ada', scope)}"}
    return made


def ask(web: TestClient, row: str, badge: dict[str, str]) -> Any:
    method, path = row.split(" ")
    asset = next(each for each in _assets(web) if each.endswith(".js"))
    for shape, sample in SAMPLES.items():
        path = path.replace(shape, sample)
    path = path.replace("/assets/{file}", asset)
    body, options = body_of(row), {"params": QUERIES.get(row), "headers": badge}
    return web.request(method, path, json=body, **options) if body is not None else web.request(method, path, **options)


def _assets(web: TestClient) -> list[str]:
    import gradio

    folder = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"
    return [f"/assets/{each.name}" for each in sorted(folder.iterdir())]


def test_the_rows_are_all_that_is_served() -> None:
    assert {tuple(row.split(" ")) for row in ROWS} == set(door_table.TABLE)


@pytest.mark.parametrize("row", list(ROWS))
def test_each_route_lets_in_who_may_and_nobody_else(web: TestClient, badges: dict[str, Any], row: str) -> None:
    for asking in ASKING:
        if row == "POST /logout" and asking in ("annotator", "reviewer", "admin"):
            name = {"annotator": "Ann", "reviewer": "Rene", "admin": "Ada"}[asking]
            answer = ask(web, row, team.session(web, name))  # a session of its own: the others go on
        else:
            answer = ask(web, row, badges[asking])
        web.cookies.clear()
        if asking in ROWS[row].split():
            assert answer.status_code < 500, (asking, answer.text)
            forms = row in ("POST /login", "POST /invite")  # empty ones: refused by the page itself, in words
            assert answer.status_code in ((400, 401, 429) if forms else ENDINGS.get(row, (200, 303))), (
                asking,
                answer.status_code,
                answer.text[:300],
            )
            assert not forms or "<form" in answer.text
        elif asking == "nobody":
            assert answer.status_code == (303 if row == "GET /" else 401), answer.status_code
            assert row != "GET /" or answer.headers["location"] == "/login"
        else:
            assert answer.status_code == 403, (asking, answer.status_code, answer.text[:300])
            assert len(answer.json()["error"].split()) >= 4


@pytest.mark.parametrize("row", [row for row in ROWS if row.startswith("POST") and ROWS[row] != ALL])
def test_a_session_changes_nothing_without_its_own_csrf_header(
    web: TestClient, badges: dict[str, Any], row: str
) -> None:
    alone = {"Cookie": badges["admin"]["Cookie"]}
    for sent in (alone, {**alone, "X-RAUM-CSRF": badges["reviewer"]["X-RAUM-CSRF"]}, {**alone, "X-RAUM-CSRF": "x"}):
        answer = ask(web, row, sent)
        assert (answer.status_code, answer.json()["login"]) == (401, True), sent
    assert accounts.who(web.app.state.db, _session(badges["admin"]), now=time.time()) is not None  # type: ignore[attr-defined]


def _session(badge: dict[str, str]) -> str:
    return badge["Cookie"].split(";")[0].partition("=")[2]


def test_a_token_never_does_more_than_its_owner_may(web: TestClient, workspace: Path) -> None:
    owned = team.token(workspace, "Vic", "read", "label")
    badge = {"Authorization": f"Bearer {owned}"}
    assert ask(web, "GET /api/v1/status", badge).status_code == 200
    assert ask(web, "POST /api/v1/next", badge).status_code == 200
    assert ask(web, "POST /api/v1/classes", badge).status_code == 403
    assert ask(web, "GET /api/v1/status", {"Authorization": f"Bearer {owned}x"}).status_code == 401
    assert ask(web, "GET /api/v1/status", {"Authorization": f"Basic {owned}"}).status_code == 401
    assert ask(web, "GET /api/v1/status", {"Authorization": "Bearer"}).status_code == 401


def test_whoever_a_page_of_the_grid_names_it_is_said_by_who_is_logged_in(
    web: TestClient, badges: dict[str, Any]
) -> None:
    said = str(uuid.uuid4())
    body = {
        "annotator": "Ben", "client": "tab", "out": [],
        "events": [{"uuid": said, "image_id": 2, "kind": "label", "class_id": 1}],
    }  # fmt: skip
    assert web.post("/api/v1/modes/confirm", json=body, headers=badges["annotator"]).status_code == 200
    with web.app.state.db.read() as tx:  # type: ignore[attr-defined]
        stored = labels.get_by_uuid(tx, said)
        assert stored is not None
        assert stored.annotator_id == annotators.by_name(tx, "Ann").id  # type: ignore[union-attr]
