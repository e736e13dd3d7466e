"""Conditions of a simulation do what they say, to the image, and are the same for every strategy."""

import numpy as np
import pytest

from app import errors, simulate_arm, simulate_conditions, simulate_data, simulate_work
from app.simulate_conditions import Conditions


def _material(classes: int = 6, each: int = 50) -> simulate_data.Material:
    rng = np.random.default_rng(0)
    labels_N = np.repeat(np.arange(classes), each)
    points = np.eye(classes)[labels_N] * 3 + rng.normal(size=(len(labels_N), classes))
    names = [f"class {k}" for k in range(classes)]
    return simulate_data.Material("points", names, labels_N, None, None, points.astype(np.float32))


def test_noise_names_another_class_for_exactly_its_share() -> None:
    world = simulate_conditions.build(_material(), Conditions(noise=0.2), 3)
    wrong = world.said_P != world.truth_P
    assert wrong.sum() == round(0.2 * len(world.truth_P))
    assert (world.said_P >= 0).all()
    assert len(np.unique(world.said_P[wrong] - world.truth_P[wrong])) > 4  # uniform over the others, not one of them


def test_a_tail_falls_geometrically_and_leaves_the_test_alone() -> None:
    world = simulate_conditions.build(_material(), Conditions(tail=10.0), 1)
    counts = np.sort(np.bincount(world.truth_P))[::-1]
    np.testing.assert_allclose(counts, 30 * 10 ** -(np.arange(6) / 5), atol=0.51)
    assert np.bincount(world.test_labels_T).tolist() == [20] * 6


def test_images_of_other_classes_are_a_share_of_the_pool_and_rejected() -> None:
    world = simulate_conditions.build(_material(), Conditions(out_of_class=0.3), 2)
    outside = world.truth_P == simulate_conditions.OUTSIDE
    assert len(world.class_names) == 4  # a third of six is not learnt
    assert outside.mean() == pytest.approx(0.3, abs=0.005)
    assert (world.said_P[outside] == simulate_conditions.REJECTED).all()
    assert set(world.test_labels_T) == {0, 1, 2, 3}


def test_copies_lie_beside_their_originals_and_the_pool_keeps_its_size() -> None:
    material = _material()
    plain, world = (simulate_conditions.build(material, c, 2) for c in (Conditions(), Conditions(duplicates=0.3)))
    assert len(world.images_P) == len(plain.images_P)
    assert world.copies_P.sum() == round(0.3 * len(plain.images_P))
    x_PD, exact_PD = world.pool_of(material.embeddings_ND), world.pool_of(material.embeddings_ND, jitter=False)
    apart_P = np.linalg.norm(x_PD - exact_PD, axis=1)
    assert (apart_P[~world.copies_P] == 0).all()
    assert (apart_P[world.copies_P] > 0).all()
    assert apart_P.max() < 0.1 * np.linalg.norm(material.embeddings_ND.std(axis=0))


@pytest.mark.parametrize("conditions", simulate_conditions.GRID, ids=lambda each: each.name)
def test_all_arms_of_a_seed_begin_alike_under_every_condition(conditions: Conditions) -> None:
    plan = simulate_arm.Plan(("random", "margin", "entropy"), budget=10, batch=10, seeds=1, conditions=conditions)
    points = simulate_work.run(_material(), simulate_work.jobs_of(plan))
    first = [{k: v for k, v in p[0].items() if k != "fit_seconds"} for p in points.values()]
    assert first[0] == first[1] == first[2]


def test_what_cannot_be_is_refused_by_value() -> None:
    for conditions, words in (
        (Conditions(noise=1.2), "1.2"),
        (Conditions(tail=0.5), "0.5"),
        (Conditions(duplicates=-0.1), "-0.1"),
    ):
        with pytest.raises(errors.BadRequest, match=words):
            simulate_conditions.build(_material(), conditions, 0)
    with pytest.raises(errors.BadRequest, match="too few"):
        simulate_conditions.build(_material(classes=2), Conditions(out_of_class=0.3), 0)
