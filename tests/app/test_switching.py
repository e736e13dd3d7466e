"""Changing the backbone of a running workspace: the old queue goes on until the new one is whole, whatever happens."""

import dataclasses
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from app import (
    children,
    errors,
    learning_jobs,
    overlays,
    pool,
    pool_files,
    predictions,
    processes,
    progress,
    switching,
)
from app import settings as chosen_by
from model import config
from store import images, labels, queue, workers
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh, run_round
from tests.app.test_worker import published_up_to, say, wait, working

OLD = {"image_size": 32}
NEW = {"image_size": 48}


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder of a few thousand random weights."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "tiny-convnext"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_channels": 3}
        transformers.ConvNextModel(transformers.ConvNextConfig(**shape)).save_pretrained(folder)
    values = {"do_resize": True, "size": {"shortest_edge": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def switched(workspace: Workspace, **changes: object) -> Workspace:
    return dataclasses.replace(workspace, settings=dataclasses.replace(workspace.settings, **changes))


def saved(workspace: Workspace) -> pool.Pool:
    opened = held(workspace)
    pool_files.save(opened)
    return opened


def filled(workspace: Workspace) -> pool.Pool:
    found = switching.successor(workspace.db, workspace.settings)
    switching.fill(workspace.db, found, lambda done, total: None)
    return found


def shown(workspace: Workspace) -> queue.records.Publication:
    with workspace.db.read() as tx:
        current = queue.current(tx)
    assert current is not None
    return current


def test_until_the_new_embeddings_are_whole_refreshes_come_from_the_old_ones_then_all_flips_at_once(
    workspace: Workspace,
) -> None:
    label(workspace, workspace.ids[:12])
    old = refresh(workspace, saved(workspace))
    new = switched(workspace, **NEW)
    opened = held(new)
    assert (opened.config.image_size, len(opened.image_ids), opened.note) == (32, 60, "")
    assert switching.is_due(new.db, new.settings, opened)
    label(new, new.ids[12:15])
    between = refresh(new, opened)
    assert shown(new).embeddings == opened.folder
    assert between.metrics["labels"] == 15
    assert shown(new).metrics["receipt"]["since"] == old.watermark
    found = filled(new)
    done = refresh(new, found)
    after = shown(new)
    assert (after.id, after.embeddings, after.watermark) == (done.publication, found.folder, between.watermark)
    assert after.embeddings != opened.folder
    assert after.pool_size == 48 - 15
    assert "receipt" not in after.metrics, "it was the network that changed the suggestions, not the answers"
    with new.db.read() as tx:
        rows = queue.head(tx, after.id)
        assert labels.counts(tx)["total"] == 15
    drawn = [row for row in rows if row.overlays]
    assert drawn
    assert overlays.path(new.settings.workspace, after.id, drawn[0].image_id, drawn[0].overlays[0]).is_file()
    assert predictions.newest(new.settings.workspace).meta["embeddings"] == found.folder
    assert not switching.is_due(new.db, new.settings, held(new))


def test_embedding_that_was_cut_short_goes_on_where_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(switching, "SAVE_SHARE", 0.0)
    monkeypatch.setattr(switching, "SLICE_SECONDS", 0.0)  # eight images at a time
    label(workspace, workspace.ids[:8])
    refresh(workspace, saved(workspace))
    new, slices = switched(workspace, **NEW), []

    def fourth() -> None:
        slices.append(1)
        if len(slices) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        switching.fill(new.db, switching.successor(new.db, new.settings), lambda *_: None, slice_began=fourth)
    again = switching.successor(new.db, new.settings)
    assert len(again.image_ids) == 24
    told: list[tuple[int, int]] = []
    switching.fill(new.db, again, lambda done, total: told.append((done, total)))
    assert told[0] == (32, 60)
    assert told[-1] == (60, 60)
    whole = switched(workspace, **NEW)
    shutil.rmtree(whole.settings.workspace / again.folder)
    np.testing.assert_allclose(filled(whole).embeddings_ND, again.embeddings_ND, atol=2e-3)  # stored in 16 bits


def test_a_round_is_replaced_when_the_settings_name_another_network_but_not_once_a_person_went_back(
    workspace: Workspace,
) -> None:
    label(workspace, workspace.ids[:12])
    run_round(workspace)
    assert not switching.is_due(workspace.db, workspace.settings, held(workspace))
    new = switched(workspace, **NEW)
    opened = held(new)
    assert opened.checkpoint
    assert switching.is_due(new.db, new.settings, opened)
    refresh(new, filled(new))
    assert (shown(new).checkpoint, shown(new).round_id) == (None, None)
    switching.stay(new.db, new.settings, opened.checkpoint)
    opened.stands_for = shown(new).round_id
    refresh(new, opened)
    assert shown(new).checkpoint == opened.checkpoint
    assert not switching.is_due(new.db, new.settings, held(new))
    other = switched(new, image_size=64)
    assert switching.is_due(other.db, dataclasses.replace(other.settings, backbone="vmamba_tiny"), held(other))


def test_embeddings_without_their_weights_still_rank_and_say_what_is_missing(
    workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    there = switched(workspace, backbone=f"hf:{folder}", image_size=0)
    label(there, there.ids[:9])
    refresh(there, saved(there))
    shutil.rmtree(folder)
    opened = held(there)
    assert opened.net is None
    assert str(folder) in opened.note
    assert not switching.is_due(there.db, there.settings, opened), "there is nothing to change to"
    label(there, there.ids[9:12])
    done = refresh(there, opened)
    assert (done.metrics["labels"], done.without_maps) == (12, 0)
    assert "not to be had" in done.message
    back = switched(there, **OLD, backbone="vmamba_nano")
    assert switching.is_due(back.db, back.settings, held(back))
    refresh(back, filled(back))
    assert held(back).net is not None


def test_two_models_whose_folders_are_named_alike_have_embeddings_of_their_own(
    workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    names = set()
    for parent in ("first", "second"):
        shutil.copytree(tiny_model, tmp_path / parent / "model")
        settings = dataclasses.replace(workspace.settings, backbone=f"hf:{tmp_path / parent / 'model'}")
        names.add(pool.start_name(pool.network_config(settings, 2)))
    assert len(names) == 2


def test_embeddings_of_two_crops_are_others_and_both_networks_are_named_apart(workspace: Workspace) -> None:
    one, two = (
        pool.network_config(dataclasses.replace(workspace.settings, backbone="vmamba_nano", crops=crops), 2)
        for crops in (1, 2)
    )
    assert pool.start_name(one) != pool.start_name(two)
    assert switching.sentence(3, 9, two, one) == (
        "embedding with the new backbone vmamba_nano with crops = 2: 3 of 9; the queue is still ordered by crops = 1"
    )
    with pytest.raises(errors.SettingsError, match="'crops' is one of 1, 2, not 3"):
        chosen_by.load(workspace.settings.workspace, crops=3)


@pytest.mark.timeout(300)
def test_a_backbone_that_cannot_be_had_is_told_by_name_and_the_old_queue_stays(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:9])
    before = refresh(workspace, saved(workspace)).publication
    new = switched(workspace, backbone="hf:/nowhere/dinov2")
    opened = held(new)
    with pytest.raises(errors.BadRequest, match="/nowhere/dinov2"):
        switching.successor(new.db, new.settings)
    others = children.Children(new.db, new.settings)
    switch = switching.Switch(new.db, new.settings, others)
    try:
        assert switch.step(opened) is None
        began = time.time()
        with new.db.write() as tx:
            workers.beat(tx, "worker", 1, "ready", now=began + 60)
        assert progress.status(new.db, now=began + 60)["switch"]["phase"] == "starting", "also where it takes long"
        assert progress.status(new.db, now=began)["switch"] is None, "the worker is not there"
        others.running[children.EMBED].process.wait(240)
        others.look_after_children()
        assert switch.step(opened) is None
        assert switch.step(opened) is None
        assert not others.running, "it is not tried again at once"
    finally:
        others.end()
    told = progress.status(new.db, now=time.time() + 3600)["switch"]
    assert told["phase"] == "failed"
    assert "the new backbone hf:dinov2 cannot be used: there is no folder /nowhere/dinov2" in told["message"]
    assert "the queue stays ordered by vmamba_nano" in told["message"]
    assert shown(new).id == before
    label(new, new.ids[9:10])
    assert refresh(new, opened).metrics["labels"] == 10
    switching.Switch(new.db, workspace.settings, others).step(opened)
    assert progress.status(new.db, now=time.time())["switch"] is None, "told no longer once it is not wanted"


def test_a_child_killed_for_memory_is_told_so(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:9])
    refresh(workspace, saved(workspace))
    new = switched(workspace, **NEW)
    opened, others = held(new), children.Children(new.db, new.settings)
    switch = switching.Switch(new.db, new.settings, others)
    switch.step(opened)
    others.running[children.EMBED].process.kill()
    others.running[children.EMBED].process.wait()
    others.look_after_children()
    switch.step(opened)
    assert "as the system does when memory runs out" in progress.status(new.db, now=time.time())["switch"]["message"]


def test_the_child_of_a_killed_worker_is_waited_for(tmp_path: Path) -> None:
    def orphan() -> None:
        with processes.only_one(tmp_path, "embed"):
            held.set()
            ends.wait(30)

    held, ends = threading.Event(), threading.Event()
    threading.Thread(target=orphan).start()
    assert held.wait(30)
    with pytest.raises(errors.WorkspaceBusy):
        processes.only_one(tmp_path, "embed", wait=0.1).__enter__()
    threading.Timer(0.2, ends.set).start()
    with processes.only_one(tmp_path, "embed", wait=30.0):
        assert ends.is_set()


@pytest.mark.timeout(300)
def test_a_worker_changes_the_backbone_while_people_answer(workspace: Workspace, tiny_model: Path) -> None:
    folder, db = workspace.settings.workspace, workspace.db
    toml = 'image_size = 32\nrounds = false\nqueue_length = 40\nbackup_days = 0\nbackup_weeks = 0\nbackbone = "{}"\n'
    label(workspace, workspace.ids[:9])
    refresh(workspace, saved(workspace))
    before = shown(workspace)
    (folder / "settings.toml").write_text(toml.format(f"hf:{tiny_model}"), encoding="utf-8")
    seen: list[tuple[int, str, int, int]] = []
    given = iter(workspace.ids[9:])
    with working(folder) as process:
        deadline = time.monotonic() + 240
        while shown(workspace).embeddings == before.embeddings and time.monotonic() < deadline:
            with db.read() as tx:
                embedding = workers.get(tx, "embed")
            if embedding is not None and embedding.phase == "starting" and len(seen) < 4:
                last = say(db, image_id := next(given), workspace.truth[image_id])
                wait(lambda seq=last: published_up_to(db) >= seq, 60)
                current = shown(workspace)
                seen.append((current.id, current.embeddings, current.metrics["labels"], len(shown_rows(workspace))))
            time.sleep(0.05)
        assert process.poll() is None
    after = shown(workspace)
    assert seen
    assert {embeddings for _, embeddings, _, rows in seen[:-1]} <= {before.embeddings}
    assert min(rows for _, _, _, rows in seen) > 30, "the queue is never a part of the pool that is embedded by now"
    assert seen[0][1:3] == (before.embeddings, 10), "an answer meanwhile counts at once, on the old embeddings"
    assert "tiny-convnext" in after.embeddings
    assert after.metrics["labels"] == 9 + len(seen)
    assert len(shown_rows(workspace)) > 30
    with db.read() as tx:
        every = {each.id: each.embeddings for each in queue.publications(tx)}
        assert len(np.load(folder / after.embeddings / "image_ids.npy")) == len(images.all_ok(tx))
    flips = [one != other for one, other in zip(list(every.values())[:-1], list(every.values())[1:], strict=True)]
    assert sum(flips) == 1


def shown_rows(workspace: Workspace) -> list[object]:
    with workspace.db.read() as tx:
        current = queue.current(tx)
        return list(queue.head(tx, current.id)) if current else []


def test_a_refresh_by_hand_embeds_with_the_backbone_that_it_is_given_and_publishes(
    workspace: Workspace, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(workspace, workspace.ids[:9])
    run_round(workspace)
    learning_jobs.refresh(workspace.settings.workspace, backbone=f"hf:{tiny_model}")
    assert "9 labels" in capsys.readouterr().out
    assert "tiny-convnext" in shown(workspace).embeddings
    assert shown(workspace).checkpoint is None


def test_a_change_that_is_taken_back_ends_its_child_and_leaves_no_complaint(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:9])
    opened = held(workspace)
    refresh(workspace, saved(workspace))
    run_round(workspace)
    new = switched(workspace, **NEW)
    others = children.Children(new.db, new.settings)
    switch = switching.Switch(new.db, new.settings, others)
    try:
        switch.step(opened)
        process = others.running[children.EMBED].process
        went_back = held(new)
        switching.stay(new.db, new.settings, went_back.checkpoint)
        switch.step(went_back)
        assert process.wait(20) != 0
        others.look_after_children()
        switch.step(went_back)
        assert progress.status(new.db, now=time.time())["switch"] is None
        switch.step(opened)
        assert others.running, "asked for again, it begins at once"
    finally:
        others.end()


def test_the_settings_of_the_child_are_those_of_the_worker(workspace: Workspace) -> None:
    """What serve --backbone said goes to the children, which otherwise read settings.toml alone."""
    chosen = chosen_by.load(workspace.settings.workspace, backbone="hf:/nowhere/at-all", round_min_labels=1)
    label(workspace, workspace.ids[:9])
    others = children.Children(workspace.db, chosen)
    assert others.start_round_when_due()
    process = others.running["round"].process
    assert "hf:/nowhere/at-all" in process.args
    others.end()


def test_the_page_is_told_what_is_embedded_and_what_still_orders_the_queue() -> None:
    nano = config.for_backbone("vmamba_nano", num_classes=2)
    dino = dataclasses.replace(nano, backbone="hf:facebook/dinov2-small")
    told = switching.sentence(3400, 20000, dino, nano)
    assert told == (
        "embedding with the new backbone dinov2: 3,400 of 20,000; the queue is still ordered by vmamba_nano"
    )
    larger = switching.sentence(
        1, 2, dataclasses.replace(nano, image_size=128), dataclasses.replace(nano, image_size=80)
    )
    assert "vmamba_nano at 128 px: 1 of 2; the queue is still ordered by vmamba_nano at 80 px" in larger
