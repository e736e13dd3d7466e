"""A page with accounts in a real browser: logging in, being logged out in the middle, changing people, roles, invitations."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.web import team
from tests.web.browser import IMAGE, press, saved
from tests.web.conftest import Page

BANNER = "#raum-login"
WATCH = (
    "window.violations = []; document.addEventListener('securitypolicyviolation', (event) => "
    "window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`));"
)


@pytest.fixture
def served(make_page: Callable[..., Page]) -> Page:
    return make_page(team=True)


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A browser profile in which no page may break its policy."""
    made = chromium.new_context(viewport={"width": 1280, "height": 720})
    made.add_init_script(WATCH)
    yield made
    for tab in made.pages:
        assert tab.evaluate("window.violations ?? []") == [], tab.url
    made.close()


def enter(tab: Any, name: str, password: str = team.PASSWORD) -> None:
    """Fill in the form that is open, by keyboard alone."""
    tab.fill("#name", name)
    tab.focus("#name")
    tab.keyboard.press("Tab")
    tab.keyboard.type(password)
    tab.keyboard.press("Enter")


def labelling(context: Any, server: Page, name: str) -> Any:
    """A tab in which this person labels, with Gradio around it."""
    tab = context.new_page()
    tab.goto(server.url)
    assert tab.url.endswith("/login")
    enter(tab, name)
    tab.wait_for_selector(".raum-slot .raum")
    tab.wait_for_selector(IMAGE)
    return tab


def said(server: Page) -> list[tuple[str, int | None]]:
    """(who, class) of every label in the store."""
    from store import annotators, database

    db = database.open(server.settings.database)
    with db.read() as tx:
        names = {each.id: each.name for each in annotators.all_(tx)}
    db.close()
    return [(names[each.annotator_id], each.class_id) for each in server.events()]


def revoke(server: Page, name: str) -> None:
    """All sessions of this person end, as from the People card."""
    import time

    from app import accounts

    accounts.end_all_sessions(server.app.state.db, name, actor="Ada", now=time.time())
    server.app.state.guests.forget()


def test_an_admin_sees_every_tab_and_no_page_breaks_its_policy(context: Any, served: Page) -> None:
    tab = labelling(context, served, "Ada")
    for name in ("Review", "Progress", "Data", "Label"):
        tab.click(f"button[role=tab]:has-text('{name}')")
        tab.wait_for_timeout(300)
    press(tab, "2")
    saved(tab)
    assert said(served) == [("Ada", 2)]
    assert tab.inner_text(".rm-person b") == "Ada"
    assert tab.locator(".rm-name input").count() == 0
    tab.click(".rm-logout")
    tab.wait_for_url("**/login")
    tab.goto(served.url)
    assert tab.url.endswith("/login")


def test_an_annotator_is_shown_what_an_annotator_may(context: Any, served: Page) -> None:
    tab = labelling(context, served, "Ann")
    shown = [text for text in tab.locator("button[role=tab]:visible").all_inner_texts() if text]
    assert shown == ["Label", "Progress"]
    press(tab, "/")
    tab.keyboard.type("zzz")
    assert tab.locator(".rm-option:visible").count() == 0, "only reviewers add classes"
    tab.keyboard.press("Escape")
    tab.click("button[role=tab]:has-text('Progress')")
    tab.wait_for_selector('[data-part="worker"] h2')
    assert tab.locator("text=train now").count() == 0
    assert tab.locator('[data-part="export"]:visible').count() == 0


def test_a_reviewer_reviews_and_adds_classes_but_manages_nothing(context: Any, served: Page) -> None:
    tab = labelling(context, served, "Rene")
    shown = [text for text in tab.locator("button[role=tab]:visible").all_inner_texts() if text]
    assert shown == ["Label", "Review", "Browse", "Classes", "Progress", "Data"]
    tab.click("button[role=tab]:has-text('Classes')")
    tab.fill("[data-part=new]:visible", "Fir")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".cl-row .cl-name:text-is('Fir')")
    tab.click("button[role=tab]:has-text('Data')")
    tab.wait_for_selector(".rp-card h2:visible")
    assert tab.locator(".rp-card h2:visible").all_inner_texts() == ["Near-duplicates"]


def test_who_is_logged_out_while_labelling_loses_nothing(context: Any, served: Page) -> None:
    tab = labelling(context, served, "Ann")
    press(tab, "1")
    saved(tab)
    revoke(served, "Ann")
    press(tab, "2", "3")
    tab.wait_for_selector(BANNER)
    tab.wait_for_selector('.rm-saved[data-state="away"]')
    assert tab.inner_text(".rm-saved") == "logged out, 2 answers waiting here"
    assert said(served) == [("Ann", 1)]
    with context.expect_page() as opening:
        tab.click(f"{BANNER} a")
    login = opening.value
    enter(login, "Ann")
    login.wait_for_selector("text=goes on by itself")
    tab.bring_to_front()
    saved(tab)
    assert tab.locator(BANNER).count() == 0
    assert said(served) == [("Ann", 1), ("Ann", 2), ("Ann", 3)]
    press(tab, "4")
    saved(tab)
    assert said(served)[-1] == ("Ann", 4)


def test_answers_kept_for_one_person_are_never_sent_as_another(context: Any, served: Page) -> None:
    tab = labelling(context, served, "Ann")
    revoke(served, "Ann")
    press(tab, "2", "3")
    tab.wait_for_selector(BANNER)
    other = context.new_page()
    other.goto(f"{served.url}/login")
    enter(other, "Ben")
    other.wait_for_selector(IMAGE)
    tab.bring_to_front()
    tab.wait_for_selector(f"{BANNER}:has-text('Ben is logged in in this browser now')")
    other.bring_to_front()
    press(other, "4")
    saved(other)
    assert said(served) == [("Ben", 4)], "Ann's open tab sent nothing as Ben"
    tab.goto(served.url)  # the same tab, now Ben's: it finds Ann's answers in the browser and leaves them there
    tab.wait_for_selector(IMAGE)
    press(tab, "1")
    saved(tab)
    tab.evaluate("raum.label.outbox.adopt(Date.now() + 1e9)")
    tab.wait_for_timeout(300)
    assert said(served) == [("Ben", 4), ("Ben", 1)]
    tab.click(".rm-logout")
    tab.wait_for_url("**/login")
    other.close()
    enter(tab, "Ann")
    tab.wait_for_selector(IMAGE)
    tab.evaluate("raum.label.outbox.adopt(Date.now() + 1e9)")
    saved(tab)
    assert sorted(said(served)[2:], key=str) == [("Ann", 2), ("Ann", 3)]
    assert tab.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('raum.kept.'))") == []


def test_a_page_from_before_the_accounts_sends_nothing_until_it_is_opened_anew(context: Any, page_server: Page) -> None:
    tab = context.new_page()
    tab.goto(page_server.url)
    tab.wait_for_selector(IMAGE)
    team.fill(page_server.workspace)
    page_server.app.state.guests.forget()
    press(tab, "1")
    tab.wait_for_selector(BANNER)
    other = context.new_page()
    other.goto(f"{page_server.url}/login")
    enter(other, "Ben")
    other.wait_for_selector(IMAGE)
    tab.bring_to_front()
    tab.evaluate("raum.label.outbox.kick()")
    tab.wait_for_timeout(500)
    assert said(page_server) == []
    other.evaluate("raum.label.outbox.adopt(Date.now() + 1e9)")
    other.wait_for_timeout(300)
    assert said(page_server) == [], "it was said by somebody who called himself me"


def test_an_invitation_from_the_people_card_to_the_first_label(context: Any, served: Page, chromium: Any) -> None:
    tab = labelling(context, served, "Ada")
    tab.click("button[role=tab]:has-text('Data')")
    tab.wait_for_selector(".rt-list table")
    tab.fill("#rt-name", "Gil <b>")
    tab.click(".rt-row button")
    tab.wait_for_selector(".rt-link input")
    link = tab.input_value(".rt-link input")
    tab.wait_for_selector(".rt-list th:has-text('Gil <b>')")
    guest = chromium.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    guest.add_init_script(WATCH)
    page = guest.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    assert page.url == f"{served.url}/invite", "the code leaves the address"
    assert not any(link.rpartition("#")[2] in url for url in asked), "and is in no request's address"
    assert page.evaluate("document.activeElement.id") == "password"
    assert page.is_hidden("#token")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.type("a few plain words")
    page.keyboard.press("Tab")
    page.keyboard.type("a few plain words")
    page.keyboard.press("Enter")
    page.wait_for_selector(IMAGE)
    page.keyboard.press("1")
    saved(page)
    assert said(served) == [("Gil <b>", 1)]
    assert page.evaluate("window.violations") == []
    guest.close()
    tab.select_option("select[aria-label='Role of Gil <b>']", "reviewer")
    tab.wait_for_selector("text=Gil <b> is reviewer now")
    row = "tr:has(th:text-is('Gil <b>'))"
    tab.click(f"{row} button:text-is('lock')")
    tab.click(f"{row} button:has-text('sure?')")
    tab.wait_for_selector(f"{row}[data-active=no]")
    tab.click(".rt-acts summary")
    tab.wait_for_selector(".rt-acts li:has-text('Ada')")
    assert tab.locator(".rt-acts li").count() >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_login_works_without_scripts_from_360_px(chromium: Any, served: Page, scheme: str) -> None:
    context = chromium.new_context(
        viewport={"width": 360, "height": 640}, color_scheme=scheme, java_script_enabled=False
    )
    tab = context.new_page()
    tab.goto(served.url)
    back = {"light": "rgb(241, 243, 246)", "dark": "rgb(18, 21, 26)"}
    tab.fill("#name", "Ann")
    tab.fill("#password", "not the right one")
    tab.click("button")
    assert "wrong" in tab.inner_text("[role=alert]")
    assert tab.input_value("#name") == "Ann"
    box = tab.locator("main").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    tab.fill("#password", team.PASSWORD)
    tab.click("button")
    assert tab.url == f"{served.url}/"
    context.close()
    shown = chromium.new_context(viewport={"width": 360, "height": 640}, color_scheme=scheme)
    tab = shown.new_page()
    tab.goto(f"{served.url}/login")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == back[scheme]
    assert tab.evaluate("document.activeElement.id") == "name"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert [tab.get_attribute(f"#{each}", "autocomplete") for each in ("name", "password")] == [
        "username",
        "current-password",
    ]
    assert tab.locator("label").all_inner_texts() == ["Name", "Password"]
    shown.close()
