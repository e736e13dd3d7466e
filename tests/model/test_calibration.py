"""Temperature, calibration error and intervals, on numbers whose answer is known."""

import numpy as np
import pytest
from scipy import special

from model import calibration, errors, shares


def _sharpened(n: int, factor: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities that are `factor` times too sharp, and labels drawn from the true ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 5)) * 1.5
    true = special.softmax(logits, axis=1)
    labels = np.array([rng.choice(5, p=p) for p in true])
    return special.log_softmax(logits * factor, axis=1), labels


def test_the_temperature_undoes_overconfidence() -> None:
    log_probs, labels = _sharpened(4000, 3.0)
    value = calibration.fit_temperature(log_probs, labels)
    assert value == pytest.approx(3.0, rel=0.1)
    mended = calibration.temper(log_probs, value)
    assert calibration.nll(mended, labels) < calibration.nll(log_probs, labels)
    assert calibration.ece(mended, labels) < 0.03 < calibration.ece(log_probs, labels)


def test_few_labels_are_cross_validated_and_never_fit_worse_than_none() -> None:
    for seed in range(10):
        log_probs, labels = _sharpened(12, 1.0, seed)
        found = calibration.measure_temperature(log_probs, labels)
        assert found.cross_validated
        assert found.nll_after <= found.nll_before
    assert not calibration.measure_temperature(*_sharpened(60, 1.0)).cross_validated
    assert calibration.fit_temperature(np.empty((0, 3)), np.empty(0, int)) == 1.0


def test_ece_counts_what_the_bins_say() -> None:
    probs = np.array([[0.9, 0.1]] * 10)
    labels = np.array([0] * 6 + [1] * 4)  # right 60 % of the time at 90 % confidence
    assert calibration.ece(np.log(probs), labels) == pytest.approx(0.3)
    (only,) = calibration.reliability(np.log(probs), labels)
    assert (only.count, only.accuracy, round(only.confidence, 9)) == (10, 0.6, 0.9)
    assert only.low < 0.9 <= only.high


def test_brier_and_nll_of_a_coin() -> None:
    coin, labels = np.log(np.full((4, 2), 0.5)), np.array([0, 1, 1, 0])
    assert calibration.brier(coin, labels) == pytest.approx(0.5)
    assert calibration.nll(coin, labels) == pytest.approx(np.log(2))
    assert np.isnan(calibration.ece(np.empty((0, 2)), np.empty(0, int)))


def test_wilson_matches_the_published_interval_and_stays_inside() -> None:
    low, high = shares.wilson(8, 10)  # 0.4902 .. 0.9433, Agresti and Coull 1998
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert shares.wilson(0, 0) == (0.0, 1.0)
    assert shares.wilson(0, 20)[0] == 0.0
    assert shares.wilson(20, 20)[1] == pytest.approx(1.0)
    with pytest.raises(errors.BadInput):
        shares.wilson(3, 2)


def test_wrong_shapes_and_values_are_refused() -> None:
    with pytest.raises(errors.BadInput, match="fit"):
        calibration.nll(np.zeros((3, 2)), [0, 1])
    with pytest.raises(errors.BadInput, match="classes from 0 to 1"):
        calibration.nll(np.zeros((2, 2)), [0, 2])
    with pytest.raises(errors.NotFinite):
        calibration.nll(np.full((2, 2), np.nan), [0, 1])
