"""The quiet line about what answers changed, and the answer that is taken back there."""

from collections.abc import Callable
from typing import Any

from store import database, labels, queue
from store.records import NewPublication
from tests.web.browser import IMAGE, SHOWN, press, saved
from tests.web.conftest import Page


def publish(server: Page, *, changed: int, sample: list[list[int]]) -> None:
    """A refresh that has learned everything said so far and changed these suggestions."""
    db = database.open(server.settings.database)
    with db.write() as tx:
        receipt = {"since": 0, "changed": changed, "sample": sample}
        mark = labels.watermark(tx)
        new = NewPublication(kind="refresh", watermark=mark, created_at=9.0, pool_size=22, metrics={"receipt": receipt})
        queue.publish(tx, new, [])
    db.close()


def test_a_receipt_is_told_opened_and_an_answer_taken_back(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    wrong = tab.evaluate(SHOWN)
    press(tab, "1", "2", "x")
    tab.keyboard.press("Escape")
    saved(tab)
    publish(page_server, changed=1234, sample=[[20, 1, 2], [21, 3, 4]])
    tab.evaluate("raum.label.status.ask()")
    tab.wait_for_selector(".rm-receipt:visible", timeout=20_000)
    assert tab.inner_text(".rm-receipt") == "your 3 answers changed 1,234 suggestions"
    tab.click(".rm-receipt")
    shown = tab.locator(".rm-changed li").all_inner_texts()
    assert [" ".join(text.split()) for text in shown] == ["Ash → Birch", "Cedar → Elm"]
    given = tab.locator(".rm-learned li").all_inner_texts()
    assert [text.split()[0] for text in given] == ["rejected", "Birch", "Ash"]
    press(tab, "3")
    saved(tab)
    assert page_server.events()[-1].class_id == 3, "keys answer while it is open"
    tab.click('[aria-label="take back Ash"]')
    saved(tab)
    first, last = page_server.events()[0], page_server.events()[-1]
    assert (last.kind, last.target_seq) == ("retract", first.seq)
    assert f"/image/{last.image_id}" == wrong
    assert "taken back" in tab.inner_text(".rm-learned li >> nth=2")
    tab.keyboard.press("Escape")
    assert not tab.is_visible(".rm-paper")
    for _ in range(9):
        if tab.evaluate(SHOWN) == wrong:
            break
        press(tab, "s")
        tab.wait_for_selector(IMAGE)
    assert tab.evaluate(SHOWN) == wrong, "it is asked again"


def test_nobody_is_told_of_what_others_changed(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    publish(page_server, changed=5, sample=[])
    tab.evaluate("raum.label.status.ask()")
    tab.wait_for_function("raum.label.publication > 1")
    tab.wait_for_timeout(300)
    assert not tab.is_visible(".rm-receipt")
