"""Mixes random audit images into an asking order, each with the chance that it had, so that estimates stay unbiased."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def mix(
    order_N: Ints, count: int, *, rate: float, held: Ints, rng: np.random.Generator
) -> tuple[list[int], dict[int, float]]:
    """With probability `rate` a place of the order goes to an audit first -> (positions in their order, propensities).

    Positions lie below `count`, the number of open images. An audit is drawn evenly from all of them that nobody holds
    (`held`) and that no earlier place asks: whoever is asked it, it then is an even draw from what is open at that
    moment, the uncertain images included. Its propensity, one over their number, stands by its position.
    """
    held_now = set(held.tolist())
    most = 2 * len(order_N) + len(held_now)  # that can be asked, or be in the way of one that is
    lots = [spot for spot in rng.permutation(count)[-most:].tolist() if spot not in held_now]
    free, placed = count - sum(spot < count for spot in held_now), set[int]()
    result: list[int] = []
    chances: dict[int, float] = {}

    def put(spot: int) -> None:
        nonlocal free
        placed.add(spot)
        result.append(spot)
        free -= spot not in held_now

    for spot in order_N.tolist():
        if rng.random() < rate:
            while lots and lots[-1] in placed:
                lots.pop()
            if lots:
                chances[lots[-1]] = 1.0 / free
                put(lots.pop())
        if spot not in placed:
            put(spot)
    return result, chances
