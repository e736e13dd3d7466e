"""The learning-curve forecast on made-up curves and on those of real sessions, of which it is known what came."""

import json
from pathlib import Path

import numpy as np
import pytest

from model import errors, forecast

# Sessions of `bench finish --forecast` with 250, 350 and 500 answers: by points of the curve that were right (1) or wrong
# (0), how many blind answers; and the accuracy that 150 more labels brought on the whole holdout.
CURVES = json.loads((Path(__file__).parent / "forecast_curves.json").read_text(encoding="utf-8"))


def answers(curve: dict) -> np.ndarray:
    patterns = [[int(bit) for bit in pattern] for pattern in curve["answers"]]
    return np.repeat(np.array(patterns, dtype=bool), list(curve["answers"].values()), axis=0)


def test_what_came_in_real_sessions_lies_in_the_band_and_neither_high_nor_low() -> None:
    told = np.array([forecast.fit(each["labels"], answers(each)).gain(150) for each in CURVES])
    came = np.array([each["gained"] for each in CURVES])
    inside = (told[:, 1] <= came) & (came <= told[:, 2])
    assert inside.mean() >= 0.9
    assert np.median(told[:, 2] - told[:, 1]) < 0.09
    assert abs((told[:, 0] - came).mean()) < 0.01
    assert np.abs(told[:, 0] - came).mean() < 0.016


def test_a_band_that_claims_less_is_narrower() -> None:
    found = forecast.fit(CURVES[0]["labels"], answers(CURVES[0]))
    (mean, low, high), (same, inner_low, inner_high) = found.gain(150), found.gain(150, band=0.5)
    assert low < inner_low < inner_high < high
    assert mean == same
    accuracy, least, most = found.accuracy(found.last + 150)
    assert 0 <= least <= accuracy <= most <= 1


def test_the_forecast_band_holds_the_gain_and_tells_a_flat_curve_from_a_steep_one() -> None:
    rng, inside = np.random.default_rng(3), []
    labels, told = np.array([60, 90, 130, 170, 200]), {"flat": [], "steep": []}
    for run in range(100):
        kind, drop = ("flat", 0.0) if run % 2 else ("steep", rng.uniform(0.3, 0.5))
        top, rate = rng.uniform(0.85, 0.95), rng.uniform(0.4, 0.8)
        truth = {n: top - drop * (n / 60) ** -rate for n in (*labels.tolist(), 350)}
        ease = rng.random(120)  # one threshold an image: what a model gets right, a better one mostly does, too
        right = (ease[:, None] < np.array([truth[n] for n in labels.tolist()])) ^ (rng.random((120, 5)) < 0.02)
        found = forecast.fit(labels, right)
        gain, low, high = found.gain(150)
        inside.append(low <= truth[350] - truth[200] <= high)
        told[kind].append(gain)
    assert np.mean(inside) >= 0.9
    assert np.mean(told["steep"]) > 2 * np.mean(told["flat"])
    assert np.mean(told["flat"]) < 0.02
    assert found.gain(50)[0] <= found.gain(150)[0] <= found.gain(500)[0]
    assert found.gain(0) == pytest.approx((0.0, 0.0, 0.0))
    with pytest.raises(errors.BadInput, match="at least 3 points"):
        forecast.fit([10, 20], np.ones((30, 2)))
