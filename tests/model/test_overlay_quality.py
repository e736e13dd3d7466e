"""Measures of a map, on maps made by hand, against plain recomputations."""

import itertools

import numpy as np
import pytest

from model import overlay_quality as quality


def peak(top: int, left: int, height: int, width: int, side: int = 224) -> np.ndarray:
    map_HW = np.zeros((side, side))
    map_HW[top : top + height, left : left + width] = 1.0
    return map_HW


def plain_iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """By counting pixels, both edges belong to a box."""
    cells = [set(itertools.product(range(x0, x1 + 1), range(y0, y1 + 1))) for x0, y0, x1, y1 in (a, b)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def test_the_box_of_a_region_and_the_best_of_two() -> None:
    two = peak(10, 20, 30, 40) + peak(100, 120, 50, 60)
    box = (24 / 224, 12 / 224, 66 / 224, 44 / 224)
    wanted = plain_iou((20, 10, 60, 40), (24, 12, 66, 44))
    found = quality.box_ious(two, box)
    assert found == pytest.approx(np.full(100, wanted)), "the small region's box, whatever the threshold"
    assert quality.box_ious(peak(100, 120, 50, 60), box).max() == 0
    joined = two.copy()
    joined[40, 60] = joined[41:100, 61] = joined[100, 62:120] = 1.0  # by a corner
    joined_box = plain_iou((20, 10, 180, 150), (24, 12, 66, 44))
    assert quality.box_ious(joined, box) == pytest.approx(np.full(100, joined_box))


def test_a_lower_threshold_gives_a_larger_box() -> None:
    map_HW = peak(50, 50, 100, 100) / 2 + peak(90, 90, 20, 20) / 2
    outer, inner = (50, 50, 150, 150), (90, 90, 110, 110)
    found = quality.box_ious(map_HW, [edge / 224 for edge in outer])
    assert found[:50] == pytest.approx(np.ones(50))
    assert found[50:] == pytest.approx(np.full(50, plain_iou(inner, outer)))
    assert quality.box_ious(np.full((7, 7), 0.3), (0, 0, 1, 1)).max() == 0, "the same everywhere: no region"
    assert quality.box_ious(np.full((7, 7), np.nan), (0, 0, 1, 1)).max() == 0


def test_one_threshold_counts_for_the_whole_set_and_each_iou_has_its_own() -> None:
    ious_NT = np.zeros((2, 100))
    ious_NT[0, 10], ious_NT[1, 20], ious_NT[:, 30] = 0.8, 0.75, 0.4
    v2, rates, taus = quality.max_box_acc(ious_NT)
    assert rates == [1.0, 0.5, 0.5]
    assert v2 == pytest.approx(2 / 3)
    assert taus == [0.3, 0.1, 0.1]


def test_energy_is_compared_with_the_box_share() -> None:
    box = (0.25, 0.25, 0.75, 0.75)
    assert quality.energy_lift(np.ones((8, 8)), box) == pytest.approx(1.0)
    assert quality.energy_lift(peak(60, 60, 100, 100), box) == pytest.approx(4.0)
    half = peak(60, 60, 50, 50) + peak(0, 0, 50, 50)
    assert quality.energy_lift(half, box) == pytest.approx(2.0)
    assert quality.energy_lift(-half, box) == quality.energy_lift(0 * half, box) == 1.0


def test_class_sensitivity() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 5)), rng.random((5, 5))
    centred = [(each - each.mean()).ravel() for each in (a, b)]
    plain = 1 - centred[0] @ centred[1] / np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
    assert quality.class_sensitivity(a, b) == pytest.approx(plain)
    assert quality.class_sensitivity(a, a) == quality.class_sensitivity(0 * a, 0 * a) == 0
    assert quality.class_sensitivity(a, -a) == pytest.approx(2)
    assert np.isnan(quality.class_sensitivity(a, 0 * a))


def white_share(images: np.ndarray) -> np.ndarray:
    """A classifier that sees one corner: the first class is as likely as that quarter is white."""
    share = images[:, :4, :4].mean((1, 2, 3)) / 255
    return np.stack([share, 1 - share], axis=1)


def test_deletion_and_insertion_follow_the_order_of_the_cells() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :4] = 255
    grid, black = (2, 2), (0.0, 0.0, 0.0)
    first = quality.curves(image, np.array([0, 1, 2, 3]), grid, white_share, mean=black)
    last = quality.curves(image, np.array([3, 2, 1, 0]), grid, white_share, mean=black)
    assert first[0] == pytest.approx((1 / 2 + 0 + 0 + 0 + 0) / 4), "gone after one of four cells"
    assert last[0] == pytest.approx((1 / 2 + 1 + 1 + 1 + 0) / 4)
    blurred = white_share(_blurred(image)[None])[0, 0]
    assert first[1] == pytest.approx((blurred / 2 + 1 + 1 + 1 + 1 / 2) / 4)
    assert last[1] == pytest.approx((blurred / 2 + 3 * blurred + 1 / 2) / 4, abs=0.01)


def _blurred(image: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    soft = [ndimage.gaussian_filter(image[..., c].astype(np.float32), sigma=8 * 5 / 224) for c in range(3)]
    return np.clip(np.round(np.stack(soft, axis=-1)), 0, 255).astype(np.uint8)


def test_many_cells_go_in_equal_parts_and_ties_by_place() -> None:
    assert quality.order(np.array([[0.1, 0.9], [np.nan, 0.9]])).tolist() == [1, 3, 0, 2]
    seen: list[int] = []
    image = np.full((40, 40, 3), 200, np.uint8)

    def count(images: np.ndarray) -> np.ndarray:
        seen.extend((images[: quality.STEPS + 1] != 200).all(-1).sum((1, 2)).tolist())
        return np.ones((len(images), 2)) / 2

    quality.curves(image, quality.order(np.zeros((10, 10))), (10, 10), count, mean=(0, 0, 0))
    assert seen == [5 * 16 * step for step in range(21)]
    assert quality.area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
