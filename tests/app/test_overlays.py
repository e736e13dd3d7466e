"""The maps that an attention draws itself: from the network to the queue, in words that claim no more than they show."""

import dataclasses
import json
import time

import numpy as np
import pytest
from PIL import Image

from app import drawing, labelling, learning, map_views, overlays, pool
from model import config, predict
from model.network import raum_net
from store import annotators, classes, images, labels, queue
from store.records import NewEvent, NewPublication, QueueRow
from tests import looking
from tests.app.conftest import Workspace

OWN = looking.Looking.KINDS


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds train a network with the attention that has every kind of picture."""
    monkeypatch.setitem(raum_net.ATTENTIONS, "looking", looking.Looking)
    usual = pool.network_config
    monkeypatch.setattr(pool, "network_config", lambda *args: dataclasses.replace(usual(*args), attention="looking"))


def label(workspace: Workspace, image_ids: list[int]) -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", 1.0)
        for image_id in image_ids:
            event = NewEvent(
                uuid=f"l{image_id}", image_id=image_id, annotator_id=person.id, kind="label",
                class_id=workspace.truth[image_id],
            )  # fmt: skip
            labels.append(tx, event, 1.0)


@pytest.mark.parametrize("name", sorted(raum_net.ATTENTIONS))
def test_every_picture_of_every_attention_has_words_that_say_for_whom_it_speaks(name: str) -> None:
    network = config.NetworkConfig("vmamba_nano", num_classes=3, image_size=48, attention=name, pretrained=False)
    net = raum_net.build(network)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 48, 48, 3), dtype=np.uint8)
    own = predict.embed(net, pixels, keep_features=True).own_N
    assert own is not None
    for each in own:
        assert tuple(each) == net.attention.KINDS
        for kind, picture in each.items():
            assert overlays.KINDS[kind].for_class == (picture.class_index is not None), kind
            assert 0 <= picture.map_HW.min() <= picture.map_HW.max() <= 1
            assert json.dumps(drawing.facts(picture, [7, 8, 9]), allow_nan=False)


def test_a_map_for_no_class_is_never_told_as_a_reason() -> None:
    for kind, words in overlays.KINDS.items():
        assert "{" not in words.neutral
        assert words.for_class == ("{first}" in words.caption)
        assert words.for_class or words.caption.endswith("for no class in particular")
        assert overlays.caption(kind) == words.neutral
        assert ("Ash {x}" in overlays.caption(kind, "Ash {x}", "Elm")) == words.for_class
    assert overlays.caption("contrast", "Ash") == overlays.KINDS["contrast"].neutral


def test_a_round_publishes_the_attentions_own_pictures(workspace: Workspace, looked: None) -> None:
    label(workspace, workspace.ids[:15] + workspace.held)
    published = learning.round_(
        workspace.db, workspace.settings, clock=time.time, progress=lambda phase, fraction, message: None
    )
    with workspace.db.read() as tx:
        row = next(row for row in queue.head(tx, published) if row.overlays)
    assert row.overlays == ["evidence", "contrast", *OWN], "no region: this attention pools evenly"
    assert set(row.beside) == {"zoom", "first", "rest", "fused"}
    assert row.beside["fused"]["box"] == row.beside["zoom"]["box"] == [0.25, 0.125, 0.75, 0.875]
    assert row.beside["first"]["class_id"] == row.beside["rest"]["class_id"] == row.beside["zoom"]["votes"][0][0]
    assert row.beside["rest"]["erased"] is True
    folder = overlays.folder(workspace.settings.workspace, published)
    first, rest = (np.asarray(Image.open(overlays.file(folder, row.image_id, kind))) for kind in ("first", "rest"))
    clear = np.abs(first - 255 * looking.ERASED_AT) > 1  # the picture's own rounding decides the others
    np.testing.assert_array_equal((rest[..., 1] > 0)[clear], (first > 255 * looking.ERASED_AT)[clear])
    assert rest[..., 0][rest[..., 1] > 0].max() == 0

    with workspace.db.read() as tx:
        opened = pool.open_(workspace.settings, queue.current(tx), images.all_ok(tx))
    assert opened.class_ids == workspace.class_ids
    pool.compute_maps(opened, [row.image_id], seconds=9.0)
    assert set(opened.maps[row.image_id].own) == set(OWN)
    rng = np.random.default_rng(0)
    refreshed = learning.refresh(workspace.db, workspace.settings, opened, now=time.time(), rng=rng).publication
    with workspace.db.read() as tx:
        again = next(row for row in queue.head(tx, refreshed) if row.overlays)
    assert again.overlays[-len(OWN) :] == list(OWN), "a refresh draws them, too"


def _publish(workspace: Workspace, *, suggestions: bool = True) -> int:
    a, b, _ = workspace.class_ids
    rows = [
        QueueRow(
            position=at, image_id=image_id, reason="uncertain", suggestions=[(a, 0.7), (b, 0.3)] if suggestions else [],
            overlays=["evidence", "sam", "zoom", "rest"],
            beside={
                "zoom": {"box": [0.1, 0.2, 0.6, 0.7], "votes": [[a, 0.48], [b, 0.71]]},
                "rest": {"class_id": b, "erased": True},
            },
        )
        for at, image_id in enumerate(workspace.ids[:10])
    ]  # fmt: skip
    with workspace.db.write() as tx:
        return queue.publish(tx, NewPublication(kind="refresh", watermark=0, created_at=1.0, pool_size=10), rows)


def _asked(workspace: Workspace) -> dict[str, dict[str, object]]:
    item = labelling.next_images(
        workspace.db, annotator="ann", client="tab", count=1, now=5.0, rng=np.random.default_rng(0)
    )[0]
    return {each["kind"]: each for each in item["overlays"]}


def test_the_page_gets_frame_votes_and_the_class_by_name(workspace: Workspace) -> None:
    _publish(workspace)
    found = _asked(workspace)
    assert found["rest"]["caption"] == "what else speaks for square, its first evidence taken away"
    assert found["rest"]["erased"] is True
    assert found["zoom"]["box"] == [0.1, 0.2, 0.6, 0.7]
    assert found["zoom"]["votes"] == [
        {"look": "whole", "name": "round", "probability": 0.48},
        {"look": "zoom", "name": "square", "probability": 0.71},
    ]
    assert "class in particular" in str(found["sam"]["caption"])
    assert not {"box", "votes", "erased", "class_id"} & found["evidence"].keys()
    with workspace.db.write() as tx:
        classes.rename(tx, workspace.class_ids[1], "cubic", now=2.0)
    assert "cubic" in str(_asked(workspace)["rest"]["caption"]), "as it is called now"


def test_maps_without_a_suggestion_name_no_class(workspace: Workspace) -> None:
    _publish(workspace, suggestions=False)
    found = _asked(workspace)
    assert set(found) == {"evidence", "sam", "zoom", "rest"}
    assert "square" not in str(found)
    assert "round" not in str([each["caption"] for each in found.values()])
    assert "votes" not in found["zoom"]
    plain = map_views.unnamed({"kind": "rest", "caption": "for square", "url": "/x", "erased": True, "votes": [1]})
    assert plain == {"kind": "rest", "caption": overlays.KINDS["rest"].neutral, "url": "/x", "erased": True}


def test_what_is_not_finite_is_not_told() -> None:
    nan = float("nan")
    picture = predict.Picture(
        np.zeros((2, 2), np.float16),
        1,
        (nan, 0.0, 1.0, 1.0),
        np.array([[nan, 1.0]], np.float32),
        np.zeros((2, 2), bool),
    )
    assert drawing.facts(picture, [5, 6]) == {"class_id": 6}
    assert drawing.facts(dataclasses.replace(picture, box=(0.0,) * 4), [5, 6]) == {"class_id": 6}, (
        "a frame around nothing"
    )
