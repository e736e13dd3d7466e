"""Studies: blocks by lot, what a person is shown in them, and a report whose intervals hold what simulated people do."""

import dataclasses
import random
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import answered, errors, labelling, study, study_plan
from store import annotators, blind, classes, database, gold, images, labels, queue, studied
from store.records import NewEvent, NewImage, NewPublication, QueueRow

TERMS = {"images": 4, "suggestion": True, "map": True, "gold": 0.5}
KINDS, GOLD, OPEN = 10, 36, 260
FOLLOW, SKILL, CONFUSED, SLOWER = 0.6, 0.9, 0.1, 0.4  # how the simulated people behave


class World:
    """A store whose queue suggests a class and draws a map for each image; on every second one the suggestion is wrong."""

    def __init__(self, db: database.Database) -> None:
        self.db = db
        with db.write() as tx:
            kinds = [classes.add(tx, f"kind {number}", 1.0).id for number in range(KINDS)]
            new = [NewImage(path=f"{at}.png", digest=f"{at:x}") for at in range(GOLD + OPEN)]
            ids = images.add_many(tx, new)
            reviewer = annotators.ensure(tx, "rene", 1.0, role="reviewer").id
            self.truth = {image_id: kinds[at % KINDS] for at, image_id in enumerate(ids)}
            self.suggested = {i: kinds[(at + at % 2) % KINDS] for at, i in enumerate(ids)}
            self.gold = ids[:GOLD]
            for image_id in self.gold:
                review = {"image_id": image_id, "annotator_id": reviewer, "kind": "review"}
                labels.append(tx, NewEvent(uuid=str(uuid.uuid4()), class_id=self.truth[image_id], **review), 2.0)
            rows = [
                QueueRow(
                    position=at, image_id=image_id, reason="gold" if at < GOLD else "audit" if at == GOLD else "uncertain",
                    suggestions=[(self.suggested[image_id], 0.7)], neighbours=[(self.suggested[image_id], [1])],
                    overlays=["evidence", "contrast"],
                )
                for at, image_id in enumerate(ids)
            ]  # fmt: skip
            queue.publish(tx, NewPublication(kind="refresh", watermark=0, created_at=1.0, pool_size=OPEN), rows)

    def ask(self, name: str, now: float, count: int) -> list[dict[str, Any]]:
        return labelling.next_images(
            self.db, annotator=name, client=name, count=count, now=now, rng=np.random.default_rng([int(now), *name.encode()]),
            holdout_rate=0.0, hidden_rate=0.5,
        )  # fmt: skip

    def answer(self, name: str, item: dict[str, Any], class_id: int, seconds: float) -> str:
        """As the page sends it: what was hidden it does not know."""
        top, event = next(iter(item["suggestions"]), None), str(uuid.uuid4())
        labelling.submit(
            self.db,
            {
                "uuid": event, "annotator": name, "image_id": item["image_id"], "kind": "label", "class_id": class_id,
                "lease": item["lease"], "publication": item["publication"], "queue_reason": item["reason"],
                "suggestion_class_id": top and top["class_id"], "suggestion_visible": top is not None,
                "overlay_visible": bool(item["overlays"]), "shown_ms": 1000 * seconds, "input_mode": "key",
            },
            now=9.0,
        )  # fmt: skip
        return event


@pytest.fixture
def world(tmp_path: Path, template: Path) -> Iterator[World]:
    db = database.open(shutil.copy(template, tmp_path / "raum.db"))
    yield World(db)
    db.close()


def says(truth: int, suggested: int, others: list[int], shown: bool, rng: random.Random) -> int:
    """Follows a suggestion that is seen with probability FOLLOW; else right by SKILL, or confused as the model is."""
    if shown and rng.random() < FOLLOW:
        return suggested
    if suggested != truth:
        return suggested if rng.random() < CONFUSED else truth
    return truth if rng.random() < SKILL else rng.choice(others)


def wait(usual: float, map_: bool, rng: random.Random) -> float:
    return usual * rng.lognormvariate(0.0, 0.25) + SLOWER * map_


# With a suggestion in sight 64 % agree with a wrong one, else 10 %; of all gold images 66 % and 90 % are right.
TRUE = {
    "suggestion": {"seconds": 0.0, "accuracy": -0.24, "reliance": 0.54},
    "map": {"seconds": SLOWER, "accuracy": 0.0, "reliance": 0.0},
}


def test_the_report_on_simulated_people_holds_what_they_do(world: World) -> None:
    rng = random.Random(7)
    study.begin(world.db, TERMS, now=3.0)
    for person in range(6):
        name, usual, done = f"person {person}", rng.uniform(1.0, 3.0), 0
        while done < 64:
            for item in world.ask(name, 10.0 + done, 4):
                truth, top = world.truth[item["image_id"]], world.suggested[item["image_id"]]
                class_id = says(truth, top, list(world.truth.values())[:KINDS], bool(item["suggestions"]), rng)
                world.answer(name, item, class_id, wait(usual, bool(item["overlays"]), rng))
                done += 1
    assert study.end(world.db, now=99.0) == {"ended": True}
    told = study.latest(world.db)
    assert (told["people"], len(told["conditions"])) == (6, 4)
    assert told["answers"] >= 6 * 64 - 1, "all but the audit"
    assert sum(each["gold"][0] for each in told["conditions"]) > 120
    for effect in told["effects"]:
        for name, true in TRUE[effect["of"]].items():
            by, low, high = effect[name]
            assert low <= true <= high, (effect["of"], name, by, low, high)
            assert low <= by <= high
    suggestion, map_ = told["effects"]
    assert suggestion["pairs"] >= 36
    assert suggestion["reliance"][1] > 0.2
    assert map_["seconds"][1] > 0.2
    assert any(each.startswith("Showing the map made answers 0.") and "slower" in each for each in told["sentences"])
    assert any(each.startswith("Showing the suggestion raised agreement with") for each in told["sentences"])
    assert any(
        each.startswith("Showing the map changed") and "no effect is certain" in each for each in told["sentences"]
    )


def test_over_many_studies_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held: Counter[tuple[str, str]] = Counter()
    for seed in range(60):
        rng = random.Random(seed)
        terms = study_plan.Study(1, float(seed), 0, 4, True, True, 0.5)
        rows = []
        for person in range(6):
            usual = rng.uniform(1.0, 3.0)
            for place in range(64):
                shown = terms.at(person, place)[1]
                top = rng.choice((0, 1))
                said = says(0, top, list(range(2, KINDS)), shown.suggestion, rng)
                truth = 0 if rng.random() < 0.5 else None
                rows.append(studied.Answer(person, place, said, wait(usual, shown.map, rng), top, truth))
        for effect in study.report(terms, rows)["effects"]:
            for name, true in TRUE[effect["of"]].items():
                held[effect["of"], name] += effect[name][1] <= true <= effect[name][2]
    assert min(held.values()) >= 54, held
    assert len(held) == 6


def test_each_group_of_blocks_holds_every_condition_once_and_people_differ() -> None:
    terms = study_plan.Study(3, 1.0, 0, 5, True, True, 0.2)
    orders = []
    for person in range(20):
        for group in range(3):
            found = [terms.at(person, place) for place in range(20 * group, 20 * (group + 1))]
            assert {each for each, _ in found} == {group}
            blocks = [{condition for _, condition in found[at : at + 5]} for at in range(0, 20, 5)]
            assert all(len(block) == 1 for block in blocks)
            assert set().union(*blocks) == set(terms.conditions)
            orders.append(tuple(block.pop() for block in blocks))
    assert len(set(orders)) > 12, "of 24 orders"
    assert terms.at(4, 7) == terms.at(4, 7)
    assert len(dataclasses.replace(terms, map=False).conditions) == 2


def test_what_is_shown_goes_by_the_terms_and_outlives_reload_undo_and_the_end(world: World) -> None:
    plain = world.ask("ann", 3.0, 12)
    assert not any(item["reason"].startswith("study") for item in plain)
    begun = study.begin(world.db, TERMS, now=4.0)
    assert begun["number"] == 1
    assert [item["reason"] for item in world.ask("ann", 5.0, 12)] == [item["reason"] for item in plain], "held before"
    items = world.ask("ben", 6.0, 40)
    with world.db.read() as tx:
        terms, person = study_plan.running(tx), annotators.by_name(tx, "ben")
    assert terms is not None
    assert person is not None
    places = []
    for item in items:
        if item["reason"] == "audit":
            assert item["blind"]
            continue
        places.append(studied.read_reason(item["reason"])[1])  # type: ignore[index]
        suggestion, map_ = terms.at(person.id, places[-1])[1]
        assert (bool(item["suggestions"]), bool(item["neighbours"]), not item["blind"]) == (suggestion,) * 3
        assert bool(item["overlays"]) == map_
        assert "gold" not in str(item)
        if not suggestion:
            assert "kind" not in str([each["caption"] for each in item["overlays"]]), "no class is named"
    assert places == list(range(len(places)))
    assert {item["image_id"] for item in items} & set(world.gold)
    assert world.ask("ben", 7.0, 40) == items
    one = next(each for each in items if not each["suggestions"] and each["overlays"] and each["reason"] != "audit")
    world.answer("ben", one, world.truth[one["image_id"]], 1.0)
    with world.db.read() as tx:
        kept = labels.of_image(tx, one["image_id"])[-1]
        assert kept.suggestion_class_id == world.suggested[one["image_id"]], "what it was is known all the same"
        assert blind.asked(tx) == []
    assert answered.own(world.db, annotator="ben", count=1)[0]["suggestions"] == []
    study.end(world.db, now=8.0)
    assert study.end(world.db, now=8.5) == {"ended": False}
    undone = labelling.undo(world.db, uuid=str(uuid.uuid4()), annotator="ben", client="ben", now=9.0)["item"]
    assert (undone["reason"], undone["suggestions"], len(undone["overlays"])) == (one["reason"], [], 2)
    assert not any(item["reason"].startswith("study") for item in world.ask("cyd", 10.0, 12))
    assert study.latest(world.db)["answers"] == 0, "it was taken back"


def test_the_truth_is_a_review_by_somebody_else_that_stood_before_the_answer(world: World) -> None:
    study.begin(world.db, TERMS | {"gold": 0.0}, now=3.0)
    first, second = (each for each in world.ask("ben", 4.0, 3) if each["reason"] != "audit")
    for item in (first, second):
        world.answer("ben", item, world.truth[item["image_id"]], 1.0)
    with world.db.write() as tx:
        rene = annotators.by_name(tx, "rene")
        event = {"image_id": first["image_id"], "annotator_id": rene.id, "kind": "review"}  # type: ignore[union-attr]
        labels.append(tx, NewEvent(uuid=str(uuid.uuid4()), class_id=world.truth[first["image_id"]], **event), 9.0)
    with world.db.read() as tx:
        assert first["image_id"] in gold.decided(tx)
        assert [each.truth for each in studied.answers(tx, 1)] == [None, None], "chosen for review after the answer"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"images": 1}, "2 to 200"),
        ({"images": "4"}, "2 to 200"),
        ({"gold": 2}, "share"),
        ({"gold": None}, "share"),
        ({"suggestion": False, "map": 1}, "compares something"),
    ],
)
def test_a_study_that_cannot_be_is_refused(world: World, body: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.BadRequest, match=said):
        study.begin(world.db, TERMS | body, now=1.0)
    assert study.latest(world.db) == {"study": None}
    study.begin(world.db, TERMS, now=1.0)
    with pytest.raises(errors.BadRequest, match="goes on already"):
        study.begin(world.db, TERMS, now=1.0)
    told = study.latest(world.db)
    assert all("too few" in each for each in told["sentences"])
    assert [each["seconds"] for each in told["conditions"]] == [None] * 4


@pytest.mark.parametrize("text", ["study:1", "study:1:x", "study:-1:2", "uncertain", "study:1:2:3", "study::"])
def test_other_reasons_are_no_studys(text: str) -> None:
    assert studied.read_reason(text) is None
