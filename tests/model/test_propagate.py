"""A marked region is found again in other images: hand-made features, and the drawn beetles whose mark is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model import config, errors, predict, propagate
from model.data import demo
from model.network import raum_net

GRID, CHANNELS = 10, 16


def planted(places: list[tuple[int, int]], seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Noise with the same thing, 3 x 2 cells, at these (column, row) -> features and true boxes x, y, w, h."""
    rng = np.random.default_rng(seed)
    thing = np.linspace(2.0, 3.0, 4)
    features = rng.normal(0, 0.5, (len(places), CHANNELS, GRID, GRID)).astype(np.float32)
    features += rng.normal(0, 3.0, (len(places), CHANNELS, 1, 1)).astype(np.float32)  # each image its own background
    for at, (column, row) in enumerate(places):
        features[at, :4, row : row + 2, column : column + 3] += thing[:, None, None].astype(np.float32)
    return features, np.array([(c / GRID, r / GRID, 3 / GRID, 2 / GRID) for c, r in places])


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    over = np.clip(np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(over / (a[2:].prod() + b[2:].prod() - over))


def test_what_was_marked_once_is_found_elsewhere_on_any_background() -> None:
    marked, boxes_14 = planted([(4, 4)], seed=0)
    others, true_N4 = planted([(0, 0), (7, 8), (2, 5), (6, 1)], seed=1)
    found_N4, scores_N = propagate.find(propagate.learn(marked, boxes_14), others)
    assert [iou(a, b) for a, b in zip(found_N4, true_N4, strict=True)] == pytest.approx([1, 1, 1, 1], abs=0.2)
    assert (found_N4[:, :2] >= 0).all()
    assert (found_N4[:, :2] + found_N4[:, 2:] <= 1 + 1e-9).all()
    assert scores_N.min() > 0.5


def test_where_the_thing_is_missing_the_score_says_so() -> None:
    marked, boxes_M4 = planted([(4, 4), (2, 6)], seed=0)
    there, _ = planted([(5, 2), (3, 3)], seed=1)
    look = propagate.learn(marked, boxes_M4)
    nothing = np.random.default_rng(2).normal(0, 0.5, there.shape).astype(np.float32)
    assert propagate.find(look, nothing)[1].max() < 0.3 < 0.6 < propagate.find(look, there)[1].min()


def test_an_image_that_says_nothing_gets_the_place_of_the_marks() -> None:
    marked, boxes_14 = planted([(4, 3)], seed=0)
    found_N4, scores_N = propagate.find(propagate.learn(marked, boxes_14), np.zeros_like(marked))
    assert found_N4[0] == pytest.approx(boxes_14[0])
    assert scores_N[0] == 0.0


def test_a_box_of_the_whole_image_finds_the_whole_image() -> None:
    marked, _ = planted([(4, 3)], seed=0)
    found_N4, scores_N = propagate.find(propagate.learn(marked, [(0.0, 0.0, 1.0, 1.0)]), marked)
    assert found_N4[0] == pytest.approx((0, 0, 1, 1))
    assert 0.0 <= scores_N[0] <= 1.0


@pytest.mark.parametrize("boxes", [[], [(0.1, 0.1, 0.2)], [(0.1, 0.1, 0.0, 0.2)], [(np.nan, 0.1, 0.2, 0.2)]])
def test_what_is_no_box_is_refused(boxes: list[tuple[float, ...]]) -> None:
    with pytest.raises(errors.BadInput, match="boxes_M4"):
        propagate.learn(planted([(4, 3)], seed=0)[0], boxes)


def test_what_is_no_feature_map_is_refused() -> None:
    marked, boxes_14 = planted([(4, 3)], seed=0)
    look = propagate.learn(marked, boxes_14)
    with pytest.raises(errors.BadInput, match="shape"):
        propagate.find(look, marked[0])
    with pytest.raises(errors.BadInput, match="channels"):
        propagate.find(look, marked[:, :3])
    with pytest.raises(errors.NotFinite):
        propagate.find(look, np.full_like(marked, np.nan))


def test_one_marked_beetle_finds_the_mark_of_most_others() -> None:
    net = raum_net.build(config.for_backbone("vmamba_nano", num_classes=2))
    hits, centre = [], []
    for class_index in (0, 3, 6):
        drawn = [demo.draw(9_000 + number, class_index) for number in range(13)]
        found = predict.embed(net, np.stack([each.image for each in drawn]), keep_features=True)
        edges_N4 = np.array([each.region for each in drawn]) / demo.SIDE
        true_N4 = np.concatenate([edges_N4[:, :2], edges_N4[:, 2:] - edges_N4[:, :2]], axis=1)
        look = propagate.learn(found.features_NDHW[:1], true_N4[:1])
        boxes_N4, _ = propagate.find(look, found.features_NDHW[1:])
        hits += [iou(a, b) >= 0.3 for a, b in zip(boxes_N4, true_N4[1:], strict=True)]
        centre += [iou(true_N4[0], b) >= 0.3 for b in true_N4[1:]]
    assert np.mean(hits) >= 0.8
    assert np.mean(hits) > np.mean(centre), "better than to put the first box on every image"
