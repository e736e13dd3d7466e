"""Learning-curve forecast: what accuracy so many more labels would bring, with a band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import errors

Doubles = npt.NDArray[np.float64]

FEWEST_POINTS, FEWEST_ANSWERS = 3, 20
REPLAY = 0.05  # standard deviation of a replayed point around the curve: an early part of a session chose otherwise
WOBBLE = 0.01  # of a fit's accuracy around its curve: which labels it got, not how many
RATES = (0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.4)  # exponents of the power law
USUAL_RATE, RATE_SPREAD = 0.5, 0.5  # before any answer: mistakes fall with the root of the labels, give or take
NORMAL = (-1.645, -0.842, -0.385, 0.0, 0.385, 0.842, 1.645)  # seven equally likely values of a standard normal, about
REACHED = np.linspace(-3, 3, 13)  # accuracy at the last point, in standard errors around the measured one
LEFT = np.linspace(0.0, 1.0, 25)  # share of the remaining mistakes that labels can ever mend; most is likelier


@dataclass(frozen=True)
class Forecast:
    """A posterior over power laws: weights_C of curves whose accuracy at n labels is
    reached_C + mendable_C * (1 - (last / n)^rates_C)."""

    last: int
    reached_C: Doubles
    mendable_C: Doubles
    rates_C: Doubles
    weights_C: Doubles

    def gain(self, more: int, *, band: float = 0.95) -> tuple[float, float, float]:
        """Points of accuracy (0..1) that `more` labels bring: expected, low, high."""
        new = max(more, 0) / (self.last + max(more, 0))
        gains_C = self.mendable_C * (1.0 - (1.0 - new) ** self.rates_C)
        return self._told(gains_C, band, wobble=WOBBLE * (2.0 * new) ** 0.5)

    def accuracy(self, labels: int, *, band: float = 0.95) -> tuple[float, float, float]:
        """Accuracy at so many labels: expected, low, high."""
        values_C = self.reached_C + self.mendable_C * (1.0 - (self.last / labels) ** self.rates_C)
        mean, low, high = self._told(values_C, band, wobble=WOBBLE)
        return mean, max(low, 0.0), min(high, 1.0)

    def _told(self, values_C: Doubles, band: float, *, wobble: float) -> tuple[float, float, float]:
        spread = (values_C[:, None] + wobble * np.array(NORMAL)).ravel()
        order = np.argsort(spread, kind="stable")
        cumulated = np.cumsum(np.repeat(self.weights_C / len(NORMAL), len(NORMAL))[order])
        low, high = np.interp([(1 - band) / 2, (1 + band) / 2], cumulated, spread[order])
        return float(self.weights_C @ values_C), float(low), float(high)


def fit(labels_J: npt.ArrayLike, right_TJ: npt.ArrayLike) -> Forecast:
    """Fit the family to measured points: right_TJ says which of T blind answers the model of labels_J labels got right.

    Inverse power laws (Figueroa et al. 2012, BMC Medical Informatics 12:8) on a grid. Their prior knows that mistakes
    mostly fall with the root of the labels: few answers say little about a slope, and replayed points are too flat where
    a session began with typical images. The Gaussian likelihood has the covariance of the answers themselves: all points
    are measured on the same images, so that their common error hardly blurs the gain. The band is for the accuracy of
    the fits, which wobble around the curve. BadInput for fewer than 3 points or 20 answers.
    """
    labels, right = np.asarray(labels_J, dtype=np.float64), np.asarray(right_TJ, dtype=np.float64)
    if right.ndim != 2 or right.shape[1] != len(labels):
        raise errors.BadInput(f"right_TJ has shape {right.shape}, {len(labels)} points need one column each")
    if len(labels) < FEWEST_POINTS or len(right) < FEWEST_ANSWERS or (np.diff(labels) <= 0).any() or labels[0] < 1:
        raise errors.BadInput(
            f"a forecast needs at least {FEWEST_POINTS} points of growing label counts and {FEWEST_ANSWERS} answers, "
            f"not {labels.astype(int).tolist()} and {len(right)}"
        )
    measured_J = (right.sum(axis=0) + 1) / (len(right) + 2)
    covariance_JJ = np.cov(right, rowvar=False) / len(right) + np.eye(len(labels)) * REPLAY**2
    error = float(np.sqrt(covariance_JJ[-1, -1]))
    reached, left, rates = (each.ravel() for each in np.meshgrid(REACHED, LEFT, RATES, indexing="ij"))
    reached = np.clip(measured_J[-1] + error * reached, 0.0, 1.0)
    mendable = left * (1.0 - reached)
    curves_CJ = reached[:, None] + mendable[:, None] * (1.0 - (labels[-1] / labels) ** rates[:, None])
    misses_CJ = curves_CJ - measured_J
    log_weights = -0.5 * np.einsum("cj,jk,ck->c", misses_CJ, np.linalg.inv(covariance_JJ), misses_CJ)
    log_weights += np.log(left + 1e-9) - 0.5 * (np.log(rates / USUAL_RATE) / RATE_SPREAD) ** 2
    weights = np.exp(log_weights - log_weights.max())
    return Forecast(int(labels[-1]), reached, mendable, rates, weights / weights.sum())
