"""Keys that a person puts elsewhere: shown, refused where taken, kept for the person, taken back."""

from collections.abc import Callable
from typing import Any

from tests.web.browser import press, said, saved
from tests.web.conftest import Page

SAID = ".rm-sheet-said"


def rebind(tab: Any, action: str, key: str) -> None:
    tab.click(f'.raum:visible [data-rebind="{action}"]')
    tab.keyboard.press(key)


def test_keys_are_changed_refused_kept_and_reset(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    press(tab, "?")
    assert tab.evaluate("document.activeElement.matches('.rm-help')"), "the sheet has the focus"
    rebind(tab, "reject", "s")
    assert tab.inner_text(SAID).startswith("s is already skip")
    tab.keyboard.press("F2")
    assert "cannot be used" in tab.inner_text(SAID)
    tab.keyboard.press("k")
    assert tab.inner_text(SAID) == "reject is now on k"
    assert tab.inner_text('.rm-key[data-action="reject"] kbd') == "k"
    rebind(tab, "digit2", "w")
    assert tab.inner_text(".rm-choice >> nth=1 >> kbd") == "w"
    tab.keyboard.press("Escape")
    assert not tab.is_visible(".rm-help")
    press(tab, "x", "2")
    assert said(page_server) == [], "the old keys mean nothing any more"
    press(tab, "w", "k")
    saved(tab)
    assert [(kind, class_id) for kind, class_id, _ in said(page_server)] == [("label", 2), ("reject", None)]
    tab.reload()
    tab.wait_for_selector(".rm-choice")
    assert tab.inner_text('.rm-key[data-action="reject"] kbd') == "k", "kept in the browser"
    tab.evaluate("raum.label.part('name').value = 'Ann'; raum.label.part('name').dispatchEvent(new Event('change'))")
    assert tab.inner_text('.rm-key[data-action="reject"] kbd') == "x", "another person has other keys"
    tab.evaluate("raum.label.part('name').value = 'me'; raum.label.part('name').dispatchEvent(new Event('change'))")
    press(tab, "?")
    tab.click("text=the keys as they were")
    assert tab.inner_text('.rm-key[data-action="reject"] kbd') == "x"


def test_keys_answer_while_the_sheet_is_open(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    press(tab, "?", "3")
    saved(tab)
    assert said(page_server) == [("label", 3, None)]
    assert tab.is_visible(".rm-help")


def test_digits_by_place_and_numpad(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    call = "(event) => import('/surface/x/keys.js').then((keys) => keys.meaning({ target: null, ...event }))"

    def meaning(**event: Any) -> Any:
        return tab.evaluate(call, event)

    assert meaning(key="-", code="Digit6") == {"action": "digit", "digit": 6}, "AZERTY's 6"
    assert meaning(key="è", code="Digit7") == {"action": "digit", "digit": 7}
    assert meaning(key="PageDown", code="Numpad3") == {"action": "digit", "digit": 3}, "without NumLock"
    assert meaning(key="3", code="Numpad3") == {"action": "digit", "digit": 3}
    assert meaning(key="/", code="NumpadDivide") == {"action": "search"}
    assert meaning(key="?", code="Comma", shiftKey=True) == {"action": "help"}


def test_the_review_tab_follows_the_same_keys(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, frame=True)
    press(tab, "?")
    rebind(tab, "list", "q")
    tab.keyboard.press("Escape")
    tab.click("button[role=tab]:has-text('Review')")
    tab.wait_for_selector('.rv-filter[aria-pressed="true"]')
    first = tab.get_attribute('.rv-filter[aria-pressed="true"]', "data-kind")
    tab.keyboard.press("l")
    assert tab.get_attribute('.rv-filter[aria-pressed="true"]', "data-kind") == first
    tab.keyboard.press("q")
    tab.wait_for_function(
        "(kind) => document.querySelector('.rv-filter[aria-pressed=\"true\"]').dataset.kind !== kind", arg=first
    )


def test_browse_and_classes_have_keys_of_their_own_that_are_changed_and_shown(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    tab = opened(page_server, frame=True)

    def to(name: str, ready: str) -> None:
        tab.click(f"button[role=tab]:has-text('{name}')")
        tab.wait_for_selector(ready)

    to("Browse", ".bw-cell img[src]")
    tab.focus(".bw-grid")
    tab.keyboard.press("?")
    assert tab.evaluate("document.activeElement.matches('.bw .rm-help')")
    sheet = tab.locator(".bw .rm-help")

    def ask(action: str, key: str) -> str:
        tab.click(f'.raum:visible [data-rebind="{action}"]')
        tab.keyboard.press(key)
        said = str(tab.inner_text(f".raum:visible {SAID}"))
        tab.keyboard.press("Escape")
        return said

    assert ask("reject", "a").startswith("a is already all on the Browse tab")
    assert ask("reject", "s").startswith("s is already skip"), "it holds on the Label tab, too"
    assert ask("like", "End").startswith("End moves on the Browse tab")
    rebind(tab, "like", "s")
    assert sheet.locator(SAID).inner_text() == "like is now on s", "skip is no key of this tab"
    rebind(tab, "select", "w")
    rebind(tab, "retract", "k")
    tab.keyboard.press("Escape")
    assert not sheet.is_visible()
    assert tab.inner_text('.bw-status [data-action="retract"] kbd') == "k"
    assert tab.inner_text('.bw-status [data-action="like"] kbd') == "s"
    tab.focus(".bw-grid")
    tab.keyboard.press("Space")
    assert tab.inner_text(".bw-status .bw-count") == ""
    tab.keyboard.press("End")  # the newest are held out
    tab.keyboard.press("w")
    assert tab.inner_text(".bw-status .bw-count") == "1 selected"
    tab.keyboard.press("x")
    tab.wait_for_selector(".bw-status .rm-said:has-text('1 image rejected')")
    tab.keyboard.press("w")
    tab.keyboard.press("k")
    tab.wait_for_selector(".bw-status .rm-said:has-text('1 image taken back')")
    to("Classes", ".cl-row")
    tab.keyboard.press("?")
    rebind(tab, "new", "k")
    rebind(tab, "merge", "x")
    assert tab.inner_text(f".cl {SAID}") == "merge is now on x"
    rebind(tab, "search", "q")
    tab.keyboard.press("Escape")
    assert tab.inner_text(".cl-hints kbd[data-key=new]") == "k"
    assert tab.get_attribute(".cl [data-part=find]", "placeholder") == "q  find …"
    tab.focus(".cl-list")
    tab.keyboard.press("k")
    assert tab.evaluate("document.activeElement.dataset.part") == "new"
    tab.focus(".cl-list")
    tab.keyboard.press("x")
    tab.wait_for_selector("#cl-f-into")
    assert tab.get_attribute(".bw-bar input[type=search]", "placeholder") == "q  file name …", "one wish on every tab"
    tab.reload()
    tab.wait_for_selector(".raum-slot .raum")
    to("Browse", ".bw-cell img[src]")
    assert tab.inner_text('.bw-status [data-action="retract"] kbd') == "k", "kept in the browser"
