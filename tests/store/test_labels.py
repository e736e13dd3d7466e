"""Label events: stored once, never changed, folded into what counts now."""

import dataclasses

import pytest
import sqlalchemy as sa

from store import answers, classes, errors, images, label_batches, labels, records, schema
from tests.store.conftest import World


def test_a_label_settles_its_image(world: World) -> None:
    event = world.say("label", world.pool[3], class_id=world.classes[1], shown_ms=812.5)
    state = world.state(world.pool[3])
    assert (state.settled, state.lane, state.kind, state.class_id) == (True, schema.CLOSED, "label", world.classes[1])
    assert (state.event_seq, state.annotator_id, state.settled_at) == (event.seq, world.people[0], event.received_at)
    with world.db.read() as tx:
        assert labels.settled(tx) == [(world.pool[3], world.classes[1], None, event.seq, "page")]
        assert labels.get_by_uuid(tx, event.uuid) == labels.get(tx, event.seq) == event


def test_every_field_of_an_event_comes_back(world: World) -> None:
    publication = world.publish(world.pool)
    new = records.NewEvent(
        uuid="u", image_id=world.pool[0], annotator_id=world.people[1], kind="label", class_id=world.classes[0],
        reason="r", note="nöte <b>", source="oracle", publication_id=publication, lease_token="t",
        suggestion_class_id=world.classes[2], suggestion_probability=0.25, suggestion_visible=True,
        overlay_kind="evidence", overlay_visible=False, shown_ms=1.5, input_mode="key", queue_reason="audit",
        queue_rank=4, propensity=0.125, region='{"x": 1}', client_at=77.25,
    )  # fmt: skip
    with world.db.write(durable=True) as tx:
        event, is_new = labels.append(tx, new, 5.0)
    assert is_new
    assert event == records.Event(**vars(new), seq=1, received_at=5.0)
    with world.db.read() as tx:
        assert list(labels.all_events(tx)) == [event]


def test_whether_a_region_was_drawn_since_and_what_counts_for_many_images(world: World) -> None:
    plain = world.say("label", world.pool[0], class_id=world.classes[0])
    drawn = world.say("label", world.pool[1], class_id=world.classes[0], region='{"x": 1}')
    world.say("label", world.pool[2], class_id=world.classes[0])
    with world.db.read() as tx:
        assert labels.drawn_since(tx, 0)
        assert labels.drawn_since(tx, plain.seq)
        assert not labels.drawn_since(tx, drawn.seq)
        wanted = [world.pool[3], world.pool[0], 10**6]
        assert label_batches.states(tx, wanted) == [labels.state(tx, each) for each in sorted(wanted[:2])]


def test_a_second_send_changes_nothing_and_returns_the_first(world: World) -> None:
    first = world.say("label", world.pool[0], uuid="same")
    again = world.say("label", world.pool[0], uuid="same")
    assert again == first
    with world.db.read() as tx:
        assert labels.watermark(tx) == 1
        assert labels.state(tx, world.pool[0]).answers == 1
    with pytest.raises(errors.UuidTaken, match="another image_id"):
        world.say("label", world.pool[1], uuid="same")
    with pytest.raises(errors.UuidTaken, match="another class_id"):
        world.say("label", world.pool[0], uuid="same", class_id=world.classes[1])


def test_the_latest_answer_that_stands_counts(world: World) -> None:
    image = world.pool[0]
    first = world.say("label", image, class_id=world.classes[0])
    second = world.say("label", image, 1, class_id=world.classes[1])
    assert (world.state(image).class_id, world.state(image).answers) == (world.classes[1], 2)
    third = world.say("reject", image, 2, reason="bad_image")
    assert (world.state(image).kind, world.state(image).class_id, world.state(image).reason) == (
        "reject",
        None,
        "bad_image",
    )
    world.retract(second)
    assert world.state(image).event_seq == third.seq
    world.retract(third)
    assert world.state(image).event_seq == first.seq
    world.retract(first)
    assert (world.state(image).settled, world.state(image).lane) == (False, schema.POOL)


def test_a_skip_does_not_settle_nor_unsettle(world: World) -> None:
    world.say("skip", world.pool[0])
    world.say("skip", world.pool[0], 1)
    world.say("skip", world.pool[0], 1)
    assert (world.state(world.pool[0]).lane, world.state(world.pool[0]).skips) == (schema.POOL, 2)
    event = world.say("label", world.pool[0], 2)
    world.say("skip", world.pool[0], 1)
    assert world.state(world.pool[0]).event_seq == event.seq


def test_a_flag_settles_nothing(world: World) -> None:
    flag = world.say("flag", world.holdout[0], note="look again")
    assert (world.state(world.holdout[0]).lane, world.state(world.holdout[0]).flags) == (schema.HOLDOUT, 1)
    world.retract(flag)
    assert world.state(world.holdout[0]).flags == 0


def test_a_review_overrides_what_was_said_before_and_after_until_it_is_taken_back(world: World) -> None:
    image = world.pool[0]
    world.say("label", image, class_id=world.classes[0])
    world.say("flag", image, 1)
    review = world.say("review", image, 2, class_id=world.classes[1])
    state = world.state(image)
    assert (state.kind, state.class_id, state.event_seq, state.flags) == ("label", world.classes[1], review.seq, 0)
    late = world.say("label", image, 1, class_id=world.classes[2])
    assert (world.state(image).event_seq, world.state(image).people) == (review.seq, world.people[:2])
    second = world.say("review", image, 2, reason="bad_image")
    assert (world.state(image).kind, world.state(image).class_id, world.state(image).reason) == (
        "reject",
        None,
        "bad_image",
    )
    world.say("flag", image, 2)
    assert world.state(image).flags == 1
    world.retract(second)
    assert world.state(image).event_seq == review.seq
    world.retract(review)
    assert (world.state(image).event_seq, world.state(image).flags) == (late.seq, 2)


def test_what_each_person_says_is_their_latest_answer_that_stands(world: World) -> None:
    image, other = world.pool[:2]
    world.say("label", image, class_id=world.classes[0])
    mine = world.say("label", image, class_id=world.classes[1])
    theirs = world.say("reject", image, 1, reason="other")
    review = world.say("review", image, 2, class_id=world.classes[2])
    gone = world.say("label", other, 1)
    world.retract(gone)
    world.say("skip", other, 2)
    with world.db.write() as tx:
        classes.merge(tx, world.classes[2], world.classes[0], now=3.0)
        found = answers.standing(tx)
        assert answers.standing(tx, [other]) == []
        assert answers.standing(tx, [image, other]) == found
        assert answers.people(tx) == world.people
    assert found == [
        (image, world.people[0], world.classes[1], None, False, mine.seq),
        (image, world.people[1], None, "other", False, theirs.seq),
        (image, world.people[2], world.classes[0], None, True, review.seq),
    ]


def test_flagged_images_until_they_are_reviewed(world: World) -> None:
    for image in world.pool[:3]:
        world.say("flag", image)
    world.say("review", world.pool[1], 1, class_id=world.classes[0])
    with world.db.read() as tx:
        assert answers.flagged(tx) == [world.pool[0], world.pool[2]]


def test_undo_goes_back_without_end(world: World) -> None:
    said = []
    for at, image in enumerate(world.pool):
        said.append(world.say(("label", "reject", "skip")[at % 3], image))
        world.say("flag", image)
    world.say("label", world.pool[0], source="import")
    world.say("label", world.pool[1], 1)
    for expected in reversed(said):
        with world.db.read() as tx:
            found = labels.last_undoable(tx, world.people[0])
        assert found == expected
        world.retract(found)
    with world.db.read() as tx:
        assert labels.last_undoable(tx, world.people[0]) is None
        assert [row.image_id for row in labels.settled(tx)] == [world.pool[0], world.pool[1]]


def test_events_that_contradict_themselves_are_refused_and_leave_nothing(world: World) -> None:
    event = world.say("label", world.pool[0])
    back = world.retract(event)
    refused = [
        (errors.BadEvent, "retract", world.pool[0], {}),
        (errors.BadEvent, "label", world.pool[0], {"target_seq": event.seq}),
        (errors.BadEvent, "retract", world.pool[1], {"target_seq": event.seq}),
        (errors.BadEvent, "retract", world.pool[0], {"target_seq": back.seq}),
        (errors.UnknownEvent, "retract", world.pool[0], {"target_seq": 99}),
        (errors.BadEvent, "label", world.pool[0], {"class_id": None}),
        (errors.UnknownClass, "label", world.pool[0], {"class_id": 99}),
        (errors.UnknownClass, "skip", world.pool[0], {"suggestion_class_id": 99}),
        (errors.UnknownImage, "label", 999, {}),
        (errors.BadEvent, "shrug", world.pool[0], {}),
        (errors.BadEvent, "label", world.pool[0], {"publication_id": 99}),
    ]
    for kind_of_error, kind, image, more in refused:
        with pytest.raises(kind_of_error):
            world.say(kind, image, **more)
    with world.db.read() as tx:
        assert labels.watermark(tx) == 2


def test_stored_events_can_be_neither_changed_nor_deleted(world: World) -> None:
    world.say("label", world.pool[0])
    for statement in ("UPDATE label_events SET reason = 'x'", "DELETE FROM label_events"):
        with pytest.raises(sa.exc.IntegrityError, match="never changed"), world.db.write() as tx:
            tx.exec_driver_sql(statement)


def test_the_watermark_grows_by_one_with_every_event_and_not_with_a_failed_one(world: World) -> None:
    seqs = [world.say("skip", image).seq for image in world.pool[:5]]
    with pytest.raises(errors.UnknownClass):
        world.say("label", world.pool[5], class_id=99)
    with pytest.raises(RuntimeError, match="late"):
        _say_and_fail(world)
    seqs.append(world.say("skip", world.pool[6]).seq)
    assert seqs == [1, 2, 3, 4, 5, 6]
    with world.db.read() as tx:
        assert labels.watermark(tx) == 6
        assert [event.seq for event in labels.events_since(tx, 4)] == [5, 6]


def _say_and_fail(world: World) -> None:
    with world.db.write() as tx:
        labels.append(tx, records.NewEvent(uuid="lost", image_id=1, annotator_id=1, kind="skip"), 1.0)
        assert labels.watermark(tx) == 6
        raise RuntimeError("late")


def test_settled_at_an_earlier_watermark_is_what_it_was_then(world: World) -> None:
    a, b = world.pool[:2]
    first = world.say("label", a, class_id=world.classes[0])
    second = world.say("label", b, class_id=world.classes[0])
    third = world.say("label", a, class_id=world.classes[1])
    world.retract(second)
    with world.db.read() as tx:
        assert [row[:2] for row in labels.settled(tx)] == [(a, world.classes[1])]
        assert labels.settled(tx, up_to=4) == labels.settled(tx)
        assert [row.event_seq for row in labels.settled(tx, up_to=3)] == [third.seq, second.seq]
        assert [row.event_seq for row in labels.settled(tx, up_to=2)] == [first.seq, second.seq]
        assert labels.settled(tx, up_to=0) == []


def test_settled_images_come_page_by_page_while_more_is_looked_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "_SOME", 2)
    for image in world.pool[4::-1]:
        world.say("label", image, class_id=world.classes[0])
    with world.db.read() as tx:
        for until in (None, 3):
            pages = [
                (page, images.get_many(tx, [row.image_id for row in page])) for page in labels.each_settled(tx, until)
            ]
            assert [row for page, _ in pages for row in page] == labels.settled(tx, until)
            assert [len(found) for _, found in pages] == ([2, 2, 1] if until is None else [2, 1])


def test_merged_classes_are_counted_under_the_one_that_stands(world: World) -> None:
    one, two, three = world.classes
    for image, said in zip(world.pool, (one, two, two, three), strict=False):
        world.say("label", image, class_id=said)
    world.say("label", world.holdout[0], class_id=three)
    with world.db.write() as tx:
        assert labels.training_counts(tx) == {"labels": 4, "classes": 3}
        classes.merge(tx, two, one, now=3.0)
        assert labels.per_class(tx) == {one: 3, three: 2}
        assert [row.class_id for row in labels.settled(tx)] == [one, one, one, three, three]
        assert labels.training_counts(tx) == {"labels": 4, "classes": 2}
        assert labels.training_counts(tx, up_to=3) == {"labels": 3, "classes": 1}
        assert labels.state(tx, world.pool[1]).class_id == two


def test_counts(world: World) -> None:
    world.say("label", world.pool[0])
    world.say("reject", world.pool[1], 1)
    world.say("label", world.holdout[0])
    taken_back = world.say("label", world.pool[2])
    world.say("skip", world.pool[3])
    middle = world.now
    world.retract(taken_back)
    world.say("label", world.pool[4])
    with world.db.read() as tx:
        assert labels.counts(tx, since=middle, annotator_id=world.people[0]) == {
            "total": 4,
            "labelled": 3,
            "rejected": 1,
            "pool": 17,
            "holdout_open": 3,
            "again": 0,
            "skipped": 1,
            "today": 1,
            "mine": 3,
            "mine_today": 1,
            "events": 7,
        }


def test_all_events_goes_over_every_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_PAGE", 3)
    seqs = [world.say("skip", image).seq for image in world.pool[:10]]
    with world.db.read() as tx:
        assert [event.seq for event in labels.all_events(tx)] == seqs


def test_an_answer_ends_ones_own_lease_only(world: World) -> None:
    image = world.claim(1)[0].image_id
    world.say("label", image, 1)
    with world.db.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(schema.leases)) == 1
    world.say("flag", image)
    with world.db.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(schema.leases)) == 1
    world.say("skip", image)
    with world.db.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(schema.leases)) == 0


def _imports(world: World) -> list[records.NewEvent]:
    """Labels and rejects of most images, some images twice."""
    return [
        records.NewEvent(
            uuid=f"i{at}",
            image_id=image,
            annotator_id=world.people[at % 2],
            kind="reject" if at % 5 == 0 else "label",
            class_id=None if at % 5 == 0 else world.classes[at % 3],
            source="import",
        )
        for at, image in enumerate(world.pool + world.holdout[:2] + world.pool[:7])
    ]


def test_appending_many_at_once_equals_appending_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_batches, "_CHUNK", 4)
    world.say("label", world.pool[1])
    new = _imports(world)
    with world.db.write() as tx:
        assert label_batches.append_many(tx, new[:3] + new[:1] + new[3:], 9.0) == len(new)
        at_once = labels.settled(tx), list(labels.all_events(tx)), labels.watermark(tx)
        assert labels.rebuild(tx) == 0
        assert label_batches.append_many(tx, new, 10.0) == 0
        tx.rollback()
    with world.db.write() as tx:
        for event in new:
            labels.append(tx, event, 9.0)
        assert (labels.settled(tx), list(labels.all_events(tx)), labels.watermark(tx)) == at_once


@pytest.mark.parametrize("where", [0, 11, 28])
def test_one_wrong_event_among_many_stops_them_all(world: World, monkeypatch: pytest.MonkeyPatch, where: int) -> None:
    monkeypatch.setattr(label_batches, "_CHUNK", 10)
    new = _imports(world)
    wrong = [
        (errors.BadEvent, {"image_id": 999}),
        (errors.BadEvent, {"class_id": None, "kind": "label"}),
        (errors.BadEvent, {"kind": "retract"}),
    ]
    if where:
        wrong.append((errors.UuidTaken, {"uuid": "i0"}))
    for kind_of_error, change in wrong:
        changed = [*new[:where], dataclasses.replace(new[where], **change), *new[where + 1 :]]
        with pytest.raises(kind_of_error), world.db.write() as tx:
            label_batches.append_many(tx, changed, 9.0)
    with world.db.read() as tx:
        assert labels.watermark(tx) == 0
        assert labels.settled(tx) == []
