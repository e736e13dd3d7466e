"""What an arm sees under conditions: answers, accuracy on a tail, names of classes, the images it begins with."""

import numpy as np
import pytest

from app import simulate_arm, simulate_conditions, simulate_data


def _material(classes: int = 6, pool: int = 40, test: int = 10) -> simulate_data.Material:
    labels = np.tile(np.repeat(np.arange(classes), [pool] * classes), 1)
    labels = np.concatenate([labels, np.repeat(np.arange(classes), test)])
    split = np.repeat([simulate_data.POOL, simulate_data.TEST], [classes * pool, classes * test])
    rng = np.random.default_rng(0)
    points = rng.normal(size=(len(labels), 8)) + 3 * np.eye(classes, 8)[labels]
    names = [f"class {k}" for k in range(classes)]
    return simulate_data.Material("points", names, labels, split, None, points.astype(np.float32))


def _world(seed: int = 0, **conditions: float) -> simulate_conditions.World:
    return simulate_conditions.build(_material(), simulate_conditions.Conditions(**conditions), seed)


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_noise_is_that_share_of_answers_and_uniform_among_the_other_classes(share: float) -> None:
    worlds = [_world(seed, noise=share) for seed in range(40)]
    shifts = []
    for world in worlds:
        wrong = world.said_P != world.truth_P
        assert wrong.sum() == round(share * 240)
        shifts.extend(((world.said_P - world.truth_P) % 6)[wrong])
    counts = np.bincount(shifts, minlength=6)
    assert counts[0] == 0
    assert abs(counts[1:] / counts.sum() - 1 / 5).max() < 0.05
    assert (worlds[0].test_labels_T == _world().test_labels_T).all()


def test_on_a_long_tail_accuracy_is_the_mean_over_classes() -> None:
    material = _material()
    dropped = np.flatnonzero((material.split_N == simulate_data.TEST) & (material.labels_N == 0))[2:]
    material.split_N[dropped] = -1  # two test images of class 0, ten of each other
    plan = simulate_arm.Plan(("random",), budget=8, batch=8, conditions=simulate_conditions.Conditions(tail=10))
    shared = simulate_arm.ready(material, plan, 0)
    arm = simulate_arm._Arm("random", 0, shared.world, shared.prepared, shared.test_TD, np.random.default_rng(0))
    arm.asked = arm.batch = [0]
    always_0 = np.log(np.tile([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], (len(shared.test_TD), 1)))
    assert simulate_arm._point(arm, plan, always_0)["accuracy"] == pytest.approx(1 / 6)


def test_out_of_class_images_are_that_share_are_rejected_and_never_tested() -> None:
    material = _material()
    for seed in range(5):
        world = _world(seed, out_of_class=0.3)
        outside = world.truth_P == simulate_conditions.OUTSIDE
        assert outside.sum() == round(0.3 / 0.7 * 160) == 69
        assert (world.said_P[outside] == simulate_conditions.REJECTED).all()
        assert len(world.class_names) == 4  # a third of six is not to be learnt
        assert set(world.test_labels_T) == {0, 1, 2, 3}
        true = [material.class_names[k] for k in material.labels_N[world.test_T]]
        assert true == [world.class_names[k] for k in world.test_labels_T]
        inside = [material.class_names[k] for k in material.labels_N[world.images_P[~outside]]]
        assert inside == [world.class_names[k] for k in world.truth_P[~outside]]
    assert len(_world(0, out_of_class=0.6).class_names) == 2  # as many classes as the share needs
    assert len({tuple(_world(seed, out_of_class=0.3).class_names) for seed in range(5)}) > 1


def test_conditions_go_together_and_depend_on_the_seed_alone() -> None:
    all_of_them = {"noise": 0.2, "tail": 10.0, "out_of_class": 0.3, "duplicates": 0.3}
    one, two, other = _world(1, **all_of_them), _world(1, **all_of_them), _world(2, **all_of_them)
    np.testing.assert_array_equal(one.images_P, two.images_P)
    np.testing.assert_array_equal(one.said_P, two.said_P)
    assert not np.array_equal(one.images_P[: len(other.images_P)], other.images_P[: len(one.images_P)])
    inside = one.truth_P >= 0
    assert (one.said_P != one.truth_P)[inside].sum() == round(0.2 * inside.sum())
    assert one.copies_P.sum() == round(0.3 * len(one.images_P))


@pytest.mark.parametrize("conditions", simulate_conditions.GRID, ids=lambda each: each.name)
def test_with_a_shared_start_all_arms_ask_the_very_same_images_first(
    conditions: simulate_conditions.Conditions,
) -> None:
    material, begun = _material(), set()
    told: list[simulate_arm.Answers] = []

    def retrain(answers: simulate_arm.Answers, seed: int) -> np.ndarray:
        told.append(answers)
        return material.embeddings_ND

    for name in ("random", "auto", "margin"):
        plan = simulate_arm.Plan((name,), budget=8, batch=8, start="typical", rounds_at=(8,), conditions=conditions)
        simulate_arm.run(simulate_arm.ready(material, plan, 0), plan, name, 0, retrain)
        begun.add((*told[-1].labelled.tolist(), *told[-1].rejected.tolist()))
    assert len(begun) == 1
