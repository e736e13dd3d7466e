"""Lays the embeddings of a pool out on a plane, so that images which look alike lie together; NumPy only.

Up to 100,000 images, drawn at random. Their first 50 principal components are summed up by k-means landmarks, these are laid
out by t-SNE (van der Maaten and Hinton 2008, exact), and every image is placed by its nearest landmarks, each with a small
linear map of its surroundings. Neighbourhoods can be trusted, distances between far groups cannot. Run as a program by the
page: python -m app.browse_layout EMBEDDINGS TARGET
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MOST = 100_000  # images on the map
COMPONENTS = 50
SAMPLE = 20_000  # rows that components and landmarks are found from
LANDMARKS = 800
PERPLEXITY = 20.0
AROUND = 12  # landmarks that a landmark's linear map is fitted to
NEAR = 3  # landmarks that place an image
PIECE = 4096


def layout(embeddings_ND: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """-> places_N2 from 0 to 1."""
    x_NC = components(embeddings_ND, rng)
    count = len(x_NC)
    if count < 4:
        return np.full((count, 2), 0.5, np.float32) + 0.1 * rng.standard_normal((count, 2)).astype(np.float32)
    marks_LC = x_NC if count <= LANDMARKS else kmeans(x_NC[_some(count, SAMPLE, rng)], LANDMARKS, rng)
    marks_L2 = tsne(marks_LC)
    places_N2 = marks_L2 if marks_LC is x_NC else placed(x_NC, marks_LC, marks_L2)
    low_2, high_2 = np.quantile(places_N2, 0.001, axis=0), np.quantile(places_N2, 0.999, axis=0)
    middle_2, side = (low_2 + high_2) / 2, float((high_2 - low_2).max()) * 1.06 or 1.0
    return np.clip((places_N2 - middle_2) / side + 0.5, 0.0, 1.0).astype(np.float32)


def components(embeddings_ND: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """First principal components of rows that were standardised by column and brought to length one."""
    sample = embeddings_ND[np.sort(_some(len(embeddings_ND), SAMPLE, rng))].astype(np.float32)
    mean_D, spread_D = sample.mean(axis=0), sample.std(axis=0)
    scale_D = 1.0 / np.where(spread_D > 1e-6, spread_D, 1.0)

    def alike(rows_MD: NDArray[np.floating]) -> Floats:
        z_MD = (rows_MD.astype(np.float32) - mean_D) * scale_D
        return np.asarray(z_MD / np.maximum(np.linalg.norm(z_MD, axis=1, keepdims=True), 1e-12), np.float32)

    like_MD = alike(sample)
    middle_D = like_MD.mean(axis=0)
    _, vectors_DD = np.linalg.eigh((like_MD - middle_D).T @ (like_MD - middle_D))
    basis_DC = np.ascontiguousarray(vectors_DD[:, ::-1][:, :COMPONENTS], np.float32)
    pieces = range(0, len(embeddings_ND), PIECE)
    return np.concatenate([(alike(embeddings_ND[at : at + PIECE]) - middle_D) @ basis_DC for at in pieces])


def kmeans(x_NC: Floats, k: int, rng: np.random.Generator, *, steps: int = 8) -> Floats:
    """Lloyd's centroids of at most `k` groups, begun at random rows; empty groups are dropped."""
    centres_KC = x_NC[_some(len(x_NC), k, rng)].copy()
    for _ in range(steps):
        nearest_N = np.argmin(_squared(x_NC, centres_KC), axis=1)
        sums_KC = np.zeros_like(centres_KC)
        np.add.at(sums_KC, nearest_N, x_NC)
        sizes_K = np.bincount(nearest_N, minlength=len(centres_KC))
        filled_K = sizes_K > 0
        centres_KC = (sums_KC[filled_K] / sizes_K[filled_K, None]).astype(np.float32)
    return centres_KC


def tsne(x_NC: Floats, *, steps: int = 500, early: int = 120) -> Floats:
    """Exact t-SNE to two dimensions, begun at the first two components; the same input gives the same places."""
    count = len(x_NC)
    p_NN = _affinities(_squared(x_NC, x_NC), min(PERPLEXITY, (count - 1) / 3))
    y_N2: Floats = np.zeros((count, 2), np.float32)
    y_N2[:, : x_NC.shape[1]] = x_NC[:, :2]
    y_N2 = (y_N2 / max(float(y_N2.std()), 1e-12) * 1e-2).astype(np.float32)
    moved_N2, gains_N2 = np.zeros_like(y_N2), np.ones_like(y_N2)
    rate = max(count / 48.0, 50.0)
    for step in range(steps):
        near_NN = 1.0 / (1.0 + _squared(y_N2, y_N2))
        np.fill_diagonal(near_NN, 0.0)
        pull_NN = (12.0 if step < early else 1.0) * p_NN - near_NN / max(float(near_NN.sum()), 1e-12)
        pull_NN *= near_NN
        slope_N2 = 4.0 * (pull_NN.sum(axis=1)[:, None] * y_N2 - pull_NN @ y_N2)
        gains_N2 = np.where(slope_N2 * moved_N2 < 0, gains_N2 + 0.2, np.maximum(gains_N2 * 0.8, 0.01))
        moved_N2 = (0.5 if step < early else 0.8) * moved_N2 - rate * gains_N2 * slope_N2
        y_N2 = y_N2 + moved_N2
        y_N2 = y_N2 - y_N2.mean(axis=0)
    return np.asarray(y_N2, np.float32)


def placed(x_NC: Floats, marks_LC: Floats, marks_L2: Floats) -> Floats:
    """Every row by its nearest landmarks: what their linear maps say, weighted by nearness -> places_N2."""
    maps_LC2 = np.empty((len(marks_LC), x_NC.shape[1], 2), np.float32)
    apart_LL = _squared(marks_LC, marks_LC)
    for at, order in enumerate(np.argsort(apart_LL, axis=1)[:, 1 : AROUND + 1]):
        away_AC, moved_A2 = marks_LC[order] - marks_LC[at], marks_L2[order] - marks_L2[at]
        like_AA = away_AC @ away_AC.T
        like_AA += np.eye(len(order), dtype=np.float32) * max(float(np.trace(like_AA)) / len(order), 1e-9)
        maps_LC2[at] = away_AC.T @ np.linalg.solve(like_AA, moved_A2)
    pieces = []
    for start in range(0, len(x_NC), PIECE):
        x_MC = x_NC[start : start + PIECE]
        apart_ML = _squared(x_MC, marks_LC)
        near_MJ = np.argpartition(apart_ML, NEAR, axis=1)[:, :NEAR]
        d_MJ = np.take_along_axis(apart_ML, near_MJ, axis=1)
        wide_M1 = np.maximum(0.3 * d_MJ.mean(axis=1, keepdims=True), 1e-12)
        weights_MJ = np.exp((d_MJ.min(axis=1, keepdims=True) - d_MJ) / wide_M1)
        weights_MJ /= weights_MJ.sum(axis=1, keepdims=True)
        said_MJ2 = marks_L2[near_MJ] + np.einsum("mjc,mjcd->mjd", x_MC[:, None] - marks_LC[near_MJ], maps_LC2[near_MJ])
        pieces.append(np.einsum("mj,mjd->md", weights_MJ, said_MJ2))
    return np.concatenate(pieces).astype(np.float32)


def write(folder: Path, target: Path, *, seed: int = 0) -> dict[str, Any]:
    """Lay out `folder` (image_ids.npy, embeddings.npy); leaves image_ids.npy, places.npy (0..65535) and meta.json."""
    began, rng = time.monotonic(), np.random.default_rng(seed)
    ids_N = np.load(folder / "image_ids.npy", allow_pickle=False)
    embeddings_ND = np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False)
    rows = np.sort(_some(len(ids_N), MOST, rng))
    places_N2 = layout(embeddings_ND[rows], rng)
    beside = target.with_name(f"new-{os.getpid()}")
    beside.mkdir(parents=True)
    np.save(beside / "image_ids.npy", ids_N[rows])
    np.save(beside / "places.npy", np.round(places_N2 * 65535).astype(np.uint16))
    meta = {"images": len(ids_N), "shown": len(rows), "seconds": round(time.monotonic() - began, 2)}
    (beside / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
    return meta


def _some(count: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(count) if count <= most else rng.choice(count, most, replace=False)


def _squared(a_NC: Floats, b_MC: Floats) -> Floats:
    """Squared distances_NM."""
    inner_NM: Floats = a_NC @ b_MC.T
    inner_NM *= -2.0
    inner_NM += (a_NC**2).sum(axis=1)[:, None]
    inner_NM += (b_MC**2).sum(axis=1)[None, :]
    np.maximum(inner_NM, 0.0, out=inner_NM)
    return np.asarray(inner_NM)


def _affinities(squared_NN: Floats, perplexity: float) -> Floats:
    """Symmetric probabilities whose rows had this perplexity; each row's bandwidth by bisection, all rows at once."""
    count = len(squared_NN)
    own_NN = squared_NN.astype(np.float64)
    np.fill_diagonal(own_NN, np.inf)
    own_NN -= own_NN.min(axis=1, keepdims=True)
    low_N, high_N = np.full(count, -20.0), np.full(count, 20.0)
    p_NN = np.zeros_like(own_NN)
    for _ in range(40):
        middle_N = (low_N + high_N) / 2
        p_NN = np.exp(-own_NN * np.exp(middle_N)[:, None])
        sums_N = p_NN.sum(axis=1)
        finite_NN = np.where(np.isfinite(own_NN), own_NN, 0.0)
        entropy_N = np.log(sums_N) + np.exp(middle_N) * (p_NN * finite_NN).sum(axis=1) / sums_N
        wide_N = entropy_N > np.log(perplexity)
        low_N, high_N = np.where(wide_N, middle_N, low_N), np.where(wide_N, high_N, middle_N)
    p_NN /= p_NN.sum(axis=1, keepdims=True)
    return np.asarray((p_NN + p_NN.T) / (2.0 * count), np.float32)


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(10)
    print(json.dumps(write(Path(sys.argv[1]), Path(sys.argv[2]))))
