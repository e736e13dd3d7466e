"""A scripted annotator in headless Chromium who knows the truth: answers by key, and says how long each answer took."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.web import bench

SHOWN = "() => window.raum?.label?.current?.item?.image_id ?? null"
DIGITS = """() => [...document.querySelectorAll('.rm-choice:not(.rm-reason)')].map(
  (each) => [each.querySelector('kbd').innerText, each.querySelector('.rm-name-of')?.innerText ?? ''])"""
SAVED = '.rm-saved[data-state="saved"]'
MAP_VISIBLE = """() => [...document.querySelectorAll('.rm-frame canvas')].some((each) => {
  if (!each.width || !each.height) return false;
  const pixels = each.getContext('2d').getImageData(0, 0, each.width, each.height).data;
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i] > 30) return true;
  return false;
})"""


class Hand:
    """One open tab and the truth by image id."""

    def __init__(self, tab: Any, truth: dict[int, str]) -> None:
        self.tab, self.truth = tab, truth
        self.maps_seen = 0

    def label(self, count: int, *, pause_ms: int, after: Callable[[], None] | None = None) -> int:
        """Answer `count` images: a digit where the class has one, else `/`, its name and Enter; x where it has no class."""
        for _ in range(count):
            self.tab.wait_for_function(bench.READY, timeout=60_000)
            self.tab.wait_for_timeout(pause_ms)
            image_id = self.tab.evaluate(SHOWN)
            self.maps_seen += bool(self.tab.evaluate(MAP_VISIBLE))
            self._answer(self.truth.get(image_id, ""))
            self.tab.wait_for_function(f"() => ({SHOWN})() !== {image_id}", timeout=60_000)
            if after is not None:
                after()
        self.tab.wait_for_selector(SAVED, timeout=60_000)
        return count

    def _answer(self, name: str) -> None:
        keys = {text: digit for digit, text in self.tab.evaluate(DIGITS)}
        if not name:
            self.tab.keyboard.press("x")
        elif name in keys:
            self.tab.keyboard.press(keys[name])
        else:
            self.tab.keyboard.press("/")
            self.tab.keyboard.type(name)
            self.tab.keyboard.press("Enter")


def open_hand(playwright: Any, url: str, truth: dict[int, str], *, executable: str) -> tuple[Any, Hand]:
    """A browser and its labelling hand, once the first image is shown."""
    browser = playwright.chromium.launch(executable_path=executable, args=bench.ARGUMENTS)
    tab = browser.new_page(viewport={"width": 1280, "height": 720})
    tab.goto(url)
    tab.wait_for_function(bench.READY, timeout=60_000)
    return browser, Hand(tab, truth)


def shoot(hand: Hand, target: Path, *, tries: int = 40) -> bool:
    """A screenshot of an image whose map is drawn; says whether one came."""
    for _ in range(tries):
        if hand.tab.evaluate(MAP_VISIBLE):
            break
        hand.tab.keyboard.press("s")
        time.sleep(0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    hand.tab.screenshot(path=str(target))
    return bool(hand.tab.evaluate(MAP_VISIBLE))
