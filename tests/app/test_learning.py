"""Refresh and round on a real store: what they publish, and what a failure leaves behind."""

import dataclasses
import time
import uuid

import numpy as np
import pytest
from PIL import Image

from app import labelling, learning, overlays, pool, predictions, ranking, snapshot
from store import annotators, images, labels, queue, rounds
from store import errors as store_errors
from store.records import NewEvent, NewPublication
from tests.app.conftest import Workspace

RNG = np.random.default_rng(0)


def label(workspace: Workspace, image_ids: list[int]) -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0)
        for image_id in image_ids:
            event = NewEvent(
                uuid=str(uuid.uuid4()),
                image_id=image_id,
                annotator_id=person.id,
                kind="label",
                class_id=workspace.truth[image_id],
            )
            labels.append(tx, event, 2.0)


def held(workspace: Workspace) -> pool.Pool:
    with workspace.db.read() as tx:
        known = images.all_ok(tx)
        opened = pool.open_(workspace.settings, queue.current(tx), known)
    while fresh := [image for image in known if image.id > opened.last_id]:
        pool.extend(opened, fresh, seconds=5.0)
    return opened


def refresh(workspace: Workspace, opened: pool.Pool) -> learning.Refreshed:
    return learning.refresh(workspace.db, workspace.settings, opened, now=time.time(), rng=RNG)


def run_round(workspace: Workspace) -> int:
    return learning.round_(workspace.db, workspace.settings, clock=time.time, progress=lambda *_: None)


def test_a_bad_picture_taken_back_leaves_the_queue_of_before(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    opened, refused, queues = held(workspace), workspace.ids[12], []
    settings = dataclasses.replace(workspace.settings, audit_rate=0.0)
    spoilt = np.flatnonzero(np.isin(opened.image_ids, workspace.ids[12:18]))
    opened.looks_NF[spoilt] = [3, 0, 0, 1, 0]  # as if they were black, and the network saw it
    opened.embeddings_ND[spoilt] = 0.05 * opened.embeddings_ND[spoilt] + 9 * np.sign(opened.embeddings_ND[0])

    def look() -> list[int]:
        rng = np.random.default_rng(3)
        done = learning.refresh(workspace.db, settings, opened, now=time.time(), rng=rng)
        with workspace.db.read() as tx:
            queues.append(queue.head(tx, done.publication))
        return [row.image_id for row in queues[-1]]

    look()
    event = {"uuid": str(uuid.uuid4()), "annotator": "ann", "image_id": refused}
    labelling.submit(workspace.db, event | {"kind": "reject", "reason": "bad_image"}, now=3.0)
    assert set(look()[-5:]) == set(workspace.ids[13:18])
    found = predictions.newest(workspace.settings.workspace)
    assert (found.bad_image_N[spoilt] > 0.5).all()
    assert (np.delete(found.bad_image_N, spoilt) < 0.5).all()
    labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="ann", client="", now=4.0)
    look()
    assert queues[2] == queues[0]
    assert not predictions.newest(workspace.settings.workspace).bad_image_N.any()


def test_before_any_label_typical_images_are_asked_and_nothing_is_suggested(workspace: Workspace) -> None:
    refresh(workspace, held(workspace))
    with workspace.db.read() as tx:
        current = queue.current(tx)
        rows = queue.head(tx, current.id)
    assert current.kind == "cold"
    assert {row.reason for row in rows} <= {"typical", "audit"}
    assert not any(row.suggestions or row.overlays for row in rows)
    assert not {row.image_id for row in rows} & set(workspace.held)


@pytest.mark.parametrize("strategy", ["random", "margin", "badge", "coreset", "epig", "drop_query", "batch_bald"])
def test_any_strategy_ranks_a_pool_before_and_after_the_first_labels(workspace: Workspace, strategy: str) -> None:
    settings, opened = dataclasses.replace(workspace.settings, strategy=strategy), held(workspace)
    kinds = []
    for labelled in ([], workspace.ids[:12]):
        label(workspace, labelled)
        learning.refresh(workspace.db, settings, opened, now=time.time(), rng=RNG)
        with workspace.db.read() as tx:
            kinds.append(queue.current(tx).kind)
            assert len(queue.head(tx, queue.current(tx).id)) > 0
    assert kinds == ["cold", "refresh"]


def test_a_refresh_suggests_ranks_compares_and_draws(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    done = refresh(workspace, held(workspace))
    with workspace.db.read() as tx:
        rows = queue.head(tx, done.publication)
    assert {row.image_id for row in rows}.isdisjoint(workspace.ids[:12] + workspace.held)
    ordinary = [row for row in rows if row.reason != "audit"]
    for row in ordinary:
        assert sum(p for _, p in row.suggestions) == pytest.approx(1.0, abs=0.01)
        assert all(workspace.truth[image_id] == class_id for class_id, near in row.neighbours for image_id in near)
        assert row.epistemic is not None
        assert 0 <= row.epistemic <= row.total
    drawn = [row for row in ordinary if row.overlays]
    assert drawn
    for kind in drawn[0].overlays:
        file = overlays.path(workspace.settings.workspace, done.publication, drawn[0].image_id, kind)
        grey = np.asarray(Image.open(file))
        assert grey.ndim == 2
        assert grey.max() == 255


def test_audits_are_about_the_share_that_was_set_and_carry_their_propensity(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:6])
    opened, audits, asked = held(workspace), 0, 0
    for _ in range(12):
        done = refresh(workspace, opened)
        with workspace.db.read() as tx:
            rows = queue.head(tx, done.publication)
        audits += sum(row.reason == "audit" for row in rows)
        asked += len(rows)
        assert all((row.propensity is not None) == (row.reason == "audit") for row in rows)
    assert 0.05 < audits / asked < 0.17


def test_holdout_labels_measure_and_never_teach(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:9] + workspace.held)
    done = refresh(workspace, held(workspace))
    assert done.metrics["labels"] == 9
    assert done.metrics["n"] == len(workspace.held)
    assert done.metrics["low"] <= done.metrics["accuracy"] <= done.metrics["high"]
    assert done.metrics["rank_by"] == "margin"  # twelve answers are too few to prefer anything else
    assert set(done.metrics) >= {"auroc_margin", "auroc_epistemic"}


def test_a_round_publishes_checkpoint_embeddings_queue_and_maps_in_one_flip(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:15])
    refresh(workspace, held(workspace))
    published = run_round(workspace)
    with workspace.db.read() as tx:
        current, last = queue.current(tx), rounds.last(tx)
        rows = queue.head(tx, published)
    assert current.id == published
    assert current.round_id == last.id
    assert (workspace.settings.workspace / current.checkpoint).is_file()
    saved = np.load(workspace.settings.workspace / current.embeddings / "image_ids.npy")
    assert sorted(saved) == sorted(workspace.ids + workspace.held)
    assert "region" in next(row.overlays for row in rows if row.overlays)
    opened = held(workspace)
    assert opened.checkpoint == current.checkpoint
    assert refresh(workspace, opened).publication > published


def test_what_was_ranked_on_an_older_network_is_dropped(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:15])
    old = held(workspace)
    with workspace.db.write() as tx:
        round_id = rounds.begin(tx, 0, {"labels": 15}, 15, 1.0)
        queue.publish(tx, NewPublication(kind="round", round_id=round_id, watermark=15, created_at=1.0), [])
    with pytest.raises(store_errors.Superseded):
        refresh(workspace, old)


def test_a_failed_round_is_recorded_with_its_reason_and_the_old_queue_stays(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:15])
    before = refresh(workspace, held(workspace)).publication

    def broken(phase: str, fraction: float, message: str) -> None:
        if phase == "embedding":
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        learning.round_(workspace.db, workspace.settings, clock=time.time, progress=broken)
    with workspace.db.read() as tx:
        assert queue.current(tx).id == before
        failed = rounds.all_(tx)[-1]
    assert (failed.status, failed.error) == ("failed", "the disk is full")


def test_an_unreadable_image_never_stops_the_others(workspace: Workspace) -> None:
    with workspace.db.read() as tx:
        path = images.get(tx, workspace.ids[3]).path
    with open(path, "wb") as file:
        file.write(b"not an image")
    opened = held(workspace)
    assert workspace.ids[3] in opened.unreadable
    assert len(opened.image_ids) == 59
    label(workspace, workspace.ids[:15])
    refresh(workspace, opened)
    run_round(workspace)


def test_a_class_added_while_people_label_is_learned(workspace: Workspace) -> None:
    from app import taxonomy

    label(workspace, workspace.ids[:9])
    opened = held(workspace)
    taxonomy.add(workspace.db, "new kind", now=1.0)
    done = refresh(workspace, opened)
    with workspace.db.read() as tx:
        seen = snapshot.take(tx, holdout=opened.holdout, now=1.0)
        rows = queue.head(tx, done.publication)
    assert len(seen.class_ids) == 4
    assert len(rows[0].suggestions or rows[1].suggestions) == 4


def test_a_strategy_without_a_posterior_chooses_among_all_and_random_stays_random(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "MOST_DRAWN", 4)  # of a larger pool only so many get draws
    label(workspace, workspace.ids[:8])
    opened = held(workspace)
    seen = {}
    for strategy in ("random", "margin"):
        settings = dataclasses.replace(workspace.settings, strategy=strategy, audit_rate=0.0)
        done = learning.refresh(workspace.db, settings, opened, now=1.0, rng=np.random.default_rng(1))
        with workspace.db.read() as tx:
            seen[strategy] = [row.image_id for row in queue.head(tx, done.publication)]
    assert len(seen["margin"]) == 4
    assert set(seen["random"]) == set(workspace.ids[8:])
    assert seen["random"] != sorted(seen["random"])


def test_a_round_is_told_the_evidence_that_people_drew_last_and_did_not_take_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(workspace, workspace.ids[:12])
    first, second = workspace.ids[:2]
    box, other = '{"h": 0.5, "w": 0.5, "x": 0.25, "y": 0.0}', '{"h": 0.1, "w": 0.1, "x": 0.0, "y": 0.0}'
    drawn = [(first, other), (first, box), (second, other)]
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0).id
        said = {"annotator_id": person, "kind": "flag"}
        for number, (image_id, region) in enumerate(drawn):
            event, _ = labels.append(tx, NewEvent(uuid=f"r{number}", image_id=image_id, region=region, **said), 3.0)
        back = {"annotator_id": person, "kind": "retract", "target_seq": event.seq}
        labels.append(tx, NewEvent(uuid="back", image_id=second, **back), 4.0)
        assert snapshot.evidence(tx) == {first: (0.25, 0.0, 0.5, 0.5)}
    told = {}
    train_as_ever = learning.round_steps.train.train

    def watched(net: object, **more: object) -> object:
        told.update(more)
        return train_as_ever(net, **more)

    monkeypatch.setattr(learning.round_steps.train, "train", watched)
    run_round(workspace)
    given_N = ~np.isnan(told["regions_N4"]).any(axis=1)
    assert given_N.sum() == 1
    assert told["regions_N4"][given_N][0].tolist() == [0.25, 0.0, 0.5, 0.5]


def test_a_round_leaves_out_what_is_probably_of_no_class_or_a_bad_picture(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(workspace, workspace.ids[:12])
    refresh(workspace, held(workspace))
    told = predictions.newest(workspace.settings.workspace)
    odd, bad = workspace.ids[20:22]
    told.out_of_class_N[told.image_ids_N == odd] = 0.6
    told.bad_image_N[told.image_ids_N == bad] = 0.6
    predictions.write(workspace.settings.workspace, told.meta["publication"], told)
    seen: list[int] = []
    read_as_ever = learning.round_steps._read

    def watched(cache: object, images_: list[object], settings: object) -> object:
        seen.extend(image.id for image in images_)  # type: ignore[attr-defined]
        return read_as_ever(cache, images_, settings)

    monkeypatch.setattr(learning.round_steps, "_read", watched)
    run_round(workspace)
    assert {*workspace.ids} - {*seen} == {odd, bad}
