"""Classes that change while the machine learns: queue, refresh and round go on, and nothing learned is lost."""

import dataclasses
import time
import uuid

import numpy as np
import pytest

from app import (
    agreement,
    browse,
    browse_bulk,
    class_names,
    items,
    labelling,
    learning,
    modes,
    pool_view,
    review,
    snapshot,
    worker,
)
from store import answers, class_acts, classes, labels, queue
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh, run_round


def merge(workspace: Workspace, src: int, dst: int) -> None:
    with workspace.db.write() as tx:
        classes.merge(tx, workspace.class_ids[src], workspace.class_ids[dst], now=3.0, by="ada")


def shown(workspace: Workspace) -> list[dict]:
    """What the page is told about the next images."""
    with workspace.db.write() as tx:
        return items.build(tx, leases(tx))


def leases(tx: object) -> list:
    return queue.claim(
        tx, annotator_id=1, client="tab", count=12, now=5.0, lease_seconds=60.0, rng=np.random.default_rng(1),
        holdout_rate=0.0,
    )  # fmt: skip


def test_the_queue_that_is_shown_follows_a_merge_and_a_rename_at_once(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    refresh(workspace, held(workspace))
    before = {each["image_id"]: each["suggestions"] for each in shown(workspace) if each["suggestions"]}
    round_, square, striped = workspace.class_ids
    merge(workspace, 2, 0)
    with workspace.db.write() as tx:
        classes.rename(tx, round_, "roundish", now=4.0)
    after = {each["image_id"]: each for each in shown(workspace) if each["suggestions"]}
    assert after.keys() == before.keys()
    for image_id, item in after.items():
        shares = {each["class_id"]: each["probability"] for each in before[image_id]}
        now = {each["name"]: each["probability"] for each in item["suggestions"]}
        assert now == {
            "roundish": pytest.approx(shares[round_] + shares[striped], abs=2e-4),
            "square": pytest.approx(shares[square]),
        }
        assert [each["probability"] for each in item["suggestions"]] == sorted(now.values(), reverse=True)
        assert {each["name"] for each in item["neighbours"]} <= set(now)
        assert not any("striped" in each["caption"] for each in item["overlays"])
        assert all(len(each["image_ids"]) == len(set(each["image_ids"])) <= 3 for each in item["neighbours"])


def test_a_refresh_and_a_round_right_after_a_merge_keep_every_label(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:15] + workspace.held)
    opened = held(workspace)
    refresh(workspace, opened)
    merge(workspace, 2, 0)
    refresh(workspace, opened)
    with workspace.db.read() as tx:
        seen = snapshot.take(tx, holdout=opened.holdout, now=1.0)
        rows = queue.head(tx, queue.current(tx).id)
    assert (len(seen.labelled), len(seen.holdout_labels), seen.classes_seen) == (15, 12, 2)
    assert {k for row in rows for k, _ in row.suggestions} == set(workspace.class_ids[:2])
    published = run_round(workspace)
    with workspace.db.read() as tx:
        assert queue.current(tx).id == published
    opened = held(workspace)
    with (
        workspace.db.write() as tx
    ):  # undone after the round: the three classes are told apart again, from the same labels
        classes.undo(tx, class_acts.newest(tx), now=6.0)
    refresh(workspace, opened)
    with workspace.db.read() as tx:
        seen = snapshot.take(tx, holdout=opened.holdout, now=1.0)
    assert (len(seen.labelled), seen.classes_seen) == (15, 3)


def test_a_class_that_changes_while_a_round_trains_does_not_fail_it(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:15])

    def meanwhile(phase: str, fraction: float, message: str) -> None:
        with workspace.db.write() as tx:
            if phase == "embedding" and class_acts.newest(tx) == 3:
                classes.retire(tx, workspace.class_ids[1], now=3.0)
                classes.rename(tx, workspace.class_ids[0], "disc", now=3.0)
                classes.add(tx, "new", 3.0)
                classes.move(tx, workspace.class_ids[2], parent_id=None, before=workspace.class_ids[0], now=3.0)

    published = learning.round_(workspace.db, workspace.settings, clock=time.time, progress=meanwhile)
    with workspace.db.read() as tx:
        rows = queue.head(tx, published)
        wanted = [each.id for each in classes.all_(tx)]
    assert {k for row in rows for k, _ in row.suggestions} == set(wanted)
    assert wanted[0] == workspace.class_ids[2]
    refresh(workspace, held(workspace))


def test_images_of_a_retired_class_are_neither_asked_nor_taught_and_come_back_with_it(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:15])
    opened = held(workspace)
    gone = workspace.class_ids[1]
    theirs = {image_id for image_id in workspace.ids[:15] if workspace.truth[image_id] == gone}
    assert theirs
    for retired in (True, False):
        with workspace.db.write() as tx:
            if retired:
                classes.retire(tx, gone, now=3.0)
            else:
                classes.restore(tx, gone, now=4.0)
        done = refresh(workspace, opened)
        with workspace.db.read() as tx:
            seen = snapshot.take(tx, holdout=opened.holdout, now=1.0)
            asked = {row.image_id for row in queue.head(tx, done.publication)}
            assert labels.training_counts(tx) == {"labels": 15 - len(theirs) * retired, "classes": 3 - retired}
        assert seen.aside == (theirs if retired else set())
        assert not asked & theirs
        assert len(seen.labelled) == 15 - len(theirs) * retired
    run_round(workspace)


def test_a_consensus_from_before_a_merge_counts_for_the_class_that_took_over(workspace: Workspace) -> None:
    from app import consensus_file
    from store import annotators
    from store.records import NewEvent

    round_, square, striped = workspace.class_ids
    with workspace.db.write() as tx:
        for who, class_id in (("ada", striped), ("ben", square)):
            person = annotators.ensure(tx, who, 1.0).id
            for at in range(3):
                new = NewEvent(
                    uuid=f"{who}{at}", image_id=workspace.ids[at], annotator_id=person, kind="label",
                    class_id=class_id if at == 0 else round_,
                )  # fmt: skip
                labels.append(tx, new, 2.0)
    image = workspace.ids[0]
    told = {
        "watermark": 6,
        "method": "x",
        "why": "",
        "people": [],
        "images": {str(image): [(striped, 0.9), (square, 0.1)]},
    }
    consensus_file.write(workspace.settings.workspace, told)
    merge(workspace, 2, 0)
    with workspace.db.read() as tx:
        seen = snapshot.take(tx, holdout={}, now=1.0)
        assert len(answers.standing(tx)) == 6
    recalled = agreement.recalled(
        seen, workspace.settings.workspace, settings=workspace.settings, rng=np.random.default_rng(0)
    )
    index = seen.class_ids.index(round_)
    assert recalled.labelled[image] == index
    assert recalled.soft[image][index] == pytest.approx(0.9)


def test_names_say_nothing_of_a_retired_class(workspace: Workspace) -> None:
    with workspace.db.write() as tx:
        classes.retire(tx, workspace.class_ids[0], now=3.0)
        names = class_names.now(tx)
    assert names.suggestions([(workspace.class_ids[0], 0.9), (workspace.class_ids[1], 0.1)]) == [
        {"class_id": workspace.class_ids[1], "name": "square", "probability": 0.1}
    ]
    assert names.neighbours([(workspace.class_ids[0], [1])]) == []


def learns(working: worker.Worker) -> None:
    """A refresh comes: at once, or on a busy machine from a fit beside."""
    until = time.monotonic() + 20
    while not working._refresh():
        assert time.monotonic() < until, "no refresh comes"
        time.sleep(0.01)


def test_the_worker_learns_anew_where_only_the_classes_changed(workspace: Workspace) -> None:
    chosen = dataclasses.replace(workspace.settings, refresh_delay=0.0, refresh_max_delay=0.0)
    label(workspace, workspace.ids[:12])
    working = worker.Worker(chosen)
    try:
        while working._grow():
            pass
        learns(working)
        working.wants_maps = False
        assert not working._refresh(), "nothing new"
        with workspace.db.write() as tx:
            classes.retire(tx, workspace.class_ids[1], now=3.0)
        learns(working)
        working.wants_maps = False
        assert not working._refresh()
    finally:
        working.end()
    with workspace.db.read() as tx:
        rows = queue.head(tx, queue.current(tx).id)
    assert {k for row in rows for k, _ in row.suggestions} == {workspace.class_ids[0], workspace.class_ids[2]}


def test_an_answer_that_comes_after_its_class_is_gone_is_kept_and_says_where_it_counts(workspace: Workspace) -> None:
    round_, square, striped = workspace.class_ids
    ids = iter(workspace.ids)
    browser = browse.Browser(workspace.db, workspace.settings.workspace, pool_view.Reader(workspace.settings.workspace))

    def said(class_id: int) -> list[dict]:
        """The same answer on each way to the store; the first is sent again, as after a lost reply."""
        one, now = {"uuid": str(uuid.uuid4()), "annotator": "ada", "image_id": next(ids)}, {"now": 5.0}
        label, page = {**one, "kind": "label", "class_id": class_id}, {"annotator": "ada", "client": "tab"}
        grid = {**label, "uuid": str(uuid.uuid4()), "image_id": next(ids)}
        bulk = {"uuid": str(uuid.uuid4()), "annotator": "ada", "action": "label", "image_ids": [next(ids), next(ids)]}
        seen = {"decision": "label", "class_id": class_id, "seen": 0}
        return [
            labelling.submit(workspace.db, label, **now),
            labelling.submit(workspace.db, label, **now),
            modes.confirm(workspace.db, page | {"events": [grid]}, **now),
            review.decide(workspace.db, {**one, "uuid": str(uuid.uuid4()), "image_id": next(ids)} | seen, **now),
            browse_bulk.act(browser, bulk | {"class_id": class_id}, **now),
            browse_bulk.act(browser, bulk | {"class_id": class_id}, **now),
        ]

    assert not any("note" in told for told in said(striped))
    merge(workspace, 2, 0)
    assert {told["note"] for told in said(striped)} == {
        "'striped' was merged into 'round' meanwhile: your answer counts there"
    }
    with workspace.db.read() as tx:
        assert labels.per_class(tx) == {round_: 10}
    with workspace.db.write() as tx:
        classes.retire(tx, square, now=4.0)
        classes.retire(tx, round_, now=4.0)
    ends = "your answer is kept and counts once {} is restored on the Classes tab"
    retired = f"'square' was retired meanwhile: {ends.format(repr('square'))}"
    assert {told["note"] for told in said(square)} == {retired}
    assert {told["note"] for told in said(striped)} == {
        f"'striped' was merged into 'round' meanwhile, which is retired: {ends.format(repr('round'))}"
    }
    with workspace.db.write() as tx:
        assert labels.training_counts(tx)["labels"] == 0
        for class_id in (square, round_):
            classes.restore(tx, class_id, now=6.0)
        assert labels.training_counts(tx)["labels"] == 20, "nothing was lost"
