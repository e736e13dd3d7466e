"""The Finish card in a real browser: the slider by keyboard, the sentence, the download; and what is said before."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app import predictions
from store import annotators, database, images, labels
from store.records import NewEvent
from tests.web.conftest import Page

PEOPLE = 4


def measure(server: Page) -> None:
    """Four labels by a person, predictions for all 28 images, and a measurement: 20 are safe at 5 %, 24 at 10 %."""
    db = database.open(server.settings.database)
    with db.write() as tx:
        ids = [image.id for image in images.all_ok(tx)]
        person = annotators.ensure(tx, "ann", 1.0)
        for at, image_id in enumerate(ids[:PEOPLE]):
            event = NewEvent(uuid=f"{at}", image_id=image_id, annotator_id=person.id, kind="label", class_id=1)
            labels.append(tx, event, 2.0)
    db.close()
    scores = np.linspace(1.0, 0.2, len(ids)).astype(np.float32)
    meta = {"class_ids": [1, 2, 3, 4], "labels": PEOPLE, "watermark": PEOPLE, "checkpoint": None}
    found = predictions.Predictions(
        np.array(ids), np.full(len(ids), 2, np.int32), scores, np.zeros(len(ids), np.float32), meta
    )
    workspace = server.settings.workspace
    predictions.write(workspace, 1, found)
    told = {
        "publication": 1, "labels": PEOPLE, "confidence": 0.95, "answers": 90, "population": 28, "people": PEOPLE,
        "open": 24, "needed": [[0.005, 900], [0.02, 140]], "agreement": [0.995, 0.992, 0.999],
        "frontier": [
            {"above": float(scores[24]) + 1e-4, "model": 20, "wrong": 1.0, "mistakes": 0},
            {"above": -1.0, "model": 24, "wrong": 2.6, "mistakes": 1},
        ],
        "estimate": {"accuracy": 0.91, "low": 0.84, "high": 0.95, "answers": 90, "effective": 92.0},
        "forecast": {
            "labels": 60, "points": [],
            "gains": [{"more": more, "gain": 0.02, "low": 0.005, "high": 0.035} for more in (100, 150)],
            "curve": [{"labels": n, "accuracy": 0.9, "low": 0.8, "high": 0.95} for n in (60, 160, 560)],
        },
    }  # fmt: skip
    assert predictions.keep_measured(workspace, 1, told)


def open_progress(server: Page, opened: Callable[..., Any], **options: Any) -> Any:
    tab = opened(server, frame=True, **options)
    tab.click("button[role=tab]:has-text('Progress')")
    tab.wait_for_selector("[data-part=sentence]:visible")
    return tab


def test_the_slider_moves_by_key_and_the_certified_labels_come_down(
    page_server: Page, opened: Callable[..., Any], tmp_path: Path
) -> None:
    measure(page_server)
    tab = open_progress(page_server, opened, accept_downloads=True, width=360, height=740)
    tab.wait_for_selector("[data-part=sentence]:has-text('140 more blind answers')")
    tab.focus("#rp-rate")
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    assert tab.get_attribute("#rp-rate", "aria-valuetext") == "at most 6 % wrong"
    tab.wait_for_selector("[data-part=sentence]:has-text('24 labelled by people or model')")
    sentence = tab.inner_text("[data-part=sentence]").replace("\u00a0", " ")
    assert sentence == (
        "Export now: 24 labelled by people or model with at most 6 % wrong at 95 % confidence; 4 left for you."
    )
    assert "About 150 more labels buy 2 points (95 % range 0.5 to 3.5)." in tab.inner_text("[data-part=finish]")
    assert "91.0 % (84.0 % to 95.0 %), from 90 blind answers" in tab.inner_text("[data-part=finish]")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    with tab.expect_download() as waiting:
        tab.click("[data-part=export]")
    waiting.value.save_as(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == ["person"] * PEOPLE + ["model"] * 20
    assert {row["class"] for row in rows if row["source"] == "model"} == {"Birch"}


def test_before_anything_is_measured_the_card_says_what_is_missing(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    tab = open_progress(page_server, opened)
    tab.wait_for_selector("[data-part=sentence]:has-text('Not yet measured')")
    assert tab.locator("[data-part=export]:visible").count() == 0
