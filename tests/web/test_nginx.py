"""Behind a real nginx that ends TLS and shows the page at /raum, by the very file of docs/deploy."""

import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import accounts, attempts
from store import database, labels, tries
from tests.web import browser, process

CONF = process.ROOT / "docs" / "deploy" / "nginx.conf"
PASSWORD = "a kite over Jura"
BEGIN = {"name": "Ada", "password": PASSWORD}


@dataclass
class Behind:
    """Where nginx listens, and what stands behind it."""

    url: str  # without /raum
    workspace: Path
    trusting: ssl.SSLContext

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=f"{self.url}/raum", **({"verify": self.trusting} | more))


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Behind]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx is installed, the page is not tried behind one")
    folder = tmp_path_factory.mktemp("nginx")
    cert, key = process.certificate(folder)
    workspace = shutil.copytree(template, folder / "workspace")
    (workspace / "settings.toml").write_text("holdout_rate = 0.0\nhidden_rate = 0.0\n", encoding="utf-8")
    with closing(database.open(workspace / "raum.db")) as db:
        accounts.add(db, "Ada", "admin", PASSWORD, actor="shell", now=1.0)
    port, inner, plain = process.free_port(), process.free_port(), process.free_port()
    conf = CONF.read_text(encoding="utf-8")
    for found, put in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen 80", f"listen 127.0.0.1:{plain}"),
        ("raum.example", "127.0.0.1"),
        ("/etc/ssl/raum/fullchain.pem", str(cert)),
        ("/etc/ssl/raum/privkey.pem", str(key)),
        ("127.0.0.1:7860", f"127.0.0.1:{inner}"),
    ):
        assert found in conf
        conf = conf.replace(found, put)
    whole = folder / "nginx.conf"
    whole.write_text(_around(folder, conf), encoding="utf-8")
    with (
        process.page(workspace, inner, "--root-path", "/raum"),
        process.running([nginx, "-p", str(folder), "-e", "stderr", "-c", str(whole)], port),
    ):
        yield Behind(f"https://127.0.0.1:{port}", workspace, ssl.create_default_context(cafile=str(cert)))


def _around(folder: Path, servers: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    return (
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;"
        f"events {{ worker_connections 64; }} http {{ access_log off; {places}\n{servers} }}"
    )


def test_only_what_stands_below_the_root_path_is_given_out(behind: Behind) -> None:
    with behind.client() as web:
        home = web.get("/", headers={"Accept": "text/html"})
        assert home.status_code in (302, 303, 307)
        assert httpx.URL(behind.url).join(home.headers["location"]).path == "/raum/login"
        assert web.get("/api/v1/status").status_code == 401
        assert web.get("/healthz").json() == {"ok": True}
    with httpx.Client(verify=behind.trusting) as bare:
        moved = bare.get(f"{behind.url}/raum")
        assert (moved.status_code, moved.headers["location"]) == (308, f"{behind.url}/raum/")
        assert bare.get(f"{behind.url}/healthz").status_code == 404


def test_the_session_cookie_belongs_to_the_root_path_and_to_tls(behind: Behind) -> None:
    with behind.client() as web:
        given = web.post("/login", data=BEGIN)
        cookies = {line.partition("=")[0]: line.lower() for line in given.headers.get_list("set-cookie")}
        for said in ("secure", "path=/raum;", "samesite=lax", "httponly"):
            assert said in f"{cookies['raum_session']};"
        assert "secure" in cookies["raum_csrf"]
        assert "httponly" not in cookies["raum_csrf"]
        assert given.headers["strict-transport-security"]
        assert web.get("/api/v1/status").status_code == 200
        assert web.post("/api/v1/classes", json={"name": "Fir"}).status_code in (401, 403)  # without the other half


def test_guesses_are_counted_by_the_address_that_nginx_sees(behind: Behind) -> None:
    far = httpx.HTTPTransport(local_address="127.0.0.9", verify=behind.trusting)
    with behind.client(transport=far) as web:
        lied = {"X-Forwarded-For": "192.0.2.77", "X-Forwarded-Proto": "http"}
        refused = web.post("/login", data={"name": "nobody", "password": "wrong password"}, headers=lied)
        assert refused.status_code == 401
        assert refused.headers["strict-transport-security"]
    with closing(database.open(behind.workspace / "raum.db")) as db, db.read() as tx:
        counted = [tries.of(tx, attempts.by_address(each))[0] for each in ("127.0.0.9", "127.0.0.1", "192.0.2.77")]
    assert counted == [1, 0, 0]


def test_a_person_logs_in_sees_images_and_maps_and_answers(behind: Behind) -> None:
    with browser.launched() as chromium:
        context = chromium.new_context(viewport={"width": 1280, "height": 720}, ignore_https_errors=True)
        tab = context.new_page()
        asked: list[str] = []
        failed: list[str] = []
        tab.on("request", lambda each: asked.append(each.url))
        tab.on("response", lambda each: failed.append(each.url) if each.status >= 400 else None)
        tab.on("pageerror", lambda each: failed.append(str(each)))
        tab.goto(f"{behind.url}/raum/")
        assert httpx.URL(tab.url).path == "/raum/login"
        tab.fill("#name", "ada")
        tab.fill("#password", PASSWORD)
        tab.keyboard.press("Enter")
        tab.wait_for_selector(".raum-slot .raum")  # Gradio's own bundle came through, too
        tab.wait_for_selector(browser.IMAGE)
        assert httpx.URL(tab.url).path == "/raum/"
        assert tab.evaluate("document.querySelector('.rm-frame img').naturalWidth") > 0
        tab.wait_for_selector(".rm-frame canvas")
        browser.press(tab, "2")
        browser.saved(tab)
        for name in ("Review", "Progress", "Data"):
            tab.click(f"button[role=tab]:has-text('{name}')")
            tab.wait_for_timeout(300)
        cookies = {each["name"]: each for each in context.cookies()}
        context.close()
    kept = cookies["raum_session"]
    assert (kept["secure"], kept["path"], kept["httpOnly"], kept["sameSite"]) == (True, "/raum", True, "Lax")
    assert failed == []
    ours = [each for each in asked if not each.startswith("data:")]
    assert [each for each in ours if not each.startswith(f"{behind.url}/raum/")] == []
    for part in ("/image/", "/thumb/", "/overlay/", "/surface/", "/assets/", "/api/v1/events"):
        assert any(f"/raum{part}" in each for each in ours), part
    with closing(database.open(behind.workspace / "raum.db")) as db, db.read() as tx:
        (event,) = labels.all_events(tx)
        person = accounts.user_named(tx, "Ada")
    assert (event.kind, event.annotator_id) == ("label", person.annotator_id)
