"""Leasing images: in the published order, to one person at a time, the holdout blind and mixed in."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from store import draw, labels, queue, records
from tests.store.conftest import World


def _ids(leases: list[records.Lease]) -> list[int]:
    return [lease.image_id for lease in leases]


def test_images_come_in_the_published_order_with_their_publication(world: World) -> None:
    order = world.pool[::-1]
    publication_id = world.publish(order)
    leases = world.claim(5)
    assert _ids(leases) == order[:5]
    assert [lease.position for lease in leases] == [0, 1, 2, 3, 4]
    assert {lease.publication_id for lease in leases} == {publication_id}
    assert {lease.expires_at - lease.leased_at for lease in leases} == {300.0}
    assert len({lease.token for lease in leases}) == 5


def test_two_people_share_the_order_without_meeting(world: World) -> None:
    world.publish(world.pool)
    ada, ben = world.claim(4), world.claim(4, 1)
    assert _ids(ada) == world.pool[:4]
    assert _ids(ben) == world.pool[4:8]
    assert _ids(world.claim(2, 0, client="second tab")) == world.pool[8:10]


def test_a_reload_gets_its_own_images_back_first_renewed(world: World) -> None:
    world.publish(world.pool)
    before = world.claim(3)
    world.now += 200
    again = world.claim(5)
    assert _ids(again) == world.pool[:5]
    assert [lease.token for lease in again[:3]] == [lease.token for lease in before]
    assert {lease.expires_at for lease in again} == {world.now + 300}
    assert _ids(world.claim(2)) == world.pool[:2]


def test_an_image_settled_by_somebody_else_is_not_given_back(world: World) -> None:
    world.publish(world.pool)
    held = _ids(world.claim(3))
    world.say("label", held[1], 1)
    assert _ids(world.claim(3)) == [held[0], held[2], world.pool[3]]


def test_leases_run_out_and_the_images_go_to_the_next(world: World) -> None:
    world.publish(world.pool)
    (lost,) = world.claim(1)
    world.now += 300
    (taken,) = world.claim(1, 1)
    assert taken.image_id == lost.image_id
    assert taken.token != lost.token
    assert _ids(world.claim(1)) == [world.pool[1]]
    world.say("label", lost.image_id, 0, lease_token=lost.token)
    assert world.state(lost.image_id).answers == 1
    with world.db.read() as tx:
        assert queue.lease_by_token(tx, lost.token) is None
        assert queue.lease_by_token(tx, taken.token) == taken


def test_renewing_keeps_and_releasing_gives_back(world: World) -> None:
    world.publish(world.pool)
    world.claim(2)
    world.claim(1, 1)
    world.now += 299
    with world.db.write() as tx:
        assert queue.renew(tx, world.people[0], "tab", world.now, 300.0) == 2
    world.now += 10
    with world.db.write() as tx:
        assert queue.renew(tx, world.people[1], "tab", world.now, 300.0) == 0
    assert _ids(world.claim(2, 1)) == world.pool[2:4]
    with world.db.write() as tx:
        assert sorted(_ids(queue.live_leases(tx, world.now))) == world.pool[:4]
        assert queue.release(tx, world.people[0], "other") == 0
        assert queue.release(tx, world.people[0], "tab") == 2
    assert _ids(world.claim(2, 2)) == world.pool[:2]


def test_excluded_images_are_never_given(world: World) -> None:
    world.publish(world.pool)
    world.claim(2)
    assert _ids(world.claim(3, exclude=world.pool[1:3])) == [world.pool[0], world.pool[3], world.pool[4]]


def test_settled_images_of_the_queue_are_passed_over(world: World) -> None:
    world.publish(world.pool)
    for image in (world.pool[0], world.pool[2]):
        world.say("reject", image, 1)
    assert _ids(world.claim(2)) == [world.pool[1], world.pool[3]]


def test_without_a_queue_the_order_is_random_but_fixed(world: World) -> None:
    leases = world.claim(20)
    assert sorted(_ids(leases)) == world.pool
    assert _ids(leases) != world.pool
    assert {lease.reason for lease in leases} == {"random"}
    assert not any(lease.blind for lease in leases)
    with world.db.read() as tx:
        draws = [labels.state(tx, image).draw for image in _ids(leases)]
    assert draws == sorted(draws)


def test_a_drained_queue_falls_back_to_random_images(world: World) -> None:
    publication_id = world.publish(world.pool[:3])
    leases = world.claim(6)
    assert [lease.reason for lease in leases] == ["uncertain"] * 3 + ["random"] * 3
    assert [lease.position for lease in leases] == [0, 1, 2, None, None, None]
    assert {lease.publication_id for lease in leases} == {publication_id}
    assert len(set(_ids(leases))) == 6


def test_when_the_pool_is_used_up_the_holdout_comes(world: World) -> None:
    leases = world.claim(50)
    assert sorted(_ids(leases)) == world.pool + world.holdout
    assert {lease.image_id for lease in leases if lease.reason == "holdout"} == set(world.holdout)
    assert [lease.reason for lease in leases] == ["random"] * 20 + ["holdout"] * 4
    assert all(lease.blind for lease in leases if lease.reason == "holdout")
    assert world.claim(5, 1) == []


def test_when_the_holdout_is_answered_its_share_goes_to_the_pool(world: World) -> None:
    for image in world.holdout:
        world.say("label", image, 1)
    assert {lease.reason for lease in world.claim(8, holdout_rate=1.0)} == {"random"}


def test_about_one_in_ten_is_a_blind_holdout_image(make_world: Callable[..., World]) -> None:
    world = make_world(pool=900, holdout=300)
    world.publish(world.pool[:512])
    rng, asked = random.Random(3), []
    for _ in range(100):
        leases = world.claim(6, rng=rng, holdout_rate=0.1)
        asked += leases
        for lease in leases:
            world.say("label", lease.image_id)
    holdout = [lease for lease in asked if lease.reason == "holdout"]
    assert {lease.image_id for lease in holdout} <= set(world.holdout)
    assert all(lease.blind and lease.position is None for lease in holdout)
    assert 38 <= len(holdout) <= 85  # 600 draws at 1 in 10: 60 +- 3 sigma of 7.3
    ranked = [lease.position for lease in asked if lease.reason == "uncertain"]
    assert ranked == sorted(ranked, key=lambda position: position or 0)


def test_the_holdout_order_has_nothing_to_do_with_the_ids(make_world: Callable[..., World]) -> None:
    world = make_world(pool=0, holdout=200)
    asked = _ids(world.claim(200, holdout_rate=1.0))
    assert 25 < sum(image in world.holdout[:100] for image in asked[:100]) < 75


def test_audit_rows_are_blind_and_keep_their_propensity(world: World) -> None:
    rows = [
        records.QueueRow(position=0, image_id=world.pool[0], reason="audit", propensity=0.05),
        records.QueueRow(position=1, image_id=world.pool[1], reason="uncertain"),
    ]
    world.publish([], rows=rows)
    audit, ranked = world.claim(2)
    assert (audit.reason, audit.blind, audit.propensity) == ("audit", True, 0.05)
    assert (ranked.reason, ranked.blind, ranked.propensity) == ("uncertain", False, None)


def test_holdout_rows_in_a_queue_are_never_ranked(world: World) -> None:
    world.publish([world.holdout[0], world.pool[0]])
    assert _ids(world.claim(1)) == [world.pool[0]]


def test_a_skip_goes_to_others_last_and_to_oneself_last_of_all(world: World) -> None:
    world.publish(world.pool)
    ada, ben, cyd = range(3)
    world.say("skip", world.pool[0], ada)
    world.say("skip", world.pool[1], ben)
    world.say("skip", world.holdout[0], ben)
    order = _ids(world.claim(24, ada))
    assert sorted(order[:21]) == sorted(world.pool[2:] + world.holdout[1:])
    assert order[21:] == [world.pool[1], world.holdout[0], world.pool[0]]
    with world.db.write() as tx:
        queue.release(tx, world.people[ada], "tab")
    assert _ids(world.claim(24, cyd))[21:] == [world.pool[0], world.pool[1], world.holdout[0]]


def test_ones_own_skips_come_round_the_longest_ago_first(world: World) -> None:
    for image in world.pool[3:] + world.holdout:
        world.say("label", image)
    first, second, third = world.pool[2], world.pool[0], world.pool[1]
    for image in (first, second, third, first):
        world.say("skip", image)
    assert _ids(world.claim(3)) == [second, third, first]


def test_an_undone_skip_is_no_skip(world: World) -> None:
    world.publish(world.pool)
    world.retract(world.say("skip", world.pool[0]))
    assert _ids(world.claim(1)) == [world.pool[0]]


def test_a_skipped_audit_image_stays_blind_for_the_next_person(world: World) -> None:
    world.publish([], rows=[records.QueueRow(position=0, image_id=world.pool[0], reason="audit", propensity=0.5)])
    world.say("skip", world.pool[0])
    for image in world.pool[1:] + world.holdout:
        world.say("label", image)
    (lease,) = world.claim(1, 1)
    assert (lease.reason, lease.blind, lease.propensity) == ("audit", True, 0.5)


def _again(world: World, image_id: int, person: int = 0, client: str = "tab") -> records.Lease:
    with world.db.write() as tx:
        return queue.lease_for(tx, image_id, world.people[person], client, now=world.now, lease_seconds=300.0)


def test_an_undo_leases_the_image_again_as_it_was_asked(world: World) -> None:
    publication_id = world.publish([], rows=[records.QueueRow(position=7, image_id=1, reason="audit", propensity=0.2)])
    said = world.say("label", 1, publication_id=publication_id, queue_reason="audit", queue_rank=7, propensity=0.2)
    world.retract(said)
    lease = _again(world, 1)
    assert (lease.reason, lease.blind, lease.position, lease.propensity) == ("audit", True, 7, 0.2)
    assert lease.publication_id == publication_id
    assert world.claim(1) == [lease]
    assert 1 not in _ids(world.claim(30, 1))


def test_an_undone_holdout_image_stays_blind_whatever_the_event_says(world: World) -> None:
    world.retract(world.say("label", world.holdout[0], queue_reason="uncertain"))
    lease = _again(world, world.holdout[0])
    assert (lease.reason, lease.blind) == ("holdout", True)


def test_an_undo_of_what_somebody_holds_now_gives_a_lease_that_has_run_out(world: World) -> None:
    world.publish(world.pool)
    said = world.say("skip", world.pool[0])
    for image in world.pool[1:] + world.holdout:
        world.say("label", image)
    (theirs,) = world.claim(1, 1)
    world.retract(said)
    mine = _again(world, world.pool[0])
    assert mine.expires_at == world.now
    with world.db.read() as tx:
        assert queue.live_leases(tx, world.now) == [theirs]


@pytest.mark.parametrize("name", ["_QUEUED", "_RANDOM", "_SKIPPED", "_SAID_BY", "_MORE", "_PASSED_ON"])
def test_no_search_reads_the_whole_pool(sqlite_world: World, name: str) -> None:
    world = sqlite_world
    values = {"publication": 1, "now": 1.0, "taken": [1], "count": 5, "lane": "pool", "annotator": 1}
    values |= {"watermark": 1, "mine": ",1,", "said_by": ",2,", "free": 1}
    query = getattr(draw, name)
    query = query.params(**{key: value for key, value in values.items() if key in query.compile().params})
    sql = query.compile(world.db._reader, compile_kwargs={"literal_binds": True})
    with world.db.read() as tx:
        plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
    assert plan
    assert not [step for step in plan if step.startswith("SCAN") and step != "SCAN sets"]
    assert name in ("_SKIPPED", "_PASSED_ON") or not [step for step in plan if "TEMP B-TREE" in step]


def test_a_generator_of_numpy_serves_too(world: World) -> None:
    assert len(world.claim(3, rng=np.random.default_rng(0), holdout_rate=0.5)) == 3
