"""The linear probe agrees with scikit-learn's logistic regression and chooses its strength on the training rows."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from model import errors, probe


def _rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels_N = np.arange(count) % 3
    centres_KD = np.random.default_rng(9).normal(0, 1, (3, 8))
    return centres_KD[labels_N] + rng.normal(0, 1.2, (count, 8)), labels_N


def test_the_fit_is_logistic_regression():
    x_ND, labels_N = _rows(90, 0)
    ours = probe.fit(x_ND, labels_N, C=0.3)
    theirs = LogisticRegression(C=0.3, max_iter=2000, tol=1e-8).fit(x_ND, labels_N)
    np.testing.assert_allclose(ours[:, :-1], theirs.coef_, atol=2e-3)


def test_accuracy_is_on_the_test_rows_and_standardising_is_the_training_rows_own():
    train, test = _rows(150, 1), _rows(60, 2)
    scale = np.array([1e-3, 1, 10, 1, 1, 100, 1, 1])
    result = probe.linear(train[0] * scale, train[1], test[0] * scale, test[1], rng=np.random.default_rng(0))
    assert result.C in probe.STRENGTHS
    assert 0.75 < result.accuracy <= 1
    assert abs(result.folds - result.accuracy) < 0.15


def test_too_few_rows_are_refused():
    x_ND, labels_N = _rows(6, 0)
    with pytest.raises(errors.BadInput, match="6 rows"):
        probe.linear(x_ND, labels_N, x_ND, labels_N, rng=np.random.default_rng(0))
