"""The surface's pure decisions, run where they live: which class is on which digit, what a key means, how a map is made."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.conftest import Page

CLASSES = [{"class_id": number, "name": f"Kind {number}"} for number in range(1, 13)]
ITEM = {
    "blind": False,
    "suggestions": [
        {"class_id": 7, "name": "Kind 7", "probability": 0.6},
        {"class_id": 2, "name": "Kind 2", "probability": 0.4},
    ],
}
CALL = "([file, name, values]) => import(`/surface/x/${file}.js`).then((module) => module[name](...values))"


@pytest.fixture
def run(page_server: Page, opened: Callable[..., Any]) -> Callable[..., Any]:
    """run("choices", "rows", item, classes) calls one exported function."""
    tab = opened(page_server)
    return lambda file, name, *values: tab.evaluate(CALL, [file, name, list(values)])


def test_digits_search_and_acceptance(run: Callable[..., Any]) -> None:
    few = run("choices", "rows", ITEM, CLASSES[:9])
    assert [row["class_id"] for row in few] == list(range(1, 10))
    assert [row["class_id"] for row in few if row["top"]] == [7]
    many = run("choices", "rows", ITEM, CLASSES)
    assert [row["class_id"] for row in many] == [7, 2, 1, 3, 4, 5, 6, 8, 9]
    blind = run("choices", "rows", {**ITEM, "blind": True}, CLASSES)
    assert [row["class_id"] for row in blind] == list(range(1, 10))
    assert {row["probability"] for row in blind} == {None}
    assert run("choices", "accepted", ITEM)["class_id"] == 7
    assert run("choices", "accepted", {**ITEM, "blind": True}) is None
    names = [
        {"class_id": 1, "name": "Song Sparrow"},
        {"class_id": 2, "name": "Sparrowhawk"},
        {"class_id": 3, "name": "House Sparrow"},
    ]
    found = run("choices", "matches", "spar", names, [{"class_id": 3, "probability": 0.2}])
    assert [each["class_id"] for each in found] == [3, 2, 1], "the likelier first, then names that begin so"
    assert run("choices", "matches", "owl", names, []) == []


def test_pinned_classes_keep_their_digit_and_letters_are_told(run: Callable[..., Any]) -> None:
    pinned = [{**each, "shortcut": {1: "3", 12: "1", 5: "q"}.get(each["class_id"])} for each in CLASSES]
    many = run("choices", "rows", ITEM, pinned)
    assert [row["class_id"] for row in many] == [12, 7, 1, 2, 3, 4, 5, 6, 8]
    assert [row["digit"] for row in many] == list(range(1, 10))
    assert [row["key"] for row in many] == [""] * 6 + ["q", "", ""]
    assert [row["class_id"] for row in run("choices", "rows", {**ITEM, "blind": True}, pinned)][:4] == [12, 2, 1, 3]
    few = run(
        "choices", "rows", ITEM, [{**each, "shortcut": "7" if each["class_id"] == 2 else None} for each in CLASSES[:3]]
    )
    assert [row and row["class_id"] for row in few] == [1, 3, None, None, None, None, 2]
    gone = run("choices", "rows", ITEM, CLASSES[:6] + CLASSES[7:])
    assert [row["class_id"] for row in gone][:2] == [2, 1], "a suggested class that was retired since is not shown"
    assert run("choices", "standing", ITEM["suggestions"], [{"class_id": 2, "name": "New"}]) == [
        {"class_id": 2, "name": "New", "probability": 0.4}
    ]


def test_where_a_class_goes_when_it_is_moved(run: Callable[..., Any]) -> None:
    """a, b(c(d), e), f"""
    tree = [
        {"class_id": at, "name": name, "parent_id": parent, "count": 0}
        for at, name, parent in ((1, "a", None), (2, "b", None), (3, "c", 2), (4, "d", 3), (5, "e", 2), (6, "f", None))
    ]

    def step(class_id: int, how: str) -> Any:
        return run("classes_model", "step", tree, class_id, how)

    assert step(1, "up") is None
    assert step(1, "down") == {"parent_id": None, "before": 6}
    assert step(6, "up") == {"parent_id": None, "before": 2}
    assert step(6, "down") is None
    assert step(6, "in") == {"parent_id": 2, "before": None}
    assert step(1, "in") is None
    assert step(1, "out") is None
    assert step(5, "out") == {"parent_id": None, "before": 6}
    assert step(4, "out") == {"parent_id": 2, "before": 5}

    def drop(class_id: int, over: int, share: float) -> Any:
        return run("classes_model", "drop", tree, class_id, over, share)

    assert drop(6, 5, 0.1) == {"parent_id": 2, "before": 5, "where": "ahead"}
    assert drop(6, 3, 0.9) == {"parent_id": 2, "before": 5, "where": "behind"}
    assert drop(6, 1, 0.5) == {"parent_id": 1, "before": None, "where": "in"}
    assert drop(2, 4, 0.5) is None, "never under itself"
    rows = run("classes_model", "rows", {"classes": tree, "gone": []})
    assert [row["depth"] for row in rows] == [0, 0, 1, 2, 1, 0]
    found = run("classes_model", "rows", {"classes": tree, "gone": []}, "D")
    assert [(row["name"], row["path"], row["depth"]) for row in found] == [("d", "b › c", 0)]


def test_a_status_without_its_classes_keeps_the_list_and_takes_the_new_counts(run: Callable[..., Any]) -> None:
    before = {"classes": [{"class_id": 7, "name": "Kind 7", "count": 1}, {"class_id": 2, "name": "Kind 2", "count": 3}]}
    told = run("status", "complete", {"images": 9, "classes": None, "class_counts": [[7, 4]]}, before)
    assert told["images"] == 9
    assert [(each["name"], each["count"]) for each in told["classes"]] == [("Kind 7", 4), ("Kind 2", 0)]
    assert run("status", "complete", before, None) == before


def test_keys_mean_the_same_on_other_keyboards(run: Callable[..., Any]) -> None:
    def meaning(key: str, code: str = "", **flags: bool) -> Any:
        return run("keys", "meaning", {"key": key, "code": code, "target": None, **flags})

    assert meaning("3", "Digit3") == {"action": "digit", "digit": 3}
    assert meaning("&", "Digit1") == {"action": "digit", "digit": 1}, "AZERTY's unshifted row"
    assert meaning("/", "Digit7", shiftKey=True) == {"action": "search"}, "the German slash"
    assert meaning("X", "KeyX", shiftKey=True) == {"action": "reject"}
    assert meaning("x", ctrlKey=True) is None
    assert meaning("1", "Digit1", repeat=True) is None
    assert meaning("z", "KeyZ", repeat=True) == {"action": "undo"}


def test_maps_are_smooth_and_their_contour_encloses_the_hill(run: Callable[..., Any]) -> None:
    grid = {"values": [1.0 if index == 12 else 0.0 for index in range(25)], "width": 5, "height": 5}
    smooth = run("maps", "resample", {**grid, "values": [0.5] * 25}, 40, 40)
    assert all(abs(value - 0.5) < 1e-5 for value in _values(smooth)), "a flat map stays flat"
    hill = _values(run("maps", "resample", grid, 40, 40))
    assert max(range(1600), key=hill.__getitem__) // 40 in (19, 20)
    lines = run("maps", "segments", hill, 40, 40, 0.2)
    assert len(lines) > 12
    assert all(0.3 < value < 0.7 for line in lines for value in line), "the ring lies around the middle"


def _values(smooth: dict[str, Any]) -> list[float]:
    values = smooth["values"]
    return [values[str(index)] for index in range(len(values))] if isinstance(values, dict) else list(values)


def test_plots_have_round_ticks(run: Callable[..., Any]) -> None:
    assert run("plots", "ticks", 8, 138, 6) == [50, 100]
    assert run("plots", "ticks", 0, 1, 4) == [0, 0.5, 1]
    assert run("view", "fitted", 320, 240, 800, 300) == {"width": 400, "height": 300}


def test_a_page_holds_as_many_images_as_stay_large_enough(run: Callable[..., Any]) -> None:
    wide = run("grid_layout", "layout", 1336, 620)
    assert (wide["count"], wide["columns"]) == (24, 6)
    phone = run("grid_layout", "layout", 396, 560)
    assert 6 <= phone["count"] < 24
    assert phone["picture"] >= 118
    assert phone["columns"] * (phone["cell"][0] + 6) - 6 <= 396
    assert run("grid_layout", "layout", 100, 100)["count"] == 6
    assert run("grid_layout", "fit", 1, 2000, 2000)["cell"] == [440, 330], "a lone image does not fill the wall"
    assert run("grid_layout", "step", 5, "ArrowRight", 12, 6) == 6
    assert run("grid_layout", "step", 5, "ArrowDown", 12, 6) == 11
    assert run("grid_layout", "step", 3, "ArrowUp", 12, 6) == 3
    assert run("grid_layout", "step", 3, "End", 12, 6) == 11


def test_keys_mean_something_else_in_each_mode(run: Callable[..., Any]) -> None:
    def meaning(key: str, mode: str, **flags: bool) -> Any:
        return run("mode_keys", "meaning", {"key": key, "target": None, **flags}, mode)

    assert [meaning("y", mode) for mode in ("single", "yesno", "grid")] == ["yesno", "yes", "yesno"]
    assert [meaning("Enter", mode) for mode in ("single", "yesno", "grid")] == [None, "yes", "confirm"]
    assert [meaning("n", mode) for mode in ("single", "yesno", "grid")] == [None, "no", None]
    assert meaning("G", "single") == "grid"
    assert meaning("g", "single", ctrlKey=True) is None
    assert meaning(" ", "grid", repeat=True) is None
    assert meaning("ArrowDown", "grid", repeat=True) == "move"
    told = {"mode": "grid", "name": "Song Sparrow", "seconds": 0.43, "instead": 2.1}
    assert run("modes", "proposal", told) == {
        "key": "g", "way": "grid for Song Sparrow", "cost": "about 0.4 s an image instead of 2.1",
    }  # fmt: skip
    told = {"mode": "single", "name": None, "seconds": 1.96, "instead": 4}
    assert run("modes", "proposal", told)["way"] == "single images"
