"""Adding images and reading them back."""

import pytest

from store import database, errors, images, labels, records, schema


def _new(path: str, **more: object) -> records.NewImage:
    return records.NewImage(path=path, **more)  # type: ignore[arg-type]


def test_only_new_paths_are_added_and_ids_follow_the_order(db: database.Database) -> None:
    same = _new("a")
    with db.write() as tx:
        first = images.add_many(tx, [_new("b"), same, _new("b", digest="again"), same])
        second = images.add_many(tx, [_new("a", digest="other"), _new("c")])
    with db.read() as tx:
        assert [image.path for image in images.get_many(tx, first + second)] == ["b", "a", "c"]
        assert images.get(tx, first[0]).digest is None
        assert len(first) == 2
        assert len(second) == 1


def test_many_more_images_than_one_statement_takes(db: database.Database) -> None:
    with db.write() as tx:
        ids = images.add_many(tx, [_new(f"{at}") for at in range(1234)])
        again = images.add_many(tx, [_new(f"{at}") for at in range(1234)])
    with db.read() as tx:
        assert [image.path for image in images.get_many(tx, ids)] == [f"{at}" for at in range(1234)]
    assert again == []


def test_every_field_comes_back(db: database.Database) -> None:
    full = records.NewImage(
        path="dir/naïve 'x'.jpg",
        digest="d",
        width=3,
        height=2,
        bytes=2**40,
        mtime_ns=1_700_000_000_123_456_789,
        phash="ffffffffffffffff",
        group_id=7,
        holdout=2,
        taken_at=1.5,
        added_at=2.5,
    )
    with db.write() as tx:
        (image_id,) = images.add_many(tx, [full])
        assert images.get(tx, image_id) == records.Image(**vars(full), id=image_id)
        assert images.known_paths(tx) == {full.path: (full.mtime_ns, full.bytes)}


def test_lists_counts_and_hashes(db: database.Database) -> None:
    rows = [
        _new("a", phash="00ff", group_id=1),
        _new("b", phash="ffffffffffffffff", group_id=2, holdout=1),
        _new("c", phash="1", holdout=2),
        _new("d", status="quarantined", problem="truncated"),
        _new("e"),
    ]
    with db.write() as tx:
        a, b, c, d, e = images.add_many(tx, rows)
    with db.read() as tx:
        assert [image.id for image in images.all_ok(tx)] == [a, b, c, e]
        assert [image.id for image in images.all_after(tx, b)] == [c, e]
        assert [(image.id, image.problem) for image in images.quarantined(tx)] == [(d, "truncated")]
        assert images.hashes(tx) == ([a, b, c], [255, 2**64 - 1, 1], [1, 2, -1], [0, 1, 2])
        assert images.holdout(tx) == {b: 1, c: 2}
        assert images.counts(tx) == {
            "total": 5,
            "ok": 4,
            "quarantined": 1,
            "pool": 2,
            "holdout": 2,
            "calibration": 1,
            "test": 1,
        }


def test_missing_images_are_named(db: database.Database) -> None:
    with db.read() as tx:
        with pytest.raises(errors.UnknownImage, match="id 5"):
            images.get(tx, 5)
        with pytest.raises(errors.UnknownImage, match=r"id 6 .2 of 2"):
            images.get_many(tx, [6, 7])


def test_a_new_image_is_open_in_its_lane(db: database.Database) -> None:
    with db.write() as tx:
        ids = images.add_many(tx, [_new("a"), _new("b", holdout=1), _new("c", status="quarantined", holdout=1)])
        lanes = [labels.state(tx, image_id).lane for image_id in ids]
    assert lanes == [schema.POOL, schema.HOLDOUT, schema.CLOSED]


def test_the_random_order_does_not_follow_the_paths(db: database.Database) -> None:
    with db.write() as tx:
        ids = images.add_many(tx, [_new(f"{at:04}", digest=f"{at}") for at in range(400)])
        draws = [labels.state(tx, image_id).draw for image_id in ids]
    order = sorted(range(400), key=draws.__getitem__)
    assert len(set(draws)) == 400
    assert 60 < sum(at < 200 for at in order[:200]) < 140  # a fair shuffle: 100 +- 5 sigma is 75 to 125


def test_boxes_of_a_file_are_images_beside_it(db: database.Database) -> None:
    place = {"scene": "a.jpg", "box_y": 2, "box_w": 30, "box_h": 40, "scene_width": 640, "scene_height": 480}
    rows = [
        records.NewImage(path="a.jpg", digest="d", bytes=5, mtime_ns=7),
        records.NewImage(path="a.jpg#xywh=1,2,30,40", digest="d", bytes=5, mtime_ns=7, box_x=1, **place),
        records.NewImage(path="a.jpg#xywh=9,2,30,40", digest="d", bytes=5, mtime_ns=7, box_x=9, **place),
    ]
    with db.write() as tx:
        whole, *boxes = images.add_many(tx, rows)
        assert images.add_many(tx, rows) == []
        assert images.known_scenes(tx) == {"a.jpg": (7, 5, 640, 480)}
        assert [image.id for image in images.of_scene(tx, "a.jpg")] == boxes
        found = images.get_many(tx, [whole, *boxes])
    assert [(image.file, image.box) for image in found] == [
        ("a.jpg", None),
        ("a.jpg", (1, 2, 30, 40)),
        ("a.jpg", (9, 2, 30, 40)),
    ]
