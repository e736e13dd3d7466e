"""The evidence region is a box within the image, or it is refused."""

import json
from typing import Any

import pytest

from app import errors, regions

BOX = {"x": 0.1, "y": 0.2, "w": 0.3, "h": 0.8}


def test_a_box_is_kept_as_it_was_drawn() -> None:
    stored = regions.checked(BOX)
    assert stored is not None
    assert regions.read(stored) == BOX
    assert regions.checked(json.dumps(BOX)) == stored
    assert regions.checked(None) is None
    assert regions.read(None) is None


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[" * 300,
        "[0.1, 0.2, 0.3, 0.4]",
        '"null"',
        7,
        {},
        {"x": 0.1, "y": 0.2, "w": 0.3},
        {**BOX, "z": 0.1},
        {**BOX, "x": -0.1},
        {**BOX, "x": 0.9},
        {**BOX, "w": 0.0},
        {**BOX, "h": 1.2},
        {**BOX, "y": "0.2"},
        {**BOX, "y": True},
        {**BOX, "y": float("nan")},
        '{"x": NaN, "y": 0, "w": 1, "h": 1}',
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(errors.BadRequest, match="region"):
        regions.checked(value)


def test_an_old_text_that_is_no_box_shows_nothing() -> None:
    assert regions.read('{"x": 1}') is None
    assert regions.read("somewhere left") is None
