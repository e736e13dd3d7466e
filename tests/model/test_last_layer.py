"""The last layer: posterior, evidence directions, odd label sets, and what it must be worth on real features."""

import dataclasses
import time

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from model import errors, last_layer, last_layer_space, last_layer_training, uncertainty


def _blobs(per_class: int = 60, classes: int = 4, width: int = 24, apart: float = 4.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centres = rng.normal(size=(classes, width)) * apart / np.sqrt(width)
    return (centres[labels] + rng.normal(size=(len(labels), width))).astype(np.float32), labels, rng


@pytest.mark.parametrize("positions", [[], [3], [3, 4], [3, 100], [0, 61, 122, 183]])
def test_few_labels_and_missing_classes_give_finite_distributions(positions: list[int]) -> None:
    points, labels, rng = _blobs()
    layer = last_layer.fit(points, positions, labels[positions], 6, rng=rng)
    for log_probs in (layer.log_probs(points), layer.draws(points, 5, rng).reshape(-1, 6)):
        assert np.isfinite(log_probs).all()
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1.0, atol=1e-4)
    seen = np.unique(labels[positions])
    missing = np.setdiff1d(np.arange(6), seen)
    np.testing.assert_allclose(np.exp(layer.log_probs(points)[:, missing]), 1 / (len(positions) + 6), rtol=1e-5)


def test_draws_average_to_the_mean_prediction_and_one_sample_answers_for_all_images() -> None:
    points, labels, rng = _blobs()
    layer = last_layer.fit(points, np.arange(0, 240, 12), labels[::12], 4, rng=rng)
    draws = layer.draws(points, 400, np.random.default_rng(1))
    mean = np.exp(draws).mean(axis=1)
    np.testing.assert_allclose(mean, np.exp(layer.log_probs(points)), atol=0.05)
    twins = layer.draws(np.concatenate([points[:1], points[:1]]), 7, np.random.default_rng(2))
    np.testing.assert_allclose(twins[0], twins[1], atol=1e-5)
    np.testing.assert_array_equal(
        layer.draws(points, 3, np.random.default_rng(3)), layer.draws(points, 3, np.random.default_rng(3))
    )


def test_the_posterior_is_wider_away_from_the_labels() -> None:
    points, labels, rng = _blobs(apart=6.0)
    known = labels < 2
    layer = last_layer.fit(points[known], np.arange(0, 120, 6), labels[known][::6], 2, rng=rng)
    spread = layer.draws(points, 200, rng)[:, :, 0].std(axis=1)
    logit = np.log(np.expm1(-np.minimum(layer.draws(points, 200, rng)[:, :, 0], -1e-6))).std(axis=1)
    assert np.isfinite(spread).all()
    assert np.median(logit[~known]) > np.median(logit[known])


def _of_two_classes(noise: float, labels: int = 0) -> last_layer.LastLayer:
    """Weights by hand: the first class has one large weight, or eight small ones."""
    weights_RK = np.zeros((9, 2))
    weights_RK[0, 0], weights_RK[1:, 0] = 2.0, 2.0 / 8**0.5
    space = last_layer_space.Space(np.zeros(9, np.float32), np.ones(9, np.float32), np.eye(9, dtype=np.float32))
    return last_layer.LastLayer(
        space, weights_RK, np.zeros((9, 9)), np.arange(2), 2, labels, 1.0, 1.0, False, weight_noise=noise
    )


ONE_OR_EIGHT = np.stack([np.eye(9)[0], np.r_[0.0, np.full(8, 8**-0.5)]]).astype(np.float32)  # both score 2


def test_a_score_that_hangs_on_few_directions_is_doubted_less_the_more_labels_there_are() -> None:
    logits_MK = _of_two_classes(0.5).logits(ONE_OR_EIGHT)
    np.testing.assert_allclose(logits_MK[:, 0], 2.0, rtol=1e-6)
    for labels, alpha in ((0, 0.5), (2, 0.25), (18, 0.05)):
        variances_M = alpha * np.array([2.0**2, 8 * (2.0 / 8) ** 2])
        damped_M = 2.0 / np.sqrt(1 + np.pi / 8 * variances_M)
        sure_M = np.exp(_of_two_classes(0.5, labels).log_probs(ONE_OR_EIGHT))[:, 0]
        np.testing.assert_allclose(sure_M, special.expit(damped_M), rtol=1e-5)
        assert sure_M[0] < sure_M[1]


def test_draws_carry_the_noise_of_the_weights() -> None:
    layer = _of_two_classes(0.3)
    draws_MSK = np.exp(layer.draws(ONE_OR_EIGHT, 20_000, np.random.default_rng(0)))
    np.testing.assert_allclose(draws_MSK.mean(axis=1), np.exp(layer.log_probs(ONE_OR_EIGHT)), atol=0.01)
    assert draws_MSK[0, :, 0].std() > 1.5 * draws_MSK[1, :, 0].std()


def test_with_noise_that_is_kept_draws_change_with_what_was_learned_alone() -> None:
    layer, rng = _of_two_classes(0.3), np.random.default_rng(0)
    kept = layer.noise(5, rng)
    draws_MSK = layer.sampler_of(kept)(ONE_OR_EIGHT)
    np.testing.assert_array_equal(draws_MSK, layer.draws_at(ONE_OR_EIGHT, 5, np.random.default_rng(0)))
    later = dataclasses.replace(layer, weights_RK=layer.weights_RK * 1.01)
    assert later.noise(5, rng, kept) is kept
    changed = np.abs(later.sampler_of(kept)(ONE_OR_EIGHT) - draws_MSK).mean()
    assert 0 < changed < 0.1 * np.abs(later.draws_at(ONE_OR_EIGHT, 5, rng) - draws_MSK).mean()
    assert layer.noise(6, rng, kept).normals_RSK.shape == (9, 6, 2)  # what does not fit is drawn anew


def test_the_sharpness_knows_of_the_noise_of_the_weights() -> None:
    points, labels, _ = _blobs(apart=3.0)
    kept = [
        last_layer.fit(
            points, np.arange(0, 240, 6), labels[::6], 4, rng=np.random.default_rng(0),
            config=last_layer.Config(weight_noise=noise),
        )
        for noise in (0.0, 20.0)
    ]  # fmt: skip
    np.testing.assert_array_equal(kept[0].weights_RK, kept[1].weights_RK)
    assert kept[1].inverse_temperature > kept[0].inverse_temperature  # or the noise would make it needlessly unsure


def test_class_directions_rebuild_the_logits_and_cells_add_up_to_them() -> None:
    points, labels, rng = _blobs(width=20)
    layer = last_layer.fit(points, np.arange(0, 240, 12), labels[::12], 5, rng=rng)
    directions, shift = layer.class_directions()
    assert directions.shape == (5, 20)
    assert not directions[4].any()  # never labelled
    cells, attention = rng.normal(size=(9, 20)), rng.dirichlet(np.ones(9))
    embedding = (attention @ cells)[None]
    evidence = attention[:, None] * (cells @ directions.T + shift)
    scale = layer.inverse_temperature / layer.space.lengths(embedding)[0]
    np.testing.assert_allclose(scale * evidence.sum(axis=0)[:4], layer.logits(embedding)[0], atol=1e-4)


def test_rejected_images_teach_nothing() -> None:
    points, labels, _ = _blobs()
    strange = np.concatenate([points, np.full((80, points.shape[1]), 9.0, np.float32)])
    prepared = last_layer.prepare(strange, rng=np.random.default_rng(0))
    positions = np.arange(0, 240, 12)
    excluded = np.arange(240, 320)

    def weights(x_ND: np.ndarray, out: np.ndarray) -> np.ndarray:
        moved = last_layer.Prepared(prepared.space, x_ND)
        config = last_layer.Config(self_training=True)
        fitted = last_layer.fit(
            None, positions, labels[positions], 4, config=config, rng=np.random.default_rng(1),
            excluded_positions=out, prepared=moved,
        )  # fmt: skip
        return fitted.weights_RK

    other = prepared.x_NR.copy()
    other[240:] = np.random.default_rng(2).normal(size=other[240:].shape)
    np.testing.assert_array_equal(weights(prepared.x_NR, excluded), weights(other, excluded))
    assert not np.allclose(weights(prepared.x_NR, np.empty(0, int)), weights(other, np.empty(0, int)))


def test_what_is_likely_to_be_rejected_does_not_self_train() -> None:
    gains = []
    for seed in range(6):  # five of eight groups belong to no class
        points, labels, _ = _blobs(classes=8, seed=seed)
        inside, taught = np.flatnonzero(labels < 3), np.concatenate([np.flatnonzero(labels == k)[:2] for k in range(3)])
        rejected = np.concatenate([np.flatnonzero(labels == k)[:3] for k in range(3, 8)])
        right = []
        for told in ({"excluded_positions": rejected}, {"rejected_positions": rejected}):
            layer = last_layer.fit(points, taught, labels[taught], 3, rng=np.random.default_rng(0), **told)
            right.append(float((layer.log_probs(points[inside]).argmax(axis=1) == labels[inside]).mean()))
        gains.append(right[1] - right[0])
    assert min(gains) >= 0
    assert np.mean(gains) > 0.02


def test_balancing_gives_the_priors_asked_for() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([5, 1, 1], size=300)
    priors = np.array([0.2, 0.3, 0.5])
    balanced = last_layer_training.balance(probs, priors)
    np.testing.assert_allclose(balanced.sum(axis=1), 1.0)
    np.testing.assert_allclose(balanced.mean(axis=0), priors, atol=0.02)


def test_a_temperature_moves_the_mean_and_the_draws_alike_and_never_the_choice() -> None:
    points, labels, rng = _blobs()
    layer = last_layer.fit(points, np.arange(0, 240, 12), labels[::12], 4, rng=rng)
    cool = layer.tempered(3.0)
    np.testing.assert_allclose(
        cool.log_probs(points), special.log_softmax(layer.log_probs(points) / 3.0, axis=1), atol=1e-4
    )
    assert (
        uncertainty.decompose(cool.draws(points, 9, rng)).total_N.mean()
        > uncertainty.decompose(layer.draws(points, 9, rng)).total_N.mean()
    )
    with pytest.raises(errors.BadInput):
        layer.tempered(0.0)


def test_the_same_seed_gives_the_same_layer() -> None:
    points, _, _ = _blobs()
    one, two = (
        last_layer.fit(points, [0, 70, 130, 190], [0, 1, 2, 3], 4, rng=np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.weights_RK, two.weights_RK)


def test_what_does_not_fit_is_named() -> None:
    points, _, rng = _blobs()
    with pytest.raises(errors.BadInput, match="given twice"):
        last_layer.fit(points, [1, 1], [0, 1], 4, rng=rng)
    with pytest.raises(errors.BadInput, match="from 0 to 239"):
        last_layer.fit(points, [240], [0], 4, rng=rng)
    with pytest.raises(errors.BadInput, match="classes from 0 to 3"):
        last_layer.fit(points, [1], [4], 4, rng=rng)
    torn = points.copy()
    torn[5, 5] = np.nan
    with pytest.raises(errors.NotFinite, match="row 5"):
        last_layer.fit(torn, [1], [0], 4, rng=rng)


@pytest.mark.parametrize("tail", [1.0, 10.0])
def test_never_below_plain_logistic_regression(tail: float) -> None:
    ours, plain, ours_even, plain_even = [], [], [], []
    for seed in range(6):
        points, labels, rng = _blobs(per_class=80, classes=6, width=64, apart=4.0, seed=seed)
        share = tail ** -(np.arange(6) / 5)
        kept = np.flatnonzero(rng.random(len(labels)) < share[labels])
        points, labels = points[kept], labels[kept]
        positions = rng.permutation(len(labels))[:30]
        layer = last_layer.fit(points, positions, labels[positions], 6, rng=rng)
        x_NR = layer.space.project(points)
        fitted = LogisticRegression(C=100, max_iter=500).fit(x_NR[positions], labels[positions])
        right, plainly = layer.log_probs(points).argmax(axis=1) == labels, fitted.predict(x_NR) == labels
        ours.append(right.mean())
        plain.append(plainly.mean())
        ours_even.append(np.mean([right[labels == c].mean() for c in range(6)]))
        plain_even.append(np.mean([plainly[labels == c].mean() for c in range(6)]))
    assert np.mean(ours) >= np.mean(plain) - 0.01
    assert np.mean(ours_even) >= np.mean(plain_even) + 0.05  # the rare classes gain most


def test_features_that_say_nothing_about_the_classes_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(400, 32)), np.tile(np.arange(4), 100)
    layer = last_layer.fit(points, np.arange(60), labels[:60], 4, rng=rng)
    confident = np.exp(layer.log_probs(points).max(axis=1)).mean()
    assert confident < 0.45  # chance is 0.25; labels held out say that the scores mean nothing


def test_streamed_draws_are_those_of_the_same_generator() -> None:
    points, labels, rng = _blobs()
    layer = last_layer.fit(points, np.arange(0, 240, 12), labels[::12], 5, rng=rng)
    x_NR = layer.space.project(points)
    held = layer.draws_at(x_NR, 4, np.random.default_rng(1))
    lazy = layer.streamed(x_NR, 4, np.random.default_rng(1))
    assert lazy.shape == held.shape
    np.testing.assert_allclose(lazy[10:20], held[10:20], atol=1e-5)
    np.testing.assert_allclose(lazy[np.array([3, 200])], held[[3, 200]], atol=1e-5)


def test_a_refresh_of_the_usual_size_takes_less_than_its_share() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1185, 1280)).astype(np.float32)
    labels = np.arange(100) % 20
    prepared = last_layer.prepare(points, rng=rng)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        last_layer.fit(None, np.arange(100), labels, 20, rng=rng, prepared=prepared)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 1.0  # measured 0.2 s on one core; the margin is for a busy machine


def test_soft_labels_teach_by_halves_and_hard_ones_as_before() -> None:
    points, labels, _ = _blobs()
    positions, hard = np.arange(0, 240, 12), np.eye(5)[labels[::12]]

    def fitted(targets: np.ndarray | None, given: np.ndarray) -> last_layer.LastLayer:
        rng = np.random.default_rng(0)
        return last_layer.fit(points, positions, given, 5, rng=rng, targets_LK=targets)

    plain = fitted(None, labels[::12])
    np.testing.assert_allclose(fitted(hard, labels[::12]).weights_RK, plain.weights_RK)
    soft = hard.copy()
    soft[0] = [0.55, 0.0, 0.0, 0.35, 0.1]  # what lies on a class that nobody named is spread over the others
    unsure = fitted(soft, labels[::12])
    x_R = plain.space.project(points[:1])
    assert (
        (x_R @ (unsure.weights_RK - plain.weights_RK))[0, 3] > 0 > (x_R @ (unsure.weights_RK - plain.weights_RK))[0, 0]
    )
    np.testing.assert_array_equal(unsure.seen_K, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("targets", "match"),
    [([[0.5, 0.5]], "shape"), ([[0.9, 0.3, 0.0]], "sum to one"), ([[0.2, 0.8, 0.0]], "must be the largest")],
)
def test_soft_labels_that_do_not_fit_are_named(targets: list[list[float]], match: str) -> None:
    points, _, rng = _blobs()
    with pytest.raises(errors.BadInput, match=match):
        last_layer.fit(points, [0], [0], 3, rng=rng, targets_LK=targets)


def test_labels_that_were_picked_for_their_class_say_nothing_of_its_frequency() -> None:
    points, labels, _ = _blobs(per_class=200, apart=2.5, seed=3)
    drawn = np.concatenate([np.arange(start, start + 5) for start in range(0, 800, 200)])
    picked = np.arange(20, 120)  # a hundred more of the first class, as pages of a grid give them
    rest = np.setdiff1d(np.arange(len(points)), np.concatenate([drawn, picked]))

    def share(taught: np.ndarray, **told: object) -> float:
        layer = last_layer.fit(
            points, taught, labels[taught], 4, rng=np.random.default_rng(0),
            config=last_layer.Config(self_training=True), **told,
        )  # fmt: skip
        return float((layer.log_probs(points[rest]).argmax(axis=1) == 0).mean())

    both = np.concatenate([drawn, picked])
    truth = float((labels[rest] == 0).mean())
    unaware, aware = share(both), share(both, picked_positions=picked)
    assert abs(aware - truth) < abs(unaware - truth), (truth, unaware, aware)
    np.testing.assert_allclose(share(drawn), share(drawn, picked_positions=picked))
