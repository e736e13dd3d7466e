"""Each strategy's formula on numbers made by hand, against its plainest form."""

import itertools

import numpy as np
import pytest
from scipy import special, stats

from model import acquisition, uncertainty
from model.acquisition import badge, batch_bald, central, coreset, epig, joint, probcover, request


def _select(name: str, draws: np.ndarray | None, points: np.ndarray, count: int, seed: int = 0, **more: object) -> list:
    settings = {"labelled_ND": points[:0]} | more
    rng = np.random.default_rng(seed)
    return acquisition.select(  # type: ignore[arg-type]
        name, log_probs_NSK=draws, embeddings_ND=points, count=count, rng=rng, **settings
    ).tolist()


def _probs(seed: int, n: int, draws: int, classes: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=(n, draws))


def _entropy(probs: np.ndarray) -> np.ndarray:
    return special.entr(probs).sum(axis=-1)


def _frequencies(picked: list[int], n: int) -> np.ndarray:
    return np.bincount(picked, minlength=n) / len(picked)


def test_least_confidence_asks_where_the_largest_mean_probability_is_smallest() -> None:
    probs = np.array([[[0.5, 0.5, 0.0]], [[0.45, 0.3, 0.25]], [[0.6, 0.2, 0.2]]]) + 1e-9
    assert _select("least_confidence", np.log(probs), np.eye(3), 3) == [1, 0, 2]


def test_power_bald_draws_in_proportion_to_the_mutual_information_in_any_order() -> None:
    probs, points = _probs(0, 6, 4, 3), np.eye(6)
    scores = _entropy(probs.mean(axis=1)) - _entropy(probs).mean(axis=1)
    order = np.random.default_rng(1).permutation(6)
    for places in (np.arange(6), order):
        first = [places[_select("power_bald", np.log(probs[places]), points, 1, s)[0]] for s in range(1500)]
        np.testing.assert_allclose(_frequencies(first, 6), scores / scores.sum(), atol=0.04)


def test_random_draws_evenly() -> None:
    first = [_select("random", None, np.eye(5), 1, s)[0] for s in range(1500)]
    np.testing.assert_allclose(_frequencies(first, 5), 0.2, atol=0.04)


def _joint_information(probs: np.ndarray, batch: tuple[int, ...]) -> float:
    """H(y_1..y_b) - sum of mean entropies, over the whole table of joint labels."""
    table = [
        np.prod([probs[i, :, y] for i, y in zip(batch, labels, strict=True)], axis=0).mean()
        for labels in itertools.product(range(probs.shape[2]), repeat=len(batch))
    ]
    return float(_entropy(np.array(table)) - sum(_entropy(probs[i]).mean() for i in batch))


@pytest.mark.parametrize("piece", [2, 16])
def test_batch_bald_is_greedy_in_the_information_of_the_joint_labels(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_bald, "PIECE", piece)
    probs = _probs(2, 9, 5, 3)
    chosen: tuple[int, ...] = ()
    for _ in range(4):
        rest = [i for i in range(9) if i not in chosen]
        chosen = (*chosen, max(rest, key=lambda i: _joint_information(probs, (*chosen, i))))
    assert _select("batch_bald", np.log(probs), np.eye(9), 4) == list(chosen)


def test_drawn_joint_labels_estimate_the_exact_information(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, rng = _probs(3, 4, 5, 3), np.random.default_rng(0)
    start = batch_bald._Answers(np.zeros((1, 5)), np.ones(1), None)
    monkeypatch.setattr(batch_bald, "MOST_EVENTS", 20_000)
    exact = batch_bald._extend(batch_bald._extend(start, probs, [0], rng), probs, [0, 1], rng)
    drawn = batch_bald._Answers(np.zeros((20_000, 5)), np.full(20_000, 1 / 20_000), np.arange(20_000) % 5)
    for i in (0, 1):
        drawn = batch_bald._with_drawn(drawn, np.log(probs[i]), rng)
    truth = _joint_information(probs, (0, 1, 2)) - _joint_information(probs, (0, 1)) + _entropy(probs[2]).mean()
    for answers, near in ((exact, 1e-9), (drawn, 5e-3)):
        weights = joint.posterior_weights(np.exp(answers.logs_TS))
        assert joint.conditional_entropy(weights, answers.shares_T, probs[2:3])[0] == pytest.approx(truth, abs=near)


def _gains(probs: np.ndarray) -> np.ndarray:
    """E over targets of H(y) + H(y*) - H(y, y*), from the tables of both labels."""
    pairs = np.einsum("nsk,msl->nmkl", probs, probs) / probs.shape[1]
    marginal = _entropy(probs.mean(axis=1))
    return (marginal[:, None] + marginal[None] - special.entr(pairs).sum(axis=(2, 3))).mean(axis=1)


def test_epig_ranks_by_the_mean_information_about_other_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = _probs(4, 40, 6, 3)
    gains = _gains(probs)
    assert _select("epig", np.log(probs), np.eye(40), 40) == np.argsort(-gains).tolist()
    monkeypatch.setattr(epig, "PIECE", 3)  # stops early, and says the same
    assert _select("epig", np.log(probs), np.eye(40), 2) == np.argsort(-gains)[:2].tolist()


def test_epig_with_drawn_labels_of_targets_estimates_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = _probs(5, 200, 6, 3)
    monkeypatch.setattr(epig, "MOST_EVENTS", 0)
    rank = np.argsort(_select("epig", np.log(probs), np.eye(200), 200))
    assert stats.spearmanr(rank, -_gains(probs)).statistic > 0.9


def _gradient_distances(probs: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Squared distances of the gradients, written out."""
    mean = probs.mean(axis=1)
    outer = ((mean - np.eye(mean.shape[1])[mean.argmax(axis=1)])[:, :, None] * points[:, None]).reshape(len(mean), -1)
    return ((outer[:, None] - outer[None]) ** 2).sum(axis=2)


def _asked(probs: np.ndarray, points: np.ndarray, count: int = 1) -> request.Request:
    return request.checked(np.log(probs), points, None, count, np.random.default_rng(0), None)


def test_badge_measures_distances_of_gradients_through_their_factors() -> None:
    probs, points = _probs(6, 12, 2, 4), np.random.default_rng(7).normal(size=(12, 5))
    found = badge._gradients(_asked(probs, points), np.arange(12))
    np.testing.assert_allclose(found.squared_distances(found), _gradient_distances(probs, points), atol=1e-5)


@pytest.mark.parametrize("draws", [1, 2])
@pytest.mark.parametrize("patience", [1, 1024])
def test_badge_begins_with_the_longest_gradient_and_goes_on_by_squared_distance_in_any_order(
    patience: int, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(badge, "PATIENCE", patience)
    monkeypatch.setattr(badge, "LOOKED_AT", 1)
    probs, points = _probs(8, 7, draws, 3), np.random.default_rng(9).normal(size=(7, 4))
    squared = _gradient_distances(probs, points)
    mean = probs.mean(axis=1)
    longest = int((((mean - np.eye(3)[mean.argmax(axis=1)]) ** 2).sum(axis=1) * (points**2).sum(axis=1)).argmax())
    order = np.random.default_rng(2).permutation(7)
    for places in (np.arange(7), order):
        found = [places[_select("badge", np.log(probs[places]), points[places], 3, s)] for s in range(800)]
        assert {int(each[0]) for each in found} == {longest}
        second = _frequencies([each[1] for each in found], 7)
        np.testing.assert_allclose(second, squared[longest] / squared[longest].sum(), atol=0.06)
        usual = int(second.argmax())
        third = _frequencies([each[2] for each in found if each[1] == usual], 7)
        left = np.minimum(squared[longest], squared[usual])
        np.testing.assert_allclose(third, left / left.sum(), atol=0.1)


def test_badge_bounds_the_length_of_a_gradient_by_the_two_likeliest_classes() -> None:
    probs, points = _probs(11, 200, 1, 6), np.random.default_rng(12).normal(size=(200, 5))
    logs = np.log(probs).astype(np.float16)
    asked = request.checked(logs, points, None, 5, np.random.default_rng(0), None)
    bound_N, exact_N = badge._lengths(asked), badge._lengths_of(asked, np.arange(200))
    assert (bound_N >= exact_N).all()
    assert np.median(bound_N / exact_N) < 1.2


@pytest.mark.parametrize("working", [5, 20_000])
@pytest.mark.parametrize("labelled", [0, 4])
def test_coreset_takes_the_farthest_again_and_again(
    working: int, labelled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreset, "WORKING", working)
    points = np.random.default_rng(10).normal(size=(80, 6))
    known = points[:labelled] + 0.3
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    first = int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())
    chosen = [] if labelled else [first]
    near = np.linalg.norm(points[:, None] - known[None], axis=2).min(axis=1) if labelled else distance[first]
    while len(chosen) < 30:
        chosen.append(int(near.argmax()))
        near = np.minimum(near, distance[chosen[-1]])
    assert _select("coreset", None, points, 30, labelled_ND=known) == chosen


def test_typiclust_asks_the_smallest_mean_distance_in_the_largest_cluster_without_a_label() -> None:
    line = np.array([-9.0, -5.0, -1.0, 0.0, 0.5, 2.0, 3.0, 8.0, 12.0])
    parts = [np.c_[line, line * 0], np.c_[line[:8], line[:8] * 0 + 90], np.c_[line, line * 0 - 90]]
    typical = 4  # at 0.5: the four nearest are 0.5, 1.5, 1.5 and 2.5 away
    asked = _select("typiclust", None, np.concatenate(parts), 2, labelled_ND=parts[2][:1])
    assert asked == [typical, 9 + typical]


def test_typiclust_leaves_small_clusters_for_the_end() -> None:
    points = np.concatenate([np.arange(5.0)[:, None], 100 + np.arange(6.0)[:, None], 200 + np.arange(6.0)[:, None]])
    assert {position // 6 for position in _select("typiclust", None, points[::-1], 3)[:2]} == {0, 1}


def test_probcover_covers_most_with_each_image() -> None:
    points = np.array([0.0, 1, 2, 3, 10, 11, 12, 30])[:, None]
    is_covered = points[:, 0] >= 30
    found = probcover._cover(points.astype(np.float32), points[is_covered].astype(np.float32), 1.0, 3)
    assert found[:2].tolist() in ([1, 5], [2, 5])
    wider = _select("probcover", None, np.concatenate([points, points + 100]), 2, context={"num_classes": 2})
    assert sorted(position // 8 for position in wider) == [0, 1]


def test_the_radius_of_probcover_keeps_balls_within_clusters() -> None:
    points = np.concatenate([np.zeros((50, 1)), np.full((50, 1), 7.0)]).astype(np.float32)
    assert probcover._radius(points, 2, seed=0) == pytest.approx(7.0)


def test_clue_is_drawn_to_the_uncertain_part_of_a_cluster() -> None:
    points = np.array([[0.0], [1.0], [2.0], [3.0]])
    sure, open_ = [0.999, 0.001], [0.5, 0.5]
    for probs, nearest in (([open_, sure, sure, sure], 0), ([sure, sure, sure, open_], 3)):
        assert _select("clue", np.log(probs)[:, None], points, 1) == [nearest]


def test_drop_query_asks_where_most_draws_contradict_their_mean() -> None:
    calm, torn = [[0.7, 0.2, 0.1]] * 3, [[0.9, 0.05, 0.05], [0.2, 0.41, 0.39], [0.2, 0.39, 0.41]]
    points = np.random.default_rng(11).normal(size=(80, 3))
    draws = np.log(np.array([torn if i in (17, 41) else calm for i in range(80)]))
    contrary = _asked(np.exp(draws), points)
    assert np.flatnonzero(central._contradiction(contrary)[0] > 0.5).tolist() == [17, 41]
    assert uncertainty.decompose(draws).margin_N[17] > 0
    central_asked = set(_select("drop_query", draws[[17, 41]], points[[17, 41]], 1))
    assert central_asked <= {0, 1}
