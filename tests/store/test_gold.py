"""Gold images in the store: who is given them, how many at once, and what a study's answers say of the truth."""

from store import gold, labels, queue, records, studied
from tests.store.conftest import World


def _golden(world: World) -> int:
    """A queue with one image that the third person has decided, after the first had labelled it."""
    image = world.pool[3]
    world.say("label", image, class_id=world.classes[1])
    world.say("review", image, 2, class_id=world.classes[0])
    rows = [records.QueueRow(position=at, image_id=each, reason="uncertain") for at, each in enumerate(world.pool[4:])]
    world.publish([], rows=[*rows, records.QueueRow(position=99, image_id=image, reason=gold.GOLD)])
    return image


def test_only_who_neither_decided_nor_answered_nor_skipped_it_is_given_a_gold_image(world: World) -> None:
    image = _golden(world)
    with world.db.read() as tx:
        assert gold.decided(tx) == {image: world.classes[0]}
        assert [gold.decided_by_another(tx, image, each) for each in world.people] == [True, True, False]
    assert [world.claim(2, person, gold_rate=1.0)[0].reason for person in (0, 2)] == ["uncertain", "uncertain"]
    (lease,) = world.claim(1, 1, gold_rate=1.0)
    assert (lease.image_id, lease.reason, lease.blind) == (image, gold.GOLD, False)
    assert world.claim(1, 1, gold_rate=1.0) == [lease], "a reload"
    assert image not in [each.image_id for each in world.claim(5, 1, "second tab", gold_rate=1.0)]
    skipped = world.say("skip", image, 1)
    with world.db.write() as tx:
        queue.release(tx, world.people[1], "second tab")
    assert world.claim(1, 1, gold_rate=1.0)[0].image_id != image
    world.retract(skipped)
    assert world.claim(9, 1, "third tab", gold_rate=1.0)[0].image_id == image


def test_a_studys_places_go_on_and_its_answers_know_the_truth(world: World) -> None:
    image, other = _golden(world), world.pool[4]
    with world.db.write() as tx:
        began = labels.watermark(tx)
        assert studied.next_place(tx, 7, world.people[1], after=began) == 0
        lease = queue.claim(
            tx, annotator_id=world.people[1], client="tab", count=1, now=world.now, lease_seconds=9.0, rng=_Zero(),
            holdout_rate=0.0, gold_rate=1.0,
        )[0]  # fmt: skip
        studied.ask(tx, lease.token, studied.reason(7, 4))
        assert studied.next_place(tx, 7, world.people[1], after=began) == 5
    world.say("label", image, 1, queue_reason="study:7:4", suggestion_class_id=world.classes[2], shown_ms=1500.0)
    world.say("label", image, 1, queue_reason="study:7:4", class_id=world.classes[1])
    world.say("reject", other, 1, queue_reason="study:7:6")
    world.say("label", other, 0, queue_reason="study:77:6")
    with world.db.read() as tx:
        assert studied.next_place(tx, 7, world.people[1], after=began) == 7
        assert studied.next_place(tx, 7, world.people[0], after=began) == 0
        first, second = studied.answers(tx, 7)
    who, (sparrow, _, wren) = world.people[1], world.classes
    assert first == studied.Answer(who, 4, sparrow, 1.5, wren, sparrow), "the first answer counts"
    assert second == studied.Answer(who, 6, None, None, None, None)


class _Zero:
    def random(self) -> float:
        return 0.0
