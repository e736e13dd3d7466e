"""BatchBALD: a small batch whose labels together tell most about the weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import errors, uncertainty
from model.acquisition import joint, spread
from model.acquisition.request import Request

Reals = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

MOST_ASKED = 32
MOST_CANDIDATES = 1000  # with the largest mutual information
MOST_EVENTS = 1000  # joint labels held exactly; drawn beyond
PIECE = 16  # candidates looked at together


@dataclass(frozen=True)
class _Answers:
    """Joint labels of what is chosen: log-likelihood of each under each draw, how likely it is, its own draw if any."""

    logs_TS: Reals
    shares_T: Reals
    drawn_T: Ints | None = None


def batch_bald(request: Request) -> Ints:
    """Greedy largest I(y_1..y_b; w) = H(y_1..y_b) - sum_i E_w H(y_i | w) (Kirsch et al. 2019, arXiv 1906.08158).

    Each step adds the image of the largest I(y; w | y_1..y_n): exact while the chosen have at most 1,000 joint labels,
    then from 1,000 joint labels drawn from the posterior. What is already known only lowers it, so an
    earlier value bounds it and most candidates are not looked at again. Departs from the paper in looking only at the
    1,000 images of largest mutual information. S draws can be told apart by log S nats: a batch that has told as much
    (some five images for 20 draws) goes on by noise, so more than 32 are refused.
    """
    if request.count > MOST_ASKED:
        raise errors.BadInput(
            f"strategy 'batch_bald' asks at most {MOST_ASKED} images at a time, {request.count} were wanted; "
            "ask fewer, or use 'power_bald'"
        )
    ranked = spread.order(-request.uncertainty.epistemic_N, request.embeddings_ND, 2 * MOST_CANDIDATES)
    open_M, _ = spread.separate(ranked, request, MOST_CANDIDATES)
    probs_MSK = uncertainty.probs(request.draws[open_M])
    bound_M, noise_M = request.uncertainty.epistemic_N[open_M].copy(), request.uncertainty.aleatoric_N[open_M]
    answers = _Answers(np.zeros((1, probs_MSK.shape[1])), np.ones(1))
    chosen: list[int] = []
    for _ in range(min(request.count, len(open_M))):
        best = _best(answers, probs_MSK, bound_M, noise_M)
        bound_M[best] = -np.inf
        chosen.append(best)
        answers = _extend(answers, probs_MSK, chosen, request.rng)
    return spread.first_different(-request.uncertainty.epistemic_N, request, front=open_M[chosen])


def _best(answers: _Answers, probs_MSK: Reals, bound_M: Reals, noise_M: Reals) -> int:
    """The candidate of the largest gain; `bound_M` is lowered to the gain of those looked at."""
    weights_TS = joint.posterior_weights(np.exp(answers.logs_TS - answers.logs_TS.max(axis=1, keepdims=True)))
    weights_TS = weights_TS.astype(probs_MSK.dtype, copy=False)
    order, best, largest = np.argsort(-bound_M, kind="stable"), -1, -np.inf
    for at in range(0, len(order), PIECE):
        piece = order[at : at + PIECE]
        if best >= 0 and bound_M[piece[0]] <= largest:
            break
        piece = piece[np.isfinite(bound_M[piece])]
        gain_B = joint.conditional_entropy(weights_TS, answers.shares_T, probs_MSK[piece]) - noise_M[piece]
        bound_M[piece] = np.minimum(bound_M[piece], gain_B)
        if len(piece) and gain_B.max() > largest:
            best, largest = int(piece[gain_B.argmax()]), float(gain_B.max())
    return best


def _extend(answers: _Answers, probs_MSK: Reals, chosen: list[int], rng: np.random.Generator) -> _Answers:
    """The joint labels with those of the image chosen last; once they are too many, drawn ones."""
    logs_SK = np.log(np.maximum(probs_MSK[chosen[-1]], joint.TINY))
    if answers.drawn_T is not None:
        return _with_drawn(answers, logs_SK, rng)
    if len(answers.shares_T) * logs_SK.shape[1] > MOST_EVENTS:
        drawn_T = np.arange(MOST_EVENTS) % len(logs_SK)
        started = _Answers(np.zeros((MOST_EVENTS, len(logs_SK))), np.full(MOST_EVENTS, 1 / MOST_EVENTS), drawn_T)
        for each in chosen:
            started = _with_drawn(started, np.log(np.maximum(probs_MSK[each], joint.TINY)), rng)
        return started
    logs_TS = (answers.logs_TS[:, None, :] + logs_SK.T[None]).reshape(-1, len(logs_SK))
    return _Answers(logs_TS, np.exp(logs_TS).mean(axis=1))


def _with_drawn(answers: _Answers, logs_SK: Reals, rng: np.random.Generator) -> _Answers:
    cumulative_TK = np.cumsum(np.exp(logs_SK), axis=1)[answers.drawn_T]
    thrown_T1 = rng.random((len(cumulative_TK), 1)) * cumulative_TK[:, -1:]
    labels_T = (cumulative_TK <= thrown_T1).sum(axis=1).clip(max=logs_SK.shape[1] - 1)
    return _Answers(answers.logs_TS + logs_SK[:, labels_T].T, answers.shares_T, answers.drawn_T)
