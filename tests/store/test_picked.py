"""Images that the model picked out for a class: who gets them, what is never among them, what goes back."""

from typing import Any

from store import labels, picked, queue, records
from tests.store.conftest import World


def pick(world: World, ids: list[int], person: int = 0, client: str = "tab:grid", **more: Any) -> list[int]:
    values = {"count": 24, "now": world.now, "lease_seconds": 300.0, "reason": "grid", "publication_id": 1} | more
    with world.db.write() as tx:
        leases = picked.claim(tx, ids, annotator_id=world.people[person], client=client, **values)
    assert all(lease.reason == "grid" and not lease.blind and lease.propensity is None for lease in leases)
    return [lease.image_id for lease in leases]


def test_they_come_in_their_order_and_never_to_two_people(world: World) -> None:
    world.publish([])
    wanted = world.pool[::-1]
    first = pick(world, wanted, count=6)
    assert first == wanted[:6]
    assert pick(world, wanted, person=1, count=6) == wanted[6:12]
    assert pick(world, wanted, client="other tab", count=6) == wanted[12:18]
    assert not {lease.image_id for lease in world.claim(20)} & set(wanted[:18])


def test_never_holdout_nor_audits_nor_what_is_settled_or_skipped(world: World) -> None:
    rows = [records.QueueRow(position=at, image_id=world.pool[at], reason="audit") for at in range(2)]
    rows.append(records.QueueRow(position=2, image_id=world.pool[2], reason="uncertain"))
    world.publish([], rows=rows)
    world.say("label", world.pool[3])
    world.say("skip", world.pool[4], person=1)
    assert pick(world, world.holdout + world.pool[:6]) == [world.pool[2], world.pool[5]]


def test_a_client_keeps_what_it_names_and_gives_back_the_rest(world: World) -> None:
    world.publish([])
    first = pick(world, world.pool, count=4)
    assert pick(world, world.pool[4:], count=2, keep=first[:2]) == world.pool[4:6]
    with world.db.read() as tx:
        assert set(picked.held(tx, world.people[0], "tab:grid", world.now)) == {*first[:2], *world.pool[4:6]}
    assert pick(world, world.pool, person=1, count=2) == first[2:4]
    with world.db.write() as tx:
        assert picked.give_back(tx, world.people[0], first) == 2


def test_what_is_open_can_be_followed_event_by_event(world: World) -> None:
    world.publish([])
    with world.db.read() as tx:
        assert set(picked.closed_after(tx, 0)) == set(world.holdout)
        before = labels.watermark(tx)
    said = world.say("label", world.pool[0], queue_reason="grid", input_mode="grid", shown_ms=400.0)
    world.say("skip", world.pool[1])
    world.retract(world.say("label", world.pool[2], queue_reason="grid"))
    world.say("label", world.pool[3], queue_reason="uncertain", input_mode="key", shown_ms=900.0)
    with world.db.read() as tx:
        assert picked.open_since(tx, before) == {
            world.pool[0]: False, world.pool[1]: False, world.pool[2]: True, world.pool[3]: False,
        }  # fmt: skip
        assert picked.settled_by_model_choice(tx) == {said.image_id}
        assert picked.times(tx, world.people[0]) == [("key", 900.0), ("grid", 400.0)]
        assert picked.times(tx, world.people[1]) == []
        assert queue.current(tx) is not None
