"""The door: every route of the served app stands in its table, what is closed is refused, every answer bears its headers."""

import contextlib
import http.client
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.routing import BaseRoute

from app import settings
from app.web import door_table, server
from tests.web.conftest import Page


def served(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of every route of an app, of its included routers and of what is mounted in it."""
    for route in routes:
        found: Any = route
        if hasattr(found, "effective_candidates"):
            yield from served(found.effective_candidates(), prefix)
        elif getattr(found, "methods", None):
            yield from ((method, prefix + found.path) for method in found.methods)
        elif hasattr(getattr(found, "app", None), "routes"):
            yield from served(found.app.routes, prefix + found.path)
        else:
            yield "?", prefix + str(getattr(found, "path", found))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Page]:
    """The standard page, without accounts; no test here changes more than a class."""
    workspace = tmp_path_factory.mktemp("door") / "workspace"
    shutil.copytree(template, workspace)
    page = Page(workspace)
    yield page
    page.stop()


@pytest.fixture
def web(shared: Page) -> Iterator[httpx.Client]:
    with shared.client() as client:
        yield client


def test_every_route_of_ours_and_of_gradio_stands_in_the_table(shared: Page) -> None:
    """A route that a new version of Gradio adds fails here, and is refused until somebody has thought about it."""
    found = set(served(shared.app.routes))
    assert len(found) > 100, "Gradio's own are among them"
    closed = {path for path in door_table.CLOSED} | {f"{path}/" for path in door_table.CLOSED}
    unknown = {
        (method, path) for method, path in found if (method, path) not in door_table.TABLE and path not in closed
    }
    assert unknown - {("HEAD", "/")} == set()
    ours = {key for key in found if key in door_table.OURS}
    assert ours == set(door_table.OURS), "and the table names nothing that is not there"


def test_what_is_not_in_the_table_is_refused_also_where_there_are_no_accounts(web: httpx.Client) -> None:
    sample = "x/../../../etc/passwd"
    for template in door_table.CLOSED:
        path = template
        for name in ("path_or_url", "url_path", "path"):
            path = path.replace("{" + name + ":path}", sample)
        while "{" in path:
            path = path[: path.index("{")] + "1" + path[path.index("}") + 1 :]
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            if door_table.needed(method, path) is not None:
                assert (method, template) == ("POST", "/logout")
                continue
            answer = web.request(method, path)
            assert answer.status_code == 404, (method, path)
    for path in ("/gradio_api/anything/new", "/API/v1/status", "/image/1/", "/api/v1/status/"):
        assert web.get(path).status_code == 404, path


def test_no_address_opens_a_file(shared: Page) -> None:
    """Pictures go by numbers only; Gradio's own bundle and the surface answer with nothing that is not theirs."""
    secret = shared.workspace / "secret.txt"
    secret.write_text("private")
    up = "../" * 12
    tries = [
        str(secret),
        f"{up}etc/passwd",
        f"{up}{secret}",
        quote(f"{up}etc/passwd", safe=""),
        quote(str(secret), safe=""),
        "raum.db",
        "1.jpg",
    ]
    places = (
        "",
        "image",
        "thumb",
        "scene",
        "overlay/1",
        "surface/x",
        "assets",
        "static",
        "static/js",
        "gradio_api/file",
        "gradio_api/file=",
        "gradio_api/proxy=file://",
    )
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", shared.port)) as line:
        for where, each in itertools.product(places, tries):
            line.request("GET", f"/{where}/{each}")  # as it stands: no client tidies the dots away
            answer = line.getresponse()
            content = answer.read()
            assert answer.status in (400, 404, 422), (where, each, answer.status)
            assert b"root:" not in content
            assert b"private" not in content


def test_every_answer_bears_the_headers(web: httpx.Client) -> None:
    asked: list[tuple[str, str]] = [
        ("GET", "/"), ("GET", "/healthz"), ("GET", "/api/v1/status"), ("GET", "/image/1"), ("GET", "/image/4242"),
        ("GET", "/theme.css"), ("GET", "/nowhere"), ("POST", "/api/v1/events"), ("GET", "/api/v1/export"),
        ("GET", "/invite"), ("GET", "/favicon.ico"),
    ]  # fmt: skip
    for method, path in asked:
        sent = web.request(method, path).headers
        assert sent["x-content-type-options"] == "nosniff", path
        assert sent["x-frame-options"] == "DENY", path
        assert sent["referrer-policy"] == "same-origin", path
        assert sent["cross-origin-opener-policy"] == "same-origin", path
        assert sent["cross-origin-resource-policy"] == "same-origin", path
        assert "camera=()" in sent["permissions-policy"], path
        assert "default-src" in sent["content-security-policy"], path
        assert (
            "frame-ancestors 'none'" in sent["content-security-policy"] or "sandbox" in sent["content-security-policy"]
        )
        assert "strict-transport-security" not in sent, "plain HTTP"


def test_a_failure_that_nobody_foresaw_bears_them_too_and_tells_nothing(tmp_path: Any) -> None:
    from fastapi.testclient import TestClient

    app = server.create_app(settings.load(tmp_path))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        db, app.state.db = app.state.db, None
        answer = client.get("/api/v1/status")
    db.close()
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed at this request; its log says why"}
    assert answer.headers["x-frame-options"] == "DENY"


def test_other_sites_names_and_sockets_are_refused(web: httpx.Client) -> None:
    own = {"Origin": str(web.base_url).rstrip("/")}
    for sent in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert web.get("/api/v1/status", headers=sent).status_code == 403, sent
    for site in ("cross-site", "same-site"):
        assert web.post("/api/v1/classes", json={"name": "x"}, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert (
        web.post("/api/v1/classes", json={"name": "x"}, headers={**own, "Sec-Fetch-Site": "same-origin"}).status_code
        == 200
    )
    asked = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x" * 24,
        "Sec-WebSocket-Version": "13",
    }
    assert web.get("/", headers=asked).status_code != 101


def test_behind_https_browsers_are_told_to_stay_there(web: httpx.Client) -> None:
    sent = web.get("/healthz", headers={"X-Forwarded-Proto": "https"}).headers
    assert sent["strict-transport-security"] == "max-age=31536000"


def test_the_page_keeps_its_policy_in_every_tab(shared: Page, chromium: Any) -> None:
    """No violation, nothing from elsewhere; and what the policy bars is barred."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation', (event) => "
        "window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`));"
    )
    tab = context.new_page()
    told: list[str] = []
    tab.on("console", lambda each: told.append(each.text) if "policy" in each.text.lower() else None)
    tab.goto(shared.url)
    tab.wait_for_selector(".raum-slot .raum")
    for name in ("Review", "Progress", "Data", "Label"):
        tab.click(f"button[role=tab]:has-text('{name}')")
        tab.wait_for_timeout(300)
    tab.wait_for_selector(".rm-frame canvas")
    tab.keyboard.press("?")
    assert tab.evaluate("window.violations") == []
    assert told == []
    outcome = tab.evaluate(
        """async () => {
          const inline = document.createElement('script');
          inline.textContent = 'window.injected = 1';
          document.body.append(inline);
          const image = new Image();
          const refused = new Promise((resolve) => {
            image.onerror = () => resolve('refused');
            image.onload = () => resolve('loaded');
          });
          image.src = 'https://evil.example/x.png';
          const away = await fetch('https://evil.example/').then(() => 'sent', () => 'refused');
          return [window.injected ?? null, await refused, away];
        }"""
    )
    assert outcome == [None, "refused", "refused"]
    barred = {each.split()[0] for each in tab.evaluate("window.violations")}
    assert barred == {"script-src-elem", "img-src", "connect-src"}
    context.close()
