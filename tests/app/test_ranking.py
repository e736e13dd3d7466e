"""The order of a pool from hand-made embeddings: away from what was rejected, and by the uncertainty that finds mistakes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from app import ranking, ranking_holdout, settings, snapshot
from app.ranking_spots import Spots
from model import last_layer, roc


def seen_with(**more: object) -> snapshot.Snapshot:
    nothing = snapshot.Snapshot(
        watermark=0, class_ids=[10, 11, 12], labelled={}, holdout={}, holdout_labels={}, rejected=set(), leased=[],
        round_id=None,
    )  # fmt: skip
    return dataclasses.replace(nothing, **more)


def rank(points_ND: np.ndarray, seen: snapshot.Snapshot, folder: Path, **more: object) -> ranking.Ranking:
    chosen = settings.load(folder, audit_rate=0.0, queue_length=len(points_ND), **more)
    prepared = last_layer.prepare(points_ND, rng=np.random.default_rng(0))
    ids = np.arange(1, len(points_ND) + 1)
    return ranking.rank(ids, prepared, seen, settings=chosen, rng=np.random.default_rng(0))


@pytest.mark.parametrize("strategy", ["auto", "margin"])
@pytest.mark.parametrize("labelled", [{}, {91: 0}])
def test_before_two_classes_the_queue_turns_away_from_what_was_rejected(
    tmp_path: Path, strategy: str, labelled: dict[int, int]
) -> None:
    rng, heap_N = (
        np.random.default_rng(0),
        np.repeat(np.arange(30), [9] * 10 + [6] * 20),
    )  # ten large ones, twenty small
    points_ND = rng.normal(size=(30, 32))[heap_N] + 0.05 * rng.normal(size=(len(heap_N), 32))
    rejected = set(range(1, 91, 9))  # one of each large heap
    found = rank(points_ND, seen_with(rejected=rejected, labelled=labelled), tmp_path, strategy=strategy)
    assert found.cold
    assert found.pool_size == len(found.rows) == len(heap_N) - 10 - len(labelled)
    asked = heap_N[[row.image_id - 1 for row in found.rows[:15]]]
    assert (asked < 10).sum() <= 2
    assert len(set(asked.tolist())) >= 12


def test_what_is_likely_to_be_rejected_ends_the_queue(tmp_path: Path) -> None:
    rng, kind_N = np.random.default_rng(2), np.arange(200) % 5  # three classes, two kinds that belong to none
    points_ND = 4 * np.eye(5, 16)[kind_N] + rng.normal(size=(200, 16))
    labelled = {at + 1: int(kind_N[at]) for at in range(30) if kind_N[at] < 3}
    rejected = {at + 1 for at in range(30) if kind_N[at] >= 3}
    rows = rank(points_ND, seen_with(labelled=labelled, rejected=rejected), tmp_path).rows
    strange_N = kind_N[[row.image_id - 1 for row in rows]] >= 3
    assert len(rows) == 170
    assert strange_N[:70].mean() < 0.1  # of which the head is the first third


@pytest.mark.parametrize("labels", [24, 0])
@pytest.mark.parametrize("strategy", ["auto", "margin"])
def test_what_is_like_a_bad_picture_ends_the_queue_from_the_first_reject_on(
    tmp_path: Path, strategy: str, labels: int
) -> None:
    rng, kind_N = np.random.default_rng(2), np.arange(150) % 3
    points_ND = 2 * np.eye(4, 16)[kind_N] + 0.7 * rng.normal(size=(150, 16))
    spoiled_N = np.arange(150) >= 138  # of every kind
    points_ND[spoiled_N, 3:9] += 9
    labelled = {at + 1: int(kind_N[at]) for at in range(labels)}
    plain = rank(points_ND, seen_with(labelled=labelled), tmp_path, strategy=strategy)
    taught = rank(points_ND, seen_with(labelled=labelled, rejected={140}, bad={140}), tmp_path, strategy=strategy)
    last = [row.image_id for row in taught.rows[-11:]]
    assert len(taught.rows) == len(plain.rows) - 1
    assert spoiled_N[np.array(last) - 1].mean() > 0.9
    assert spoiled_N[[row.image_id - 1 for row in plain.rows[-11:]]].mean() < 0.9
    if labels:
        assert taught.predicted is not None
        assert taught.predicted.bad_image_N[spoiled_N].min() > taught.predicted.bad_image_N[~spoiled_N].max()
        assert not taught.predicted.out_of_class_N.any()  # a bad picture says nothing of classes


def test_a_pool_of_bad_pictures_alone_is_still_asked(tmp_path: Path) -> None:
    points_ND = np.eye(2, 8)[np.zeros(12, int)] + 1e-3 * np.random.default_rng(0).normal(size=(12, 8))
    found = rank(points_ND, seen_with(rejected={1, 2}, bad={1, 2}), tmp_path)
    assert len(found.rows) == 10


def held_out(wrong_H: np.ndarray, half: int = 1) -> Spots:
    """As many answered holdout images, of class 0 where the model will be right and of class 1 where it is wrong."""
    ids = range(1, len(wrong_H) + 1)
    answers = {image_id: int(wrong) for image_id, wrong in zip(ids, wrong_H, strict=True)}
    return Spots(np.array(ids), seen_with(holdout=dict.fromkeys(ids, half), holdout_labels=answers))


def told(wrong_H: np.ndarray, sure_H: np.ndarray, agree_H: np.ndarray, half: int = 1) -> dict[str, object]:
    """Ten draws say class 0 with `sure_H`; where `agree_H` is 0 one draw in ten is as sure of class 1 instead."""
    probs_HSK = np.empty((len(wrong_H), 10, 2))
    probs_HSK[:, :, 0] = sure_H[:, None]
    probs_HSK[agree_H == 0, 0, 0] = 1.0 - sure_H[agree_H == 0]
    probs_HSK[:, :, 1] = 1.0 - probs_HSK[:, :, 0]
    return ranking_holdout.better_uncertainty(
        lambda x_MR: np.log(probs_HSK)[x_MR[:, 0].astype(int)],
        np.arange(len(wrong_H), dtype=np.float32)[:, None],
        held_out(wrong_H, half),
    )


def test_the_epistemic_part_is_chosen_only_where_it_finds_more_mistakes_beyond_chance() -> None:
    wrong = np.arange(30) < 6
    doubted, plain = np.where(wrong, 0.99, 0.6), np.where(wrong, 0.55, 0.99)
    epistemic = told(wrong, doubted, ~wrong)  # sure but at odds with each other where they are wrong
    assert epistemic == {"rank_by": "epistemic", "auroc_margin": 0.0, "auroc_epistemic": 1.0}
    assert told(wrong, plain, np.ones(30))["rank_by"] == "margin"
    assert told(wrong[:19], doubted[:19], ~wrong[:19])["rank_by"] == "margin"  # too few answers
    few = np.arange(30) < 4
    assert told(few, np.where(few, 0.99, 0.6), ~few)["rank_by"] == "margin"  # too few mistakes
    assert told(wrong, doubted, ~wrong, half=2) == {"rank_by": "margin", "auroc_margin": None, "auroc_epistemic": None}


def test_what_the_holdout_chose_orders_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    points_ND = 1.2 * np.eye(3, 16)[np.arange(180) % 3] + rng.normal(size=(180, 16)) * rng.uniform(0.3, 1.5, (180, 1))
    labelled = {image_id: (image_id - 1) % 3 for image_id in range(1, 13)}
    rows = rank(points_ND, seen_with(labelled=labelled), tmp_path).rows
    by_epistemic, by_margin = (
        np.argsort(np.argsort(values)) for values in ([row.epistemic for row in rows], [-row.margin for row in rows])
    )
    lead_N = by_epistemic - by_margin  # where the two disagree most, the epistemic part shall find the mistakes
    held = {}
    for at in np.argsort(-np.abs(lead_N))[:60]:
        likeliest = max(rows[at].suggestions, key=lambda each: each[1])[0] - 10
        held[rows[at].image_id] = (likeliest + int(lead_N[at] > 0)) % 3
    seen = seen_with(labelled=labelled, holdout=dict.fromkeys(held, 1), holdout_labels=held)
    heads = {}
    for expected in ("epistemic", "margin"):
        found = rank(points_ND, seen, tmp_path)
        assert found.metrics["rank_by"] == expected
        assert found.metrics["auroc_epistemic"] > found.metrics["auroc_margin"]
        heads[expected] = found.rows[: ranking.HEAD]
        monkeypatch.setattr(roc, "FEWEST", 1000)  # the same once more, with too few answers to tell
    asked = {by: np.mean([row.epistemic for row in head]) for by, head in heads.items()}
    assert asked["epistemic"] > 1.05 * asked["margin"]
