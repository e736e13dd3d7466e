"""Logging in, staying in, getting out; and that with accounts nobody speaks for somebody else."""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import accounts
from app.web import guests
from store import database
from store import errors as store_errors
from tests.web import team
from tests.web.conftest import Page


@pytest.fixture
def served(make_page: Callable[..., Page]) -> Page:
    """The standard page with accounts, for one test."""
    return make_page(team=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, team_template: Path) -> Iterator[Page]:
    """The same for all tests that leave it as it is."""
    workspace = tmp_path_factory.mktemp("shared") / "workspace"
    shutil.copytree(team_template, workspace)
    page = Page(workspace)
    yield page
    page.stop()


@pytest.fixture
def visitor(shared: Page) -> Iterator[httpx.Client]:
    with shared.client() as client:
        yield client


@pytest.fixture
def web(served: Page) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


def said(image_id: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "uuid": str(uuid.uuid4()),
        "image_id": image_id,
        "kind": "label",
        "class_id": 1,
        "annotator": "Eve",
        **fields,
    }


def test_a_page_without_accounts_asks_nobody(page_server: Page) -> None:
    with page_server.client() as web:
        assert web.get("/api/v1/me").json()["accounts"] is False
        assert web.get("/login").headers["location"] == "/"
        assert 'name="raum-person"' not in web.get("/").text
        refused = web.post("/api/v1/users", json={"name": "Eve", "role": "annotator"})
        assert refused.status_code == 400
        assert "launch.py user add" in refused.json()["error"]
        assert web.get("/api/v1/users").json() == {"users": []}


def test_the_first_user_closes_the_page_within_seconds(page_server: Page) -> None:
    with page_server.client() as web:
        assert web.get("/api/v1/status").status_code == 200
        team.fill(page_server.workspace)
        deadline = time.monotonic() + guests.ALONE + 2
        while web.get("/api/v1/status").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert web.get("/api/v1/status").status_code == 401
        assert web.get("/image/1").status_code == 401
        assert web.get("/").headers["location"] == "/login"


def test_logging_in_and_out(visitor: httpx.Client) -> None:
    answer = team.login(visitor, "Ada")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    session, csrf = (
        next(each for each in answer.headers.get_list("set-cookie") if each.startswith(name))
        for name in (guests.SESSION, guests.CSRF)
    )
    assert "HttpOnly" in session
    assert "HttpOnly" not in csrf
    assert all("SameSite=lax" in each and "Path=/" in each and "Secure" not in each for each in (session, csrf))
    me = visitor.get("/api/v1/me").json()
    assert me == {
        "accounts": True,
        "name": "Ada",
        "role": "admin",
        "scopes": ["label", "manage", "read", "review"],
        "via": "session",
    }
    assert "&quot;name&quot;: &quot;Ada&quot;" in visitor.get("/").text
    kept = dict(visitor.cookies)
    done = visitor.post("/logout", headers={"X-RAUM-CSRF": kept[guests.CSRF]})
    assert done.json() == {"done": True}
    assert done.headers["clear-site-data"] == '"cache"'
    assert not dict(visitor.cookies)
    stolen = "; ".join(f"{name}={value}" for name, value in kept.items())
    assert visitor.get("/api/v1/status", headers={"Cookie": stolen}).status_code == 401, "ended in the store, too"


def test_cookies_are_secure_behind_https(visitor: httpx.Client) -> None:
    form = {"name": "Ada", "password": team.PASSWORD}
    answer = visitor.post("/login", data=form, headers={"X-Forwarded-Proto": "https"})
    assert all("Secure" in each for each in answer.headers.get_list("set-cookie"))


def test_a_wrong_password_and_an_unknown_name_are_told_alike(visitor: httpx.Client) -> None:
    answers = [team.login(visitor, "Ada", "wrong wrong wrong"), team.login(visitor, "Nobody", "wrong wrong wrong")]
    assert [each.status_code for each in answers] == [401, 401]
    texts = {each.text.replace("Nobody", "NAME").replace('value="Ada"', 'value="NAME"') for each in answers}
    assert len(texts) == 1
    assert not dict(visitor.cookies)
    assert "&lt;b&gt;" in team.login(visitor, "<b>", "wrong wrong wrong").text


def test_too_many_tries_have_to_wait(visitor: httpx.Client) -> None:
    for _ in range(5):
        assert team.login(visitor, "Ben", "wrong wrong wrong").status_code == 401
    late = team.login(visitor, "Ben", "wrong wrong wrong")
    late = late if late.status_code == 429 else team.login(visitor, "Ben", "wrong wrong wrong")
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) >= 1
    assert "wait" in late.text


def test_a_form_too_long_or_odd_is_refused(visitor: httpx.Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert visitor.post("/login", content=b"name=" + b"x" * 20_000, headers=form).status_code == 400
    assert (
        visitor.post("/login", content=b"&".join(b"f%d=1" % each for each in range(50)), headers=form).status_code
        == 400
    )
    assert visitor.post("/login", content=b"\xff\xfe%00%ff=%", headers=form).status_code == 401
    foreign = {**form, "Origin": "https://evil.example"}
    assert visitor.post("/login", content=b"name=Ada&password=x", headers=foreign).status_code == 403


def test_a_session_outlives_a_restart_of_the_page(served: Page, web: httpx.Client) -> None:
    badge = team.session(web, "Ann")
    served.stop()
    served.start()
    with served.client() as after:
        assert after.get("/api/v1/me", headers=badge).json()["name"] == "Ann"
        assert after.get("/api/v1/me").status_code == 401


def test_a_session_ends_when_it_expires_and_slides_while_it_is_used(shared: Page, visitor: httpx.Client) -> None:
    badge, known = team.session(visitor, "Ann"), shared.app.state.guests
    for days in (10, 20, 30):
        known.clock = lambda days=days: time.time() + days * 86400
        known.forget()
        assert visitor.get("/api/v1/me", headers=badge).status_code == 200, f"day {days}: used every ten days"
    known.clock = lambda: time.time() + 45 * 86400
    known.forget()
    assert visitor.get("/api/v1/me", headers=badge).status_code == 401
    known.clock = time.time


def test_what_an_admin_revokes_here_ends_at_once_elsewhere_within_seconds(served: Page, web: httpx.Client) -> None:
    ann, ben, ada = (team.session(web, name) for name in ("Ann", "Ben", "Ada"))
    assert web.get("/api/v1/me", headers=ann).status_code == 200
    assert web.post("/api/v1/users/active", json={"name": "Ann", "active": False}, headers=ada).status_code == 200
    assert web.get("/api/v1/me", headers=ann).status_code == 401
    assert web.get("/api/v1/me", headers=ben).status_code == 200
    db = database.open(served.settings.database)
    accounts.end_all_sessions(db, "Ben", actor="console", now=time.time())
    db.close()
    deadline = time.monotonic() + guests.REMEMBERED + 2
    while web.get("/api/v1/me", headers=ben).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert web.get("/api/v1/me", headers=ben).status_code == 401


def test_a_session_costs_a_read_only_every_few_seconds(shared: Page, visitor: httpx.Client, monkeypatch: Any) -> None:
    badge, looked = team.session(visitor, "Ann"), []
    who = accounts.who

    def counted(*given: Any, **named: Any) -> Any:
        looked.append(1)
        return who(*given, **named)

    monkeypatch.setattr(accounts, "who", counted)
    for _ in range(20):
        assert visitor.get("/image/1", headers=badge).status_code == 200
    assert len(looked) <= 2


def test_the_annotator_is_who_is_logged_in_whatever_is_sent(served: Page, web: httpx.Client) -> None:
    ann, rene = team.session(web, "Ann"), team.session(web, "Rene")
    claimed = web.post("/api/v1/next?annotator=Eve&client=tab&count=2", headers=ann).json()["images"]
    first = said(claimed[0]["image_id"], lease=claimed[0]["lease"])
    assert web.post("/api/v1/events", json=first, headers=ann).status_code == 200
    assert web.post("/api/v1/events", json=said(9), headers=rene).status_code == 200
    body = {
        "uuid": str(uuid.uuid4()),
        "image_id": 9,
        "decision": "label",
        "class_id": 2,
        "seen": 10**6,
        "annotator": "Ann",
    }
    assert web.post("/api/v1/review", json=body, headers=rene).status_code == 200
    undone = web.post(
        "/api/v1/undo", json={"uuid": str(uuid.uuid4()), "annotator": "Rene", "client": "tab"}, headers=ann
    ).json()
    assert undone["item"]["image_id"] == claimed[0]["image_id"], "her own, not the one of the name that was sent"
    names = _names(served)
    assert [names[each.annotator_id] for each in served.events()] == ["Ann", "Rene", "Rene", "Ann"]
    assert "Eve" not in names.values()
    assert web.get("/api/v1/status?annotator=Rene", headers=ann).json()["labels"]["mine_today"] == 0


def _names(server: Page) -> dict[int, str]:
    from store import annotators

    db = database.open(server.settings.database)
    with db.read() as tx:
        found = {each.id: each.name for each in annotators.all_(tx)}
    db.close()
    return found


def test_a_page_of_one_person_never_speaks_for_the_next(served: Page, web: httpx.Client) -> None:
    ann, ben = team.session(web, "Ann"), team.session(web, "Ben")
    ids = {name: number for number, name in _names(served).items()}
    answer = web.post("/api/v1/events", json=said(), headers={**ben, "X-RAUM-Person": str(ids["Ann"])})
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": "Ben is logged in in this browser now", "login": True},
    )
    assert served.events() == []
    assert web.post("/api/v1/events", json=said(), headers={**ann, "X-RAUM-Person": str(ids["Ann"])}).status_code == 200


def test_a_store_that_cannot_be_read_says_so_and_pages_keep_their_answers(
    shared: Page, visitor: httpx.Client, monkeypatch: Any
) -> None:
    ann = team.session(visitor, "Ann")

    def broken(*_: Any, **__: Any) -> None:
        raise store_errors.CannotWrite("the disk is full: free some space on it")

    monkeypatch.setattr(accounts, "who", broken)
    answer = visitor.post("/api/v1/events", json=said(), headers=ann)
    assert (answer.status_code, answer.json()) == (503, {"error": "the disk is full: free some space on it"})
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "path", ["/image/1", "/thumb/1", "/overlay/1/1?kind=evidence", "/surface/0/main.js", "/", "/config"]
)
def test_nothing_is_shown_to_who_is_not_logged_in(visitor: httpx.Client, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code in (303, 401, 404)
    assert len(answer.content) < 200
    assert "gradio" not in answer.text


def test_the_people_card_s_requests(served: Page, web: httpx.Client) -> None:
    ada = team.session(web, "Ada")
    made = web.post("/api/v1/users", json={"name": "Gil", "role": "annotator"}, headers=ada).json()
    token = made["invite"].removeprefix("/invite#")
    form = {"token": token, "password": "a few plain words", "repeated": "a few plain words"}
    assert "differ" in web.post("/invite", data={**form, "repeated": "others"}).text
    assert web.post("/invite", data={**form, "password": "short", "repeated": "short"}).status_code == 400
    entered = web.post("/invite", data=form)
    assert entered.status_code == 303
    assert web.get("/api/v1/me").json()["name"] == "Gil"
    web.cookies.clear()
    assert web.post("/invite", data=form).status_code == 400, "it works once"
    assert team.login(web, "Gil", "a few plain words").status_code == 303
    web.cookies.clear()
    assert web.post("/api/v1/users/role", json={"name": "Gil", "role": "reviewer"}, headers=ada).status_code == 200
    listed = {each["name"]: each for each in web.get("/api/v1/users", headers=ada).json()["users"]}
    assert (listed["Gil"]["role"], listed["Gil"]["active"]) == ("reviewer", True)
    assert not any("hash" in key and isinstance(value, str) for each in listed.values() for key, value in each.items())
    acts = web.get("/api/v1/acts", headers=ada).json()["acts"]
    assert [(each["actor"], each["subject"]) for each in acts[:3]] == [("Ada", "Gil"), ("Gil", "Gil"), ("Ada", "Gil")]
    assert token not in web.get("/api/v1/acts", headers=ada).text
    for wrong in (
        {"name": "Gil", "role": "king"},
        {"name": "No such person", "role": "admin"},
        {"role": "admin"},
        {"name": 5, "role": "admin"},
    ):
        assert web.post("/api/v1/users/role", json=wrong, headers=ada).status_code in (400, 404, 409), wrong
