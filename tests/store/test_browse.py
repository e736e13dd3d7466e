"""What browsing reads of the store, and many events said at once and found again as one action."""

import pytest

from store import browse, bulk, errors, labels, queue, records
from tests.store.conftest import World

ACTION = "0a0b0c0d-0000-4000-8000-000000000001"


def test_the_facts_of_each_image_follow_what_is_said(world: World) -> None:
    one, two, three = world.pool[:3]
    world.say("label", one, class_id=world.classes[0])
    world.say("reject", two)
    world.say("flag", two)
    world.say("skip", three)
    with world.db.read() as tx:
        everything = browse.after(tx, 0, 1000)
        facts = {each.image_id: each for each in everything}
        assert [each.image_id for each in everything] == sorted(world.pool + world.holdout)
        assert browse.after(tx, one, 1)[0].image_id > one
        assert browse.newest_image(tx) == everything[-1].image_id
        assert sorted(browse.by_path(tx)) == sorted(facts)
        assert browse.changed_since(tx, 0) == sorted([one, two, three])
        assert browse.changed_since(tx, labels.watermark(tx)) == []
        assert browse.of(tx, [three, one, 10**9]) == sorted([facts[one], facts[three]])
    assert facts[one].marks == browse.LABELLED
    assert (facts[one].class_id, facts[one].said_by) == (world.classes[0], f",{world.people[0]},")
    assert facts[two].marks == browse.REJECTED | browse.FLAGGED
    assert facts[three].marks == browse.SKIPPED
    assert all(facts[each].marks == browse.HOLDOUT for each in world.holdout)


def test_audits_and_blind_leases_are_known(world: World) -> None:
    audit, asked = world.pool[:2]
    rows = [records.QueueRow(position=0, image_id=audit, reason="audit", propensity=0.1)]
    rows.append(records.QueueRow(position=1, image_id=asked, reason="uncertain"))
    with world.db.write() as tx:
        shown = queue.publish(tx, records.NewPublication(kind="cold", watermark=0, created_at=1.0), rows)
        queue.lease_for(tx, world.holdout[0], world.people[0], "tab", now=1.0, lease_seconds=9.0)
    with world.db.read() as tx:
        assert browse.blind(tx, shown) == sorted([audit, world.holdout[0]])
        assert browse.blind(tx, None) == [world.holdout[0]]


def test_an_action_is_found_whole_and_taken_back(world: World) -> None:
    mine, other = world.people[:2]
    chosen = world.pool[:4]
    said = [
        records.NewEvent(
            uuid=bulk.uuid_of(ACTION, at), image_id=each, annotator_id=mine, kind="reject", input_mode=labels.BULK
        )
        for at, each in enumerate(chosen)
    ]
    with world.db.write() as tx:
        assert labels.append_many(tx, said, 5.0) == 4
        assert labels.append_many(tx, said, 6.0) == 0
    world.say("reject", chosen[0], person=1)
    with world.db.read() as tx:
        events = bulk.events(tx, ACTION)
        assert [event.image_id for event in events] == chosen
        assert bulk.events(tx, ACTION[:-1] + "2") == []
        assert {event.annotator_id for event in bulk.standing(tx, chosen, [mine, other])} == {mine, other}
        assert bulk.with_seqs(tx, [events[1].seq, events[0].seq]) == events[:2]
        assert labels.last_undoable(tx, mine) is None, (
            "an action is taken back whole, not by the undo of the labelling view"
        )
    retract = records.NewEvent(
        uuid="r", image_id=chosen[0], annotator_id=mine, kind="retract", target_seq=events[0].seq
    )
    with world.db.write() as tx:
        labels.append_many(tx, [retract], 7.0)
        assert bulk.taken_back(tx, [event.seq for event in events]) == {events[0].seq}
        assert len(bulk.standing(tx, chosen, [mine])) == 3


def test_a_retract_among_many_names_an_event_of_its_own_image(world: World) -> None:
    event = world.say("reject", world.pool[0])
    wrong = records.NewEvent(
        uuid="w", image_id=world.pool[1], annotator_id=world.people[0], kind="retract", target_seq=event.seq
    )
    with pytest.raises(errors.BadEvent, match="cannot be retracted"), world.db.write() as tx:
        labels.append_many(tx, [wrong], 5.0)
