"""What every acquisition strategy keeps; test_acquisition_formulas.py has the formula of each."""

import numpy as np
import pytest
from scipy import special

from model import acquisition, chunks, errors, streamed, uncertainty
from model.acquisition import automatic, batch_bald, epig

NAMES = sorted(acquisition.STRATEGIES)
SAMPLED = {"random", "power_bald", "badge"}  # their permutation is tested in distribution, beside their formulas
ORDERLY = [name for name in NAMES if name not in SAMPLED]


def _problem(seed: int = 0, n: int = 60, classes: int = 4, draws: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 1, classes)) * 2 + rng.normal(size=(n, draws, classes))
    return special.log_softmax(logits, axis=2), rng.normal(size=(n, 8))


def _select(name: str, draws: np.ndarray | None, points: np.ndarray, count: int, **more: object) -> np.ndarray:
    settings = {"labelled_ND": points[:0], "rng": np.random.default_rng(3), "context": {"num_classes": 4}} | more
    return acquisition.select(name, log_probs_NSK=draws, embeddings_ND=points, count=count, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [0, 1, 7, 30, 100])
def test_positions_are_unique_and_inside_and_a_large_count_gets_all(name: str, count: int) -> None:
    draws, points = _problem(n=30)
    for labelled in (points[:0], points[:9] + 0.1):
        chosen = _select(name, draws, points, count, labelled_ND=labelled)
        assert chosen.dtype == np.int64
        assert len(set(chosen.tolist())) == len(chosen) == min(count, 30)
        assert set(chosen.tolist()) <= set(range(30))


@pytest.mark.parametrize("name", NAMES)
def test_images_that_are_all_alike_or_all_certain_still_get_an_answer(name: str) -> None:
    certain = np.log(np.tile([[[0.97, 0.01, 0.01, 0.01]]], (12, 3, 1)))
    for points in (np.ones((12, 3)), np.zeros((12, 3)), np.eye(12)):
        assert len(set(_select(name, certain, points, 5).tolist())) == 5


@pytest.mark.parametrize("name", ORDERLY)
@pytest.mark.parametrize("warm", [False, True])
def test_permuting_the_images_permutes_the_answer(name: str, warm: bool) -> None:
    draws, points = _problem(1)
    labelled = points[:9] * 0.5 if warm else points[:0]
    order = np.random.default_rng(5).permutation(60)
    straight = _select(name, draws, points, 8, labelled_ND=labelled)
    permuted = _select(name, draws[order], points[order], 8, labelled_ND=labelled)
    np.testing.assert_array_equal(order[permuted], straight)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_duplicates_are_not_both_asked_while_there_is_another(name: str) -> None:
    draws, points = _problem(2, n=20)
    twice_draws, twice = np.concatenate([draws, draws]), np.concatenate([points, points])
    for labelled in (twice[:0], twice[:9] * 0.5):
        chosen = _select(name, twice_draws, twice, 20, labelled_ND=labelled)
        assert len(set((chosen % 20).tolist())) == 20


@pytest.mark.parametrize("name", NAMES)
def test_the_same_generator_gives_the_same_answer(name: str) -> None:
    draws, points = _problem(4)
    np.testing.assert_array_equal(_select(name, draws, points, 9), _select(name, draws, points, 9))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_refused_by_name(name: str) -> None:
    draws, points = _problem()
    broken, torn = draws.copy(), points.copy()
    broken[17, 2, 1], torn[23, 0] = np.nan, np.inf
    with pytest.raises(errors.NotFinite, match="log_probs_NSK is not finite at image 17"):
        _select(name, broken, points, 5)
    with pytest.raises(errors.NotFinite, match="embeddings_ND is not finite in row 23"):
        _select(name, draws, torn, 5)


def test_with_equal_means_the_image_whose_draws_spread_is_asked_first() -> None:
    agree, differ = [[0.5, 0.5]] * 4, [[0.9, 0.1], [0.1, 0.9]] * 2
    draws = np.log(np.array([agree, differ, agree]))
    points = np.eye(3)
    assert _select("bald", draws, points, 1).tolist() == [1]
    totals = special.entr(np.exp(draws).mean(axis=1)).sum(axis=1)
    np.testing.assert_allclose(totals, totals[0])


@pytest.mark.parametrize(("name", "first"), [("margin", 2), ("entropy", 2), ("cluster_margin", 2)])
def test_the_least_certain_mean_is_asked_first(name: str, first: int) -> None:
    probs = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.34, 0.33, 0.33], [0.98, 0.01, 0.01]])
    draws = np.log(probs)[:, None]
    assert _select(name, draws, np.eye(4), 1).tolist() == [first]


def test_typical_asks_one_image_of_every_cluster_that_has_no_label() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(5, 10) * 12
    points, group = np.repeat(centres, 12, axis=0) + rng.normal(size=(60, 10)), np.repeat(np.arange(5), 12)
    assert set(group[_select("typical", None, points, 5)]) == set(range(5))
    known = points[group < 2][::6]
    assert set(group[_select("typical", None, points, 3, labelled_ND=known[:2])]) <= set(range(5))
    assert set(group[_select("auto", None, points, 5)]) == set(range(5))


def test_auto_turns_from_typical_to_uncertain_once_there_are_two_labels_for_each_class() -> None:
    draws, points = _problem(6)
    few, enough = points[:3] * 0.5, points[:20] * 0.5
    np.testing.assert_array_equal(
        _select("auto", draws, points, 6, labelled_ND=few), _select("typical", draws, points, 6, labelled_ND=few)
    )
    unsure = uncertainty.decompose(draws).margin_N
    asked = _select("auto", draws, points, 6, labelled_ND=enough)
    assert set(asked.tolist()) != set(_select("typical", draws, points, 6, labelled_ND=enough).tolist())
    one = _select("auto", draws, points, 1, labelled_ND=enough, rng=np.random.default_rng(1))
    assert unsure[one[0]] < np.median(unsure)


def test_unknown_names_and_arrays_that_do_not_fit_say_so() -> None:
    _, points = _problem()
    with pytest.raises(errors.UnknownName, match="did you mean 'margin'"):
        _select("margn", None, points, 3)
    with pytest.raises(errors.BadInput, match="60 rows"):
        _select("margin", np.zeros((59, 1, 2)), points, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_names_itself_and_the_draws_it_lacks(name: str) -> None:
    draws, points = _problem()
    if name in acquisition.NEEDS_NOTHING:
        assert len(_select(name, None, points, 3)) == 3
        return
    with pytest.raises(errors.BadInput, match=f"'{name}' needs posterior draws.*'typical'"):
        _select(name, None, points, 3)
    if name in acquisition.COMPARES_DRAWS:
        with pytest.raises(errors.BadInput, match=f"'{name}' compares posterior draws and needs two"):
            _select(name, draws[:, :1], points, 3)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_draws_are_enough(name: str) -> None:
    draws, points = _problem(7)
    chosen = _select(name, draws.astype(np.float16), points.astype(np.float32), 6)
    assert len(set(chosen.tolist())) == 6


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"random"}])
def test_streamed_draws_give_the_answer_of_draws_in_memory_and_are_read_a_piece_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws, points = _problem(8, n=200)
    monkeypatch.setattr(chunks, "VALUES", 400)
    monkeypatch.setattr(epig, "MOST_TARGETS", 20)
    monkeypatch.setattr(epig, "MOST_CANDIDATES", 20)
    monkeypatch.setattr(batch_bald, "MOST_CANDIDATES", 20)
    largest = 0

    def read(rows: slice | np.ndarray) -> np.ndarray:
        nonlocal largest
        largest = max(largest, len(draws[rows]))
        return draws[rows]

    labelled = points[:9] * 0.5
    held = _select(name, draws, points, 6, labelled_ND=labelled)
    lazy = streamed.Streamed(read, draws.shape)
    np.testing.assert_array_equal(_select(name, lazy, points, 6, labelled_ND=labelled), held)  # type: ignore[arg-type]
    assert largest <= 64  # BADGE's proposals, the largest piece; the pool has 200


def test_auto_draws_a_piece_at_a_time_and_only_for_the_smallest_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    draws, points = _problem(9, n=200)
    mean = special.logsumexp(draws, axis=1, keepdims=True) - np.log(draws.shape[1])
    monkeypatch.setattr(chunks, "VALUES", 200)
    monkeypatch.setattr(automatic, "MOST_DRAWN", 50)
    asked: list[np.ndarray] = []

    def draw(positions: np.ndarray) -> np.ndarray:
        asked.append(positions)
        return draws[positions]

    context = {"num_classes": 4, "draw": draw}
    chosen = _select("auto", mean, points, 6, labelled_ND=points[:9] * 0.5, context=context)
    smallest = np.argsort(np.diff(np.sort(np.exp(mean[:, 0]), axis=1)[:, -2:], axis=1)[:, 0])[:50]
    assert max(map(len, asked)) <= 10
    assert set(np.concatenate(asked).tolist()) == set(smallest.tolist())
    assert set(chosen.tolist()) <= set(smallest.tolist())


def test_streamed_draws_that_are_no_distribution_are_refused_where_they_are_read() -> None:
    draws, points = _problem()
    draws[17, 2, 1] = np.nan
    with pytest.raises(errors.NotFinite, match="image 17"):
        _select("bald", streamed.Streamed(lambda rows: draws[rows], draws.shape), points, 5)  # type: ignore[arg-type]


def test_batch_bald_refuses_a_large_batch_and_says_what_to_do() -> None:
    draws, points = _problem()
    with pytest.raises(errors.BadInput, match=r"at most 32 images at a time, 60 were wanted.*power_bald"):
        _select("batch_bald", draws, points, 100)
