"""A scripted expert in headless Chromium: knows the truth, thinks for a fixed time before each decision, answers by key."""

import dataclasses
import time
from typing import Any

from app import errors
from app.web import bench

MODES = ("single", "yesno", "grid")
SAVED = '.rm-saved[data-state="saved"]'
LONGEST_MS = 60_000

# What waits for a decision: {key, ...} once it can be seen, else null; and a watch for the next one, set before the key
# is pressed, that resolves in the first task after the frame that holds it.
WATCH = """() => {
  const single = () => {
    const { current } = window.raum.label;
    const away = document.querySelector('.rm-state').childElementCount;
    if (!current || away || !document.querySelector('.rm-frame img')) return null;
    const question = window.raum.modes?.yesno.question ?? null;
    return {
      key: `${current.item.image_id}/${current.item.struck ?? ''}`, ids: [current.item.image_id],
      name: question?.name ?? null, struck: Boolean(current.item.struck),
    };
  };
  const grid = () => {
    const { page, at } = window.raum.modes.grid;
    return page && { key: page.ids.join(), ids: page.ids, name: page.told.name, columns: page.columns, at };
  };
  const E = window.raumExpert = { mode: 'single', pressed: 0 };
  E.state = () => (E.mode === 'grid' ? grid() : E.mode === 'yesno' && !window.raum.modes.yesno.question ? null : single());
  window.addEventListener('keydown', (event) => (E.pressed = event.timeStamp), true);
  E.watch = (before, patience) => {
    const began = performance.now();
    E.next = new Promise((resolve) => {
      const look = () => { // in a frame's callback, before that frame is painted
        const found = E.state();
        if (found ? found.key === before : performance.now() - began < patience) return requestAnimationFrame(look);
        const channel = new MessageChannel();
        channel.port1.onmessage = () => {
          channel.port1.close();
          resolve(found && { ...found, painted: performance.now(), pressed: E.pressed });
        };
        channel.port2.postMessage(null);
      };
      requestAnimationFrame(look);
    });
  };
}"""
DIGITS = """() => [...document.querySelectorAll('.rm-choice:not(.rm-reason)')].map(
  (each) => [each.querySelector('kbd').innerText, each.querySelector('.rm-name-of')?.innerText ?? ''])"""
FIRST_FOUND = "() => document.querySelector('.rm-found .rm-option span')?.innerText ?? ''"


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds that the expert takes: to name the class of one image, to say whether it is of one class, to look at one
    image of a page, and to press a key."""

    name: float = 1.5
    judge: float = 0.8
    glance: float = 0.4
    key: float = 0.25


@dataclasses.dataclass
class Day:
    """What came of one mode: `own_ms` of each key that answered, from its event to the paint of what follows."""

    answers: int = 0
    decisions: int = 0
    thought: float = 0.0  # seconds of thinking and pressing that the pace asks for
    own_ms: list[float] = dataclasses.field(default_factory=list)
    began: float = 0.0  # on the page's own clock, in milliseconds
    ended: float = 0.0


class Expert:
    """One tab, the truth by image id, and a pace that is kept."""

    def __init__(self, tab: Any, truth: dict[int, str], pace: Pace, patience: float) -> None:
        """After `patience` seconds without anything to decide the expert takes it that there is no more."""
        self.tab, self.truth, self.pace, self.patience = tab, truth, pace, patience
        tab.evaluate(WATCH)

    def work(self, mode: str, answers: int) -> Day:
        """Answer `answers` images, or a page or two more, in one mode; fewer where the mode offers no more."""
        day = Day()
        self.tab.evaluate("(mode) => (window.raumExpert.mode = mode)", mode)
        self._watch(None)
        if mode != "single":
            self.tab.keyboard.press("g" if mode == "grid" else "y")
        state = self._next()
        day.began = day.ended = state["painted"] if state else 0.0
        while state and day.answers < answers:
            self.seen = time.monotonic()
            keys, named = self._decide(mode, state, day)
            self._watch(state["key"])
            self._press(keys[-1])
            state = self._next()
            day.answers += named
            day.decisions += 1
            if state:
                day.own_ms.append(state["painted"] - state["pressed"])
            day.ended = state["painted"] if state else self.tab.evaluate("() => window.raumExpert.pressed")
        self.tab.keyboard.press("Escape")
        self.tab.wait_for_selector(SAVED, timeout=LONGEST_MS)
        return day

    def _decide(self, mode: str, state: dict[str, Any], day: Day) -> tuple[list[str], int]:
        """Think and press all keys but the last; returns the keys and how many answers they give."""
        if mode == "grid":
            return self._sort_out(state, day)
        truth = self.truth.get(state["ids"][0], "")
        asked = mode == "yesno" and not state["struck"]
        self._think(self.pace.judge if asked else self.pace.name, day)
        keys = (["y"] if truth == state["name"] else ["n"]) if asked else self._keys_for(truth, day)
        day.thought += self.pace.key
        return keys, int(keys != ["n"] or not asked)

    def _keys_for(self, truth: str, day: Day) -> list[str]:
        """A digit where the class has one, else `/` and as much of its name as tells it from others, then Enter."""
        digits = {text: digit for digit, text in self.tab.evaluate(DIGITS)}
        if not truth:
            return ["x"]
        if truth in digits:
            return [digits[truth]]
        keys = ["/"]
        self._press("/")
        for letter in truth:
            keys.append(letter)
            self._press(letter)
            if self.tab.evaluate(FIRST_FOUND) == truth:
                break
        day.thought += self.pace.key * len(keys)
        return [*keys, "Enter"]

    def _sort_out(self, state: dict[str, Any], day: Day) -> tuple[list[str], int]:
        """Walk to each wrong image of the page and take it out."""
        self._think(self.pace.glance * len(state["ids"]), day)
        wrong = [at for at, image_id in enumerate(state["ids"]) if self.truth.get(image_id) != state["name"]]
        keys, at = [], state["at"]
        for to in wrong:
            keys += [*_way(at, to, state["columns"]), "Space"]
            at = to
        for key in keys:
            self._press(key)
        day.thought += self.pace.key * (len(keys) + 1)
        return [*keys, "Enter"], len(state["ids"]) - len(wrong)

    def _think(self, seconds: float, day: Day) -> None:
        day.thought += seconds
        self.seen += seconds
        time.sleep(max(0.0, self.seen - time.monotonic()))

    def _press(self, key: str) -> None:
        self.seen += self.pace.key
        time.sleep(max(0.0, self.seen - time.monotonic()))
        self.tab.keyboard.press(key)

    def _watch(self, before: str | None) -> None:
        self.tab.evaluate("([before, ms]) => window.raumExpert.watch(before, ms)", [before, 1000 * self.patience])

    def _next(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.tab.evaluate("() => window.raumExpert.next")
        return found


def _way(at: int, to: int, columns: int) -> list[str]:
    """The arrows from one cell to another, round the cells that the last row lacks: along the upper of both rows."""
    down, right = to // columns - at // columns, to % columns - at % columns
    along = ["ArrowRight" if right > 0 else "ArrowLeft"] * abs(right)
    return along + ["ArrowDown"] * down if down >= 0 else ["ArrowUp"] * -down + along


def days(url: str, truth: dict[int, str], pace: Pace, *, answers: int, patience: float = 20.0) -> dict[str, Day]:
    """A day in each mode, one after the other in one tab. Raises errors.BadRequest where no image comes."""
    sync_api, executable = bench.browser()
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=bench.ARGUMENTS)
        tab = chromium.new_page(viewport={"width": 1280, "height": 720})
        tab.goto(url)
        try:
            tab.wait_for_function(bench.READY, timeout=LONGEST_MS)
        except sync_api.TimeoutError as problem:
            raise errors.BadRequest(f"the page at {url} shows no image to label") from problem
        expert = Expert(tab, truth, pace, patience)
        told = {mode: expert.work(mode, answers) for mode in MODES}
        chromium.close()
    return told
