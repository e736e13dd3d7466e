"""Neighbours, clusters and typicality against plain arithmetic."""

import numpy as np
import pytest

from model import errors, neighbours, neighbours_gpu


def test_kmeans_is_the_same_for_a_seed_and_finds_clear_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(4, 6) * 20
    points = np.repeat(centres, 25, axis=0) + rng.normal(size=(100, 6))
    centroids, assignment = neighbours.kmeans(points, 4, 3)
    again, same = neighbours.kmeans(points, 4, 3)
    np.testing.assert_array_equal(centroids, again)
    np.testing.assert_array_equal(assignment, same)
    distances = ((points[:, None].astype(np.float32) - centroids[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(assignment, distances.argmin(axis=1))
    assert neighbours.kmeans(points[:3], 9, 0)[0].shape == (3, 6)


def test_nearest_per_class_is_the_brute_force_answer() -> None:
    rng = np.random.default_rng(1)
    query, labelled, labels = rng.normal(size=(6, 5)), rng.normal(size=(40, 5)), rng.integers(3, size=40)
    wanted = [[0, 2], [1, 0], [2, 1], [0, 1], [7, 0], [1, 2]]
    found = neighbours.nearest_per_class(query, labelled, labels, wanted, per_class=2)
    for m, row in enumerate(found):
        assert [c for c, _ in row] == wanted[m]
        for c, positions in row:
            members = np.flatnonzero(labels == c)
            order = members[np.argsort(((labelled[members] - query[m]) ** 2).sum(axis=1))]
            assert positions == order[:2].tolist()


@pytest.mark.parametrize("few", [0, 50])
def test_the_nearest_one_is_the_brute_force_answer(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "FEW", few)  # by FAISS, and by NumPy
    rng = np.random.default_rng(2)
    query, reference = rng.normal(size=(300, 7)).astype(np.float32), rng.normal(size=(50, 7)).astype(np.float32)
    query[5] = reference[3]
    squared_M1, at_M1 = neighbours.nearest(query, reference, 1)
    distances_MN = ((query[:, None] - reference) ** 2).sum(axis=2)
    np.testing.assert_array_equal(at_M1[:, 0], distances_MN.argmin(axis=1))
    np.testing.assert_allclose(squared_M1[:, 0], distances_MN.min(axis=1), atol=1e-5)
    assert squared_M1[5, 0] >= 0


def test_typicality_is_the_inverse_mean_distance() -> None:
    points = np.array([[0.0], [1.0], [2.0], [30.0]])
    found = neighbours.typicality(points, neighbours=2)
    np.testing.assert_allclose(found, [1 / 1.5, 1.0, 1 / 1.5, 1 / 28.5], rtol=1e-5)
    assert neighbours.typicality(points[:1]).tolist() == [1.0]


def test_what_is_not_finite_is_named() -> None:
    with pytest.raises(errors.NotFinite, match="query_MD is not finite in row 1"):
        neighbours.nearest([[0.0], [np.nan]], [[1.0]], 1)
    with pytest.raises(errors.BadInput, match="two axes"):
        neighbours.kmeans([1.0, 2.0], 1, 0)


def test_normalise_ignores_scale_and_constant_columns() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(30, 4))
    scaled = points * np.array([1, 100, 0.01, 5]) + 7
    np.testing.assert_allclose(neighbours.normalise(points), neighbours.normalise(scaled), atol=1e-3)
    assert np.isfinite(neighbours.normalise(np.ones((3, 2)))).all()


@pytest.mark.parametrize(("cpu_s", "gpu_s", "chosen"), [(0.2, 0.1, True), (0.1, 0.2, False), (None, None, False)])
def test_the_gpu_is_used_where_it_was_measured_faster_and_for_large_work_only(
    cpu_s: float | None, gpu_s: float | None, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = neighbours_gpu.Choice(cpu_s, gpu_s, "" if cpu_s else "none here")
    monkeypatch.setattr(neighbours_gpu, "choice", lambda: measured)
    assert neighbours._on_gpu(neighbours.SMALL_WORK) is chosen
    assert not neighbours._on_gpu(neighbours.SMALL_WORK / 2)
    assert not neighbours._on_gpu(neighbours.SMALL_WORK, count=5000)
    assert str(measured).startswith("GPU" if chosen else "CPU")


@pytest.fixture
def faiss_gpu() -> None:
    if neighbours_gpu.choice().gpu_s is None:
        pytest.skip(f"no GPU for faiss: {neighbours_gpu.choice().why}")


@pytest.mark.usefixtures("faiss_gpu")
def test_a_gpu_finds_what_the_cpu_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours_gpu, "RESIDENT", 2**20)  # in three pieces
    rng = np.random.default_rng(4)
    query, reference = (rng.normal(size=(n, 64)).astype(np.float32) for n in (300, 9000))
    distances, positions = neighbours_gpu.nearest(query, reference, 7)
    exact = ((query[:, None] - reference[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :7], rtol=1e-3)
    assert (positions == np.argsort(exact, axis=1)[:, :7]).mean() > 0.99


@pytest.mark.usefixtures("faiss_gpu")
def test_a_gpu_clusters_as_the_cpu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND = np.random.default_rng(5).normal(size=(4000, 16)).astype(np.float32)
    spread = []
    for gpu in (False, True):
        monkeypatch.setattr(neighbours, "_on_gpu", lambda work, count=1, gpu=gpu: gpu)
        centroids_KD, cluster_N = neighbours.kmeans(x_ND, 30, 3)
        spread.append(float(((x_ND - centroids_KD[cluster_N]) ** 2).sum(axis=1).mean()))
    assert spread[1] == pytest.approx(spread[0], rel=0.02)


def test_large_but_finite_numbers_are_finite() -> None:
    assert neighbours.is_finite(np.full((3, 4), 1e30, dtype=np.float32))
    assert not neighbours.is_finite(np.array([[1e30, np.inf]], dtype=np.float32))
    assert neighbours.sum_of_squares(np.arange(6, dtype=np.float32).reshape(2, 3)) == 55.0
