"""Learning-curve forecast: what accuracy so many more labels would bring, with a band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from model import errors

Doubles = npt.NDArray[np.float64]

FEWEST_POINTS, FEWEST_ANSWERS = 3, 20
REPLAY = 0.05  # standard deviation of a replayed point around the curve: an early part of a session chose otherwise
WOBBLE = 0.05  # of a fit around its curve, times sqrt(share right * share wrong): which labels it got, not how many
SETTLED = 0.1  # share of new labels from which the wobble is whole
ASTRAY = 0.5  # standard deviation of the gain that comes, as a share of what the curve says: curves bend
REACHED = np.linspace(-2.5, 2.5, 9)  # accuracy at the last point, in standard errors around the measured one
LEFT, MOST_IS_LEFT = np.linspace(0.04, 1.0, 13), 1.5  # share of the mistakes that labels can ever mend; prior LEFT^1.5
BENDS = (0.0, 0.2, 0.6)  # where the curve bends, as a share of the labels there are; 0 is the power law
RATES = (0.3, 0.45, 0.65, 0.9, 1.2, 1.6, 2.1)  # exponents far behind the bend
USUAL_RATE, RATE_SPREAD = 0.8, 0.5  # before any answer: mistakes far behind the bend fall almost as fast as labels grow
NEGLIGIBLE = 7.0  # nats under the likeliest curve


@dataclass(frozen=True)
class Forecast:
    """A posterior over curves: weights_C that accuracy at n labels is
    reached_C + mendable_C * (1 - falls(n / last)), falls as in `fit`."""

    last: int
    reached_C: Doubles
    mendable_C: Doubles
    bends_C: Doubles
    rates_C: Doubles
    weights_C: Doubles

    def gain(self, more: int, *, band: float = 0.95) -> tuple[float, float, float]:
        """Points of accuracy (0..1) that `more` labels bring: expected, low, high."""
        gains_C = self._gains(self.last + max(more, 0))
        return self._told(gains_C, gains_C, new=max(more, 0) / (self.last + max(more, 0)), band=band)

    def accuracy(self, labels: int, *, band: float = 0.95) -> tuple[float, float, float]:
        """Accuracy at so many labels: expected, low, high."""
        gains_C = self._gains(labels)
        mean, low, high = self._told(self.reached_C + gains_C, gains_C, new=SETTLED, band=band)
        return mean, max(low, 0.0), min(high, 1.0)

    def _gains(self, labels: int) -> Doubles:
        return self.mendable_C * (1.0 - _falls(labels / self.last, self.bends_C, self.rates_C))

    def _told(self, values_C: Doubles, gains_C: Doubles, *, new: float, band: float) -> tuple[float, float, float]:
        """Mean and quantiles of a mixture of normals, one around each curve."""
        mean, right = float(self.weights_C @ values_C), float(self.weights_C @ self.reached_C)
        wobble = WOBBLE * np.sqrt(right * (1 - right) * min(1.0, new / SETTLED))
        spread_C = np.sqrt(wobble**2 + (ASTRAY * gains_C) ** 2) + 1e-15
        places_M = np.linspace((values_C - 4 * spread_C).min(), (values_C + 4 * spread_C).max(), 400)
        below_M = special.ndtr((places_M[:, None] - values_C) / spread_C) @ self.weights_C
        low, high = np.interp([(1 - band) / 2, (1 + band) / 2], below_M, places_M)
        return mean, float(low), float(high)


def fit(labels_J: npt.ArrayLike, right_TJ: npt.ArrayLike) -> Forecast:
    """Fit the family to measured points: right_TJ says which of T blind answers the model of labels_J labels got right.

    With r = n / last, mistakes that labels can mend fall as (1 + b^-d) / (1 + (r / b)^d), Morgan, Mercer and Flodin's
    curve, and as the power law r^-d where b = 0; the others stay. These are the families that foretell best among
    sixteen on 246 sets (Mohr et al. 2022, LCDB, ECML PKDD), and better than a network trained for it (Cazacu 2025, TU
    Delft). The posterior on a grid takes the place of one best curve, as in Domhan, Springenberg and Hutter 2015
    (IJCAI): few answers say little about a slope. The Gaussian likelihood has the covariance of the answers themselves:
    all points are measured on the same images, so that their common error hardly blurs the gain. Prior and spreads are
    set by earlier sets (Mahmood et al. 2022, arXiv 2207.01725). The band is for the accuracy of the fits, which wobble
    around the curve. BadInput for fewer than 3 points or 20 answers.
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
    grid = np.meshgrid(REACHED, LEFT, BENDS, RATES, indexing="ij")
    errors_C, left, bends, rates = (each.ravel() for each in grid)
    reached = np.clip(measured_J[-1] + np.sqrt(covariance_JJ[-1, -1]) * errors_C, 0.0, 1.0)
    mendable = left * (1.0 - reached)
    falls_CJ = _falls(labels / labels[-1], bends[:, None], rates[:, None])
    misses_CJ = reached[:, None] + mendable[:, None] * (1.0 - falls_CJ) - measured_J
    log_weights = -0.5 * ((misses_CJ @ np.linalg.inv(covariance_JJ)) * misses_CJ).sum(axis=1)
    log_weights += MOST_IS_LEFT * np.log(left) - 0.5 * (np.log(rates / USUAL_RATE) / RATE_SPREAD) ** 2
    kept = log_weights > log_weights.max() - NEGLIGIBLE
    weights = np.exp(log_weights[kept] - log_weights.max())
    curves = (reached[kept], mendable[kept], bends[kept], rates[kept])
    return Forecast(int(labels[-1]), *curves, weights / weights.sum())


def _falls(ratio: npt.ArrayLike, bends: Doubles, rates: Doubles) -> Doubles:
    """Mendable mistakes at `ratio` times the labels of the last point, as a share of those there; see `fit`."""
    return np.asarray((bends**rates + 1.0) / (bends**rates + np.asarray(ratio) ** rates))
