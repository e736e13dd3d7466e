"""axe-core over every tab, light and dark, wide and narrow: no serious finding."""

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from app.web import page
from tests.web.browser import press
from tests.web.conftest import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {"resultTypes": ["violations"], "runOnly": {"type": "tag", "values": TAGS}}


@pytest.fixture(scope="module")
def axe() -> ModuleType:
    if os.environ.get("RAUM_REQUIRE_BROWSER") != "1":
        reason = "axe-playwright-python is not installed, accessibility is not checked"
        pytest.importorskip("axe_playwright_python", reason=reason)
    from axe_playwright_python import base

    found: ModuleType = base
    return found


def serious(tab: Any, axe: ModuleType) -> list[str]:
    """What axe finds serious or critical on the page as it is now: rule, element and why."""
    if not tab.evaluate("() => 'axe' in window"):
        tab.evaluate(axe.AXE_SCRIPT)
    found = tab.evaluate("(options) => axe.run(document, options)", OPTIONS)["violations"]
    return [
        f"{each['id']} at {node['html'][:160]}: {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_tab_has_a_serious_finding(
    page_server: Page, opened: Callable[..., Any], axe: ModuleType, scheme: str
) -> None:
    tab = opened(page_server, color_scheme=scheme, frame=True, reduced_motion="reduce")
    found = {"Label": serious(tab, axe)}
    press(tab, "?")
    found["the sheet of keys"] = serious(tab, axe)
    tab.keyboard.press("Escape")
    press(tab, "x")
    found["the reasons"] = serious(tab, axe)
    for name in page.TABS[1:]:
        tab.click(f"button[role=tab]:has-text('{name}')")
        tab.wait_for_selector(f'[data-surface="{name.lower()}"] > *')
        found[name] = serious(tab, axe)
    assert {name: told for name, told in found.items() if told} == {}


def test_phones_have_no_serious_finding(page_server: Page, opened: Callable[..., Any], axe: ModuleType) -> None:
    tab = opened(page_server, width=360, height=740, has_touch=True, frame=True)
    assert serious(tab, axe) == []


def test_the_first_screen_has_no_serious_finding(
    make_page: Callable[..., Page], opened: Callable[..., Any], axe: ModuleType
) -> None:
    tab = opened(make_page(empty=True), wait=".rm-cards", frame=True)
    assert serious(tab, axe) == []


def test_the_checker_sees_a_fault(page_server: Page, opened: Callable[..., Any], axe: ModuleType) -> None:
    tab = opened(page_server)
    tab.evaluate("document.querySelector('.rm-search input').removeAttribute('aria-label')")
    tab.evaluate("document.querySelector('.rm-search input').removeAttribute('placeholder')")
    assert any(told.startswith("label at") for told in serious(tab, axe))
