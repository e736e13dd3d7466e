"""The Classes tab in a real browser, mostly by keys: what is changed there counts at once, also for who labels."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from store import annotators, class_acts, classes, database, labels
from store.records import NewEvent
from tests.web.browser import IMAGE, press, said, saved
from tests.web.conftest import Page

LIST = ".cl-list"


def change(server: Page, what: Callable[[Any], object]) -> None:
    db = database.open(server.settings.database)
    with db.write() as tx:
        what(tx)
    db.close()


def label(server: Page, pairs: dict[int, int]) -> None:
    """Ada labels these images with these classes."""

    def all_of(tx: Any) -> None:
        ada = annotators.ensure(tx, "ada", 1.0).id
        for image_id, class_id in pairs.items():
            new = NewEvent(uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=ada, kind="label", class_id=class_id)
            labels.append(tx, new, 2.0)

    change(server, all_of)


def names(tab: Any) -> list[str]:
    return tab.locator(".cl-row:not(.cl-gone) .cl-name").all_inner_texts()


def waits(tab: Any, wanted: list[str]) -> None:
    tab.wait_for_function(
        "(wanted) => [...document.querySelectorAll('.cl-row:not(.cl-gone) .cl-name')].map((e) => e.innerText).join() === wanted",
        arg=",".join(wanted),
    )


def told(tab: Any) -> str:
    tab.wait_for_selector(".cl-said:not(:empty)")
    return str(tab.inner_text(".cl-said"))


@pytest.fixture
def tab(page_server: Page, opened: Callable[..., Any]) -> Any:
    """The Classes tab of a pool in which ada has labelled seven images."""
    label(page_server, {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 3})
    tab = opened(page_server, frame=True)
    return shown(tab)


def shown(tab: Any) -> Any:
    tab.focus("button[role=tab]:has-text('Classes')")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".cl-row")
    tab.focus(LIST)
    return tab


def test_a_class_is_added_renamed_ordered_and_put_under_another_by_keys(tab: Any, page_server: Page) -> None:
    waits(tab, ["Ash", "Birch", "Cedar", "Elm"])
    tab.keyboard.press("n")
    tab.keyboard.type("Fir")
    tab.keyboard.press("Enter")
    waits(tab, ["Ash", "Birch", "Cedar", "Elm", "Fir"])
    tab.wait_for_selector(f"{LIST}[aria-activedescendant='cl-row-5']")
    tab.keyboard.press("Escape")
    tab.keyboard.press("F2")
    tab.keyboard.type("Silver Fir")
    tab.keyboard.press("Enter")
    waits(tab, ["Ash", "Birch", "Cedar", "Elm", "Silver Fir"])
    tab.keyboard.press("Alt+ArrowUp")
    waits(tab, ["Ash", "Birch", "Cedar", "Silver Fir", "Elm"])
    tab.keyboard.press("Alt+ArrowRight")
    tab.wait_for_selector(".cl-row[aria-level='2'][aria-label^='Silver Fir']")
    tab.keyboard.press("Home")
    assert tab.get_attribute(LIST, "aria-activedescendant") == "cl-row-1"
    tab.keyboard.press("Alt+ArrowDown")
    waits(tab, ["Birch", "Ash", "Cedar", "Silver Fir", "Elm"])
    tab.keyboard.press("F2")
    tab.keyboard.type("birch")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".cl-said:has-text(\"already called 'Birch'\")")
    waits(tab, ["Birch", "Ash", "Cedar", "Silver Fir", "Elm"])
    for wanted in (
        ["Ash", "Birch", "Cedar", "Silver Fir", "Elm"],
        ["Ash", "Birch", "Cedar", "Silver Fir", "Elm"],
        ["Ash", "Birch", "Cedar", "Elm", "Silver Fir"],
        ["Ash", "Birch", "Cedar", "Elm", "Fir"],
        ["Ash", "Birch", "Cedar", "Elm"],
    ):
        tab.keyboard.press("z")
        waits(tab, wanted)
        tab.wait_for_function("() => document.querySelector('.cl-said').innerText === 'undone'")
        tab.evaluate("document.querySelector('.cl-said').innerText = ''")
    assert page_server.events()[-1].class_id == 3, "no label was touched"


def test_a_merge_shows_its_effect_counts_at_once_and_is_undone_from_the_history(tab: Any) -> None:
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("m")
    tab.keyboard.type("cedar")
    tab.wait_for_selector(".cl-effect p")
    assert tab.inner_text(".cl-effect p") == (
        "Merging Birch into Cedar moves 2 labels of 1 person; 5 queue suggestions follow. It can be undone."
    )
    waits(tab, ["Ash", "Birch", "Cedar", "Elm"])
    tab.click(".cl-effect button:text-is('merge')")
    waits(tab, ["Ash", "Cedar", "Elm"])
    assert tab.get_attribute(".cl-row[data-id='3']", "aria-label") == "Cedar, 4 labels"
    assert tab.inner_text(".cl-gone .cl-count") == "merged into Cedar"
    tab.click("button[role=tab]:has-text('Label')")
    tab.wait_for_selector(".rm-choice:visible")
    tab.wait_for_function("() => document.querySelectorAll('.rm-choice:not([hidden])').length === 3")
    shown(tab)
    tab.click("[aria-label='undo: merged Birch into Cedar']")
    waits(tab, ["Ash", "Birch", "Cedar", "Elm"])
    tab.wait_for_selector(".cl-undone:has-text('merged Birch into Cedar')")
    assert "undid: merged Birch into Cedar" in tab.inner_text(".cl-history li")


def test_a_class_is_retired_with_its_effect_told_and_taken_back(tab: Any, page_server: Page) -> None:
    tab.keyboard.press("Delete")
    tab.wait_for_selector(".cl-effect p")
    assert "Its 3 labels of 1 person stay in every export, and teach nothing." in tab.inner_text(".cl-effect p")
    tab.keyboard.press("Escape")
    assert not tab.is_visible(".cl-effect p")
    tab.keyboard.press("Delete")
    tab.wait_for_selector(".cl-effect p")
    tab.keyboard.press("Enter")  # the button has the focus
    waits(tab, ["Birch", "Cedar", "Elm"])
    change(page_server, lambda tx: classes.rename(tx, 2, "ash", now=3.0, by="ben"))
    tab.click(".cl-gone")
    tab.click("text=take back into use")
    tab.wait_for_selector(".cl-said:has-text(\"already called 'ash'\")")
    change(page_server, lambda tx: classes.rename(tx, 2, "Birch", now=3.0, by="ben"))
    tab.click("text=take back into use")
    waits(tab, ["Ash", "Birch", "Cedar", "Elm"])


def test_what_another_person_changed_meanwhile_is_not_overwritten(tab: Any, page_server: Page) -> None:
    tab.wait_for_selector("#cl-f-note")
    tab.route("**/api/v1/status**", lambda route: route.abort())  # what others do is not heard of
    change(page_server, lambda tx: classes.annotate(tx, 1, "note", "ben's note", now=3.0, by="ben"))
    tab.fill("#cl-f-note", "mine")
    tab.press("#cl-f-note", "Tab")
    assert "ben has changed 'Ash' meanwhile: look at it again" in told(tab)
    tab.wait_for_function("() => document.querySelector('.cl-history li').innerText.includes('wrote the note of Ash')")


def test_key_parent_note_and_reference_images_reach_the_labelling_view(tab: Any, page_server: Page) -> None:
    tab.select_option("#cl-f-key", "q")
    tab.wait_for_selector(".cl-row[data-id='1'] kbd")
    tab.fill("#cl-f-parent", "cedar")
    tab.press("#cl-f-parent", "Tab")
    tab.wait_for_selector(".cl-row[data-id='1'][aria-level='2']")
    tab.fill("#cl-f-note", "opposite buds, black")
    tab.press("#cl-f-note", "Tab")
    tab.wait_for_selector(".cl-history li:has-text('wrote the note of Ash')")
    tab.click("[aria-label='choose reference images']")
    tab.wait_for_selector(".cl-offer")
    assert tab.locator(".cl-offer").count() == 3
    tab.click(".cl-offer[aria-label='image 2']")
    tab.focus(".cl-offer[aria-label='image 1']")
    tab.keyboard.press("Space")
    tab.click("text=keep 2 images")
    tab.wait_for_selector(".cl-references img[src='/thumb/2']")
    tab.click("button[role=tab]:has-text('Label')")
    tab.wait_for_selector(IMAGE)
    tab.wait_for_selector(".rm-name-of[data-key='q']")
    tab.evaluate("document.activeElement.blur()")
    while tab.inner_text(".rm-choice.rm-top .rm-name-of") != "Ash":
        press(tab, "s")
    tab.keyboard.press("i")
    tab.wait_for_selector(".cc .cc-note:has-text('opposite buds')")
    assert tab.inner_text(".cc-head h3") == "Ash"
    assert tab.inner_text(".cc-above") == "Cedar"
    assert [each.get_attribute("src") for each in tab.locator(".cc img").all()] == ["/thumb/2", "/thumb/1"]
    card, image = tab.locator(".cc").bounding_box(), tab.locator(".rm-frames").bounding_box()
    assert card["x"] >= image["x"] + image["width"], "the card never covers the image"
    assert card["y"] + card["height"] <= tab.locator(".rm-status").first.bounding_box()["y"]
    tab.click(".cc [aria-label='card of the next class']")
    tab.wait_for_function("() => document.querySelector('.cc-head h3').innerText !== 'Ash'")
    tab.keyboard.press("Escape")
    assert not tab.is_visible(".cc")
    tab.locator(".rm-choice:has-text('Birch')").hover()
    tab.click(".rm-choice:has-text('Birch') .cc-info")
    tab.wait_for_selector(".cc h3:has-text('Birch')")
    tab.keyboard.press("i")
    before = len(page_server.events())
    press(tab, "q")
    saved(tab)
    assert said(page_server)[before:] == [("label", 1, None)], "the letter answers with the class pinned to it"


def test_the_card_follows_the_image_and_says_where_there_is_nothing(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    tab = opened(page_server)
    tab.keyboard.press("i")
    first = tab.inner_text(".cc-head h3")
    assert first == tab.inner_text(".rm-choice.rm-top .rm-name-of")
    tab.wait_for_selector(".cc:has-text('no labelled images yet')")
    press(tab, "1")
    tab.wait_for_function("(first) => document.querySelector('.cc-head h3').innerText !== first", arg=first)
    assert tab.inner_text(".cc-head h3") == tab.inner_text(".rm-choice.rm-top .rm-name-of")
    tab.keyboard.press("/")
    tab.keyboard.type("i")
    assert tab.is_visible(".cc"), "a key typed into a field opens and closes nothing"


def test_a_class_is_dragged_to_its_place(tab: Any) -> None:
    def row(name: str) -> Any:
        return tab.locator(f".cl-row:has-text('{name}')")

    row("Elm").drag_to(row("Ash"), target_position={"x": 200, "y": 4})
    waits(tab, ["Elm", "Ash", "Birch", "Cedar"])
    row("Elm").drag_to(row("Birch"), target_position={"x": 200, "y": 19})
    waits(tab, ["Ash", "Birch", "Elm", "Cedar"])
    assert row("Elm").get_attribute("aria-level") == "2"
    row("Birch").drag_to(row("Elm"), target_position={"x": 200, "y": 19})
    assert names(tab) == ["Ash", "Birch", "Elm", "Cedar"], "never under one that stands under it"


def test_a_thousand_classes_are_found_listed_and_moved_without_a_thousand_elements(
    make_page: Callable[..., Page], opened: Callable[..., Any]
) -> None:
    server = make_page(tuple(f"Kind {number:04}" for number in range(1000)))
    tab = shown(opened(server, frame=True))
    assert tab.inner_text(".cl-sum") == "1,000 classes · 0 labels"
    tab.keyboard.press("End")
    tab.wait_for_selector(".cl-row[aria-selected='true']:has-text('Kind 0999')")
    usual = tab.evaluate("""async () => {
        const list = document.querySelector('.cl-list');
        const took = [];
        for (let top = 0; top < 38000; top += 700) {
          const began = performance.now();
          list.scrollTop = top;
          list.dispatchEvent(new Event('scroll'));
          took.push(performance.now() - began);
          await new Promise(requestAnimationFrame);
        }
        return took.sort((a, b) => a - b)[Math.floor(took.length / 2)];
    }""")
    assert tab.locator(".cl-row").count() < 60
    assert usual < 50, "milliseconds for a screenful of scrolling, on a busy machine too"
    tab.keyboard.press("/")
    tab.keyboard.type("0500")
    waits(tab, ["Kind 0500"])
    tab.keyboard.press("Enter")
    tab.keyboard.press("Alt+ArrowUp")
    tab.wait_for_selector(".cl-history li:has-text('moved Kind 0500')")
    db = database.open(server.settings.database)
    with db.read() as tx:
        assert [each.name for each in classes.all_(tx)[499:501]] == ["Kind 0500", "Kind 0499"]
        assert class_acts.newest(tx) == 1001
    db.close()


def test_a_pasted_list_adds_every_line(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    server = make_page(("Only",))
    tab = shown(opened(server, frame=True))
    tab.evaluate("""() => {
        const clipboardData = new DataTransfer();
        clipboardData.setData('text', 'Oak\\n\\n Pine \\nYew');
        const pasted = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
        document.querySelector('[data-part="new"]').dispatchEvent(pasted);
    }""")
    waits(tab, ["Only", "Oak", "Pine", "Yew"])
    assert told(tab) == "added 3 classes"


@pytest.mark.parametrize("width", [360, 1280])
def test_the_tab_fits_narrow_and_wide_windows(page_server: Page, opened: Callable[..., Any], width: int) -> None:
    tab = opened(page_server, width=width, height=740, frame=True, has_touch=width < 500)
    tab.click("button[role=tab]:has-text('Classes')")
    tab.wait_for_selector(".cl-row")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    box = tab.locator(".cl-row .cl-name").first.bounding_box()
    assert box["width"] > 100
    tab.click(".cl-row[data-id='2']")
    field = tab.locator("#cl-f-name").bounding_box()
    assert field["x"] >= 0
    assert field["x"] + field["width"] <= width
    assert tab.locator(".cl-back").is_visible() == (width == 360)
    if width == 360:
        tab.click(".cl-back")
        assert tab.locator(".cl-row").first.is_visible()


def test_an_answer_with_a_class_that_was_just_retired_is_kept_and_its_person_is_told(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    page = opened(page_server)
    page.route("**/api/v1/status*", lambda route: route.abort())  # the tab does not know of it yet
    change(page_server, lambda tx: classes.retire(tx, 2, now=3.0, by="ben"))
    press(page, "2")
    told = "'Birch' was retired meanwhile: your answer is kept and counts once 'Birch' is restored on the Classes tab"
    page.wait_for_function("(told) => document.querySelector('[data-part=said]').textContent === told", arg=told)
    assert said(page_server) == [("label", 2, None)]
