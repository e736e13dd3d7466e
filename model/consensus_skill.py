"""How likely an annotator is to say a label of an image of a class: confusion matrices shrunk toward what is estimable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from model import consensus_answers

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

OF_AN_ANNOTATOR = 4.0  # answers that the team's accuracy counts for in that of one annotator
OF_A_CLASS = 50.0  # and in that of one class
ERROR_STRENGTHS = (20.0, 200.0, 2000.0, 20_000.0)  # errors that "any other class alike" may count for (and K / 10 more)
ROW_STRENGTHS = (
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    8192.0,
)  # answers that the shrunk row counts for in an annotator's own


@dataclass(frozen=True)
class Cells:
    """C cells (annotator j, true class k, said label l) that some entry touches, and coarser groups of them."""

    entry_E: Ints  # the cell of each entry
    annotator_C: Ints
    class_C: Ints
    label_C: Ints
    right_C: npt.NDArray[np.bool_]  # k is l
    row_C: Ints  # (j, k)
    team_C: Ints  # (k, l)
    team_size: int


@dataclass(frozen=True)
class Skill:
    """`log_C`: log P(says l | j, k). `log_rest_A`: the same for "k is none of the image's pairs". `accuracy_J`: of each
    annotator over all classes. `team_share_J`: how far an annotator's errors are those of the team."""

    log_C: Doubles
    log_rest_A: Doubles
    accuracy_J: Doubles
    team_share_J: Doubles
    strength: float


def cells(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs) -> Cells:
    """The cells of all entries, numbered without gaps."""
    classes = answers.num_classes
    annotator_E, label_E = answers.annotator_A[pairs.entry_answer_E], answers.label_A[pairs.entry_answer_E]
    key_E = (annotator_E * classes + pairs.class_P[pairs.entry_pair_E]) * classes + label_E
    key_C, entry_E = consensus_answers.numbered(key_E, answers.num_annotators * classes * classes)
    row_C, label_C = np.divmod(key_C, classes)
    annotator_C, class_C = np.divmod(row_C, classes)
    found, team_C = consensus_answers.numbered(class_C * classes + label_C, classes * classes)
    team_size = len(found)
    return Cells(entry_E, annotator_C, class_C, label_C, class_C == label_C, row_C, team_C, team_size)


def learn(
    answers: consensus_answers.Answers,
    table: Cells,
    n_C: Doubles,
    rest_A: Doubles,
    *,
    team_share_J: Doubles,
    strength: float | None,
) -> Skill:
    """The M step: expected counts `n_C` of the cells, `rest_A` the chance that an answer's class is none of the pairs.

    With a_j the annotator's accuracy (shrunk toward the team's), d_k the class's, c_kl the team's errors and e_jl the
    annotator's own favourite wrong labels, row k of annotator j is a Dirichlet posterior mean

        P(l | j, k) = (n_jkl + s b_jkl) / (n_jk + s),   b_jkk = expit(logit a_j + logit d_k - logit a),
        b_jkl = (1 - b_jkk) (h_j c_kl + (1 - h_j) e_jl / (1 - e_jk))

    where h_j (share of errors that are the team's) takes one EM step and s is the strength of most evidence, looked for
    when `strength` is None. With few answers of an annotator to a class it is one coin with the team's confusions; with
    many it is the full matrix of Dawid and Skene (1979).
    """
    annotators, classes = answers.num_annotators, answers.num_classes
    right_J, right_K, n_J, n_K = _right(answers, table, n_C)
    team = (right_J.sum() + 1.0) / (n_J.sum() + 1.0 + 1.0 / classes)
    accuracy_J = (right_J + OF_AN_ANNOTATOR * team) / (n_J + OF_AN_ANNOTATOR)
    easy_K = special.logit((right_K + OF_A_CLASS * team) / (n_K + OF_A_CLASS)) - special.logit(team)
    right_JK = special.expit(special.logit(accuracy_J)[:, None] + easy_K)
    wrong_C = np.where(table.right_C, 0.0, n_C)
    team_C, own_JK, rest_K = _errors(answers, table, wrong_C, rest_A)
    own_C = own_JK[table.annotator_C, table.label_C] / (1.0 - own_JK[table.annotator_C, table.class_C])
    share_C = team_share_J[table.annotator_C]
    off_C = share_C * team_C + (1.0 - share_C) * own_C
    base_C = (1.0 - right_JK).ravel()[table.row_C] * off_C
    base_C[table.right_C] = right_JK.ravel()[table.row_C[table.right_C]]
    n_row = np.bincount(table.row_C, n_C, minlength=annotators * classes)
    strength = strength or _strength(table, n_C, n_row, base_C)
    log_C = np.log(n_C + strength * base_C) - np.log(n_row + strength)[table.row_C]
    from_team_J = np.bincount(table.annotator_C, wrong_C * share_C * team_C / off_C, minlength=annotators)
    wrong_J = np.bincount(table.annotator_C, wrong_C, minlength=annotators)
    share_A = team_share_J[answers.annotator_A]
    rest_says_A = share_A * rest_K[answers.label_A]
    rest_says_A = rest_says_A + (1.0 - share_A) * own_JK[answers.annotator_A, answers.label_A]
    log_rest_A = np.log((1.0 - accuracy_J)[answers.annotator_A] * rest_says_A)
    return Skill(log_C, log_rest_A, accuracy_J, (from_team_J + 2.0) / (wrong_J + 4.0), strength)


def _right(answers: consensus_answers.Answers, table: Cells, n_C: Doubles) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Expected right answers of each annotator and class, and all of each; clipped off certainty."""
    on, annotators, classes = table.right_C, answers.num_annotators, answers.num_classes
    right_J = np.bincount(table.annotator_C[on], n_C[on], minlength=annotators)
    right_K = np.bincount(table.class_C[on], n_C[on], minlength=classes)
    n_J = np.bincount(answers.annotator_A, minlength=annotators).astype(np.float64)
    n_K = np.bincount(table.class_C, n_C, minlength=classes)
    return np.minimum(right_J, n_J), np.minimum(right_K, n_K), n_J, n_K


def _errors(
    answers: consensus_answers.Answers, table: Cells, wrong_C: Doubles, rest_A: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """What is said in error: c_kl by the team (at the cells), e_jl by each annotator, and by the team whatever k is."""
    annotators, classes = answers.num_annotators, answers.num_classes
    team = np.bincount(table.team_C, wrong_C, minlength=table.team_size)
    wrong_K = np.bincount(table.class_C, wrong_C, minlength=classes)
    prior = _alike(team, wrong_K, classes) + classes / 10.0
    team_C = (team[table.team_C] + prior / (classes - 1)) / (wrong_K[table.class_C] + prior)
    own = np.bincount(table.annotator_C * classes + table.label_C, wrong_C, minlength=annotators * classes)
    own = own + np.bincount(answers.annotator_A * classes + answers.label_A, rest_A, minlength=annotators * classes)
    own_JK = own.reshape(annotators, classes)
    prior = _alike(own, own_JK.sum(axis=1), classes) + classes / 10.0
    rest_K = (own_JK.sum(axis=0) + prior / classes) / (own_JK.sum() + prior)
    own_JK = (own_JK + prior / classes) / (own_JK.sum(axis=1, keepdims=True) + prior)
    return team_C, own_JK, rest_K


def _alike(n: Doubles, total: Doubles, classes: int) -> float:
    """The strength of "any other class alike" under which the counts of errors are likeliest; `total` of each group."""
    if len(ERROR_STRENGTHS) == 1:
        return ERROR_STRENGTHS[0]
    n, total = n[n > 1e-3], total[total > 1e-3]
    evidence = [
        float((special.gammaln(n + s / classes) - special.gammaln(s / classes)).sum())
        + float((special.gammaln(s) - special.gammaln(total + s)).sum())
        for s in ERROR_STRENGTHS
    ]
    return ERROR_STRENGTHS[int(np.argmax(evidence))]


def _strength(table: Cells, n_C: Doubles, n_row: Doubles, base_C: Doubles) -> float:
    """The strength under which the counts are likeliest (Dirichlet-multinomial evidence), from a short list."""
    seen, filled = n_C > 1e-3, n_row[n_row > 1e-3]
    n, base = n_C[seen], np.maximum(base_C[seen], 1e-12)
    evidence = [
        float((special.gammaln(n + s * base) - special.gammaln(s * base)).sum())
        + float((special.gammaln(s) - special.gammaln(filled + s)).sum())
        for s in ROW_STRENGTHS
    ]
    return ROW_STRENGTHS[int(np.argmax(evidence))]
