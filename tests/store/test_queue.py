"""Publishing the queue whole, and what stays readable of older ones."""

import pytest

from store import errors, queue, records, rounds
from tests.store.conftest import World


def _round(world: World) -> int:
    with world.db.write() as tx:
        return rounds.begin(tx, 0, {}, 0, 1.0, pid=1)


def test_a_publication_comes_back_whole(world: World) -> None:
    round_id = _round(world)
    new = records.NewPublication(
        kind="round",
        round_id=round_id,
        watermark=9,
        created_at=5.0,
        checkpoint="checkpoints/1",
        embeddings="embeddings/1",
        calibrated=True,
        pool_size=20,
        metrics={"accuracy": 0.5, "bins": [1, 2]},
    )
    row = records.QueueRow(
        position=0,
        image_id=world.pool[2],
        reason="uncertain",
        total=1.0,
        epistemic=0.42,
        aleatoric=0.58,
        margin=0.1,
        propensity=0.01,
        suggestions=[(1, 0.61), (2, 0.27)],
        neighbours=[(1, [5, 6]), (2, [])],
        overlays=["evidence", "zoom"],
        beside={"zoom": {"box": [0.1, 0.2, 0.5, 1.0], "votes": [[1, 0.48], [2, 0.71]]}},
    )
    with world.db.write() as tx:
        assert queue.current(tx) is None
        publication_id = queue.publish(tx, new, [row], based_on_round=round_id)
        assert queue.current(tx) == records.Publication(**vars(new), id=publication_id)
        assert queue.publication(tx, publication_id) == queue.current(tx)
        assert queue.publication(tx, 99) is None
        assert queue.row(tx, publication_id, world.pool[2]) == row
        assert queue.row(tx, publication_id, world.pool[3]) is None
        assert queue.rows_for(tx, publication_id, world.pool) == {world.pool[2]: row}


def test_the_head_is_in_asking_order(world: World) -> None:
    order = world.pool[::-1]
    publication_id = world.publish(order)
    with world.db.read() as tx:
        assert [row.image_id for row in queue.head(tx, publication_id, 3)] == order[:3]
        assert [row.image_id for row in queue.head(tx, publication_id)] == order


def test_the_queue_flips_whole_or_not_at_all(world: World) -> None:
    first = world.publish(world.pool[:5])
    with pytest.raises(RuntimeError, match="killed"):
        _publish_and_fail(world)
    with world.db.read() as tx:
        shown = queue.current(tx)
        assert shown is not None
        assert shown.id == first
        assert len(queue.head(tx, first)) == 5


def _publish_and_fail(world: World) -> None:
    with world.db.write() as tx:
        rows = [records.QueueRow(position=0, image_id=world.pool[9], reason="uncertain")]
        queue.publish(tx, records.NewPublication(kind="cold", watermark=0, created_at=2.0), rows)
        raise RuntimeError("killed")


def test_a_refresh_of_an_older_round_is_superseded(world: World) -> None:
    one, two = _round(world), _round(world)
    world.publish(world.pool, "refresh", one)
    world.publish(world.pool, "round", two)
    for kind, based in (("cold", None), ("refresh", one)):
        with pytest.raises(errors.Superseded, match=f"of round {two}"):
            world.publish(world.pool, kind, based)
    with pytest.raises(errors.Superseded):
        world.publish(world.pool, "refresh", two, based_on_round=one)
    world.publish(world.pool, "refresh", two)
    with world.db.read() as tx:
        assert [each.round_id for each in queue.publications(tx)] == [one, two, two]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", ["total", "epistemic", "aleatoric", "margin", "propensity", "suggestions"])
def test_numbers_that_are_not_finite_stop_the_publication_by_name(world: World, column: str, bad: float) -> None:
    value = [(1, bad)] if column == "suggestions" else bad
    row = records.QueueRow(position=0, image_id=world.pool[0], reason="uncertain", **{column: value})  # type: ignore[arg-type]
    with pytest.raises(errors.BadQueue, match=f"image {world.pool[0]}"):
        world.publish([], rows=[row])


def test_a_repeated_image_stops_the_publication(world: World) -> None:
    with pytest.raises(errors.BadQueue, match="twice"):
        world.publish([world.pool[0], world.pool[1], world.pool[0]])


def test_old_rows_go_except_those_a_lease_names(world: World) -> None:
    first = world.publish(world.pool)
    held = world.claim(2)
    later = [world.publish(world.pool[5:]) for _ in range(4)]
    with world.db.read() as tx:
        assert [row.image_id for row in queue.head(tx, first)] == [lease.image_id for lease in held]
        assert [len(queue.head(tx, each)) for each in later] == [0, 15, 15, 15]
        assert len(queue.publications(tx)) == 5
    world.say("label", held[0].image_id)
    world.publish(world.pool[5:])
    with world.db.read() as tx:
        assert [row.image_id for row in queue.head(tx, first)] == [held[1].image_id]
