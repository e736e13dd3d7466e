"""Every route of the page under requests that nobody should send: no HTTP 500, and every refusal is a sentence.

The routes and their parameters come from the app's own OpenAPI description; what its bodies may hold stands in FIELDS, for
the routes take plain objects. A new route fails here until it is listed.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st

from app import settings
from app.web import server

EXAMPLES = int(os.environ.get("RAUM_API_EXAMPLES", "20"))  # per route
UUIDS = [str(uuid.UUID(int=number)) for number in range(4)]
TEXTS = [
    "rename", "note", "shortcut", "images", "move", "merge", "retire", "restore",
    "", "me", "tab", "label", "reject", "suspected", "ingest", "csv", "evidence", "\0", "\ud800", "a\nb", "~nobody/x",
    "../../raum.db",
    "<img src=x onerror=alert(1)>", "=1+1", "\u202e", "9" * 30, "x" * 5000, "/" + "x" * 300, "nan", "-1", "1e400", *UUIDS,
]  # fmt: skip
NUMBERS = [0, 1, 2, 3, 24, -1, 2**31, 2**53, 2**63, -(2**63) - 1, 10**30, 0.5, 1e308, float("nan"), float("inf"), True]
VALUES = st.one_of(
    st.none(), st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.text(max_size=20), st.integers(-2, 30),
    st.lists(st.sampled_from(TEXTS), max_size=3), st.dictionaries(st.sampled_from(TEXTS), st.none(), max_size=2),
)  # fmt: skip
EVENT = (
    "uuid", "image_id", "annotator", "kind", "class_id", "reason", "note", "publication", "round", "lease",
    "suggestion_class_id", "suggestion_probability", "overlay_kind", "shown_ms", "input_mode", "queue_reason",
    "position", "propensity", "region", "client_at", "asked",
)  # fmt: skip
FIELDS: dict[str, tuple[str, ...]] = {
    "/api/v1/next": (),
    "/api/v1/events": EVENT,
    "/api/v1/undo": ("uuid", "annotator", "client", "target"),
    "/api/v1/renew": ("annotator", "client"),
    "/api/v1/release": ("annotator", "client"),
    "/api/v1/classes": ("name", "annotator", "parent_id"),
    "/api/v1/classes/{class_id}": (
        "act",
        "annotator",
        "seen",
        "name",
        "note",
        "shortcut",
        "image_ids",
        "parent_id",
        "before",
        "into",
    ),
    "/api/v1/taxonomy/undo": ("seq", "annotator"),
    "/api/v1/commands": ("kind", "payload"),
    "/api/v1/review": (*EVENT, "decision", "seen"),
    "/api/v1/review/undo": ("uuid", "annotator", "target"),
    "/api/v1/export": (),
    "/login": (),
    "/invite": (),
    "/logout": (),
    "/api/v1/users": ("name", "role"),
    "/api/v1/users/invite": ("name",),
    "/api/v1/users/role": ("name", "role"),
    "/api/v1/users/active": ("name", "active"),
    "/api/v1/users/logout": ("name",),
    "/api/v1/modes/grid": ("annotator", "client", "class_id", "named", "count", "holding", "without", "seen"),
    "/api/v1/modes/yesno": ("annotator", "client", "class_id", "count", "holding", "seen"),
    "/api/v1/modes/confirm": ("annotator", "client", "events", "out"),
    "/api/v1/modes/undo": ("uuid", "annotator", "client", "targets", "out", "holding"),
    "/api/v1/evidence": ("annotator", "client", "class_id", "named", "count", "holding", "without"),
    "/api/v1/evidence/confirm": ("annotator", "events"),
    "/api/v1/evidence/undo": ("uuid", "annotator", "targets"),
    "/api/v1/import": (),
    "/api/v1/browse/act": (
        "uuid",
        "annotator",
        "action",
        "image_ids",
        "class_id",
        "reason",
        "note",
        "shown",
        "client_at",
    ),
    "/api/v1/browse/undo": ("uuid", "annotator", "target"),
    "/api/v1/uploads": (),
    "/api/v1/uploads/{upload}/finish": ("classes", "labels_from_folders"),
    "/api/v1/study": ("action", "images", "gold", "suggestion", "map"),
}
BOX = {"x": 0.1, "y": 0.1, "w": 0.3, "h": 0.3}
SOUND: dict[str, Any] = {
    "images": 4, "gold": 0.5, "map": True,
    "uuid": UUIDS[0], "image_id": 1, "annotator": "me", "client": "tab", "kind": "label", "class_id": 1, "seen": 99,
    "decision": "label", "name": "Larch", "payload": {}, "count": 6, "holding": [1], "without": {"1": [2]}, "out": [3],
    "events": [{"uuid": UUIDS[1], "image_id": 2, "kind": "label", "class_id": 1, "region": BOX}], "targets": [UUIDS[1]],
    "action": "flag", "image_ids": [1, 2],
    "act": "rename", "seq": 1, "into": 2,
}  # fmt: skip
GETS = (
    "/healthz", "/image/{image_id}", "/thumb/{image_id}", "/scene/{image_id}",
    "/overlay/{publication}/{image_id}", "/surface/{edition}/{name}",
    "/login", "/invite", "/api/v1/me", "/api/v1/users", "/api/v1/acts",
    "/api/v1/modes", "/api/v1/answers", "/api/v1/receipts", "/api/v1/others", "/api/v1/study", "/api/v1/browse",
    "/api/v1/browse/ids", "/api/v1/browse/choices",
    "/api/v1/browse/image/{image_id}", "/api/v1/browse/map", "/api/v1/commands/{command_id}", "/api/v1/uploads/{upload}",
    *(f"/api/v1/{name}" for name in ("pace", "steering", "rounds", "confusion", "duplicates", "log")),
    *(f"/api/v1/{name}" for name in ("status", "history", "finish", "classes", "quarantine", "export", "review", "people")),
    "/api/v1/taxonomy", "/api/v1/taxonomy/history",
    *(f"/api/v1/classes/{{class_id}}/{name}" for name in ("preview", "card", "images")),
)  # fmt: skip
ROUTES = (*FIELDS, *GETS)
PAYLOADS = st.fixed_dictionaries({"folder": st.sampled_from(TEXTS)}, optional={"classes": VALUES, "x": VALUES})


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[TestClient]:
    workspace = tmp_path_factory.mktemp("hostile") / "workspace"
    shutil.copytree(template, workspace)
    app = server.create_app(settings.load(workspace))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def _routes(web: TestClient) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(method, path, parameters) of every route that is described."""
    paths = web.app.openapi()["paths"]  # type: ignore[attr-defined]
    return [
        (method.upper(), path, described.get("parameters", []))
        for path, methods in paths.items()
        for method, described in methods.items()
    ]


def test_every_route_is_known_here(web: TestClient) -> None:
    assert len(_routes(web)) >= 20
    assert {path for method, path, _ in _routes(web) if method == "POST"} == set(FIELDS)
    assert sorted(path for _, path, _ in _routes(web)) == sorted(ROUTES)


@st.composite
def requests(
    draw: st.DrawFn, described: list[tuple[str, str, list[dict[str, Any]]]]
) -> tuple[str, str, dict[str, Any]]:
    method, path, parameters = draw(st.sampled_from(described))
    fields = FIELDS.get(path, ())
    plain = st.one_of(st.sampled_from([*TEXTS, *map(str, NUMBERS)]), st.integers(-2, 30).map(str))
    query: dict[str, str] = {}
    for each in parameters:
        name, value = each["name"], draw(plain)
        if draw(st.booleans()) and name in SOUND:
            value = str(SOUND[name])
        if each["in"] == "path":
            part = "".join(char for char in value if (char.isascii() and char.isalnum()) or char in "-.") or "0"
            path = path.replace("{" + name + "}", part[:60])
        elif each.get("required") or draw(st.booleans()):
            query[name] = value.encode("utf-8", "replace").decode()
    options: dict[str, Any] = {"params": query}
    if method == "POST" and fields:
        options["content"] = draw(bodies(fields))
        options["headers"] = {"content-type": "application/json"}
    return method, path, options


@st.composite
def bodies(draw: st.DrawFn, fields: tuple[str, ...]) -> bytes:
    """Mostly an object whose fields are sound but for one or a few; at times no object, or no JSON."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.one_of(st.binary(max_size=30), VALUES.map(_dumped), st.just(b"[" * 100_000)))
    body = {name: SOUND[name] for name in fields if name in SOUND}
    for name in draw(st.lists(st.sampled_from(fields), max_size=3)):
        body[name] = draw(PAYLOADS if name == "payload" else VALUES)
    if "payload" in body and draw(st.booleans()):
        body["kind"] = "ingest"
    if draw(st.booleans()) and "uuid" in body:
        body["uuid"] = str(uuid.UUID(int=draw(st.integers(0, 2**32))))
    return _dumped(body)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("route", sorted(set(ROUTES)))
@hypothesis.given(data=st.data())
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
def test_no_request_breaks_the_page_and_every_refusal_is_a_sentence(
    web: TestClient, route: str, data: st.DataObject
) -> None:
    described = [each for each in _routes(web) if each[1] == route]
    method, path, options = data.draw(requests(described))
    answer = web.request(method, path, **options)
    assert answer.status_code < 500, (method, path, options, answer.text)
    if answer.status_code >= 400:
        if "text/html" in answer.headers["content-type"]:  # a form, with its problem above it
            assert 'role="alert">' in answer.text
            return
        sentence = answer.json()["error"]
        assert len(sentence.split()) >= 4, sentence
        assert len(sentence) < 1000, sentence[:1200]


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", f"/image/{10**23}", {}),
        ("GET", f"/overlay/{10**23}/1?kind=evidence", {}),
        ("POST", "/api/v1/classes", {"content": b'{"name": "\\ud800"}'}),
        ("POST", "/api/v1/classes", {"content": b'{"name": "a\\u0000b"}'}),
        ("POST", "/api/v1/classes", {"content": b'{"name": "two\\nlines"}'}),
        ("POST", "/api/v1/classes", {"content": b'{"name": "gpj.\\u202e.exe"}'}),
        ("POST", "/api/v1/commands", {"json": {"kind": "ingest", "payload": {"folder": "/" + "x" * 300}}}),
        ("POST", "/api/v1/events", {"json": {**SOUND, "shown_ms": 10**400}}),
        ("POST", "/api/v1/events", {"content": _dumped({**SOUND, "note": "\ud800"})}),
        ("POST", "/api/v1/events", {"content": b'{"a":' * 900 + b"1" + b"}" * 900}),
        ("POST", "/api/v1/events", {"content": b"[" * 100_000}),
        ("POST", "/api/v1/events", {"content": b'{"image_id": ' + b"9" * 5000 + b"}"}),
        ("POST", "/api/v1/undo", {"content": _dumped({**SOUND, "client": "\ud800"})}),
    ],
)
def test_what_once_broke_it_is_refused(web: TestClient, method: str, path: str, options: dict[str, Any]) -> None:
    answer = web.request(method, path, headers={"content-type": "application/json"}, **options)
    assert 400 <= answer.status_code < 500, answer.text
    assert len(answer.json()["error"].split()) >= 4
