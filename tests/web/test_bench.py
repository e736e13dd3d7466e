"""`bench page` presses real keys and says how it measured."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app import bench_annotator, bench_page, bench_people, bench_pool, errors
from app.web import bench, bench_expert
from store import database, images, labels
from tests.web import browser
from tests.web.conftest import NAMES, Page
from tests.web.test_modes import predict


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


def test_people_at_a_made_pool_and_what_is_found_wrong(tmp_path: Path) -> None:
    bench_pool.make(tmp_path / "pool", pool=600, class_count=12)
    bench_pool.workspace(tmp_path / "pool", tmp_path / "made")
    db = database.open(tmp_path / "made" / "raum.db")
    with db.read() as tx:
        paths = [image.path for image in images.all_ok(tx)]
        assert images.counts(tx)["holdout"] == 120
    assert len(set(paths)) == 600
    assert len({Path(path) for path in paths}) == bench_pool.PICTURES
    assert all(Path(path).is_file() for path in paths)
    refreshes = bench_pool.Refreshes(tmp_path / "made")
    refreshes.publish()
    server = Page(tmp_path / "made")
    try:
        plan = bench_people.Plan(server.port, people=3, seconds=0.5, classes=refreshes.said, pace=0.2, arrivals=0.01)
        began = time.monotonic()
        met = bench_people.run(plan)
        assert time.monotonic() - began > 0.4
        told = bench_page.told(met, 0.5)
        assert told["people_ms"]["next image"]["n"] >= 9
        assert told["people_ms"]["map or thumbnail"]["n"] > 0
        checked = bench_page.checked(refreshes.db, met, "")
        assert checked["answers_acknowledged"] == 9
        wrong = ("lost", "leased_twice", "locked", "refused")
        assert [checked[name] for name in wrong] == [0, 0, 0, {}]
        with db.read() as tx:
            assert labels.counts(tx)["labelled"] == bench_pool.LABELLED + 9
        met[0].saved["never"] = 1
        met[1].given += met[0].given
        met[2].refused.append("answer: 503 other threads have been writing")
        checked = bench_page.checked(refreshes.db, met, "database is locked")
        assert checked["lost"] == 1
        assert checked["leased_twice"] == len(set(met[0].given))
        assert checked["locked"] == 2
    finally:
        server.stop()
        refreshes.end()
        db.close()


def test_an_expert_labels_in_every_mode_and_is_never_wrong(page_server: Page) -> None:
    browser.path()
    predict(page_server.workspace)
    truth = {image_id: NAMES[1] if image_id % 3 else NAMES[2] for image_id in range(1, 29)}
    quick = bench_expert.Pace(name=0.03, judge=0.02, glance=0.001, key=0.01)
    days = bench_expert.days(page_server.url, truth, quick, answers=4, patience=1.0)
    events = [event for event in page_server.events() if event.kind == "label"]
    assert {(NAMES[event.class_id - 1], truth[event.image_id]) for event in events} <= {
        (NAMES[1],) * 2,
        (NAMES[2],) * 2,
    }
    assert {event.input_mode for event in events} >= {"key", "yesno", "grid"}
    assert sum(day.answers for day in days.values()) == len(events)
    assert (days["single"].answers, days["yesno"].answers) == (4, 4)
    assert days["grid"].answers >= 1
    assert len(days["single"].own_ms) == 4
    for day in days.values():
        assert all(0 < each < 5000 for each in day.own_ms)
        told = bench_annotator.figures(day)
        assert told["answers_an_hour"] > 0
        assert told["seconds"] >= 0.9 * day.thought - 0.1 * day.decisions
    assert bench_annotator.figures(bench_expert.Day())["answers"] == 0


def test_the_way_through_a_page_is_walked_by_arrows() -> None:
    assert bench_expert._way(1, 6, 4) == ["ArrowRight", "ArrowDown"]
    assert bench_expert._way(6, 1, 4) == ["ArrowUp", "ArrowLeft"]
    assert bench_expert._way(3, 3, 4) == []
