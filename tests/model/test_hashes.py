"""Near hashes are those that comparing each with each finds, added at once or piece by piece."""

import numpy as np
import pytest

from model import hashes

REACH = 6


def _planted(count: int, rng: np.random.Generator) -> np.ndarray:
    """Random hashes and copies of them with none to two more than REACH bits flipped."""
    new = rng.integers(0, 2**64, size=count, dtype=np.uint64)
    copies = rng.choice(new, count // 3)
    flips = np.arange(len(copies)) % (REACH + 3)
    for bit in range(REACH + 2):
        copies[flips > bit] ^= np.uint64(1) << rng.integers(64, size=(flips > bit).sum(), dtype=np.uint64)
    return rng.permutation(np.concatenate([new, copies]))


def _by_comparing_all(asked: np.ndarray, known: np.ndarray, reach: int) -> np.ndarray:
    return np.argwhere(np.bitwise_count(asked[:, None] ^ known[None]) <= reach)


@pytest.mark.parametrize("reach", [1, 3, REACH, 15])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_comparing_each_with_each(reach: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "CHUNK", 170)
    made = _planted(600, np.random.default_rng(seed))
    near = hashes.Near(reach)
    near.add(made)
    expected = _by_comparing_all(made, made, reach)
    assert len(near) == len(made) < len(expected)
    assert np.array_equal(np.stack(near.pairs(made), axis=1), expected)


def test_hashes_added_piece_by_piece_are_found_like_those_added_at_once() -> None:
    made = _planted(900, np.random.default_rng(7))
    near = hashes.Near(REACH)
    for start in range(0, len(made), 100):
        near.add(made[start : start + 100])
        asked = made[max(start - 50, 0) : start + 100]
        assert np.array_equal(np.stack(near.pairs(asked), axis=1), _by_comparing_all(asked, made[: start + 100], REACH))


def test_the_farthest_within_reach_is_found_and_the_next_is_not_wherever_the_bits_lie() -> None:
    rng = np.random.default_rng(1)
    near = hashes.Near(REACH)
    near.add(np.array([0x123456789ABCDEF0], dtype=np.uint64))
    for _ in range(200):
        flips = [np.uint64(1) << np.uint64(bit) for bit in rng.permutation(64)[: REACH + 1]]
        within, beyond = (np.uint64(0x123456789ABCDEF0) ^ np.bitwise_or.reduce(flips[:n]) for n in (REACH, REACH + 1))
        assert near.pairs(np.array([beyond, within]))[0].tolist() == [1]


def test_nothing_is_near_among_none() -> None:
    near, none = hashes.Near(REACH), np.empty(0, dtype=np.uint64)
    near.add(none)
    assert [len(each) for each in near.pairs(none)] == [0, 0]
    assert [len(each) for each in near.pairs(np.array([5], dtype=np.uint64))] == [0, 0]
