"""The score of bad pictures: learns from one reject, says nothing without any, leaves ordinary images alone; looks."""

import numpy as np
import pytest

from model import bad_images, errors, looks


def _pictures(count: int = 120) -> np.ndarray:
    """Noisy grey pictures; the first six are black, the next six flat."""
    rng = np.random.default_rng(0)
    found = np.clip(rng.normal(rng.uniform(90, 160, (count, 1, 1, 1)), 40, (count, 24, 24, 3)), 0, 255)
    found[:6], found[6:12] = found[:6] * 0.02, 120 + 0.02 * found[6:12]
    return found.astype(np.uint8)


def _space(count: int = 120) -> np.ndarray:
    """Embeddings in which the black pictures lie apart and the flat ones hardly."""
    x_NR = np.random.default_rng(1).normal(size=(count, 16)).astype(np.float32)
    x_NR[:6, 0] += 6
    x_NR[6:12, 1] += 1
    return x_NR / np.linalg.norm(x_NR, axis=1, keepdims=True)


def test_one_reject_finds_its_like_by_looks_and_embedding_and_leaves_the_others() -> None:
    looks_NF, x_NR = looks.of(_pictures()), _space()
    for rejected, alike, other in ((0, slice(1, 6), slice(6, 12)), (6, slice(7, 12), slice(0, 6))):
        found = bad_images.probability(x_NR, looks_NF, rejected=[rejected], ordinary=np.arange(20, 60))
        assert found.shape == (120,)
        assert (found[alike] > 0.5).mean() >= 0.8
        assert found[other].max() < 0.5
        assert (found[12:] < 0.5).all()
    both = bad_images.probability(x_NR, looks_NF, rejected=[0, 6], ordinary=np.arange(20, 60))
    assert np.sort(both[12:])[-1] < 0.5 < np.median(both[:12])


def test_without_rejects_nothing_and_without_looks_the_embeddings_tell() -> None:
    x_NR = _space()
    assert not bad_images.probability(x_NR, None, rejected=[]).any()
    found = bad_images.probability(x_NR, None, rejected=[0, 1], ordinary=np.arange(20, 60))
    assert found[2:6].min() > found[12:].max()
    unknown = np.full((120, looks.KINDS), np.nan, np.float32)
    np.testing.assert_array_equal(
        bad_images.probability(x_NR, unknown, rejected=[0, 1], ordinary=np.arange(20, 60)), found
    )


def test_what_people_label_is_no_bad_picture() -> None:
    looks_NF, x_NR = looks.of(_pictures()), _space()
    before = bad_images.probability(x_NR, looks_NF, rejected=[0], ordinary=np.arange(20, 60))
    after = bad_images.probability(x_NR, looks_NF, rejected=[0], ordinary=[*range(20, 60), 1, 2, 3, 4])
    assert (before[1:6] > 0.5).all()
    assert (after[[1, 2, 3, 4]] <= 0.5).all()


def test_many_rejects_are_grouped() -> None:
    found = bad_images.probability(_space(), None, rejected=np.arange(50), ordinary=[])
    assert np.isfinite(found).all()
    assert found[:6].mean() > found[60:].mean()


def test_positions_outside_are_refused() -> None:
    with pytest.raises(errors.BadInput, match="rejected positions"):
        bad_images.probability(_space(), None, rejected=[120])


def test_looks_tell_brightness_contrast_sharpness_and_what_is_clipped() -> None:
    black, white = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 255, np.uint8)
    checks = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)[None, :, :, None].repeat(3, axis=3)
    found = looks.of(np.concatenate([black, white, checks]))
    np.testing.assert_allclose(found[0], [0, 0, 0, 1, 0])
    np.testing.assert_allclose(found[1], [255, 0, 0, 0, 1])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found[2], [127.5, np.log1p(127.5), np.log1p(4 * 255), half, half], rtol=1e-6)
