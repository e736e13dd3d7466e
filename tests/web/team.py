"""People for the tests of a page with accounts: made in the store, logged in over HTTP."""

import time
from pathlib import Path
from typing import Any

import httpx

from app import accounts, api_tokens
from app.web import guests
from store import database

PASSWORD = "correct horse battery"
PEOPLE = {"Ada": "admin", "Rene": "reviewer", "Ann": "annotator", "Ben": "annotator"}


def fill(workspace: Path, people: dict[str, str] | None = None) -> None:
    """Everybody of `people`, each with PASSWORD."""
    db = database.open(workspace / "raum.db")
    for name, role in (PEOPLE if people is None else people).items():
        accounts.add(db, name, role, PASSWORD, actor="test", now=time.time())
    db.close()


def token(workspace: Path, name: str, *scopes: str) -> str:
    """An API token of this person."""
    db = database.open(workspace / "raum.db")
    made = api_tokens.make(db, name, "test", scopes, actor="test", now=time.time())
    db.close()
    return made


def login(client: Any, name: str, password: str = PASSWORD) -> httpx.Response:
    """The login form, sent; the client keeps the cookies that come back."""
    answer: httpx.Response = client.post("/login", data={"name": name, "password": password}, follow_redirects=False)
    return answer


def session(client: Any, name: str) -> dict[str, str]:
    """Headers of a fresh session of this person; the client itself stays logged out."""
    client.cookies.clear()
    answer = login(client, name)
    assert answer.status_code == 303, answer.text
    kept = {each: answer.cookies[each] for each in (guests.SESSION, guests.CSRF)}
    client.cookies.clear()
    cookie = "; ".join(f"{key}={value}" for key, value in kept.items())
    return {"Cookie": cookie, "X-RAUM-CSRF": kept[guests.CSRF]}
