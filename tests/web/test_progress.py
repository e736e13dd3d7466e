"""The Progress tab in a real browser: pace, rounds side by side and the way back, the confusion matrix, the log."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app import backbones, predictions
from store import annotators, commands, database, images, labels, queue, rounds, workers
from store.records import NewEvent, NewPublication
from tests.web.conftest import Page


def open_progress(server: Page, opened: Callable[..., Any], **options: Any) -> Any:
    tab = opened(server, frame=True, **options)
    tab.click("button[role=tab]:has-text('Progress')")
    tab.wait_for_selector("[data-part=pace] p:visible")
    return tab


@pytest.fixture
def worked(page_server: Page) -> Page:
    """Two published rounds and a failed one, the second in use; eight answers of one person, four of them on holdout
    images, one of which the model takes for another class."""
    workspace, now = page_server.settings.workspace, time.time()
    db = database.open(page_server.settings.database)
    with db.write() as tx:
        known = images.all_ok(tx)
        person = annotators.ensure(tx, "ann", now)
        held = [image.id for image in known if image.holdout]
        for at, image_id in enumerate([*held, *(image.id for image in known[:4])]):
            event = NewEvent(
                uuid=f"{at}", image_id=image_id, annotator_id=person.id, kind="label", class_id=1 + at % 4,
                shown_ms=1500.0, source="page",
            )  # fmt: skip
            labels.append(tx, event, now - 5.0)
        for number, accuracy in ((1, 0.5), (2, 0.75)):
            name = f"checkpoints/round-{number}.safetensors"
            round_id = rounds.begin(
                tx, number, {"labels": 20 * number, "method": "raum", "backbone": "nano"}, 0, now - 600
            )
            told = {"accuracy": accuracy, "low": accuracy - 0.2, "high": accuracy + 0.2, "n": 24, "seconds": 80.0}
            rounds.publish(tx, round_id, told | {"ece": 0.05, "nll": 0.9, "brier": 0.4}, name, now - 500)
            (workspace / "checkpoints").mkdir(exist_ok=True)
            (workspace / name).write_bytes(b"weights")
            shown = NewPublication(kind="round", round_id=round_id, watermark=0, created_at=now, checkpoint=name)
            queue.publish(tx, shown, [], based_on_round=round_id)
        broken = rounds.begin(tx, 3, {"labels": 50}, 0, now - 90)
        rounds.fail(tx, broken, "a person stopped it during 'training'", now - 60)
    db.close()
    top = np.array([1 + held.index(i.id) % 4 if i.id in held else 1 for i in known], np.int32)
    top[[i.id for i in known].index(held[0])] = 3
    ones = np.ones(len(known), np.float32)
    meta = {"class_ids": [1, 2, 3, 4], "labels": 8, "watermark": 8, "checkpoint": None}
    predictions.write(workspace, 2, predictions.Predictions(np.array([i.id for i in known]), top, ones, 0 * ones, meta))
    page_server.settings.log_dir.mkdir(parents=True, exist_ok=True)
    (page_server.settings.log_dir / "worker.log").write_text("one\n<b>two</b>\n", encoding="utf-8")
    return page_server


def test_the_pace_names_the_person_and_the_queue_its_state(worked: Page, opened: Callable[..., Any]) -> None:
    tab = open_progress(worked, opened)
    row = tab.inner_text("[data-part=pace] tbody tr").split()
    assert row[:5] == ["ann", "8", "8", "1.5", "s"]
    assert "8 newer answers have yet to be learnt" in tab.inner_text("[data-part=pace]")


def test_two_rounds_stand_side_by_side_and_an_earlier_one_is_asked_for(
    worked: Page, opened: Callable[..., Any]
) -> None:
    tab = open_progress(worked, opened)
    place = "[data-part=rounds]"
    assert tab.inner_text(f"{place} tr[aria-current] th") == "2"
    assert "a person stopped it" in tab.inner_text(f"{place} tbody tr:first-child")
    tab.check(f"{place} [aria-label='compare round 1']")
    tab.check(f"{place} [aria-label='compare round 2']")
    tab.wait_for_selector(f"{place} .pr-compare")
    assert "50.0 % (30.0 % to 70.0 %)" in tab.inner_text(f"{place} .pr-compare")
    assert "it may be chance" in tab.inner_text(place)
    tab.click("[aria-label='use round 1']")
    tab.wait_for_selector(f"{place} :text('asked for round 1')")
    db = database.open(worked.settings.database)
    with db.write() as tx:
        command = commands.take(tx, time.time())
        assert command is not None
        assert (command.kind, command.payload) == ("roll_back", {"round": 1})
        commands.finish(tx, command.id, error="round 1 cannot be taken up", now=time.time())
    db.close()
    tab.wait_for_selector(f"{place} :text('round 1 cannot be taken up')")


def test_a_cell_of_the_confusions_opens_its_images_by_key(worked: Page, opened: Callable[..., Any]) -> None:
    tab = open_progress(worked, opened, width=360, height=740)
    tab.wait_for_selector("[data-part=confusion] :text('1 of 4 holdout answers')")
    tab.focus("[aria-label^='Ash taken for Cedar: 1']")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".pr-opened :text('Ash taken for Cedar: 1')")
    tab.click(".pr-thumb")
    tab.wait_for_function("document.querySelector('.pr-large img')?.naturalWidth > 0")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_log_is_text_and_comes_when_it_is_opened(worked: Page, opened: Callable[..., Any]) -> None:
    tab = open_progress(worked, opened)
    tab.click(".pr-log summary")
    tab.wait_for_function("document.querySelector('.pr-log pre').textContent.includes('<b>two</b>')")


def test_how_far_a_new_backbone_is_and_why_it_failed_is_told_while_the_rest_goes_on(
    worked: Page, opened: Callable[..., Any]
) -> None:
    told = "embedding with the new backbone dinov2: 3,400 of 20,000; the queue is still ordered by vmamba_nano"
    failed = "the new backbone hf:dinov2 cannot be used: <b>no</b> weights; the queue stays ordered by vmamba_nano"
    tab = open_progress(worked, opened)
    say_of_the_backbone(worked, "embedding", told, 0.17)
    facts = "[data-part=worker] .rp-facts"
    tab.wait_for_selector(f"{facts} :text('3,400 of 20,000; the queue is still ordered by vmamba_nano')")
    assert "new backbone 17 %" in tab.inner_text(facts)
    say_of_the_backbone(worked, "failed", failed, None)
    tab.wait_for_selector(f"{facts} :text('cannot be used: <b>no</b> weights')")
    assert "the new backbone failed" in tab.inner_text(facts)
    say_of_the_backbone(worked, "idle", "", None)
    tab.wait_for_function("!document.querySelector('[data-part=worker]').textContent.includes('new backbone')")


def say_of_the_backbone(server: Page, phase: str, message: str, fraction: float | None) -> None:
    db = database.open(server.settings.database)
    with db.write() as tx:
        workers.beat(tx, "worker", 0, "ready", now=time.time() + 9)  # a while before it counts as gone
        workers.beat(tx, "embed", 0, phase, fraction, message, now=time.time())
    db.close()


def test_before_anything_happened_each_card_says_so(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = open_progress(page_server, opened)
    tab.wait_for_selector("[data-part=rounds] :text('No round yet')")
    assert "Nobody has answered" in tab.inner_text("[data-part=pace]")
    assert "not yet measured" in tab.inner_text("[data-part=confusion]")
    assert tab.locator("button:has-text('stop the round'):visible").count() == 0


def test_the_backbone_is_told_with_the_reason_and_what_would_be_better(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    db = database.open(page_server.settings.database)
    laptop = backbones.Machine("", 0.0, 2)
    backbones.settle(db, dataclasses.replace(page_server.settings, backbone="auto"), laptop)
    with db.write() as tx:
        workers.beat(tx, "worker", pid=0, phase="failed", message="the weights are broken", now=time.time() - 60)
    db.close()
    tab = open_progress(page_server, opened)
    told = tab.inner_text("[data-part=worker]")
    assert "vmamba_nano: there is no GPU" in told
    assert "launch.py serve --backbone mobilenet_v2 (downloads 14 MB)" in told
    assert "the weights are broken" in told  # also where the worker has ended over it


def test_a_backup_is_asked_for_on_the_data_tab(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, frame=True)
    tab.click("button[role=tab]:has-text('Data')")
    tab.click("button:has-text('Back up now')")
    tab.wait_for_selector(":text('it is written while work goes on')")
    db = database.open(page_server.settings.database)
    with db.read() as tx:
        assert [each.kind for each in commands.pending(tx)] == ["backup"]
    db.close()


def test_what_suggestions_do_is_told_once_some_were_hidden(worked: Page, opened: Callable[..., Any]) -> None:
    db = database.open(worked.settings.database)
    with db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0)
        for at, image in enumerate([i for i in images.all_ok(tx) if not i.holdout][4:20]):
            event = NewEvent(
                uuid=f"s{at}", image_id=image.id, annotator_id=person.id, kind="label", class_id=1 + (at > 12),
                suggestion_class_id=1, suggestion_visible=at < 10, queue_reason="uncertain", source="page",
            )  # fmt: skip
            labels.append(tx, event, 2.0)
    db.close()
    tab = open_progress(worked, opened)
    tab.wait_for_selector("[data-part=steering] table")
    assert "raises agreement with it by 50 points (95 % interval 8 to 81 points)" in tab.inner_text(
        "[data-part=steering]"
    )
    assert tab.inner_text("[data-part=steering] tbody tr").split()[:7] == ["ann", "100", "%", "of", "10", "50", "%"]
