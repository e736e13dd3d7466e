"""A headless Chromium for the tests, or the reason why there is none."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.web import bench

IMAGE = ".rm-frame img"
SHOWN = "document.querySelector('.rm-frame img')?.getAttribute('src') ?? ''"


def path() -> str:
    """Chromium's path; without one the test is skipped by name, or fails where RAUM_REQUIRE_BROWSER=1 says so."""
    found = next((where for where in map(shutil.which, bench.BROWSERS) if where), None)
    if found is not None:
        return found
    if os.environ.get("RAUM_REQUIRE_BROWSER") == "1":
        pytest.fail("RAUM_REQUIRE_BROWSER=1, but no Chromium is installed")
    pytest.skip("no Chromium is installed, the page is not tried in a browser")


@contextmanager
def launched() -> Iterator[Any]:
    """A running browser."""
    executable = path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=bench.ARGUMENTS)
        yield chromium
        chromium.close()


def press(tab: Any, *keys: str) -> None:
    """Press each key once the image before it is on the page."""
    for key in keys:
        tab.wait_for_selector(IMAGE)
        tab.keyboard.press(key)


def shown(tab: Any) -> str:
    """The address of the image on the page, once there is one."""
    tab.wait_for_selector(IMAGE)
    return tab.evaluate(SHOWN)


def saved(tab: Any) -> None:
    tab.wait_for_selector('.rm-saved[data-state="saved"]')


def said(server: Any) -> list[tuple[str, int | None, str | None]]:
    return [(event.kind, event.class_id, event.reason) for event in server.events()]
