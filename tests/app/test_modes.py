"""The grid and yes/no modes: which images they pick, what a confirmed page leaves, and how it is taken back."""

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app import errors, labelling, mode_board, modes, predictions
from store import labels, queue
from store.records import Event, NewPublication, QueueRow
from tests.app.conftest import Workspace

TAB = {"annotator": "ann", "client": "tab:grid"}


@pytest.fixture
def board(workspace: Workspace) -> mode_board.Board:
    """Everything but the last eight pool images is held for `square` by the model, the first the safest."""
    with workspace.db.write() as tx:
        rows = [QueueRow(position=0, image_id=workspace.ids[3], reason="audit", propensity=0.02)]
        rows += [
            QueueRow(position=1, image_id=workspace.ids[44], reason="uncertain", suggestions=[(workspace.class_ids[2], 0.5)])
        ]  # fmt: skip
        new = NewPublication(kind="refresh", watermark=0, created_at=1.0, calibrated=True, pool_size=48)
        published = queue.publish(tx, new, rows)
    ids = np.array(sorted(workspace.ids + workspace.held), np.int64)
    place = {image_id: at for at, image_id in enumerate(workspace.ids)}
    top = [workspace.class_ids[0 if place.get(int(i), 0) >= 40 else 1] for i in ids]
    sure = [0.7 if at >= 40 else 0.99 - 0.01 * at for at in (place.get(int(i), 0) for i in ids)]
    meta = {"class_ids": workspace.class_ids, "checkpoint": None, "round": None}
    found = predictions.Predictions(
        ids, np.array(top, np.int32), np.array(sure, np.float32), np.zeros(len(ids), np.float32), meta
    )
    predictions.write(workspace.settings.workspace, published, found)
    return mode_board.Board(workspace.settings.workspace)


def page(workspace: Workspace, board: mode_board.Board, **more: Any) -> dict[str, Any]:
    asked = {name: more.pop(name) for name in ("count", "class_id", "named", "now") if name in more}
    return modes.page(workspace.db, board, modes.read_tab(TAB | more), **({"count": 6, "now": 100.0} | asked))


def ids_of(told: dict[str, Any]) -> list[int]:
    return [each["image_id"] for each in told["images"]]


def answers(told: dict[str, Any], *, skip: tuple[int, ...] = (), out: tuple[int, ...] = ()) -> dict[str, Any]:
    events = [
        {
            "uuid": str(uuid.uuid4()), "image_id": each["image_id"], "lease": each["lease"], "shown_ms": 300,
            "publication": told["publication"], "suggestion_class_id": told["class_id"], "suggestion_visible": True,
            **({"kind": "skip"} if at in skip else {"kind": "label", "class_id": told["class_id"]}),
        }
        for at, each in enumerate(told["images"]) if at not in out
    ]  # fmt: skip
    return {**TAB, "events": events, "out": [told["images"][at]["image_id"] for at in out]}


def stored(workspace: Workspace) -> list[Event]:
    with workspace.db.read() as tx:
        return list(labels.all_events(tx))


def test_a_page_holds_the_safest_images_of_the_fullest_class(workspace: Workspace, board: mode_board.Board) -> None:
    told = page(workspace, board)
    expected = [workspace.ids[at] for at in (0, 1, 2, 4, 5, 6)]
    assert (told["name"], ids_of(told)) == ("square", expected), "the audit, third, stays for whoever is asked it blind"
    probabilities = [each["probability"] for each in told["images"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert told["classes"][0] == {"class_id": workspace.class_ids[1], "name": "square", "images": 40}
    assert not set(ids_of(page(workspace, board, count=48))) & set(workspace.held)


def test_a_class_lasts_until_nothing_safe_is_left_and_a_named_class_shows_all_it_may_hold(
    workspace: Workspace, board: mode_board.Board
) -> None:
    square, round_ = workspace.class_ids[1], workspace.class_ids[0]
    first = page(workspace, board, count=48)
    assert len(first["images"]) == 19, "those that the model is sure of, less the audit"
    after = page(workspace, board, class_id=square, holding=ids_of(first))
    assert ids_of(after) == workspace.ids[20:26], "with nobody else's safe images left, the likely ones"
    all_of_it = page(workspace, board, class_id=square, named=True, count=48, without={str(square): ids_of(first)})
    assert ids_of(all_of_it) == workspace.ids[20:40]
    assert page(workspace, board, class_id=round_, named=True)["name"] == "round"
    assert page(workspace, board, class_id=workspace.class_ids[2], named=True)["images"] == []


def test_the_next_page_others_and_the_queue_never_get_the_same_images(
    workspace: Workspace, board: mode_board.Board
) -> None:
    first = ids_of(page(workspace, board))
    second = ids_of(page(workspace, board, holding=first))
    other = ids_of(page(workspace, board, annotator="ben", client="his:grid"))
    single = labelling.next_images(
        workspace.db, annotator="ann", client="tab", count=48, now=100.0, rng=np.random.default_rng(0), holdout_rate=0.0
    )
    given = [*first, *second, *other, *(each["image_id"] for each in single)]
    assert len(given) == len(set(given))
    assert len(other) == 6


def test_what_was_taken_out_of_a_class_does_not_come_back_for_it_when_another_class_runs_out(
    workspace: Workspace, board: mode_board.Board
) -> None:
    round_, square = workspace.class_ids[:2]
    first = ids_of(page(workspace, board))
    after = page(workspace, board, class_id=workspace.class_ids[2], without={str(square): first})
    assert after["class_id"] == square
    assert not set(ids_of(after)) & set(first)
    again = page(workspace, board, class_id=square, without={str(round_): workspace.ids})
    assert ids_of(again) == first, "what was not round may be square"


def test_a_confirmed_page_is_one_label_an_image_and_what_was_taken_out_is_free(
    workspace: Workspace, board: mode_board.Board
) -> None:
    told = page(workspace, board)
    said = answers(told, skip=(1,), out=(4,))
    assert modes.confirm(workspace.db, said, now=101.0) == {"saved": 5}
    assert modes.confirm(workspace.db, said, now=102.0) == {"saved": 5}, "a repeated page changes nothing"
    events = stored(workspace)
    assert [event.kind for event in events].count("label") == 4
    assert [event.image_id for event in events if event.kind == "skip"] == [ids_of(told)[1]]
    assert {(e.input_mode, e.queue_reason, e.propensity) for e in events} == {("grid", "grid", None)}
    assert {e.class_id for e in events if e.kind == "label"} == {workspace.class_ids[1]}
    with workspace.db.read() as tx:
        assert queue.live_leases(tx, 101.0) == []
    again = ids_of(page(workspace, board, annotator="ben", client="his:grid"))
    assert ids_of(told)[4] in again
    assert not set(again) & {each for at, each in enumerate(ids_of(told)) if at != 4}


def test_one_undo_takes_back_the_whole_page_and_gives_its_images_back(
    workspace: Workspace, board: mode_board.Board
) -> None:
    told = page(workspace, board)
    ahead = ids_of(page(workspace, board, holding=ids_of(told)))
    said = answers(told, skip=(0,), out=(5,))
    modes.confirm(workspace.db, said, now=101.0)
    targets = [event["uuid"] for event in said["events"]]
    body = {**TAB, "uuid": str(uuid.uuid4()), "targets": targets, "out": said["out"], "holding": ahead}
    back = modes.take_back(workspace.db, body, now=102.0, lease_now=102.0)
    assert back["undone"] == 5
    assert set(map(int, back["leases"])) == set(ids_of(told))
    assert modes.take_back(workspace.db, body, now=103.0, lease_now=103.0)["undone"] == 0
    with workspace.db.read() as tx:
        assert labels.counts(tx)["total"] == 0
        assert {lease.image_id for lease in queue.live_leases(tx, 103.0)} == {*ids_of(told), *ahead}
    modes.confirm(workspace.db, answers(told), now=104.0)
    with workspace.db.read() as tx:
        assert labels.counts(tx)["labelled"] == 6


def test_a_request_that_was_on_its_way_during_an_undo_does_not_give_the_undone_page_away(
    workspace: Workspace, board: mode_board.Board
) -> None:
    told = page(workspace, board)
    said = answers(told)
    modes.confirm(workspace.db, said, now=101.0)
    body = {**TAB, "uuid": str(uuid.uuid4()), "targets": [event["uuid"] for event in said["events"]]}
    back = modes.take_back(workspace.db, body, now=102.0, lease_now=102.0)
    late = page(workspace, board, now=103.0, seen=told["at"])
    with workspace.db.read() as tx:
        assert {lease.image_id for lease in queue.live_leases(tx, 103.0)} == {*ids_of(told), *ids_of(late)}
    assert len({*ids_of(told), *ids_of(late)}) == 12, "nor shows its images twice"
    again = page(workspace, board, now=104.0, seen=back["at"], holding=ids_of(late))
    assert ids_of(again) == ids_of(told), "a tab that knows of it and does not hold it has given it back"


def test_after_a_reload_undo_still_takes_back_the_page_as_one(workspace: Workspace, board: mode_board.Board) -> None:
    modes.confirm(workspace.db, answers(page(workspace, board)), now=101.0)
    modes.confirm(workspace.db, answers(page(workspace, board), skip=(2,)), now=102.0)
    done = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), annotator="ann", client="tab", now=103.0)
    assert done["undone"]
    with workspace.db.read() as tx:
        assert labels.counts(tx)["labelled"] == 6, "the second page is gone, the first stands"


def test_nobody_takes_back_what_somebody_else_said(workspace: Workspace, board: mode_board.Board) -> None:
    said = answers(page(workspace, board))
    modes.confirm(workspace.db, said, now=101.0)
    targets = [event["uuid"] for event in said["events"]]
    body = {"annotator": "ben", "client": "his:grid", "uuid": str(uuid.uuid4()), "targets": targets}
    assert modes.take_back(workspace.db, body, now=102.0, lease_now=102.0)["leases"] == {}


def test_yes_or_no_asks_one_class_the_least_sure_first_and_keeps_what_the_tab_holds(
    workspace: Workspace, board: mode_board.Board
) -> None:
    tab = modes.read_tab(TAB | {"client": "tab:yesno"})
    asked = modes.questions(workspace.db, board, tab, class_id=None, count=4, now=100.0)
    assert [each["image_id"] for each in asked] == workspace.ids[36:40][::-1], "the likely ones, the least sure first"
    assert {each["question"]["name"] for each in asked} == {"square"}
    assert all(each["reason"] == "yesno" and not each["blind"] for each in asked)
    again = modes.questions(workspace.db, board, tab, class_id=workspace.class_ids[1], count=6, now=101.0)
    assert {each["lease"] for each in again[:4]} == {each["lease"] for each in asked}
    assert len({each["image_id"] for each in again}) == 6
    other = modes.questions(workspace.db, board, tab, class_id=workspace.class_ids[0], count=14, now=102.0)
    by_id = {each["image_id"]: each["question"]["name"] for each in other}
    assert by_id[workspace.ids[44]] == "striped", "the queue's own suggestion comes before the pool's word"
    assert by_id[workspace.ids[41]] == "round"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"events": "all"}, "events"),
        ({"events": [{"kind": "reject"}]}, "kind must be one of"),
        ({"events": [{"kind": "label", "uuid": "x"}]}, "class_id"),
        ({"out": ["x"]}, "out"),
        ({"annotator": ""}, "annotator"),
    ],
)
def test_a_malformed_page_is_refused_whole(
    workspace: Workspace, board: mode_board.Board, change: dict[str, Any], said: str
) -> None:
    body = answers(page(workspace, board)) | change
    with pytest.raises(errors.BadRequest, match=said):
        modes.confirm(workspace.db, body, now=101.0)
    assert stored(workspace) == []


def test_one_bad_answer_keeps_the_whole_page_out(workspace: Workspace, board: mode_board.Board) -> None:
    body = answers(page(workspace, board))
    for key, value, problem in (("image_id", 10**6, errors.NotFound), ("class_id", 10**6, errors.BadRequest)):
        broken = {**body, "events": [*body["events"][:-1], {**body["events"][-1], key: value}]}
        with pytest.raises(problem):
            modes.confirm(workspace.db, broken, now=101.0)
    assert stored(workspace) == []
    with pytest.raises(errors.BadRequest, match="count"):
        page(workspace, board, count=1000)


def test_without_a_model_there_is_no_page(workspace: Workspace) -> None:
    empty = mode_board.Board(workspace.settings.workspace)
    assert page(workspace, empty)["images"] == []
    tab = modes.read_tab(TAB)
    assert modes.questions(workspace.db, empty, tab, class_id=None, count=4, now=1.0) == []
    assert modes.at_hand(workspace.db, empty, annotator="ann", mode="single") == {"classes": [], "proposal": None}


def test_the_proposal_names_mode_class_and_seconds_and_follows_ones_own_times(
    workspace: Workspace, board: mode_board.Board, label_many: Callable[..., None]
) -> None:
    told = modes.at_hand(workspace.db, board, annotator="ann", mode="single")["proposal"]
    assert (told["mode"], told["name"]) == ("grid", "square")
    assert told["seconds"] < told["instead"] == 3.0
    label_many(20, 1.0)
    assert modes.at_hand(workspace.db, board, annotator="ann", mode="single")["proposal"]["instead"] == 1.0
    label_many(20, 0.2)
    assert modes.at_hand(workspace.db, board, annotator="ann", mode="single")["proposal"] is None


@pytest.fixture
def label_many(workspace: Workspace) -> Callable[..., None]:
    left = list(workspace.held) + workspace.ids[40:] + workspace.ids[20:40]

    def label(count: int, seconds: float) -> None:
        for _ in range(count):
            event = {
                "uuid": str(uuid.uuid4()), "image_id": left.pop(0), "annotator": "ann", "kind": "label",
                "class_id": workspace.class_ids[0], "input_mode": "key", "shown_ms": 1000 * seconds,
            }  # fmt: skip
            labelling.submit(workspace.db, event, now=100.0)

    return label
