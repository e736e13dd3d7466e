"""Pretraining on the pool: beside a workspace, stopped and gone on with, taken up as another start; before a training."""

import dataclasses
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import launch
from app import children, errors, pool, progress, self_teaching, settings, switching
from model.network import pretrained
from store import images
from tests.app.conftest import Workspace
from tests.app.test_learning import held
from tests.app.test_training_cli import folder

__all__ = ["folder"]


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def wanting(workspace: Workspace) -> Workspace:
    """A workspace whose settings want it."""
    chosen = dataclasses.replace(workspace.settings, pretrain="pool", pretrain_minutes=0.01)
    told = 'backbone = "vmamba_nano"\nimage_size = 32\npretrain = "pool"\npretrain_minutes = 0.01\n'
    (chosen.workspace / "settings.toml").write_text(told, encoding="utf-8")
    return dataclasses.replace(workspace, settings=chosen)


def opened(of: Workspace) -> pool.Pool:
    found = held(of)
    found.complete = True
    return found


def test_it_is_stopped_gone_on_with_and_then_another_start_that_is_switched_to(wanting: Workspace) -> None:
    before, place = opened(wanting), wanting.settings.workspace / "cache" / "vmamba_nano.safetensors"
    assert self_teaching.is_due(wanting.settings, before)
    assert not switching.is_due(wanting.db, wanting.settings, before)
    with wanting.db.read() as tx:
        known = images.all_ok(tx)
    with pytest.raises(errors.BadRequest, match="stopped after 0 steps; started again it goes on"):
        self_teaching._run(wanting.settings, known, lambda *_: None, lambda: True)
    assert not place.exists()
    assert place.with_name("vmamba_nano.safetensors.run").exists()
    self_teaching.pretrain(wanting.settings.workspace, backbone=None, minutes=None, child=False)
    told = pretrained.describe(place)
    assert told["data"] == ["the pool: 48 pictures"], "the holdout is not learnt from"
    assert told["went_on_from"]["variant"] == "vmamba_nano"
    assert not place.with_name("vmamba_nano.safetensors.run").exists()
    assert not self_teaching.is_due(wanting.settings, before)
    assert switching.is_due(wanting.db, wanting.settings, before)
    after = switching.successor(wanting.db, wanting.settings)
    assert after.name != before.name


def test_rounds_wait_for_it_and_what_it_leaves_is_looked_at(
    wanting: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    others, now = children.Children(wanting.db, wanting.settings), opened(wanting)
    monkeypatch.setattr(others, "_start", lambda verb, words, command: others.running.update({verb: None}))
    switch = switching.Switch(wanting.db, wanting.settings, others)
    assert switch.step(now) is None
    assert (list(others.running), switch.holds, switch.due) == ([children.PRETRAIN], True, False)
    others.running.clear()
    others.ended[children.PRETRAIN] = "error: no room"
    switch.step(now)
    assert (list(others.running), switch.holds) == ([], False), "after a failure it waits"
    assert (
        "no pretraining on the pool: no room; tried again"
        in progress.status(wanting.db, now=time.time())["switch"]["message"]
    )
    switch.settings = dataclasses.replace(wanting.settings, pretrain="none")
    switch.next_teaching = 0.0
    switch.step(now)
    assert progress.status(wanting.db, now=time.time())["switch"] is None, "who wants it no more is told of it no more"
    switch.settings = wanting.settings
    self_teaching.pretrain(wanting.settings.workspace, backbone=None, minutes=None, child=False)
    others.ended[children.PRETRAIN] = None
    switch.step(now)
    assert (list(others.running), switch.holds) == ([children.EMBED], True)


def test_a_network_that_a_round_trained_and_foreign_backbones_are_left_alone(wanting: Workspace) -> None:
    now = opened(wanting)
    assert not self_teaching.is_due(dataclasses.replace(wanting.settings, backbone="hf:some/model"), now)
    assert not self_teaching.is_due(dataclasses.replace(wanting.settings, pretrain="none"), now)
    now.complete = False
    assert not self_teaching.is_due(wanting.settings, now)
    now.complete, now.checkpoint = True, "checkpoints/round-1.safetensors"
    assert not self_teaching.is_due(wanting.settings, now)


def test_a_training_may_begin_with_it(folder: Path, tmp_path: Path) -> None:
    words = ["train", "--root", str(folder), "--labeled-ratio", "0.5", "--steps", "1", "--out", str(tmp_path)]
    words += ["--random-weights", "--pretrain", "pool", "--pretrain-steps", "2"]
    ran = CliRunner().invoke(launch.app, words, catch_exceptions=False)
    assert ran.exit_code == 0
    told = json.loads((tmp_path / "figures.json").read_text())["pretrained"]
    assert (told["steps"], told["objective"]) == (2, "vicreg")
    with pytest.raises(errors.BadRequest, match="one of none, pool, not 'pond'"):
        CliRunner().invoke(launch.app, [*words, "--pretrain", "pond"], catch_exceptions=False)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match="one of none, pool, not 'all'"):
        settings.load(tmp_path, pretrain="all")
    with pytest.raises(errors.SettingsError, match="more than 0"):
        settings.load(tmp_path, pretrain_minutes=0.0)
