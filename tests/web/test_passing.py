"""Asking a person by name: by keys, with a note, by touch; what that person sees; taken back; nobody to ask."""

from collections.abc import Callable
from typing import Any

from tests.web import team
from tests.web.browser import IMAGE, SHOWN, press, saved
from tests.web.conftest import Page

PLACE, BUTTON, SAID, WHY = (
    '[data-part="pass"]',
    '[data-action="pass"]',
    '[data-part="said"]',
    '[data-part="why"]',
)
OPTION = f"{PLACE} [role=option]"


def joined(server: Page, *names: str) -> None:
    """These people have labelled here before; they hold nothing now."""
    with server.client() as client:
        for name in names:
            client.post("/api/v1/next", params={"client": f"tab of {name}", "count": 1, "annotator": name})
            client.post("/api/v1/release", json={"client": f"tab of {name}", "annotator": name})
    server.stop()
    from store import database, queue

    db = database.open(server.settings.database)
    with db.write() as tx:
        for lease in queue.live_leases(tx, 0.0):
            queue.release(tx, lease.annotator_id, lease.client)
    db.close()
    server.start()


def sits_down(tab: Any, name: str) -> None:
    """Another person uses this tab from now on."""
    change = "name => { const f = raum.label.part('name'); f.value = name; f.dispatchEvent(new Event('change')); }"
    tab.evaluate(change, name)
    tab.wait_for_selector(IMAGE)


def comes(tab: Any, image: str) -> None:
    """Answer what is shown before this image: of those that came together, one that is decoded sooner may go first."""
    for _ in range(6):
        tab.wait_for_selector(IMAGE)
        if tab.evaluate(SHOWN) == image:
            return
        press(tab, "1")
    raise AssertionError(f"{image} was not among the first")


def told(server: Page) -> list[tuple[str, int | None, str | None]]:
    return [(event.kind, event.asked_id, event.note) for event in server.events()]


def test_by_keys_with_a_note_and_the_asked_person_sees_who_asks(page_server: Page, opened: Callable[..., Any]) -> None:
    joined(page_server, "Anna", "Hanna", "Ben")
    tab = opened(page_server)
    tab.wait_for_selector(BUTTON)
    image = tab.evaluate(SHOWN)
    press(tab, "p")
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Whom to ask"
    assert tab.locator(OPTION).all_inner_texts() == ["Anna", "Ben", "Hanna"]
    tab.keyboard.type("an")
    assert tab.locator(OPTION).all_inner_texts() == ["Anna", "Hanna"], "what begins so comes first"
    tab.keyboard.press("ArrowDown")
    assert tab.inner_text(f"{OPTION}[aria-selected=true]") == "Hanna"
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Tab")
    tab.keyboard.type("<b>wing bars?</b>")
    tab.keyboard.press("Enter")
    assert not tab.is_visible(PLACE)
    assert tab.inner_text(SAID) == "passed to Anna"
    assert tab.evaluate(SHOWN) != image, "the next image is there at once"
    saved(tab)
    assert told(page_server) == [("skip", 1, "<b>wing bars?</b>")]
    press(tab, "1")
    saved(tab)
    sits_down(tab, "Anna")
    comes(tab, image)
    assert tab.inner_text(WHY) == "me asks you: what is it? “<b>wing bars?</b>”"
    assert "rm-asked" in (tab.get_attribute(WHY, "class") or "")
    press(tab, "2")
    saved(tab)
    assert page_server.events()[-1].queue_reason == "passed"
    assert "asks you" not in tab.inner_text(WHY)


def test_escape_sends_nothing_and_undo_takes_the_question_back(page_server: Page, opened: Callable[..., Any]) -> None:
    joined(page_server, "Anna")
    tab = opened(page_server)
    tab.wait_for_selector(BUTTON)
    image = tab.evaluate(SHOWN)
    press(tab, "p")
    tab.keyboard.type("x")
    assert tab.locator(OPTION).count() == 0
    tab.keyboard.press("Enter")
    assert tab.is_visible(PLACE), "nobody of that name: nothing is sent"
    tab.keyboard.press("Escape")
    assert not tab.is_visible(PLACE)
    assert tab.evaluate(SHOWN) == image
    press(tab, "p", "Enter")
    saved(tab)
    press(tab, "z")
    assert tab.evaluate(SHOWN) == image
    assert tab.inner_text(SAID) == "undone: passed to Anna"
    saved(tab)
    assert [kind for kind, _, _ in told(page_server)] == ["skip", "retract"]
    press(tab, "1")
    saved(tab)
    sits_down(tab, "Anna")
    assert "asks you" not in tab.inner_text(WHY)
    assert not tab.evaluate("raum.label.stock.waiting.some((each) => each.item.asked_by)")


def test_by_touch_on_a_narrow_window(page_server: Page, opened: Callable[..., Any]) -> None:
    joined(page_server, "Anna", "Ben")
    tab = opened(page_server, width=360, height=740, has_touch=True)
    tab.wait_for_selector(BUTTON)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = tab.locator(BUTTON).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    image = tab.evaluate(SHOWN)
    tab.tap(BUTTON)
    tab.wait_for_selector(OPTION)
    line = tab.locator(OPTION).nth(1)
    assert line.bounding_box()["height"] >= 40, "a thumb hits it"
    line.tap()
    saved(tab)
    assert told(page_server) == [("skip", 2, None)]
    sits_down(tab, "Ben")
    comes(tab, image)
    tab.wait_for_selector(f"{WHY}.rm-asked >> visible=true")


def test_where_nobody_else_labels_there_is_no_button(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    assert not tab.is_visible(BUTTON)
    press(tab, "p")
    assert tab.inner_text(SAID).startswith("nobody else labels here yet")
    assert not tab.is_visible(PLACE)


def test_with_accounts_and_in_the_history_of_the_image(make_page: Callable[..., Page], chromium: Any) -> None:
    served = make_page(team=True)
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    tab = context.new_page()
    tab.goto(served.url)
    tab.fill("#name", "Rene")
    tab.fill("#password", team.PASSWORD)
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".raum-slot .raum")
    tab.wait_for_selector(BUTTON)
    image = int(tab.evaluate(SHOWN).rsplit("/", 1)[1])
    press(tab, "p")
    assert tab.locator(OPTION).all_inner_texts() == ["Ada", "Ann", "Ben"]
    tab.click(f"{OPTION} >> text=Ben")
    saved(tab)
    tab.click("button[role=tab]:has-text('Browse')")
    tab.locator(f".bw-cell:has(img[src='/thumb/{image}'])").click()
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".bw-history li:has-text('passed to Ben')")
    context.close()
