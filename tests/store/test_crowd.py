"""Many processes on one database: no image leased twice, nothing locked, everybody's answers there. Kills: tests/soak."""

from collections.abc import Callable
from pathlib import Path

from app import crowd, crowd_journal
from store import labels, overlap
from tests.store.conftest import World


def _crowd(world: World, folder: Path, size: int) -> list[crowd_journal.Journal]:
    """Let annotators in processes of their own label until nothing is left; returns what each noted."""
    told = crowd.run(crowd_journal.Plan(world.db.url.render_as_string(hide_password=False), str(folder), size))
    assert told["failed"] == []
    found = list(crowd_journal.journals(folder).values())
    assert [journal.busy for journal in found] == [0] * size
    return found


def test_eight_processes_share_the_queue_without_a_double_or_an_error(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    world = make_world(pool=200, holdout=40)
    world.publish(world.pool[:100])
    said = _crowd(world, tmp_path, 8)
    leased = [image for journal in said for image, _ in journal.leases]
    assert sorted(leased) == sorted(world.pool + world.holdout)
    for journal in said:
        ranked = [position for _, position in journal.leases if position >= 0]
        assert ranked == sorted(ranked)
    assert sum(bool(journal.leases) for journal in said) >= 2, "one process did everything: nothing was tested"
    with world.db.write() as tx:
        assert [event.seq for event in labels.all_events(tx)] == list(range(1, 241))
        assert {labels.state(tx, image).answers for image in leased} == {1}
        assert labels.rebuild(tx) == 0


def test_processes_give_every_shared_image_two_answers_by_two_people(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    world = make_world(pool=100, holdout=20)
    with world.db.write() as tx:
        labels.ask_several(tx, 2, 0.4)
        several = overlap.read(tx)
        ids = world.pool + world.holdout
        wanted = {image: several.wanted(labels.state(tx, image).draw) for image in ids}
    world.publish(world.pool[:60])
    for journal in _crowd(world, tmp_path, 5):
        leased = [image for image, _ in journal.leases]
        assert len(leased) == len(set(leased)), "an image came twice to one person"
    for person in range(3):  # the crowd ends when it finds nothing, a moment before the last images are answered
        while leases := world.claim(50, person):
            for lease in leases:
                world.say("label", lease.image_id, person)
    with world.db.write() as tx:
        found = {image: labels.state(tx, image) for image in ids}
        assert {image: len(state.people) for image, state in found.items()} == wanted
        assert {image: state.answers for image, state in found.items()} == wanted
        assert {state.lane for state in found.values()} == {"closed"}
        assert labels.rebuild(tx) == 0
