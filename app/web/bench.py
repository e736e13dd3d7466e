"""Measures the page as a person meets it: key press to next image painted, in headless Chromium."""

import math
import shutil
import time
from collections.abc import Callable
from typing import Any

from app import errors, supervisor

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
READY = (
    "() => document.querySelector('.rm-frame img') !== null && !document.querySelector('.rm-state').childElementCount"
)
HOW = (
    "headless Chromium {version}, {width} x {height}, {n} real key presses {pace_ms} ms apart at {url}; "
    "from the key event's time stamp to the first task after the frame that holds the next image with its map"
)


def bench_page(
    url: str,
    *,
    answers: int = 100,
    pace_ms: int = 400,
    width: int = 1280,
    height: int = 720,
    seed: int = 0,
    seconds: float = math.inf,
) -> dict[str, Any]:
    """Label `answers` images of the page at `url` by pressing digits in turn; the answers are real and stay.

    Returns {"n", "p50_ms", "p95_ms", "max_ms", "waits", "how"}; `waits` counts presses before which the next image was
    not ready within a pace. `seed` is the digit to begin with; no press comes after `seconds`. Raises errors.BadRequest
    where there is no browser or no image.
    """
    sync_api, executable = browser()
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        tab = chromium.new_page(viewport={"width": width, "height": height})
        tab.goto(url)
        try:
            tab.wait_for_selector(".rm-frame img", timeout=30_000)
            waits = _press(tab, answers, pace_ms, seed, time.monotonic() + seconds)
        except sync_api.TimeoutError as problem:
            raise errors.BadRequest(f"the page at {url} shows no image to label") from problem
        taken = sorted(float(each) for each in tab.evaluate("window.raum.timings"))
        version = chromium.version
        chromium.close()
    how = HOW.format(version=version, width=width, height=height, n=len(taken), pace_ms=pace_ms, url=url)
    shares = {"p50_ms": _share(taken, 0.50), "p95_ms": _share(taken, 0.95), "max_ms": taken[-1]}
    return {"n": len(taken), **{name: round(each, 1) for name, each in shares.items()}, "waits": waits, "how": how}


def first_image(address: tuple[str, int], start: Callable[[], Any]) -> float:
    """Seconds from `start()`, which starts the server, to the first image painted in a browser that was open before and
    is sent there once the server answers."""
    sync_api, executable = browser()
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        tab = chromium.new_page(viewport={"width": 1280, "height": 720})
        began = time.monotonic()
        start()
        while not supervisor.answers(address):
            if time.monotonic() - began > 60:
                raise errors.BadRequest(f"nothing answers at {address[0]}:{address[1]} after 60 s")
            time.sleep(0.02)
        tab.goto(f"http://{address[0]}:{address[1]}/", wait_until="commit")
        tab.wait_for_function(READY, timeout=60_000)
        taken = time.monotonic() - began
        chromium.close()
    return taken


def first_loads(url: str, times: int) -> list[float]:
    """Seconds from asking for the page to its first image painted, each time in a browser that has kept nothing."""
    sync_api, executable = browser()
    taken = []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        for _ in range(times):
            context = chromium.new_context(viewport={"width": 1280, "height": 720})
            tab = context.new_page()
            began = time.monotonic()
            tab.goto(url, wait_until="commit")
            tab.wait_for_function(READY, timeout=60_000)
            taken.append(time.monotonic() - began)
            context.close()
        chromium.close()
    return taken


def browser() -> tuple[Any, str]:
    """Playwright's module and the path of a Chromium. Raises errors.BadRequest naming what is missing."""
    try:
        from playwright import sync_api
    except ImportError as problem:
        raise errors.BadRequest("bench page needs Playwright: pip install -r requirements-dev.txt") from problem
    executable = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if executable is None:
        raise errors.BadRequest("bench page needs a Chromium: install Debian's package chromium")
    return sync_api, executable


def _press(tab: Any, answers: int, pace_ms: int, seed: int, until: float) -> int:
    waits = 0
    for number in range(answers):
        tab.wait_for_timeout(pace_ms)
        if time.monotonic() > until:
            break
        if not tab.evaluate(READY):
            waits += 1
            tab.wait_for_function(READY, timeout=30_000)
        classes = tab.locator(".rm-choice:visible").count()
        tab.keyboard.press(str(1 + (seed + number) % max(1, min(9, classes))))
    tab.wait_for_selector('.rm-saved[data-state="saved"]', timeout=30_000)
    return waits


def _share(ascending: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ascending[min(len(ascending) - 1, max(0, -int(-share * len(ascending) // 1) - 1))]
