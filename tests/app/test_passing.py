"""An image passed to a named person: who may be asked, what that person is told, and how it is taken back."""

import uuid
from typing import Any

import numpy as np
import pytest

from app import accounts, answered, browse, errors, labelling, passing, pool_view
from store import annotators, labels, queue
from store.records import NewPublication, QueueRow
from tests.app.conftest import Workspace

RNG = np.random.default_rng(0)
NOW = 100.0


def ask(workspace: Workspace, who: str, count: int = 3) -> list[dict[str, Any]]:
    return labelling.next_images(
        workspace.db, annotator=who, client=f"tab of {who}", count=count, now=NOW, rng=RNG, holdout_rate=0.0
    )


def give(workspace: Workspace, image_id: int, who: str = "Ben", **fields: Any) -> str:
    """Say something, by default a skip; returns its uuid."""
    name = str(uuid.uuid4())
    event = {"uuid": name, "image_id": image_id, "annotator": who, "kind": "skip", **fields}
    labelling.submit(workspace.db, event, now=NOW)
    return name


def known(workspace: Workspace, *names: str) -> None:
    with workspace.db.write() as tx:
        for name in names:
            annotators.ensure(tx, name, NOW)


def publish(workspace: Workspace) -> None:
    rows = [
        QueueRow(position=at, image_id=image_id, reason="uncertain", suggestions=[(workspace.class_ids[0], 0.7)])
        for at, image_id in enumerate(workspace.ids[:10])
    ]
    new = NewPublication(kind="refresh", watermark=0, created_at=1.0, pool_size=40)
    with workspace.db.write() as tx:
        queue.publish(tx, new, rows)


def test_who_is_asked_gets_it_first_with_the_name_the_note_and_the_suggestion(workspace: Workspace) -> None:
    known(workspace, "Anna")
    publish(workspace)
    image = workspace.ids[7]
    give(workspace, image, asked="Anna", note="wing bars?")
    first, second = ask(workspace, "Anna", 2)
    assert (first["image_id"], first["reason"], first["asked_by"]) == (image, "passed", "Ben")
    assert first["why"] == "Ben asks you: what is it? “wing bars?”"
    assert first["suggestions"], "not asked blind: helped like any other image"
    assert (second["image_id"], second["asked_by"]) == (workspace.ids[0], None)
    assert image not in [each["image_id"] for each in ask(workspace, "Cyd", 5)]


def test_an_image_asked_blind_stays_so_and_comes_without_the_note(workspace: Workspace) -> None:
    known(workspace, "Anna")
    give(workspace, workspace.held[0], asked="Anna", note="a square!")
    (item,) = ask(workspace, "Anna", 1)
    assert (item["reason"], item["blind"]) == ("holdout", True)
    assert item["why"].startswith("Ben asks you: what is it? (holdout: asked blind, never trained on; ")
    assert "square" not in str(item)


def test_nobody_unknown_no_machine_and_not_oneself_can_be_asked(workspace: Workspace) -> None:
    known(workspace, "Anna", "import", "oracle")
    image = workspace.ids[0]
    for name in ("Nobody", "import", "oracle", "", 7, ["Anna"], "\0", "\ud800"):
        with pytest.raises(errors.BadRequest, match="nobody who labels here is called") as refusal:
            give(workspace, image, asked=name)
        assert repr(name) in str(refusal.value)
    with pytest.raises(errors.BadRequest, match="'Ben' is yourself"):
        give(workspace, image, asked="Ben")
    with pytest.raises(errors.BadRequest, match="a flag cannot ask 'Anna'"):
        give(workspace, image, kind="flag", asked="Anna")
    with workspace.db.read() as tx:
        assert labels.watermark(tx) == 0
    assert passing.others(workspace.db, "Ben") == ["Anna"]
    assert passing.others(workspace.db, "Anna") == [], "Ben was refused, so he is not known yet"


def test_with_accounts_only_who_may_label_is_asked_whatever_the_case(workspace: Workspace) -> None:
    known(workspace, "Past")
    for name, role in (("Ada", "admin"), ("Rene", "reviewer"), ("ben", "annotator"), ("Gone", "annotator")):
        accounts.add(workspace.db, name, role, "correct horse battery", actor="test", now=NOW)
    accounts.deactivate(workspace.db, "Gone", actor="test", now=NOW)
    assert passing.others(workspace.db, "ben") == ["Ada", "Rene"]
    for name in ("Past", "Gone"):
        with pytest.raises(errors.BadRequest, match=f"nobody who labels here is called '{name}'"):
            give(workspace, workspace.ids[0], "ben", asked=name)
    give(workspace, workspace.ids[0], "ben", asked="rENE")
    assert ask(workspace, "Rene", 1)[0]["why"] == "ben asks you: what is it?"


def test_an_undo_takes_the_question_back_and_an_answer_can_be_taken_back_too(workspace: Workspace) -> None:
    known(workspace, "Anna")
    image = workspace.ids[3]
    given = give(workspace, image, asked="Anna")
    (again,) = answered.own(workspace.db, annotator="Ben", count=1)
    assert (again["previous"]["kind"], again["previous"]["asked"]) == ("skip", "Anna")
    (item,) = ask(workspace, "Anna", 1)
    said = {"kind": "label", "class_id": workspace.class_ids[0], "queue_reason": item["reason"]}
    answer = give(workspace, image, "Anna", **said)
    back = {"client": "tab of Anna", "now": NOW, "annotator": "Anna"}
    undone = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), target=answer, **back)
    assert undone["item"]["why"] == "Ben asks you: what is it?", "shown as it was asked"
    labelling.release(workspace.db, annotator="Anna", client="tab of Anna", now=NOW)
    back |= {"client": "tab of Ben", "annotator": "Ben"}
    undone = labelling.undo(workspace.db, uuid=str(uuid.uuid4()), target=given, **back)
    assert undone["item"]["previous"]["asked"] == "Anna"
    labelling.release(workspace.db, annotator="Ben", client="tab of Ben", now=NOW)
    assert all(each["asked_by"] is None for each in ask(workspace, "Anna", 40))


def test_the_history_of_an_image_says_to_whom_it_was_passed(workspace: Workspace) -> None:
    known(workspace, "Anna")
    give(workspace, workspace.ids[0], asked="Anna", note="wing bars?")
    give(workspace, workspace.ids[0], "Anna")
    folder = workspace.settings.workspace
    told = browse.one(browse.Browser(workspace.db, folder, pool_view.Reader(folder)), workspace.ids[0], None)
    assert [(each["annotator"], each["asked"], each["note"]) for each in told["history"]] == [
        ("Anna", None, None),
        ("Ben", "Anna", "wing bars?"),
    ]
