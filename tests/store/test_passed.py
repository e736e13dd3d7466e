"""An image passed to a named person: first in that person's claim, last in everybody else's, and taken back like any skip."""

import pytest

from store import blind, draw, errors, labels, queue, records
from tests.store.conftest import World

ADA, BEN, CYD = range(3)


def _pass(world: World, image_id: int, to: int, person: int = ADA, **more: str | float) -> records.Event:
    return world.say("skip", image_id, person, asked_id=world.people[to], **more)


def _ids(world: World, count: int, person: int) -> list[int]:
    """What this person is given, and gives back."""
    leases = world.claim(count, person)
    with world.db.write() as tx:
        queue.release(tx, world.people[person], "tab")
    return [lease.image_id for lease in leases]


def test_it_comes_first_to_whom_it_was_passed_and_last_to_others(world: World) -> None:
    world.publish(world.pool)
    later, sooner = world.pool[7], world.pool[12]
    _pass(world, sooner, BEN)
    _pass(world, later, BEN)
    assert _ids(world, 4, BEN) == [sooner, later, *world.pool[:2]], "the longest ago first"
    (lease,) = world.claim(1, BEN)
    assert (lease.reason, lease.blind, lease.position, lease.propensity) == (draw.PASSED, False, None, None)
    assert _ids(world, 4, CYD) == world.pool[:4]
    with world.db.write() as tx:
        queue.release(tx, world.people[BEN], "tab")
    assert sorted(_ids(world, 30, CYD)[-2:]) == sorted([later, sooner])
    assert sorted(_ids(world, 30, ADA)[-2:]) == sorted([later, sooner]), "last of all to who passed it"


def test_it_needs_no_queue_and_takes_no_share_of_the_holdout(world: World) -> None:
    _pass(world, world.pool[3], BEN)
    leases = world.claim(3, BEN, holdout_rate=1.0)
    assert leases[0].image_id == world.pool[3]
    assert [lease.reason for lease in leases] == [draw.PASSED, "holdout", "holdout"]


def test_what_is_answered_declined_held_or_taken_back_is_not_asked(world: World) -> None:
    world.publish(world.pool)
    answered, declined, held, back = world.pool[8:12]
    passed = [_pass(world, image, BEN) for image in (answered, declined, held, back)]
    world.say("label", answered, CYD)
    own = world.say("skip", declined, BEN)
    with world.db.write() as tx:
        queue.lease_for(tx, held, world.people[CYD], "tab", now=world.now, lease_seconds=300.0)
    world.retract(passed[-1])
    assert _ids(world, 2, BEN) == world.pool[:2]
    with world.db.write() as tx:
        queue.release(tx, world.people[CYD], "tab")
    world.retract(own)
    assert _ids(world, 3, BEN) == [declined, held, world.pool[0]]
    world.say("skip", declined, BEN)
    _pass(world, declined, BEN, CYD)
    assert _ids(world, 2, BEN) == [held, declined], "who asks anew is heard anew"


def test_two_who_ask_the_same_person_ask_once_and_the_last_words_count(world: World) -> None:
    image, other = world.pool[4], world.pool[5]
    _pass(world, image, CYD, ADA, note="a wren?")
    _pass(world, other, CYD, ADA)
    _pass(world, image, CYD, BEN, note="or a finch?")
    assert _ids(world, 2, CYD) == [other, image]
    with world.db.read() as tx:
        told = draw.askers(tx, world.people[CYD], world.pool)
        assert told == {image: ("ben", "or a finch?"), other: ("ada", None)}
        assert draw.askers(tx, world.people[ADA], world.pool) == {}


def test_holdout_and_audit_images_stay_what_they_are_and_others_never_become_an_estimate(world: World) -> None:
    rows = [
        records.QueueRow(position=0, image_id=world.pool[0], reason="audit", propensity=0.5),
        records.QueueRow(position=1, image_id=world.pool[1], reason="uncertain"),
    ]
    world.publish([], rows=rows)
    before, in_queue = world.pool[2], world.pool[0]
    _pass(world, world.holdout[0], BEN, queue_reason="holdout")
    _pass(world, before, BEN, queue_reason="audit", propensity=0.2)
    _pass(world, in_queue, BEN, queue_reason="uncertain")
    _pass(world, world.pool[1], BEN, queue_reason="uncertain")
    leases = world.claim(4, BEN)
    assert [(lease.image_id, lease.reason, lease.blind, lease.propensity) for lease in leases] == [
        (world.holdout[0], "holdout", True, None),
        (before, "audit", True, 0.2),
        (in_queue, "audit", True, 0.5),
        (world.pool[1], "passed", False, None),
    ]
    for lease in leases:
        world.say("label", lease.image_id, BEN, queue_reason=lease.reason, propensity=lease.propensity)
    with world.db.read() as tx:
        assert [each.image_id for each in blind.asked(tx)] == [in_queue, before, world.holdout[0]]


def test_where_two_are_to_answer_the_second_is_asked_blind(world: World) -> None:
    with world.db.write() as tx:
        labels.ask_several(tx, 2, 1.0)
    world.say("label", world.pool[6], CYD)
    _pass(world, world.pool[6], BEN)
    (lease,) = world.claim(1, BEN)
    assert (lease.image_id, lease.reason, lease.blind) == (world.pool[6], "again", True)


def test_only_a_skip_asks_and_only_somebody_who_is_known(world: World) -> None:
    with pytest.raises(errors.BadEvent, match="only a skip"):
        world.say("flag", world.pool[0], asked_id=world.people[BEN])
    with pytest.raises(errors.BadEvent, match="cannot be stored"):
        world.say("skip", world.pool[0], asked_id=99)
    first = _pass(world, world.pool[0], BEN)
    with pytest.raises(errors.UuidTaken, match="asked_id"):
        _pass(world, world.pool[0], CYD, uuid=first.uuid)


def test_the_fold_knows_a_skip_and_nothing_is_wrong_after_a_rebuild(world: World) -> None:
    _pass(world, world.pool[0], BEN, note="a wren?")
    assert world.state(world.pool[0]).skips == 1
    with world.db.write() as tx:
        assert labels.rebuild(tx) == 0
        (event,) = labels.all_events(tx)
    assert (event.asked_id, event.note) == (world.people[BEN], "a wren?")


def test_the_searches_go_by_the_few_that_were_passed(sqlite_world: World) -> None:
    world = sqlite_world
    values = {"publication": 1, "now": 1.0, "taken": [1], "count": 5, "annotator": 2, "mine": ",2,"}
    for query in (draw._PASSED_ON, draw._ASKERS):
        known = {key: value for key, value in values.items() if key in query.compile().params}
        sql = query.params(**known).compile(world.db._reader, compile_kwargs={"literal_binds": True})
        with world.db.read() as tx:
            plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
        assert any("ix_label_events_asked_id_image_id" in step for step in plan), plan
        assert not [step for step in plan if "ix_image_state_lane" in step or step.startswith("SCAN")], plan
