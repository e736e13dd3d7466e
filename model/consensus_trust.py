"""How far a model's probabilities are believed beside people's answers: what the holdout says, and what the answers say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import calibration, consensus_answers, errors

Doubles = npt.NDArray[np.float64]

ITEMS = 20_000  # images that the answers' own verdict is looked up on, evenly spread
BLIND_SHARE = 0.02  # of cases where the model is taken to know nothing, before the answers have spoken
FIRST_BLIND = -1.4  # its logit where learning begins: a fifth, so that the people have their say first
BLIND_SPREAD = 1.5  # of that share's logit
FREE_SPREAD = 1.0  # of the log of the sharpness where no holdout speaks
HOLDOUT_SPREAD = 2.0  # over the root of its answers: the same where one does
LEAST_SPREAD = 0.1
LEAST_HOLDOUT = 20  # answers under which a holdout decides nothing
OVERCONFIDENT = 1.25  # a temperature from which on auto says that it has tempered the model


@dataclass(frozen=True)
class ModelTrust:
    """What n holdout answers say of the model: nll in nats per answer and ece before and after `temperature`.

    `nll_blind` is that of a guess that always gives each class its share among the same answers (smoothed).
    """

    n: int
    accuracy: float
    temperature: float
    nll_before: float
    nll_after: float
    nll_blind: float
    ece_before: float
    ece_after: float

    @property
    def tells_something(self) -> bool:
        """Whether the tempered model is likelier than blind guessing, where there are enough answers to know."""
        return self.n < LEAST_HOLDOUT or self.nll_after < self.nll_blind


@dataclass(frozen=True)
class Belief:
    """The prior of an image's class is (1 - blind) softmax(sharpness * model) + blind / classes."""

    sharpness: float
    blind: float


def measure(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike) -> ModelTrust:
    """The holdout's verdict on a model: `log_probs_NK` of images that it was not trained on, and people's labels."""
    found = calibration.measure_temperature(log_probs_NK, labels_N)
    log_probs, labels = np.asarray(log_probs_NK, dtype=np.float64), np.asarray(labels_N, dtype=np.int64)
    if not len(labels):
        nan = float("nan")
        return ModelTrust(0, nan, 1.0, nan, nan, nan, nan, nan)
    log_probs, tempered = calibration.temper(log_probs, 1.0), calibration.temper(log_probs, found.value)
    share_K = (np.bincount(labels, minlength=log_probs.shape[1]) + 1.0) / (len(labels) + log_probs.shape[1])
    return ModelTrust(
        len(labels), float((log_probs.argmax(axis=1) == labels).mean()), found.value, found.nll_before,
        found.nll_after, float(-np.log(share_K[labels]).mean()), calibration.ece(log_probs, labels),
        calibration.ece(tempered, labels),
    )  # fmt: skip


def checked(trust: ModelTrust | None) -> ModelTrust | None:
    """NotFinite or BadInput for a record that cannot be used."""
    if trust is None or trust.n == 0:
        return None
    if not np.isfinite([trust.temperature, trust.nll_after, trust.nll_blind]).all():
        raise errors.NotFinite(f"model_trust is not finite: {trust}")
    if trust.temperature <= 0 or trust.n < 0:
        raise errors.BadInput(f"model_trust has temperature {trust.temperature} and {trust.n} answers; both are > 0")
    return trust


def start(trust: ModelTrust | None) -> tuple[Belief, float]:
    """Where learning begins, and the spread of the log of the sharpness around it."""
    if trust is None:
        return Belief(1.0, BLIND_SHARE), FREE_SPREAD
    spread = np.clip(HOLDOUT_SPREAD / np.sqrt(trust.n), LEAST_SPREAD, FREE_SPREAD)
    return Belief(1.0 / trust.temperature, BLIND_SHARE), float(spread)


def prior(pairs: consensus_answers.Pairs, belief: Belief, num_classes: int) -> tuple[Doubles, Doubles]:
    """Log-prior of every pair and of every image's rest; the rest is spread evenly over its classes."""
    assert pairs.log_model_P is not None
    assert pairs.log_model_rest_I is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        log_count_I = np.log(pairs.rest_count_I)
        rest_I = belief.sharpness * (pairs.log_model_rest_I - log_count_I) + log_count_I
        rest_I = np.where(pairs.rest_count_I > 0, rest_I, -np.inf)
        p_P, p_rest_I, _ = pairs.softmax(belief.sharpness * pairs.log_model_P, rest_I)
        log_P = np.log((1.0 - belief.blind) * p_P + belief.blind / num_classes)
        log_rest = np.log((1.0 - belief.blind) * p_rest_I + belief.blind * pairs.rest_count_I / num_classes)
    return log_P, log_rest


class Search:
    """Climbs the likelihood of the answers over sharpness and blind share, a step at a time between EM steps.

    The likelihood is the marginal one, summed over classes, so that it never waits for the posterior to follow: an
    overconfident model whose word the first posterior took would otherwise keep its own word alive.
    """

    def __init__(
        self, answers: consensus_answers.Answers, pairs: consensus_answers.Pairs, trust: ModelTrust | None
    ) -> None:
        self.items = consensus_answers.spread(answers.count_I, ITEMS)
        self.scale = np.count_nonzero(answers.count_I) / max(1, len(self.items))
        self.num_classes = answers.num_classes
        at = np.zeros(answers.num_items, dtype=bool)
        at[self.items] = True
        self.at_P = np.flatnonzero(at[pairs.item_P])
        _, self.part = consensus_answers.part(answers, pairs, self.items)
        first, self.spread = start(trust)
        self.centre = np.array([np.log(first.sharpness), np.log(BLIND_SHARE / (1.0 - BLIND_SHARE))])
        self.now, self.step = self.centre.copy(), np.array([0.7, 0.7])
        self.now[1] = FIRST_BLIND

    @property
    def belief(self) -> Belief:
        return Belief(float(np.exp(self.now[0])), float(1.0 / (1.0 + np.exp(-self.now[1]))))

    @property
    def settled(self) -> bool:
        """Whether its steps have become small."""
        return bool(self.step.max() < 0.2)

    def climb(self, log_answers_P: Doubles, log_answers_rest_I: Doubles) -> None:
        """One step up along each of the two, or a halved step."""
        said_P, said_rest = log_answers_P[self.at_P], log_answers_rest_I[self.items]
        best = self._value(self.now, said_P, said_rest)
        for axis in (0, 1):
            for sign in (1.0, -1.0):
                trial = self.now.copy()
                trial[axis] = np.clip(trial[axis] + sign * self.step[axis], -7.0, 3.0)
                value = self._value(trial, said_P, said_rest)
                if value > best:
                    self.now, best = trial, value
                    break
            else:
                self.step[axis] /= 2.0

    def _value(self, at: Doubles, said_P: Doubles, said_rest: Doubles) -> float:
        belief = Belief(float(np.exp(at[0])), float(1.0 / (1.0 + np.exp(-at[1]))))
        log_P, log_rest = prior(self.part, belief, self.num_classes)
        _, _, log_sum = self.part.softmax(log_P + said_P, log_rest + said_rest)
        away = (at - self.centre) / np.array([self.spread, BLIND_SPREAD])
        return self.scale * float(log_sum.sum()) - 0.5 * float((away**2).sum())
