"""Studies: begun and ended by who leads the work, and what they found out about suggestion and map, with intervals."""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from app import errors, study_plan
from model import medians, shares
from store import labels, studied
from store.database import Database

FEWEST = 5  # answers on either side from which a difference of shares is told
SHOWN = {"suggestion": "the suggestion", "map": "the map"}
Interval = tuple[float, float, float]


def begin(db: Database, body: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Begin a study of "images" in a block, hiding "suggestion", "map" or both in turn, with a share "gold" of gold images.

    Raises BadRequest naming what does not fit, or when a study goes on already."""
    images, share = body.get("images"), body.get("gold")
    varied = {name: body.get(name) is True for name in SHOWN}
    if not isinstance(images, int) or isinstance(images, bool) or not 2 <= images <= 200:
        raise errors.BadRequest(f"images is a number of images in a block, 2 to 200, not {images!r}")
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 <= share <= 1:
        raise errors.BadRequest(f"gold is a share between 0 and 1, not {share!r}")
    if not any(varied.values()):
        raise errors.BadRequest("a study compares something: choose suggestion, map or both")
    with db.write() as tx:
        known = study_plan.all_(tx)
        if study_plan.running(tx):
            raise errors.BadRequest("a study goes on already: end it first")
        new = study_plan.Study(len(known) + 1, now, labels.watermark(tx), images, **varied, gold=float(share))
        study_plan.keep(tx, [*known, new])
    return dataclasses.asdict(new)


def end(db: Database, *, now: float) -> dict[str, Any]:
    """End the study that goes on, if any; its answers stay, and images that people hold keep its terms. -> {"ended"}"""
    with db.write() as tx:
        last = study_plan.running(tx)
        if last is not None:
            study_plan.keep(tx, [*study_plan.all_(tx)[:-1], dataclasses.replace(last, ended_at=now)])
    return {"ended": last is not None}


def latest(db: Database) -> dict[str, Any]:
    """What the last study says: {"study": None before the first, ...}, see `report`."""
    with db.read() as tx:
        studies = study_plan.all_(tx)
        if not studies:
            return {"study": None}
        return report(studies[-1], studied.answers(tx, studies[-1].number))


def report(study: study_plan.Study, answers: Sequence[studied.Answer]) -> dict[str, Any]:
    """{"study", "answers", "people", "conditions": [...], "effects": [...], "sentences"}.

    A condition: {"suggestion", "map" shown, "answers", "seconds": [median, low, high], "gold", "followed": [of how many,
    how many, low, high]}: right on gold images, and where the suggestion was wrong there, said all the same. An effect is
    what showing "suggestion" or "map" does: {"of", "pairs", "seconds", "accuracy", "reliance": [difference, low, high]}.
    Where too few answers tell, it is None.
    """
    placed = [(*study.at(each.annotator_id, each.place), each) for each in answers]
    by: dict[study_plan.Condition, list[studied.Answer]] = {each: [] for each in study.conditions}
    for _, condition, each in placed:
        by[condition].append(each)
    conditions = [
        {
            **condition._asdict(),
            "answers": len(some),
            "seconds": medians.median([each.seconds for each in some if each.seconds is not None]),
            "gold": _told(_right(some)),
            "followed": _told(_followed(some)),
        }
        for condition, some in by.items()
    ]
    effects = [_effect(study, name, placed, by) for name in SHOWN if getattr(study, name)]
    return {
        "study": dataclasses.asdict(study),
        "answers": len(answers),
        "people": len({each.annotator_id for each in answers}),
        "conditions": conditions,
        "effects": effects,
        "sentences": [sentence for effect in effects for sentence in sentences(effect)],
    }


def sentences(effect: dict[str, Any]) -> list[str]:
    """What an effect says in plain words, and no more than its intervals do."""
    what, wrong = f"Showing {SHOWN[effect['of']]}", "agreement with suggestions that are wrong"
    told = [_seconds(what, effect["seconds"], effect["pairs"])]
    if effect["accuracy"] is None:
        return [*told, f"{what}: too few answers on gold images to compare how right people are."]
    for name, of in (("accuracy", "accuracy on gold images"), ("reliance", wrong)):
        told.append(_points(what, of, effect[name]))
    return told


def _effect(
    study: study_plan.Study,
    name: str,
    placed: list[tuple[int, study_plan.Condition, studied.Answer]],
    by: dict[study_plan.Condition, list[studied.Answer]],
) -> dict[str, Any]:
    """Blocks of one person and group that differ in nothing but `name` are pairs: who is quick is so in both."""
    times: defaultdict[tuple[int, int, study_plan.Condition], list[float]] = defaultdict(list)
    for group, condition, each in placed:
        if each.seconds is not None:
            times[each.annotator_id, group, condition].append(each.seconds)
    enough = max(2, study.images // 2)
    pairs = []
    for (person, group, condition), shown in times.items():
        without = times.get((person, group, condition._replace(**{name: False})), [])
        if getattr(condition, name) and min(len(shown), len(without)) >= enough:
            pairs.append(statistics.median(shown) - statistics.median(without))
    sides = [[each for c, some in by.items() if getattr(c, name) is shown for each in some] for shown in (True, False)]
    return {
        "of": name,
        "pairs": len(pairs),
        "seconds": medians.centre(pairs),
        "accuracy": _difference([_right(side) for side in sides]),
        "reliance": _difference([_followed(side) for side in sides]),
    }


def _right(answers: list[studied.Answer]) -> tuple[int, int]:
    """(right answers, answers) on gold images."""
    known = [each for each in answers if each.truth is not None]
    return sum(each.class_id == each.truth for each in known), len(known)


def _followed(answers: list[studied.Answer]) -> tuple[int, int]:
    """(answers that are the suggestion all the same, answers) on gold images where that is wrong, seen or not."""
    wrong = [e for e in answers if e.truth is not None and e.suggested is not None and e.suggested != e.truth]
    return sum(each.class_id == each.suggested for each in wrong), len(wrong)


def _told(share: tuple[int, int]) -> tuple[int, int, float, float]:
    return share[1], share[0], *shares.wilson(*share)


def _difference(sides: list[tuple[int, int]]) -> Interval | None:
    return shares.difference(*sides) if min(n for _, n in sides) >= FEWEST else None


def _seconds(what: str, found: Interval | None, pairs: int) -> str:
    if found is None:
        return f"{what}: {pairs} pairs of whole blocks so far, too few to compare times."
    by, low, high = found
    if low <= 0 <= high:
        told = f"{what} changed the time of an answer by {by:.1f} s (95 % interval {low:.1f} to {high:.1f} s)"
        return f"{told}: no effect is certain."
    ends, word = ((low, high), "slower") if by > 0 else ((-high, -low), "faster")
    return f"{what} made answers {abs(by):.1f} s {word} (95 % interval {ends[0]:.1f} to {ends[1]:.1f} s)."


def _points(what: str, of: str, found: Interval | None) -> str:
    if found is None:
        return f"{what}: too few answers on gold images to compare {of}."
    by, low, high = (100 * each for each in found)
    if low <= 0 <= high:
        told = f"{what} changed {of} by {by:.0f} points (95 % interval {low:.0f} to {high:.0f})"
        return f"{told}: no effect is certain."
    ends, word = ((low, high), "raised") if by > 0 else ((-high, -low), "lowered")
    return f"{what} {word} {of} by {abs(by):.0f} points (95 % interval {ends[0]:.0f} to {ends[1]:.0f})."
