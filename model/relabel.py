"""Ask a new image or an old one again? Both on one scale after ActiveLab: the lowest score is asked next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import consensus, consensus_answers, consensus_votes, errors

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Priorities:
    """`score_I` of every image, the lowest asked next; infinite where it must not be asked. `again_I`: it has answers."""

    score_I: Doubles
    again_I: npt.NDArray[np.bool_]

    def choose(self, count: int) -> Ints:
        """The `count` images to ask, lowest score first, the earlier of equal ones first; fewer if fewer may be asked."""
        order = np.argsort(self.score_I, kind="stable")[: max(0, count)]
        return order[np.isfinite(self.score_I[order])]

    def re_asks(self, count: int) -> int:
        """How many of the next `count` questions go to images that have answers."""
        return int(self.again_I[self.choose(count)].sum())


def priorities(
    found: consensus.Consensus,
    item_A: npt.ArrayLike,
    annotator_A: npt.ArrayLike,
    label_A: npt.ArrayLike,
    *,
    model_log_probs_IK: npt.ArrayLike | None = None,
    most_answers: int = 3,
    excluded: npt.ArrayLike = (),
    annotator: int | None = None,
) -> Priorities:
    """Goh and Mueller 2023 (arXiv 2301.11856), section 4: with q the probability of the consensus,

        answered: s = ((w_M + sum_j w_j) q + w / K) / (w_M + sum_j w_j + w),   w the mean of the annotators' weights
        new:      s = (w_M max_k p_k + w / K) / (w_M + w)

    so that every answer makes an image less worth asking, and one that people dispute more. Departing from the paper, q
    and p are those of `found` (its model is already tempered and heard as far as it deserves) and the weights are
    CROWDLAB's over answers that annotators share. Not asked: images with `most_answers` answers or more, positions in
    `excluded`, and with `annotator` those that he or she answered; without a model new images have p = 1 / K.
    """
    items, classes = len(found.labels_I), found.num_classes
    answers = consensus_answers.check(
        item_A, annotator_A, label_A,
        num_items=items, num_annotators=len(found.annotators.quality_J), num_classes=classes,
    )  # fmt: skip
    if (answers.count_I != found.answers_I).any():
        raise errors.BadInput("the answers are not those that the consensus was made of")
    if most_answers < 1:
        raise errors.BadInput(f"most_answers is {most_answers}; it must be 1 or more")
    log_probs = None
    if model_log_probs_IK is not None:
        log_probs = consensus_answers.check_model(model_log_probs_IK, items, classes)
    weight = consensus_votes.weights(answers, consensus_answers.pair_up(answers, log_probs))
    said_I = np.bincount(answers.item_A, weight.annotator_J[answers.annotator_A], minlength=items)
    used_J = np.bincount(answers.annotator_A, minlength=answers.num_annotators) > 0
    mean = float(weight.annotator_J[used_J].mean()) if used_J.any() else 1.0
    likeliest_I = np.where(found.labels_I >= 0, found.quality_I, 1.0 / classes)
    total_I = weight.model + said_I
    score_I = (total_I * likeliest_I + mean / classes) / (total_I + mean)
    closed_I = answers.count_I >= most_answers
    closed_I[consensus_answers.indices("excluded", np.asarray(excluded, dtype=np.int64), items)] = True
    if annotator is not None:
        closed_I[answers.item_A[answers.annotator_A == annotator]] = True
    return Priorities(np.where(closed_I, np.inf, score_I), answers.count_I > 0)
