"""Learning-curve forecast: what accuracy so many more labels would bring, with a band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import errors

Doubles = npt.NDArray[np.float64]

FEWEST_POINTS, FEWEST_ANSWERS = 3, 20
WOBBLE = 0.015  # standard deviation of a fit's accuracy around its curve: which labels it got, not how many
RATES = (0.2, 0.35, 0.5, 0.75, 1.0, 1.4, 2.0)  # exponents of the power law
REACHED = np.linspace(-3, 3, 13)  # accuracy at the last point, in standard errors around the measured one
LEFT = np.linspace(0.0, 1.0, 25)  # share of the remaining mistakes that labels can ever mend


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
        gains_C = self.mendable_C * (1.0 - (self.last / (self.last + max(more, 0))) ** self.rates_C)
        return self._told(gains_C, band)

    def accuracy(self, labels: int, *, band: float = 0.95) -> tuple[float, float, float]:
        """Accuracy at so many labels: expected, low, high."""
        return self._told(self.reached_C + self.mendable_C * (1.0 - (self.last / labels) ** self.rates_C), band)

    def _told(self, values_C: Doubles, band: float) -> tuple[float, float, float]:
        order = np.argsort(values_C, kind="stable")
        cumulated = np.cumsum(self.weights_C[order])
        low, high = np.interp([(1 - band) / 2, (1 + band) / 2], cumulated, values_C[order])
        return float(self.weights_C @ values_C), float(low), float(high)


def fit(labels_J: npt.ArrayLike, right_TJ: npt.ArrayLike) -> Forecast:
    """Fit the family to measured points: right_TJ says which of T blind answers the model of labels_J labels got right.

    Inverse power laws (Figueroa et al. 2012, BMC Medical Informatics 12:8) on a grid, with even prior weights and a
    Gaussian likelihood whose covariance is that of the answers themselves: all points are measured on the same images,
    so that their common error hardly blurs the gain. BadInput for fewer than 3 points or 20 answers.
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
    covariance_JJ = np.cov(right, rowvar=False) / len(right) + np.eye(len(labels)) * WOBBLE**2
    error = float(np.sqrt(covariance_JJ[-1, -1]))
    reached, left, rates = (each.ravel() for each in np.meshgrid(REACHED, LEFT, RATES, indexing="ij"))
    reached = np.clip(measured_J[-1] + error * reached, 0.0, 1.0)
    mendable = left * (1.0 - reached)
    curves_CJ = reached[:, None] + mendable[:, None] * (1.0 - (labels[-1] / labels) ** rates[:, None])
    misses_CJ = curves_CJ - measured_J
    log_weights = -0.5 * np.einsum("cj,jk,ck->c", misses_CJ, np.linalg.inv(covariance_JJ), misses_CJ)
    weights = np.exp(log_weights - log_weights.max())
    return Forecast(int(labels[-1]), reached, mendable, rates, weights / weights.sum())
