"""Rank-one steps of the last layer: what ridge regression with one more row gives, and scores that follow."""

import dataclasses

import numpy as np
import pytest

from model import errors, last_layer
from model.last_layer_training import Recipe
from model.last_layer_update import Following

CLASSES, DIM = 4, 12
PLAIN = last_layer.Config(self_training=False)


def pool(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels_N = np.arange(rows) % CLASSES
    return 1.5 * np.eye(CLASSES, DIM)[labels_N] + rng.normal(size=(rows, DIM)), labels_N


def started(taught: int, classes: int = CLASSES) -> tuple[Following, np.ndarray]:
    points_ND, labels_N = pool()
    prepared = last_layer.prepare(points_ND, rng=np.random.default_rng(0))
    known = np.flatnonzero(labels_N[:taught] < classes)
    layer = last_layer.fit(
        None, known, labels_N[known], CLASSES, config=PLAIN, rng=np.random.default_rng(0), prepared=prepared
    )
    return Following(layer, prepared.x_NR, labels_N[known]), labels_N


def test_a_step_is_the_ridge_regression_with_that_row_added() -> None:
    following, labels_N = started(40)
    before, x_NR = following.layer, following.x_MR.astype(np.float64)
    precision_RR = np.linalg.inv(before.covariance_factor_RR @ before.covariance_factor_RR.T)
    target_RK = precision_RR @ before.weights_RK  # the right side whose solution the weights are
    for row in (50, 51, 52):
        following.learn(following.x_MR[row], int(labels_N[row]))
        counts = following.counts_K
        weight = 3.0 * (counts.mean() / counts[labels_N[row]]) ** 0.5
        told_K = np.eye(CLASSES)[labels_N[row]] - (counts + 1) / (counts + 1).sum()
        precision_RR += weight * np.outer(x_NR[row], x_NR[row])
        target_RK += weight * np.outer(x_NR[row], told_K)
    after = following.layer
    np.testing.assert_allclose(after.weights_RK, np.linalg.solve(precision_RR, target_RK), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        after.covariance_factor_RR @ after.covariance_factor_RR.T, np.linalg.inv(precision_RR), rtol=1e-6, atol=1e-9
    )
    assert after.labels == before.labels + 3


@pytest.mark.parametrize("classes", [CLASSES, CLASSES - 1], ids=["all classes seen", "one is new"])
def test_the_scores_that_follow_are_those_of_the_layer(classes: int) -> None:
    following, labels_N = started(40, classes)
    for step, row in enumerate((50, 51, 52, 55)):
        following.learn(following.x_MR[row], int(labels_N[row]))
        if step == 1:
            following.likeliest()  # some steps one at a time, some together
    found, anew = following.likeliest(), following.layer.likeliest_at(following.x_MR)
    np.testing.assert_array_equal(found.class_M, anew.class_M)
    np.testing.assert_allclose(found.top_M, anew.top_M, atol=1e-5)
    np.testing.assert_allclose(found.second_M, anew.second_M, atol=1e-5)
    assert list(following.layer.seen_K) == list(range(CLASSES))


def test_steps_come_near_to_a_new_fit() -> None:
    following, labels_N = started(12)
    held = np.arange(150, 300)
    stale = (following.likeliest().class_M == labels_N)[held].mean()
    for row in range(12, 60):
        following.learn(following.x_MR[row], int(labels_N[row]))
    stepped = (following.likeliest().class_M == labels_N)[held].mean()
    new = last_layer.fit(
        pool()[0], np.arange(60), labels_N[:60], CLASSES, config=PLAIN, rng=np.random.default_rng(0)
    ).likeliest_at(following.x_MR)
    fitted = (new.class_M == labels_N)[held].mean()
    assert fitted > stale + 0.05
    assert abs(stepped - fitted) < 0.03


def test_the_label_of_a_class_that_is_not_there_is_refused() -> None:
    following, _ = started(40)
    with pytest.raises(errors.BadInput, match="class 9 is none of the 4"):
        following.learn(following.x_MR[50], 9)


def test_a_heavier_recipe_moves_further() -> None:
    moved = []
    for weight in (1.0, 10.0):
        following, labels_N = started(20)
        following.recipe = dataclasses.replace(Recipe(), label_weight=weight)
        before = following.layer.weights_RK
        following.learn(following.x_MR[70], int(labels_N[70]))
        moved.append(np.abs(following.layer.weights_RK - before).sum())
    assert moved[1] > moved[0]
