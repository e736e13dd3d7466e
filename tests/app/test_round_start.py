"""Rounds that go on from the one before, by `round_start = "last"`."""

import dataclasses
import time
import uuid

import torch

from app import learning, round_start, taxonomy
from model import checkpoint
from store import annotators, labels, rounds
from store.records import NewEvent
from tests.app.conftest import Workspace


def label(workspace: Workspace, image_ids: list[int]) -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0).id
        for image_id in image_ids:
            said = {"kind": "label", "class_id": workspace.truth[image_id]}
            event = NewEvent(uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=person, **said)
            labels.append(tx, event, 2.0)


def run_round(workspace: Workspace, **changes: object) -> str:
    """Which start the round tells of."""
    settings = dataclasses.replace(workspace.settings, steps=2, **changes)
    learning.round_(workspace.db, settings, clock=time.time, progress=lambda *_: None)
    with workspace.db.read() as tx:
        last = rounds.last(tx)
    return str(last.settings["start"])


def test_a_round_says_what_it_began_with_and_goes_on_only_from_its_like(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    assert run_round(workspace, round_start="last") == "pretrained"  # there is none before
    assert run_round(workspace) == "pretrained"
    taxonomy.add(workspace.db, "new kind", now=1.0)
    assert run_round(workspace, round_start="last") == "round 2"
    assert run_round(workspace, round_start="last", attention="cam") == "pretrained"
    with workspace.db.read() as tx:
        newest = workspace.settings.workspace / rounds.last(tx).checkpoint
    newest.write_bytes(b"damaged")
    assert run_round(workspace, round_start="last", attention="cam") == "pretrained"


def test_a_class_is_found_again_by_its_id(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    run_round(workspace)
    with workspace.db.read() as tx:
        last = checkpoint.load(workspace.settings.workspace / rounds.last(tx).checkpoint)
    turned, new = list(reversed(last.class_ids)), 99
    rows_KD = last.net.head.linear.weight.detach().clone()
    net = learning.raum_net.build(dataclasses.replace(last.net.config, num_classes=len(turned) + 1))
    own_KD = net.head.linear.weight.detach().clone()
    round_start.go_on(net, last, [*turned, new])
    torch.testing.assert_close(net.head.linear.weight[: len(turned)], (own_KD[: len(turned)] + rows_KD.flip(0)) / 2)
