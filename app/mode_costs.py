"""Which mode costs a person the fewest seconds an image: from their own times and the model's probabilities. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from statistics import fmean, median

ENOUGH = 20  # recorded answers of a mode from which they alone count
LONGEST = 5.0  # a time counts at most as so many medians: a person who leaves the room was not thinking
FEWEST = 12  # images for which a change of mode is worth proposing
WORTH = 0.85  # share of the present mode's seconds below which another is proposed

# Seconds before a person's own times are known (../shared/spec/annotation.md, 3 and 7): 1,200 answers an hour among nine
# classes; a yes or no between 0.8 s (Speed Labeling, Graphics Interface 2024) and 1.7 s (Krishna et al., CHI 2016); a
# glance at one image of a page between their 0.1 s flashes and 0.8 s; a pointing at 1.1 s (keystroke-level model).
SINGLE, YES, GLANCE, TAKE_OUT = 3.0, 1.2, 0.4, 1.1

GRID, YESNO, ONE = "grid", "yesno", "single"
AFTER_NO = "yesno-no"  # input mode of an answer that followed a no


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds an image by mode as recorded, newest first. `grid`: each image's share of its page; `no`: both looks."""

    single: Sequence[float] = ()
    yes: Sequence[float] = ()
    no: Sequence[float] = ()
    grid: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Hand:
    """The images at hand for one mode: the class that they are held for (None in single), how many, mean probability."""

    mode: str
    class_id: int | None = None
    images: int = 0
    probability: float = 1.0


@dataclasses.dataclass(frozen=True)
class Cost:
    """Expected seconds until an image at hand is settled in its mode."""

    hand: Hand
    seconds: float


def sort_times(recorded: Sequence[tuple[str, float]]) -> Times:
    """Times by mode from (input mode, milliseconds); every other input mode is a way of answering one at a time."""
    by: dict[str, list[float]] = {GRID: [], YESNO: [], AFTER_NO: [], ONE: []}
    for mode, milliseconds in recorded:
        by.get(mode, by[ONE]).append(milliseconds / 1000.0)
    return Times(single=by[ONE], yes=by[YESNO], no=by[AFTER_NO], grid=by[GRID])


def cost(hand: Hand, times: Times) -> float:
    """Expected seconds until an image at hand is settled, p being the calibrated probability that its class is right:

        single   t_single
        yes/no   p t_yes + (1 - p) t_no            a no costs a second look:     prior t_no = t_yes + t_single
        grid     t_grid + (1 - p) t_single         what is taken out comes again: prior t_grid = glance + (1 - p) take out

    where t_grid is the page's time over its images, taking out included. Each t is the person's own mean, drawn to its
    prior while there are fewer than 20: t = (n mean + (20 - n) prior) / 20.
    """
    wrong = 1.0 - hand.probability
    single = _blend(times.single, SINGLE)
    if hand.mode == GRID:
        return _blend(times.grid, GLANCE + wrong * TAKE_OUT) + wrong * single
    if hand.mode == YESNO:
        yes = _blend(times.yes, YES)
        return hand.probability * yes + wrong * _blend(times.no, yes + single)
    return single


def propose(hands: Sequence[Hand], times: Times, *, mode: str) -> tuple[Cost, Cost] | None:
    """(the cheapest, the present mode's) where changing pays: enough images and 15 % fewer seconds. None otherwise."""
    costs = [Cost(hand, cost(hand, times)) for hand in hands if hand.mode == ONE or hand.images >= FEWEST]
    present = next((each for each in costs if each.hand.mode == mode), None)
    if present is None:
        present = Cost(Hand(ONE), cost(Hand(ONE), times))
    best = min(costs, key=lambda each: each.seconds, default=present)
    return (best, present) if best.hand.mode != mode and best.seconds < WORTH * present.seconds else None


def _blend(seconds: Sequence[float], prior: float) -> float:
    own = seconds[:200]
    if not own:
        return prior
    most = LONGEST * median(own)
    mean = fmean(min(each, most) for each in own)
    return mean if len(own) >= ENOUGH else (len(own) * mean + (ENOUGH - len(own)) * prior) / ENOUGH
