"""From a store with blind answers to a certificate: measured in steps, read as sentences, exported with its promise."""

import csv
import json
import uuid
from pathlib import Path

import numpy as np
import pytest

from app import bench_finish, errors, finishing, measuring, predictions, simulate_data
from app.exchange import certified
from model import last_layer
from store import annotators, blind, labels, rounds
from store.records import NewEvent
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh


def answer(workspace: Workspace, image_ids: list[int], reason: str, kind: str = "label") -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0)
        for image_id in image_ids:
            event = NewEvent(
                uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=person.id, kind=kind, queue_reason=reason,
                class_id=workspace.truth[image_id] if kind == "label" else None,
                propensity=1 / 30 if reason == "audit" else None,
            )  # fmt: skip
            labels.append(tx, event, 2.0)


def measured(workspace: Workspace) -> measuring.Measurer:
    opened = held(workspace)
    done = refresh(workspace, opened)
    measurer, steps = measuring.Measurer(workspace.settings), 0
    while measurer.step(workspace.db, opened, watermark=done.watermark, resting=True):
        steps += 1
    assert steps > 5  # a fit at a time, so that a refresh never waits for long
    return measurer


def test_what_was_asked_blind_is_read_back_with_what_counts_now(workspace: Workspace) -> None:
    answer(workspace, workspace.held[:2], "holdout")
    answer(workspace, workspace.held[2:3], "holdout", "skip")
    answer(workspace, workspace.ids[:1], "audit", "reject")
    answer(workspace, workspace.ids[1:2], "audit")
    answer(workspace, workspace.ids[2:5], "uncertain")
    with workspace.db.read() as tx:
        found = blind.asked(tx)
    truth = [workspace.truth[i] for i in workspace.held[:2]]
    assert sorted(each.image_id for each in found) == sorted([*workspace.held[:3], *workspace.ids[:2]])
    by_id = {each.image_id: each for each in found}
    assert [by_id[i].class_id for i in workspace.held[:3]] == [*truth, None]
    assert by_id[workspace.ids[0]].class_id is None
    assert (by_id[workspace.ids[1]].propensity, by_id[workspace.ids[1]].holdout) == (pytest.approx(1 / 30), False)
    with workspace.db.write() as tx:  # taken back, it is open again and says nothing
        event = NewEvent(
            uuid=str(uuid.uuid4()), image_id=workspace.ids[1], annotator_id=1, kind="retract",
            target_seq=by_id[workspace.ids[1]].seq,
        )  # fmt: skip
        labels.append(tx, event, 3.0)
        assert workspace.ids[1] not in [each.image_id for each in blind.asked(tx)]


def test_a_session_is_measured_read_and_exported(workspace: Workspace, tmp_path: Path) -> None:
    place = workspace.settings.workspace
    assert not finishing.finish(place, wrong=0.02)["measured"]
    with pytest.raises(errors.BadRequest, match="nothing is measured"):
        certified.collect(workspace.db, place, 0.02, now=1.0)
    answer(workspace, workspace.held, "holdout")
    answer(workspace, workspace.ids[:6], "audit")
    label(workspace, workspace.ids[6:24])
    measured(workspace)
    told = finishing.finish(place, wrong=0.02)
    assert told["measured"]
    assert (told["answers"], told["people"], told["labelled"] + told["left"]) == (18, 36, 60)
    assert told["model"] == 0
    assert "more blind answers" in told["sentence"]
    assert 0 <= told["estimate"]["low"] <= told["estimate"]["accuracy"] <= told["estimate"]["high"] <= 1
    assert told["estimate"]["answers"] == 18
    loose = finishing.finish(place, wrong=0.5)
    assert loose["labelled"] == loose["people"] + loose["model"]
    said = certified.export(workspace.db, tmp_path / "out.csv", place, 0.5, now=1.0)
    promise = json.loads((tmp_path / "out.csv.json").read_text(encoding="utf-8"))
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert promise["statement"] in said
    assert (promise["wrong_at_most"], promise["confidence"], promise["blind_answers"]) == (0.5, 0.95, 18)
    assert len([row for row in rows if row["source"] == "person"]) == promise["people"] == 36
    assert len([row for row in rows if row["source"] == "model"]) == promise["model"] == loose["model"]
    names = dict(zip(workspace.class_ids, ("round", "square", "striped"), strict=True))
    for row in rows:
        assert row["source"] == "model" or row["class"] == names[workspace.truth[int(row["image_id"])]]
    with pytest.raises(errors.BadRequest, match="error rate"):
        finishing.finish(place, wrong=2.0)


def test_audits_that_taught_the_network_are_no_evidence_about_it(workspace: Workspace) -> None:
    answer(workspace, workspace.ids[:4], "audit")
    answer(workspace, workspace.held[:4], "holdout")
    with workspace.db.write() as tx:
        round_id = rounds.begin(tx, 0, {}, 4, 1.0)
    answer(workspace, workspace.ids[4:6], "audit")
    opened = held(workspace)
    refresh(workspace, opened)
    found = predictions.newest(workspace.settings.workspace)
    assert found is not None
    assert len(measuring.situation(workspace.db, found, opened.prepared, gold_rate=0.0).blind.rows_T) == 10
    found.meta.update(round=round_id, checkpoint="checkpoints/round-1.safetensors")
    after = measuring.situation(workspace.db, found, opened.prepared, gold_rate=0.0).blind
    assert (len(after.rows_T), int(after.holdout_T.sum())) == (6, 4)


def test_advice_needs_stable_predictions_and_a_flat_forecast() -> None:
    def gains(points: float) -> dict[str, object]:
        return {"gains": [{"more": 100, "gain": points, "low": 0.0, "high": 0.03}]}

    assert finishing.advice([0.999], gains(0.001))["stop"] is None
    assert finishing.advice([0.5, 0.995, 0.992, 0.999], gains(0.001))["stop"] is True
    assert "You may stop" in finishing.advice([0.995, 0.992, 0.999], gains(0.001))["sentence"]
    going = finishing.advice([0.995, 0.9, 0.999], gains(0.021))
    assert going["stop"] is False
    assert "kappa 0.900" in going["sentence"]
    assert "2.1 points (95 % range 0 to 3)" in going["sentence"]


def test_the_bench_keeps_its_promise_on_digits_and_sees_what_came_true() -> None:
    found = simulate_data.from_digits()
    prepared = last_layer.prepare(found.embeddings_ND, rng=np.random.default_rng(0))
    plan = bench_finish.Plan(budget=240, batch=120, blind=0.5)
    told = bench_finish.report_promises([bench_finish.certify(found, prepared, plan, seed) for seed in range(3)])
    assert told["answers"] > 120
    assert told["by_alpha"]["0.1"]["covered"] > 0.3
    assert all(figures["held"] == 1.0 for figures in told["by_alpha"].values())
