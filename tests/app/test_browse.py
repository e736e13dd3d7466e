"""Browsing: filters and orders against a plain look at the store, what is not told to people asked blind, like this one, map."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest

from app import background, browse, browse_layout, browse_like, browse_views, errors, labelling, pool_view, predictions
from store import images, labels, queue
from store.records import NewImage, NewPublication
from tests.app.conftest import Workspace

WIDTH = 6


def _publish(workspace: Workspace, *, classes: int = 3) -> dict[int, tuple[int, float]]:
    """Predictions and embeddings of every image -> image -> (top class, probability)."""
    folder = workspace.settings.workspace
    ids = np.array(sorted(workspace.truth), np.int64)
    rng = np.random.default_rng(1)
    top = np.array([workspace.class_ids[int(k)] for k in rng.integers(0, classes, len(ids))], np.int32)
    sure = rng.permutation(np.linspace(0.3, 0.99, len(ids))).astype(np.float32)
    place = folder / "embeddings" / "start"
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "image_ids.npy", ids)
    centres = rng.standard_normal((3, WIDTH)) * 3
    kinds = [workspace.class_ids.index(workspace.truth[int(i)]) for i in ids]
    np.save(
        place / "embeddings.npy", (centres[kinds] + 0.1 * rng.standard_normal((len(ids), WIDTH))).astype(np.float16)
    )
    (place / "meta.json").write_text("{}")
    new = NewPublication(kind="refresh", watermark=0, created_at=1.0, embeddings="embeddings/start")
    with workspace.db.write() as tx:
        number = queue.publish(tx, new, [])
    meta = {"class_ids": workspace.class_ids, "checkpoint": None, "watermark": 0}
    out = np.linspace(0, 1, len(ids)).astype(np.float32)
    predictions.write(folder, number, predictions.Predictions(ids, top, sure, out, meta, out[::-1]))
    return {int(i): (int(k), float(p)) for i, k, p in zip(ids, top, sure, strict=True)}


@pytest.fixture
def browser(workspace: Workspace) -> browse.Browser:
    return _browser(workspace)


def _browser(workspace: Workspace) -> browse.Browser:
    folder = workspace.settings.workspace
    return browse.Browser(workspace.db, folder, pool_view.Reader(folder))


def _say(workspace: Workspace, who: str, kind: str, image_id: int, **more: object) -> None:
    event = {"uuid": str(uuid.uuid4()), "annotator": who, "kind": kind, "image_id": image_id, **more}
    labelling.submit(workspace.db, event, now=5.0)


def _found(browser: browse.Browser, **asked: object) -> list[int]:
    query = browse_views.Query(**asked)  # type: ignore[arg-type]
    return [each["image_id"] for each in browse.window(browser, query, start=0, count=200)["images"]]


def test_states_classes_people_and_names(workspace: Workspace, browser: browse.Browser) -> None:
    one, two, three, four = workspace.ids[:4]
    everything = sorted(workspace.truth)
    assert _found(browser) == everything[::-1]
    assert _found(browser, order="oldest") == everything
    first, second = workspace.class_ids[:2]
    _say(workspace, "ada", "label", one, class_id=first)
    _say(workspace, "ben", "label", two, class_id=second)
    _say(workspace, "ben", "reject", three)
    _say(workspace, "ben", "skip", four)
    _say(workspace, "ben", "flag", two)
    assert _found(browser, state="labelled", order="oldest") == [one, two]
    assert _found(browser, state="rejected") == [three]
    assert _found(browser, state="skipped") == [four]
    assert _found(browser, state="flagged") == [two]
    assert _found(browser, state="open", order="oldest") == sorted(set(everything) - {one, two, three})
    assert _found(browser, state="holdout", order="oldest") == sorted(workspace.held)
    assert _found(browser, said=second) == [two]
    ben = browse.viewer_id(workspace.db, "ben")
    assert _found(browser, person=ben, order="oldest") == [two, three]
    with workspace.db.read() as tx:
        names = {image.id: image.path for image in images.all_ok(tx)}
    assert _found(browser, order="name") == sorted(names, key=lambda each: names[each])
    assert _found(browser, text="PICTURES/1", order="oldest") == [i for i in everything if "/1" in names[i][-7:]]
    assert _found(browser, text="no such name") == []
    told = browse.choices(browser, None)
    assert told["states"] | {"all": 60, "rejected": 1, "skipped": 1, "flagged": 1, "holdout": 12} == told["states"]
    assert [each["name"] for each in told["people"]] == ["ada", "ben"]
    assert [each["said"] for each in told["classes"]] == [1, 1, 0]


def test_what_came_and_what_was_said_since_is_seen(workspace: Workspace, browser: browse.Browser) -> None:
    _found(browser)
    with workspace.db.write() as tx:
        bad = NewImage(path="/somewhere/Zebra broken.jpg", status="quarantined", problem="not an image")
        added = images.add_many(tx, [NewImage(path="/somewhere/Äpfel.jpg"), bad])
    _say(workspace, "ada", "label", workspace.ids[0], class_id=workspace.class_ids[0])
    assert _found(browser)[0] == added[0]
    assert _found(browser, text="äpf") == [added[0]]
    assert _found(browser, state="quarantined") == [added[1]]
    assert _found(browser, state="labelled") == [workspace.ids[0]]


def test_pages_of_one_view_stay_as_they_were_while_people_label(workspace: Workspace, browser: browse.Browser) -> None:
    query = browse_views.Query(state="open", order="oldest")
    first = browse.window(browser, query, start=0, count=10)
    _say(workspace, "ada", "label", first["images"][0]["image_id"], class_id=workspace.class_ids[0])
    again = browse.window(browser, query, start=0, count=10, token=first["view"])
    assert (again["total"], again["stale"]) == (first["total"], True)
    assert again["images"][0]["state"] == "labelled", "the place stays, the mark is today's"
    fresh = browse.window(browser, query, start=0, count=10)
    assert (fresh["total"], fresh["stale"]) == (first["total"] - 1, False)


def test_the_models_filters_and_orders_leave_the_holdout_out(workspace: Workspace, browser: browse.Browser) -> None:
    with pytest.raises(errors.BadRequest, match="no model yet"):
        _found(browser, order="sure")
    said = _publish(workspace)
    pool = {each: said[each] for each in workspace.ids}
    last = sorted(workspace.held, reverse=True)
    assert _found(browser, order="sure") == sorted(pool, key=lambda each: -pool[each][1]) + last
    assert _found(browser, order="unsure") == sorted(pool, key=lambda each: pool[each][1]) + last
    assert _found(browser, order="odd") == sorted(pool, reverse=True) + last
    assert _found(browser, order="bad") == sorted(pool) + last
    wanted = workspace.class_ids[1]
    expected = [each for each, (top, p) in pool.items() if top == wanted and 0.4 <= p <= 0.8]
    assert sorted(_found(browser, suggested=wanted, low=0.4, high=0.8)) == sorted(expected)
    shown = browse.window(browser, browse_views.Query(order="oldest"), start=0, count=60)["images"]
    assert all((each["suggestion"] is None) == each["holdout"] for each in shown)
    held = browse.one(browser, workspace.held[0], None)
    assert held["suggestion"] is None
    assert "measure the model" in held["quiet"]


def test_others_answers_are_not_told_to_who_may_still_be_asked_blind(
    workspace: Workspace, browser: browse.Browser
) -> None:
    labelling.ask_several(workspace.db, overlap=2, overlap_rate=1.0)
    _publish(workspace)
    image_id, class_id = workspace.ids[0], workspace.class_ids[0]
    _say(workspace, "ada", "label", image_id, class_id=class_id)
    _say(workspace, "ben", "label", workspace.ids[1], class_id=class_id)
    ada, ben = (browse.viewer_id(workspace.db, name) for name in ("ada", "ben"))
    assert browse.one(browser, image_id, ada)["class_id"] == class_id
    hidden = browse.one(browser, image_id, ben)
    assert (hidden["state"], hidden["class_id"], hidden["suggestion"], hidden["history"]) == (
        "answered",
        None,
        None,
        [],
    )
    assert _found(browser, said=class_id, viewer=ada) == [image_id]
    assert _found(browser, person=ada, viewer=ben) == []
    _say(workspace, "ben", "label", image_id, class_id=class_id)
    assert [each["annotator"] for each in browse.one(browser, image_id, ben)["history"]] == ["ben", "ada"]


def test_merged_classes_are_found_under_the_one_that_took_them_over(
    workspace: Workspace, browser: browse.Browser
) -> None:
    from store import classes

    first, second, _ = workspace.class_ids
    _say(workspace, "ada", "label", workspace.ids[0], class_id=first)
    _say(workspace, "ada", "label", workspace.ids[1], class_id=second)
    with workspace.db.write() as tx:
        classes.merge(tx, first, second, now=1.0)
    assert _found(browser, said=second, order="oldest") == workspace.ids[:2]
    assert [each["said"] for each in browse.choices(browser, None)["classes"]] == [2, 0]


def test_like_this_one_finds_its_kind_and_never_the_holdout(workspace: Workspace, browser: browse.Browser) -> None:
    image_id = workspace.ids[0]
    with pytest.raises(errors.NotFound, match="has not looked"):
        _found(browser, like=image_id)
    _publish(workspace)
    found = _found(browser, like=image_id)
    kind = [each for each in workspace.ids if workspace.truth[each] == workspace.truth[image_id]]
    assert found[0] == image_id
    assert set(found[: len(kind)]) == set(kind)
    assert not set(found) & set(workspace.held)
    with pytest.raises(errors.BadRequest, match="kept for blind"):
        _found(browser, like=workspace.held[0])


def test_the_sketch_finds_what_a_full_look_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    whole = (rng.standard_normal((20, 96))[rng.integers(0, 20, 9000)] + 0.7 * rng.standard_normal((9000, 96))).astype(
        np.float16
    )
    np.save(tmp_path / "embeddings.npy", whole)
    monkeypatch.setattr(browse_like, "COMPARED", 400)
    ids = np.arange(5, 5 + 2 * len(whole), 2)
    sketch = browse_like.Sketch(pool_view.Embeddings(ids, np.load(tmp_path / "embeddings.npy", mmap_mode="r")))
    z = whole.astype(np.float32)
    z = (z - sketch.mean_D) * sketch.scale_D
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    for row in range(0, 9000, 900):
        exact = ids[np.argsort(-(z @ z[row]), kind="stable")[:50]]
        found = sketch.nearest(int(ids[row]), 50)
        assert found[0] == ids[row]
        assert len(set(found) & set(exact.tolist())) >= 48


def test_the_map_keeps_neighbours_together_and_a_lasso_takes_what_lies_inside(
    workspace: Workspace, browser: browse.Browser
) -> None:
    _publish(workspace)
    shown = browser.fresh()
    embeddings = browser.reader.embeddings(shown)
    for _ in range(60):
        try:
            found = browser.map.of(embeddings)
            break
        except background.Later:
            continue
    assert json.loads((workspace.settings.workspace / "cache/map/start/meta.json").read_text())["shown"] == 60
    kinds = np.array([workspace.truth[int(each)] for each in found.image_ids_M])
    places = found.places_M2.astype(float)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(60, np.inf))
    assert (kinds[apart.argmin(axis=1)] == kinds).mean() > 0.95
    middle = places[kinds == kinds[0]].mean(axis=0) / 65.535
    around = np.array([[-90, -90], [90, -90], [90, 90], [-90, 90]]) + middle
    corners = tuple(int(v) for v in np.clip(around, 0, 1000).ravel())
    inside = _found(browser, lasso=corners)
    assert inside
    assert not set(inside) & set(workspace.held)
    low, high = np.clip(middle - 90, 0, 1000), np.clip(middle + 90, 0, 1000)
    held_N = np.isin(found.image_ids_M, workspace.held)
    within = ((places / 65.535 >= low - 1) & (places / 65.535 <= high + 1)).all(axis=1) & ~held_N
    assert set(inside) == set(found.image_ids_M[within].tolist())


def test_a_layout_is_the_same_again_and_takes_few_or_many(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((6, 12))[rng.integers(0, 6, 1500)] * 4 + rng.standard_normal((1500, 12))).astype(
        np.float32
    )
    for count in (1, 3, 5, 1500):
        first = browse_layout.layout(x[:count], np.random.default_rng(0))
        assert first.shape == (count, 2)
        assert ((first >= 0) & (first <= 1)).all()
        assert np.array_equal(first, browse_layout.layout(x[:count], np.random.default_rng(0)))


def test_what_cannot_be_asked_is_refused(workspace: Workspace, browser: browse.Browser) -> None:
    for asked, words in (
        ({"state": "nice"}, "state must be"), ({"order": "best"}, "order must be"), ({"low": 0.9, "high": 0.1}, "low <= high"),
    ):  # fmt: skip
        with pytest.raises(errors.BadRequest, match=words):
            _found(browser, **asked)
    with pytest.raises(errors.NotFound, match="no map yet"):
        _found(browser, lasso=(0, 0, 9, 9, 9, 0))
    with pytest.raises(errors.BadRequest, match="between 1 and 200"):
        browse.window(browser, browse_views.Query(), start=0, count=1000)
    with pytest.raises(errors.NotFound):
        browse.one(browser, 10**9, None)
    with workspace.db.read() as tx:
        assert labels.watermark(tx) == 0


def test_by_name_takes_in_what_came_later(workspace: Workspace, browser: browse.Browser) -> None:
    before = _found(browser, order="name")
    with workspace.db.write() as tx:
        first, last = images.add_many(tx, [NewImage(path="/aaa/first.jpg"), NewImage(path="/zzz/last.jpg")])
    assert _found(browser, order="name") == [first, *before, last]
