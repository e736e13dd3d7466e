"""Nearest neighbours, k-means and typicality over embeddings, by FAISS; the same seed gives the same answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import numpy.typing as npt

from model import chunks, errors, neighbours_gpu
from model.faiss_kernels import faiss

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

FEW = 8192  # rows among which NumPy finds the nearest one
SMALL_WORK = 2e9  # multiplications below which one thread does it: beside a training round, threads that
# wait for each other made 0.03 s of work take 8 s on 2 busy cores
TYPICAL_NEIGHBOURS = 20  # TypiClust (Hacohen et al. 2022) uses min(20, half the cluster)


def matrix(name: str, values: npt.ArrayLike) -> Floats:
    """`values` as a contiguous float32 matrix; BadInput or NotFinite by name."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2:
        raise errors.BadInput(f"{name} must have two axes (rows, dimensions), it has shape {array.shape}")
    if not is_finite(array):
        finite = np.isfinite(array).all(axis=1)
        raise errors.NotFinite(
            f"{name} is not finite in row {int(np.argmin(finite))} ({int((~finite).sum())} such rows)"
        )
    return array


def is_finite(array: npt.NDArray[np.floating]) -> bool:
    """Whether all values are, read a piece at a time (the mask of a large array would be a quarter of its size)."""
    found: list[bool] = []

    def work(rows: slice) -> None:
        found.append(_is_finite_piece(array[rows]))

    chunks.each(work, len(array), array[:1].size)
    return all(found)


def _is_finite_piece(piece: npt.NDArray[np.floating]) -> bool:
    if piece.dtype == np.float16:  # by its bits: twenty times as fast
        return int((piece.view(np.uint16) & 0x7C00).max(initial=0)) < 0x7C00
    return math.isfinite(_squared_length(piece)) or bool(np.isfinite(piece).all())  # large squares may overflow


def sum_of_squares(x_ND: Floats) -> float:
    """Of all values, read a piece at a time."""
    found: list[float] = []

    def work(rows: slice) -> None:
        found.append(_squared_length(x_ND[rows]))

    chunks.each(work, *x_ND.shape)
    return math.fsum(found)


def _squared_length(piece: npt.NDArray[np.floating]) -> float:
    flat = piece.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.dot(flat, flat))


def normalise(embeddings_ND: npt.ArrayLike) -> Floats:
    """Columns standardised over all rows, then every row to length one: cosine distance between like scales."""
    x_ND = matrix("embeddings_ND", embeddings_ND)
    spread_D = x_ND.std(axis=0)
    z_ND = (x_ND - x_ND.mean(axis=0)) / np.where(spread_D > 1e-6, spread_D, 1.0)
    length_N1 = np.linalg.norm(z_ND, axis=1, keepdims=True)
    return np.asarray(z_ND / np.maximum(length_N1, 1e-12), dtype=np.float32)


@contextmanager
def threads_for(work: float) -> Iterator[None]:
    """FAISS with one thread for `work` (multiplications) that is small, with all it has otherwise."""
    usual = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if work < SMALL_WORK else usual)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(usual)


def _on_gpu(work: float, count: int = 1) -> bool:
    """Large work only, where the GPU has been measured faster; below it the trip to the card costs more."""
    return work >= SMALL_WORK and count <= neighbours_gpu.MOST_NEIGHBOURS and neighbours_gpu.choice().gpu


def kmeans(
    embeddings_ND: npt.ArrayLike,
    k: int,
    seed: int,
    *,
    iterations: int = 20,
    restarts: int = 1,
    weights_N: npt.NDArray[np.floating] | None = None,
) -> tuple[Floats, Ints]:
    """Lloyd's k-means, the best of `restarts` -> (centroids_KD, assignment_N); never more clusters than rows."""
    x_ND = matrix("embeddings_ND", embeddings_ND)
    k = max(1, min(int(k), len(x_ND)))
    clustering = faiss.Kmeans(
        x_ND.shape[1], k, niter=iterations, nredo=restarts, seed=int(seed) % (2**31), min_points_per_centroid=1
    )
    work, gpu = float(x_ND.size) * k, _on_gpu(float(x_ND.size) * k)
    with threads_for(work), neighbours_gpu.alone if gpu else nullcontext():
        if gpu:
            clustering.index = neighbours_gpu.flat_index(x_ND.shape[1])
        clustering.train(x_ND, None if weights_N is None else np.asarray(weights_N, dtype=np.float32))
        _, nearest_N1 = clustering.index.search(x_ND, 1)
    centroids_KD = np.asarray(clustering.centroids, dtype=np.float32).reshape(k, -1)
    return centroids_KD, np.asarray(nearest_N1[:, 0], dtype=np.int64)


def nearest(query_MD: npt.ArrayLike, reference_ND: npt.ArrayLike, count: int) -> tuple[Floats, Ints]:
    """The `count` nearest reference rows of every query -> (squared distances_MC, positions_MC), nearest first."""
    query, reference = matrix("query_MD", query_MD), matrix("reference_ND", reference_ND)
    count = min(int(count), len(reference))
    if count <= 0 or not len(query):
        return np.empty((len(query), 0), np.float32), np.empty((len(query), 0), np.int64)
    gpu = _on_gpu(float(query.size) * len(reference), count)
    if count == 1 and len(reference) <= FEW and not gpu:
        return _nearest_of_few(query, reference)
    with threads_for(float(query.size) * len(reference)):
        distances_MC, positions_MC = (neighbours_gpu.nearest if gpu else faiss.knn)(query, reference, count)
    return np.maximum(distances_MC, 0.0), np.asarray(positions_MC, dtype=np.int64)


def _nearest_of_few(query: Floats, reference: Floats) -> tuple[Floats, Ints]:
    """By one matrix product, in a third of the time that FAISS takes to look for several."""
    squares_N = np.einsum("nd,nd->n", reference, reference)
    squared_M1, at_M1 = np.empty((len(query), 1), np.float32), np.empty((len(query), 1), np.int64)

    def work(rows: slice) -> None:
        far_BN = query[rows] @ reference.T
        far_BN *= -2
        far_BN += squares_N
        at_M1[rows, 0] = at_B = far_BN.argmin(axis=1)
        squared_M1[rows, 0] = np.einsum("bd,bd->b", query[rows], query[rows]) + far_BN[np.arange(len(at_B)), at_B]

    chunks.each(work, len(query), query.shape[1] + len(reference))
    return np.maximum(squared_M1, 0.0), at_M1


def typicality(embeddings_ND: npt.ArrayLike, *, neighbours: int = TYPICAL_NEIGHBOURS) -> Floats:
    """Inverse mean distance to the `neighbours` nearest other rows (at most half of them): high in dense places.

    Hacohen et al. 2022 (TypiClust), equation 1. One row alone has typicality one.
    """
    x_ND = matrix("embeddings_ND", embeddings_ND)
    count = min(neighbours, max(1, len(x_ND) // 2))
    if len(x_ND) < 2:
        return np.ones(len(x_ND), dtype=np.float32)
    squared_NC, _ = nearest(x_ND, x_ND, count + 1)
    mean_N = np.sqrt(squared_NC).sum(axis=1) / count  # the row itself is at distance zero
    return np.asarray(1.0 / np.maximum(mean_N, 1e-6), dtype=np.float32)


def nearest_per_class(
    query_MD: npt.ArrayLike,
    labelled_ND: npt.ArrayLike,
    labels_N: npt.ArrayLike,
    classes_MK: Sequence[Sequence[int]],
    *,
    per_class: int = 1,
) -> list[list[tuple[int, list[int]]]]:
    """For every query and each of its classes, positions of the nearest labelled rows of that class, nearest first.

    `classes_MK[m]` names the classes wanted beside query m. A class without labels gives an empty list.
    """
    query, labelled = matrix("query_MD", query_MD), matrix("labelled_ND", labelled_ND)
    order_N = np.argsort(labels_N, kind="stable")
    sorted_N, x_ND = np.asarray(labels_N, dtype=np.int64)[order_N], labelled[order_N]
    squares_N = np.einsum("nd,nd->n", x_ND, x_ND)
    asking: dict[int, list[int]] = {}
    for m, row in enumerate(classes_MK):
        for c in row:
            asking.setdefault(int(c), []).append(m)
    found: list[dict[int, list[int]]] = [{} for _ in range(len(query))]
    for wanted, asked in asking.items():  # hundreds of small classes: too small for FAISS
        of = slice(*np.searchsorted(sorted_N, [wanted, wanted + 1]))
        far_AC = squares_N[of] - 2.0 * (query[asked] @ x_ND[of].T)
        near_AC = order_N[of][np.argsort(far_AC, axis=1, kind="stable")[:, :per_class]].tolist()
        for m, positions in zip(asked, near_AC, strict=True):
            found[m][wanted] = positions
    return [[(int(c), found[m][int(c)]) for c in row] for m, row in enumerate(classes_MK)]
