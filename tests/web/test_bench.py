"""`bench page` presses real keys and says how it measured."""

from collections.abc import Callable

import pytest

from app import errors
from app.web import bench
from tests.web import browser
from tests.web.conftest import Page


def test_bench_labels_and_tells_how(page_server: Page) -> None:
    browser.path()
    told = bench.bench_page(page_server.url, answers=8, pace_ms=60)
    assert told["n"] == 8
    assert 0 < told["p50_ms"] <= told["p95_ms"] <= told["max_ms"]
    assert "8 real key presses 60 ms apart" in told["how"]
    assert [event.class_id for event in page_server.events()] == [1, 2, 3, 4, 1, 2, 3, 4]


def test_bench_says_when_there_is_nothing_to_label(
    make_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.BadRequest, match="Chromium"):
        bench.bench_page("http://127.0.0.1:1")


def test_shares_are_of_the_measured_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert bench._share(values, 0.50) == 50
    assert bench._share(values, 0.95) == 95
    assert bench._share([7.0], 0.95) == 7
