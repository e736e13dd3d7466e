"""The bounds hold for the whole curve at once, and the promise holds in simulated sessions with selection and audits."""

import numpy as np
import pytest

from app import finishing
from model import errors, estimate, finish, shares

ALPHAS = (0.01, 0.02, 0.05, 0.1)


def test_bounds_hold_for_the_whole_curve_exactly_as_often_as_said() -> None:
    u_K = np.array(finish.bounds(80))
    draws = np.sort(np.random.default_rng(0).random((40_000, 80)), axis=1)[:, : len(u_K)]
    missed = (draws > u_K).any(axis=1).mean()
    assert missed == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 40_000))
    assert (np.diff(u_K) > 0).all()
    assert u_K[0] < 3.7 / 80  # a single bound would be 3 / 80: being right everywhere costs a fifth


def test_the_frontier_counts_only_mistakes_above_and_never_more_than_is_open() -> None:
    scores = np.linspace(0.99, 0.01, 100)
    wrong = np.zeros(100, bool)
    wrong[[40, 70]] = True
    open_N = np.random.default_rng(1).random(1000)
    found = finish.frontier(scores, wrong, open_scores_N=open_N, population=1200)
    assert found.mistakes_J.tolist() == [0, 1, 2]
    assert found.model_J[-1] == 1000
    assert found.model_J[0] == (open_N > scores[40]).sum()
    assert (np.diff(found.wrong_J) > 0).all()
    twice = finish.frontier(
        np.repeat(scores, 2), np.repeat(wrong, 2), open_scores_N=open_N, population=1200,
        groups_T=np.repeat(np.arange(100), 2),
    )  # fmt: skip
    assert twice.answers == 100
    assert twice.wrong_J.max() == pytest.approx(found.wrong_J.max())


def test_what_cannot_be_certified_says_how_many_answers_it_needs() -> None:
    def asked(answers: int) -> tuple[finish.Frontier, int | None]:
        found = finish.frontier(
            np.full(answers, 0.5), np.zeros(answers, bool), open_scores_N=np.full(900, 0.9), population=1000
        )
        return found, finish.needed(found, population=1000, people=100, still_open=900, share=0.02)

    few, need = asked(40)
    assert few.wrong_J[-1] > 20
    assert need is not None
    assert 120 < need < 170
    assert asked(40 + need)[1] == 0
    assert asked(0)[1] is not None
    with pytest.raises(errors.BadInput, match="do not fit"):
        finish.frontier([0.5], [True, False], open_scores_N=[], population=1)


def session(rng: np.random.Generator, *, calibrated: float) -> tuple[dict[float, float], estimate.Estimate, float]:
    """Uncertain images are answered first, audits are drawn from the rest; then every exported label is checked."""
    count, held, asked = 2000, int(rng.choice([60, 120, 200, 300])), 300
    scores = rng.beta(4, 0.4, count)
    wrong = rng.random(count) < (1 - scores) * calibrated
    order = rng.permutation(count)
    held_N, pool = order[:held], order[held:]
    queue = pool[np.argsort(-scores[pool])].tolist()
    lots, done = rng.permutation(pool).tolist(), []
    taken, audits = np.zeros(count, bool), []
    for audit in rng.permutation(np.arange(asked) < 90).tolist():
        left = count - held - len(done)
        source = lots if audit else queue
        while taken[source[-1]]:
            source.pop()
        row = source.pop()
        if audit:
            audits.append((row, left, len(done)))
        taken[row] = True
        done.append(row)
    blind = np.array([*held_N, *(row for row, _, _ in audits)])
    open_N = np.setdiff1d(pool, done)
    found = finish.frontier(scores[blind], wrong[blind], open_scores_N=scores[open_N], population=count)
    table = [
        {"above": a, "model": m, "wrong": w}
        for a, m, w in zip(found.thresholds_J, found.model_J.tolist(), found.wrong_J, strict=True)
    ]
    people, shares = held + asked, {}
    for alpha in ALPHAS:
        best = finishing.choose(table, people=people, share=alpha)
        out = open_N[scores[open_N] > best["above"]] if best else open_N[:0]
        shares[alpha] = wrong[out].sum() / (people + len(out))
    right = np.concatenate([[0], np.cumsum(~wrong[done])])
    still, before = np.array([(o, b) for _, o, b in audits]).T
    told = estimate.accuracy(
        ~wrong[held_N], audit_right_A=[not wrong[r] for r, _, _ in audits], open_A=still, asked_A=before,
        asked_right_A=right[before],
    )  # fmt: skip
    return shares, told, float(1 - wrong.mean())


def test_promise_and_estimate_hold_in_two_hundred_sessions_calibrated_or_not() -> None:
    rng = np.random.default_rng(2)
    runs = [session(rng, calibrated=(0.5, 1.0, 1.6)[at % 3]) for at in range(200)]
    for alpha in ALPHAS:
        assert np.mean([shares[alpha] <= alpha for shares, _, _ in runs]) >= 0.95
    inside = sum(told.low <= truth <= told.high for _, told, truth in runs)
    assert shares.wilson(inside, 200)[1] > 0.95
    bias = np.array([told.accuracy - truth for _, told, truth in runs])
    assert abs(bias.mean()) < 3 * bias.std() / np.sqrt(200)


def test_kappa_is_agreement_beyond_chance() -> None:
    assert estimate.kappa([1, 2, 3], [1, 2, 3]) == 1.0
    assert estimate.kappa([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(0.0)
    with pytest.raises(errors.BadInput):
        estimate.kappa([1], [1, 2])
