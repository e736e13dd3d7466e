"""Importing labels over HTTP and from the Data tab: looked through first, stored when confirmed, nothing left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.web import import_routes
from tests.web.conftest import Page

GOOD = b"file,class\n00.png,Ash\n01.png,elm\n"


def left(page: Page) -> list[Path]:
    return [
        path for path in page.workspace.rglob("*") if path.name.startswith("upload-") or path.parent.name == "imports"
    ]


def test_a_file_is_looked_through_then_stored(page_server: Page) -> None:
    with httpx.Client(base_url=page_server.url, timeout=60) as web:
        looked = web.post("/api/v1/import", params={"name": "my labels.csv"}, content=GOOD)
        assert looked.status_code == 200, looked.text
        assert looked.json()["lines"][:2] == ["a dry run, nothing is stored", "2 answers would be added (Ash 1, Elm 1)"]
        assert page_server.events() == []
        done = web.post("/api/v1/import", params={"dry_run": "false"}, content=GOOD)
        assert done.json()["lines"][0] == "2 answers added (Ash 1, Elm 1)"
        assert [event.source for event in page_server.events()] == ["import", "import"]
        wrong = web.post("/api/v1/import", params={"name": "--x"}, content=b"file,class\n00.png,Ashh\n99.png,Ash\n")
        assert wrong.status_code == 400
        assert wrong.json()["error"] == "nothing of '--x' is imported"
        assert wrong.json()["lines"][0] == "line 2: 'Ashh' is no class here: did you mean 'Ash'?"
        assert len(wrong.json()["lines"]) == 3
        assert web.post("/api/v1/import", params={"format": "xml"}, content=GOOD).status_code == 400
        assert web.post("/api/v1/import", content=b"").status_code == 400
    assert left(page_server) == []


def test_a_file_that_is_too_large_is_refused_while_it_comes(page_server: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_routes, "MOST_BYTES", 1 << 20)
    with httpx.Client(base_url=page_server.url, timeout=60) as web:
        refused = web.post("/api/v1/import", content=b"x" * ((1 << 20) + 1))
    assert refused.status_code == 413
    assert "import it with python launch.py import-labels" in refused.json()["error"]
    assert left(page_server) == []


def test_what_a_killed_page_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "upload-x").mkdir()
    (tmp_path / "upload-x" / "labels").write_text("half", encoding="utf-8")
    import_routes.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_data_tab_shows_what_would_happen_before_it_does(
    page_server: Page, opened: Callable[..., Any], tmp_path: Path
) -> None:
    tab = opened(page_server, frame=True)
    tab.click("button[role=tab]:has-text('Data')")
    (tmp_path / "wrong.csv").write_text("file,class\n00.png,<b>Ash</b>\n", encoding="utf-8")
    (tmp_path / "good.csv").write_bytes(GOOD)
    confirm = tab.get_by_role("button", name="Import", exact=True)
    tab.set_input_files("#rd-import", tmp_path / "wrong.csv")
    tab.get_by_role("button", name="Look through").click()
    tab.get_by_text("line 2: '<b>Ash</b>' is no class here").wait_for()
    assert confirm.is_disabled()
    tab.set_input_files("#rd-import", tmp_path / "good.csv")
    assert confirm.is_disabled()
    tab.get_by_role("button", name="Look through").click()
    tab.get_by_text("2 answers would be added (Ash 1, Elm 1)").wait_for()
    assert page_server.events() == []
    confirm.click()
    tab.get_by_text("2 answers added (Ash 1, Elm 1)").wait_for()
    assert len(page_server.events()) == 2
    assert confirm.is_disabled()
