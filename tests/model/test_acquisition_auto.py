"""Each ingredient of the default strategy changes the answer as it should, on cases made by hand."""

import numpy as np
import pytest

from model import acquisition

CLASSES = 4


def _auto(probs: np.ndarray, points: np.ndarray, count: int, seed: int = 0, **context: object) -> set[int]:
    labelled = np.full((2 * CLASSES, points.shape[1]), -50.0) + np.arange(2 * CLASSES)[:, None]
    given = context.pop("labelled_ND", labelled)
    answer = acquisition.select(
        "auto", log_probs_NSK=np.log(probs), embeddings_ND=points, labelled_ND=given, count=count,
        rng=np.random.default_rng(seed), context={"num_classes": CLASSES} | context,
    )  # fmt: skip
    return set(answer.tolist())


def _even(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images equally unsure, one draw each, everywhere in space."""
    rng = np.random.default_rng(1)
    return np.tile([[[0.4, 0.4, 0.1, 0.1]]], (n, 1, 1)), rng.normal(size=(n, 6))


def test_what_is_rather_rejected_waits_until_nothing_else_is_left() -> None:
    probs, points = _even(40)
    out = np.where(np.arange(40) < 20, 0.9, 0.1)
    assert min(_auto(probs, points, 20, out_N=out)) >= 20
    assert len(_auto(probs, points, 30, out_N=out) & set(range(20, 40))) == 20
    cold = _auto(probs, points, 10, out_N=out, labelled_ND=points[:1])
    assert min(cold) >= 20


def test_the_expected_share_of_rejects_waits_and_twice_that_once_many_are_known() -> None:
    probs, points = _even(40)
    out = np.linspace(0.28, 0.0, 40)  # mean .14: the first 14 % wait, or the first 28 %
    few, many = (np.full((n, points.shape[1]), 90.0) + np.arange(n)[:, None] for n in (1, 30))
    first = [
        min(min(_auto(probs, points, 20, seed, out_N=out, rejected_RD=known)) for seed in range(5))
        for known in (few, many)
    ]
    assert 6 <= first[0] < 11 <= first[1]
    quarter = _auto(probs, points, 10, out_N=np.linspace(0.29, 0.28, 40), rejected_RD=many)
    assert len(quarter & set(range(22, 40))) == 10


def test_while_classes_are_missing_typical_images_do_not_wait_for_looking_like_none() -> None:
    probs, points = _even(40)
    out = np.where(np.arange(40) < 20, 0.9, 0.1)
    known = {"labelled_ND": points[:1], "out_N": out}
    assert min(_auto(probs, points, 10, class_counts_K=np.array([1, 1, 1, 1]), **known)) >= 20
    assert min(_auto(probs, points, 10, class_counts_K=np.array([1, 1, 1, 0]), **known)) < 20


def test_a_smaller_chance_of_being_rejected_makes_an_image_rarer_in_the_lot() -> None:
    probs, points = _even(40)
    out = np.where(np.arange(40) < 20, 0.4, 0.0)
    asked = [at for seed in range(20) for at in _auto(probs, points, 1, seed, out_N=out)]
    assert np.mean(np.array(asked) >= 20) > 0.8


@pytest.mark.parametrize("kind", ["labelled_ND", "rejected_RD"])
def test_near_duplicates_of_what_was_asked_are_passed_over(kind: str) -> None:
    probs, points = _even(40)
    near = points[:10] + 0.01
    asked = np.concatenate([near, near + 0.001]) if kind == "labelled_ND" else near
    assert not _auto(probs, points, 8, **{kind: asked}) & set(range(10))


def test_while_classes_are_missing_part_of_the_batch_is_typical_and_no_predicted_class_fills_the_rest() -> None:
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.normal(size=(90, 6)), 30 + 0.1 * rng.normal(size=(40, 6))])
    unsure, sure = [0.46, 0.44, 0.05, 0.05], [0.03, 0.01, 0.95, 0.01]
    probs = np.array([[unsure]] * 90 + [[sure]] * 40)
    known = rng.normal(size=(8, 6))
    missing = _auto(probs, points, 8, class_counts_K=np.array([3, 3, 2, 0]), labelled_ND=known)
    complete = _auto(probs, points, 8, class_counts_K=np.array([2, 2, 2, 2]), labelled_ND=known)
    assert len(missing & set(range(90, 130))) >= 1
    assert not complete & set(range(90, 130))


def test_it_ranks_by_the_epistemic_part_where_that_is_asked_for() -> None:
    points = np.random.default_rng(3).normal(size=(40, 6))
    agree, differ = [[0.5, 0.5, 0.0, 0.0]] * 2, [[0.97, 0.01, 0.01, 0.01], [0.37, 0.61, 0.01, 0.01]]
    probs = np.maximum(np.array([agree] * 20 + [differ] * 20), 1e-6)
    assert max(_auto(probs, points, 1)) < 20
    assert min(_auto(probs, points, 1, rank_by="epistemic")) >= 20


def test_it_draws_for_the_least_certain_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.acquisition.automatic.MOST_DRAWN", 10)
    rng = np.random.default_rng(4)
    points, probs = rng.normal(size=(60, 6)), rng.dirichlet(np.ones(CLASSES), size=(60, 1))
    two = np.sort(probs[:, 0], axis=1)
    least = set(np.argsort(two[:, -1] - two[:, -2])[:10].tolist())
    seen: list[int] = []

    def draw(positions: np.ndarray) -> np.ndarray:
        seen.extend(positions.tolist())
        return np.log(probs[positions].repeat(5, axis=1))

    assert _auto(probs, points, 3, draw=draw) <= least
    assert set(seen) == least
