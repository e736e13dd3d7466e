"""One label from the answers of several people, with a model as one more annotator as far as it deserves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import annotators, consensus_answers, consensus_em, consensus_trust, consensus_votes, errors

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Answers, Pairs, Trust = consensus_answers.Answers, consensus_answers.Pairs, consensus_trust.ModelTrust


@dataclass(frozen=True)
class Consensus:
    """What is thought of I images and J annotators.

    `labels_I`: the likeliest class, -1 for an image without answers where there is no model. `quality_I`: the
    probability of that label (0 for -1). `agreement_I`: the share of the image's answers that say it (NaN without
    answers). `answers_I`: their number. Probabilities are kept for pairs (image, class) alone, those of image i from
    `starts_I1[i]` on; `rest_I` is that of all other classes together. `annotators`: their quality with intervals.
    `used` is the method and `why` a sentence; `sharpness` is what the model's log-probabilities were multiplied by
    (None where it had no say).
    """

    num_classes: int
    labels_I: Ints
    quality_I: Doubles
    agreement_I: Doubles
    answers_I: Ints
    starts_I1: Ints
    classes_P: Ints
    probs_P: Doubles
    rest_I: Doubles
    annotators: annotators.Quality
    used: str
    why: str
    sharpness: float | None

    @property
    def probs_IK(self) -> Doubles:
        """All probabilities, images x classes: for small pools; `probs` gives those of some images."""
        return self.probs(np.arange(len(self.labels_I)))

    def probs(self, items: npt.ArrayLike) -> Doubles:
        """Probabilities of some images over all classes (rows sum to one): soft labels to train on."""
        at = np.asarray(items, dtype=np.int64)
        count = np.diff(self.starts_I1)[at]
        rest = self.rest_I[at] / np.maximum(self.num_classes - count, 1)
        out = np.repeat(rest[:, None], self.num_classes, axis=1)
        rows = np.repeat(np.arange(len(at)), count)
        pairs = np.repeat(self.starts_I1[at] - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
        out[rows, self.classes_P[pairs]] = self.probs_P[pairs]
        return out


@dataclass(frozen=True)
class _Verdict:
    """What a method hands back before it is dressed: the winners' pairs may differ from the likeliest."""

    probs_P: Doubles
    rest_I: Doubles
    at_I: Ints
    used: str
    why: str
    fit: consensus_em.Fit | None = None


def consensus(
    item_A: npt.ArrayLike,
    annotator_A: npt.ArrayLike,
    label_A: npt.ArrayLike,
    *,
    num_items: int,
    num_annotators: int,
    num_classes: int,
    model_log_probs_IK: npt.ArrayLike | None = None,
    model_trust: Trust | None = None,
    method: str = "auto",
) -> Consensus:
    """Answer a says that annotator `annotator_A[a]` gave image `item_A[a]` the class `label_A[a]`.

    The model's predictions must be out of sample: made for each image by a model that did not learn from that image's
    own answers (K folds, or leave-one-out in closed form). Otherwise it repeats the answers and they count twice.
    `model_trust` is the verdict of the holdout on the same model (`consensus_trust.measure`). A reject may be given as
    one more class: a model that does not know it says -inf there. UnknownName, BadInput or NotFinite name what cannot
    be used.
    """
    if method not in METHODS:
        raise errors.UnknownName("consensus method", method, METHODS)
    answers = consensus_answers.check(
        item_A, annotator_A, label_A,
        num_items=num_items, num_annotators=num_annotators, num_classes=num_classes,
    )  # fmt: skip
    trust, log_probs = consensus_trust.checked(model_trust), None
    if model_log_probs_IK is not None:
        log_probs = consensus_answers.check_model(model_log_probs_IK, num_items, num_classes)
    pairs = consensus_answers.pair_up(answers, log_probs)
    return _dressed(answers, pairs, METHODS[method](answers, pairs, trust))


def _majority(answers: Answers, pairs: Pairs, trust: Trust | None) -> _Verdict:
    probs_P, rest_I, at_I = consensus_votes.majority(answers, pairs)
    ties = "the annotators' agreement with others" if pairs.log_model_P is None else "the model"
    return _Verdict(probs_P, rest_I, at_I, "majority", f"asked for; ties go by {ties}")


def _crowdlab(answers: Answers, pairs: Pairs, trust: Trust | None) -> _Verdict:
    probs_P, rest_I, at_I = consensus_votes.crowdlab(answers, pairs)
    return _Verdict(probs_P, rest_I, at_I, "crowdlab", "asked for")


def _dawid_skene(answers: Answers, pairs: Pairs, trust: Trust | None) -> _Verdict:
    return _fitted(answers, consensus_answers.without_model(pairs), "dawid_skene", "asked for; no model is heard")


def _dawid_skene_model(answers: Answers, pairs: Pairs, trust: Trust | None) -> _Verdict:
    if pairs.log_model_P is None:
        raise errors.BadInput("dawid_skene_model needs model_log_probs_IK; without a model ask for dawid_skene or auto")
    return _fitted(answers, pairs, "dawid_skene_model", "asked for", trust)


def _auto(answers: Answers, pairs: Pairs, trust: Trust | None) -> _Verdict:
    """Dawid and Skene with the model, tempered by the holdout and by people's answers; without it where it tells nothing."""
    if pairs.log_model_P is None:
        return _fitted(answers, pairs, "dawid_skene", "there is no model")
    if trust and not trust.tells_something:
        bare = consensus_answers.without_model(pairs)
        why = (
            f"the model is ignored: on {trust.n} holdout answers it costs {trust.nll_after:.2f} nats each even at "
            f"temperature {trust.temperature:.2f}, guessing by the classes' shares {trust.nll_blind:.2f}"
        )
        return _fitted(answers, bare, "dawid_skene", why)
    verdict = _fitted(answers, pairs, "dawid_skene_model", "", trust)
    assert verdict.fit is not None
    assert verdict.fit.belief is not None
    return _Verdict(
        verdict.probs_P, verdict.rest_I, verdict.at_I, verdict.used, _reason(verdict.fit.belief, trust), verdict.fit
    )


METHODS: dict[str, Callable[[Answers, Pairs, Trust | None], _Verdict]] = {
    "auto": _auto,
    "majority": _majority,
    "dawid_skene": _dawid_skene,
    "dawid_skene_model": _dawid_skene_model,
    "crowdlab": _crowdlab,
}


def _fitted(answers: Answers, pairs: Pairs, used: str, why: str, trust: Trust | None = None) -> _Verdict:
    found = consensus_em.fit(answers, pairs, trust=trust)
    at_I = consensus_answers.segment_argmax(found.probs_P, pairs.starts_I1)
    if pairs.log_model_P is None:
        at_I = np.where(answers.count_I > 0, at_I, -1)
    return _Verdict(found.probs_P, found.rest_I, at_I, used, why, found)


def _reason(belief: consensus_trust.Belief, trust: Trust | None) -> str:
    told = (
        "no holdout answers"
        if trust is None
        else f"{trust.n} holdout answers ask for temperature {trust.temperature:.2f} "
        f"(calibration error {trust.ece_before:.3f}, then {trust.ece_after:.3f})"
    )
    temperature = 1.0 / belief.sharpness
    if temperature < consensus_trust.OVERCONFIDENT and belief.blind < 0.5:
        return f"the model is calibrated: temperature {temperature:.2f} by the answers; {told}"
    return (
        f"the model is overconfident and was tempered: temperature {temperature:.2f}, blind in {belief.blind:.0%} of "
        f"cases, by the answers; {told}"
    )


def _dressed(answers: Answers, pairs: Pairs, verdict: _Verdict) -> Consensus:
    """The record for the caller."""
    known_I = verdict.at_I >= 0
    labels_I = np.where(known_I, pairs.class_P[verdict.at_I], -1) if len(pairs.class_P) else verdict.at_I
    quality_I = np.where(known_I, verdict.probs_P[verdict.at_I], 0.0) if len(pairs.class_P) else known_I * 0.0
    agrees_I = np.bincount(answers.item_A, answers.label_A == labels_I[answers.item_A], minlength=answers.num_items)
    with np.errstate(invalid="ignore"):
        agreement_I = agrees_I / answers.count_I
    belief = verdict.fit.belief if verdict.fit else None
    return Consensus(
        answers.num_classes, labels_I, quality_I, agreement_I, answers.count_I, pairs.starts_I1, pairs.class_P,
        verdict.probs_P, verdict.rest_I, annotators.quality(answers, pairs, verdict.probs_P, verdict.rest_I, verdict.fit),
        verdict.used, verdict.why, belief.sharpness if belief else None,
    )  # fmt: skip
