"""The refresh's classifier: a semi-supervised Bayesian last layer on cached embeddings, closed form, NumPy only.

Relation to the image, for evidence maps. With e the embedding, z = (e - mean) / scale and |z| its length,

    logit_c = inverse_temperature * (W z / |z|)_c = inverse_temperature / |z| * (directions_c . e + shift_c)

where (directions_KD, shift_K) = `class_directions()`. When the embedding is an attention pooling, e = sum_i pi_i f_i
with sum_i pi_i = 1, cell i contributes pi_i * (directions_c . f_i + shift_c), and these sum to the logit up to the
per-image constant inverse_temperature / |z|. Classes without labels have no direction (zeros).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model import (
    chunks,
    errors,
    last_layer_choice,
    last_layer_inputs,
    last_layer_space,
    last_layer_training,
    likeliest,
    out_of_class,
    streamed,
)
from model.last_layer_draws import Noise

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Config:
    """`rank` main directions are kept; a larger pool than `max_pool` teaches by a random part of that size.

    `self_training` None lets cross-validation on the labels decide; True and False force it. `weight_noise` is the variance
    of every weight in units of its own square before the first label (see `last_layer_choice.alpha`).
    """

    rank: int = 256
    max_pool: int = 20_000
    self_training: bool | None = None
    weight_noise: float = 0.2
    recipe: last_layer_training.Recipe = field(default_factory=last_layer_training.Recipe)


@dataclass(frozen=True)
class Prepared:
    """What depends on the embeddings alone, kept between refreshes: the space and every row's coordinates in it."""

    space: last_layer_space.Space
    x_NR: Floats


@dataclass(frozen=True)
class LastLayer:
    """Gaussian posterior over the weights of the seen classes; the classes without labels keep their prior."""

    space: last_layer_space.Space
    weights_RK: Doubles  # of the seen classes
    covariance_factor_RR: Doubles
    seen_K: Ints  # class index of each column of weights_RK
    num_classes: int
    labels: int
    inverse_temperature: float  # of the mean scores
    spread: float  # standard deviation of a draw's score where the covariance factor gives one
    self_trained: bool
    temperature: float = 1.0  # fitted on held-out labels, after everything else
    weight_noise: float = 0.0

    @property
    def alpha(self) -> float:
        """Variance of each weight beside its posterior's, in units of the weight's square."""
        return last_layer_choice.alpha(self.weight_noise, self.labels, self.num_classes)

    def logits(self, embeddings_MD: npt.ArrayLike) -> Doubles:
        """Logits of the mean weights, (images, seen classes), before posterior spread and `temperature`."""
        return np.asarray(self.inverse_temperature * (self.space.project(embeddings_MD) @ self.weights_RK))

    def log_probs(self, embeddings_MD: npt.ArrayLike) -> Floats:
        """Mean prediction, (images, classes), spread and weight noise folded in (MacKay's probit approximation)."""
        return self.log_probs_at(self.space.project(embeddings_MD))

    def log_probs_at(self, x_MR: Floats) -> Floats:
        """As `log_probs`, for coordinates already projected (`Prepared.x_NR`)."""
        out_MK = np.empty((len(x_MR), self.num_classes), dtype=np.float32)

        def work(rows: slice) -> None:
            out_MK[rows] = self._mean(x_MR[rows])

        chunks.each(work, len(x_MR), x_MR.shape[1] + self.num_classes)
        return out_MK

    def likeliest_at(self, x_MR: Floats) -> likeliest.Likeliest:
        """The first two of `log_probs_at`, without ever holding all of them."""
        found = likeliest.Likeliest.empty(len(x_MR))

        def work(rows: slice) -> None:
            found.put(rows, self._mean(x_MR[rows]))

        chunks.each(work, len(x_MR), x_MR.shape[1] + self.num_classes)
        return found

    def draws(self, embeddings_MD: npt.ArrayLike, count: int, rng: np.random.Generator) -> Floats:
        """Predictions of `count` weight samples, log_probs_MSK; one sample answers for all images alike."""
        return self.draws_at(self.space.project(embeddings_MD), count, rng)

    def draws_at(self, x_MR: Floats, count: int, rng: np.random.Generator) -> Floats:
        """As `draws`, for coordinates already projected."""
        return self.sampler(count, rng)(x_MR)

    def sampler(self, count: int, rng: np.random.Generator) -> Callable[[Floats], Floats]:
        """`count` weight samples -> a function from projected coordinates to their log_probs_MSK, a piece at a time."""
        return self.sampler_of(self.noise(count, rng))

    def noise(self, count: int, rng: np.random.Generator, kept: Noise | None = None) -> Noise:
        """Noise for `count` weight samples: what was kept where it fits, else fresh."""
        shape = (len(self.covariance_factor_RR), count, len(self.seen_K))
        return kept if kept and kept.normals_RSK.shape == shape else Noise.draw(shape, rng)

    def sampler_of(self, noise: Noise) -> Callable[[Floats], Floats]:
        """As `sampler`, of noise drawn before."""
        mean_RK, _, factor_RR = self._singles
        weights_RSK = noise.weights(mean_RK, factor_RR, spread=self.spread, alpha=self.alpha)
        weights_RSK *= np.float32(self.inverse_temperature)
        rank, count, seen = weights_RSK.shape

        def draw(x_MR: Floats) -> Floats:
            out_MSK = np.empty((len(x_MR), count, self.num_classes), np.float32)

            def work(rows: slice) -> None:
                logits_BM = np.asarray(x_MR[rows], dtype=np.float32) @ weights_RSK.reshape(rank, -1)
                out_MSK[rows] = self._complete(logits_BM.reshape(len(logits_BM), count, seen))

            chunks.each(work, len(x_MR), count * self.num_classes)
            return out_MSK

        return draw

    def streamed(self, x_NR: Floats, count: int, rng: np.random.Generator) -> streamed.Streamed:
        """Draws of all rows for `acquisition.select`, computed where they are read."""
        draw = self.sampler(count, rng)
        return streamed.Streamed(lambda rows: draw(x_NR[rows]), (len(x_NR), count, self.num_classes))

    def class_directions(self) -> tuple[Floats, Floats]:
        """(directions_KD, shift_K) in raw embedding space; see the head of this file."""
        directions_KD = np.zeros((self.num_classes, len(self.space.mean_D)), dtype=np.float32)
        directions_KD[self.seen_K] = (self.space.basis_DR @ self.weights_RK).T / self.space.scale_D
        return directions_KD, -directions_KD @ self.space.mean_D

    def tempered(self, temperature: float) -> LastLayer:
        """The same layer with its probabilities (mean and draws) divided by a held-out `temperature`."""
        if not (np.isfinite(temperature) and temperature > 0):
            raise errors.BadInput(f"a temperature is a positive number, not {temperature}")
        return dataclasses.replace(self, temperature=self.temperature * float(temperature))

    @functools.cached_property
    def _singles(self) -> tuple[Floats, Floats, Floats]:
        """Weights, their squares and the covariance factor in single precision: what a pool is multiplied by."""
        weights_RK = self.weights_RK.astype(np.float32)
        return weights_RK, weights_RK**2, self.covariance_factor_RR.astype(np.float32)

    def _mean(self, x_MR: Floats) -> Floats:
        weights_RK, _, factor_RR = self._singles
        spread_MR = np.asarray(x_MR, dtype=np.float32) @ factor_RR
        return self.damped(x_MR, x_MR @ weights_RK, np.einsum("mr,mr->m", spread_MR, spread_MR))

    def damped(self, x_MR: Floats, scores_MK: npt.NDArray[np.floating], unit_M: npt.NDArray[np.floating]) -> Floats:
        """Mean prediction from coordinates, scores x W of the seen classes and the variances |x L|^2 of unit noise."""
        sharp = self.inverse_temperature
        damping_MK = np.square(x_MR) @ self._singles[1]
        damping_MK *= np.float32(np.pi / 8.0 * sharp**2 * self.alpha)
        damping_MK += (1.0 + np.float32(np.pi / 8.0 * (sharp * self.spread) ** 2) * unit_M)[:, None]
        np.sqrt(damping_MK, out=damping_MK)
        logits_MK = np.divide(scores_MK, damping_MK, out=damping_MK, casting="same_kind")
        logits_MK *= sharp
        return self._complete(logits_MK)

    def _complete(self, logits: npt.NDArray[np.floating]) -> Floats:
        """Log-probabilities over all classes, the last axis: each unseen one keeps 1 / (labels + classes)."""
        unseen = self.num_classes - len(self.seen_K)
        each = 1.0 / (self.labels + self.num_classes)
        if not unseen:
            return np.asarray(_log_softmax(logits / np.float32(self.temperature)), dtype=np.float32)
        out = np.full((*logits.shape[:-1], self.num_classes), np.float32(np.log(each)))
        if len(self.seen_K):
            out[..., self.seen_K] = _log_softmax(logits / np.float32(self.temperature)) + np.log1p(-unseen * each)
        return out


def _log_softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Over the last axis; overwrites, as scipy's makes four copies of what may be large."""
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def prepare(embeddings_ND: npt.ArrayLike, *, config: Config | None = None, rng: np.random.Generator) -> Prepared:
    """The space of a pool and its coordinates; reuse it for every `fit` on the same embeddings."""
    space = last_layer_space.find(embeddings_ND, rank=(config or Config()).rank, rng=rng)
    return Prepared(space, space.project(embeddings_ND))


def fit(
    embeddings_ND: npt.ArrayLike | None,
    labelled_positions: npt.ArrayLike,
    labels: npt.ArrayLike,
    num_classes: int,
    *,
    config: Config | None = None,
    rng: np.random.Generator,
    excluded_positions: npt.ArrayLike = (),
    rejected_positions: npt.ArrayLike = (),
    prepared: Prepared | None = None,
    targets_LK: npt.ArrayLike | None = None,
    picked_positions: npt.ArrayLike = (),
) -> LastLayer:
    """Fit on the labelled rows and, by class-balanced self-training, on all other rows of `embeddings_ND`.

    `excluded_positions` (the holdout) and `rejected_positions` teach no class; of the unlabelled rows as many as are
    expected to be rejected, the likeliest by `out_of_class`, do not self-train either. `prepared` saves the projection.
    `targets_LK` gives soft labels where people disagree, over all classes, rows sum to one; `labels` are then the
    likeliest classes, and what lies on a class that is nobody's likeliest is spread over the others. Labels at
    `picked_positions` were asked because the model was sure of their class: they teach, but say neither how frequent
    classes are nor how sure it may be. Works from no label at all (every class then has probability 1 / classes).
    BadInput names what does not fit.
    """
    config = config or Config()
    prepared = prepared or prepare(last_layer_inputs.given(embeddings_ND), config=config, rng=rng)
    positions, classes = last_layer_inputs.checked(labelled_positions, labels, len(prepared.x_NR), num_classes)
    rejected = np.asarray(rejected_positions, dtype=np.int64)
    outside = np.union1d(np.asarray(excluded_positions, dtype=np.int64), rejected)
    x_MR, rows, usable_M = _teaching_rows(prepared.x_NR, positions, outside, config.max_pool, rng)
    if len(rejected) and len(rows):
        usable_M &= ~_likely_rejected(x_MR, rows, classes, usable_M, prepared.x_NR[rejected], rng)
    seen = np.unique(classes)
    choice = last_layer_choice.choose(
        x_MR, rows, last_layer_inputs.targets(classes, targets_LK, num_classes)[:, seen],
        recipe=config.recipe, usable_N=usable_M, self_training=config.self_training, rng=rng,
        picked_L=np.isin(positions, np.asarray(picked_positions, dtype=np.int64)),
        alpha=last_layer_choice.alpha(config.weight_noise, len(positions), num_classes),
    )  # fmt: skip
    solution = choice.solution
    return LastLayer(
        prepared.space, solution.weights_RK, solution.covariance_factor_RR, seen.astype(np.int64), num_classes,
        len(positions), choice.inverse_temperature, choice.spread, choice.self_trained, weight_noise=config.weight_noise,
    )  # fmt: skip


def _teaching_rows(
    x_NR: Floats, labelled: Ints, excluded: Ints, max_pool: int, rng: np.random.Generator
) -> tuple[Floats, Ints, npt.NDArray[np.bool_]]:
    """The coordinates that teach: all usable rows, or the labelled ones and a random part of a large pool."""
    usable_N = np.ones(len(x_NR), dtype=bool)
    usable_N[excluded] = False
    usable_N[labelled] = True
    if len(x_NR) <= max_pool + len(labelled):
        return x_NR, labelled, usable_N
    usable_N[labelled] = False
    others = np.flatnonzero(usable_N)
    kept = others if len(others) <= max_pool else np.sort(rng.choice(others, max_pool, replace=False))
    x_MR = x_NR[np.concatenate([labelled, kept])]
    return x_MR, np.arange(len(labelled)), np.ones(len(x_MR), dtype=bool)


def _likely_rejected(
    x_MR: Floats,
    labelled: Ints,
    labels: Ints,
    usable_M: npt.NDArray[np.bool_],
    rejected_QR: Floats,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Which unlabelled rows are the likeliest to be rejected, as many as are expected to be."""
    beside = np.arange(len(x_MR), len(x_MR) + len(rejected_QR))
    out_M = out_of_class.probability(
        np.concatenate([x_MR, rejected_QR]), labelled=labelled, labels=labels, rejected=beside, rng=rng
    )[: len(x_MR)]
    out_M[labelled] = 0.0
    out_M[~usable_M] = 0.0
    likely_M = np.zeros(len(x_MR), dtype=bool)
    likely_M[np.argsort(-out_M, kind="stable")[: round(float(out_M.sum()))]] = True
    return likely_M
