"""The space the last layer works in: embeddings standardised, projected on their main directions, of length one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import errors, neighbours

Floats = npt.NDArray[np.float32]
BASIS_ROWS = 4096  # rows the directions are found from; more change nothing that 256 directions can show
OVERSAMPLING = 24


@dataclass(frozen=True)
class Space:
    """z = (e - mean) / scale, x = z B / |z|: `mean_D`, `scale_D` and the orthonormal columns of `basis_DR` (B)."""

    mean_D: Floats
    scale_D: Floats
    basis_DR: Floats

    def project(self, embeddings_MD: npt.ArrayLike) -> Floats:
        """Coordinates x_MR of embeddings, in chunks; BadInput or NotFinite by name."""
        e_MD = np.asarray(embeddings_MD)
        if e_MD.ndim != 2 or e_MD.shape[1] != len(self.mean_D):
            raise errors.BadInput(
                f"embeddings have shape {e_MD.shape}, the last layer expects (images, {len(self.mean_D)})"
            )
        x_MR = np.empty((len(e_MD), self.basis_DR.shape[1]), dtype=np.float32)
        for at in range(0, len(e_MD), BASIS_ROWS):
            z_BD = (neighbours.matrix("embeddings", e_MD[at : at + BASIS_ROWS]) - self.mean_D) / self.scale_D
            length_B1 = np.linalg.norm(z_BD, axis=1, keepdims=True)
            x_MR[at : at + BASIS_ROWS] = (z_BD @ self.basis_DR) / np.maximum(length_B1, 1e-12)
        return x_MR

    def lengths(self, embeddings_MD: npt.ArrayLike) -> Floats:
        """|z| of each embedding, the per-image constant between a logit and the sum of its cells' evidence."""
        z_MD = (neighbours.matrix("embeddings", embeddings_MD) - self.mean_D) / self.scale_D
        return np.asarray(np.linalg.norm(z_MD, axis=1), dtype=np.float32)


def find(embeddings_ND: npt.ArrayLike, *, rank: int, rng: np.random.Generator, standardise: bool = True) -> Space:
    """Mean and spread over all rows, and the `rank` main directions of the normalised rows.

    Randomised range finder with one power step (Halko, Martinsson and Tropp 2011, algorithm 4.4): at 1,185 x 1,280 ten
    times cheaper than the full decomposition. Constant columns are left unscaled; without `standardise` all are.
    """
    e_ND = neighbours.matrix("embeddings", embeddings_ND)
    if not len(e_ND):
        raise errors.BadInput("the last layer needs at least one embedding")
    mean_D = e_ND.mean(axis=0)
    spread_D = e_ND.std(axis=0) if standardise else np.ones(e_ND.shape[1], dtype=np.float32)
    scale_D = np.where(spread_D > 1e-6, spread_D, 1.0).astype(np.float32)
    rows = e_ND if len(e_ND) <= BASIS_ROWS else e_ND[rng.choice(len(e_ND), BASIS_ROWS, replace=False)]
    z_MD = (rows - mean_D) / scale_D
    z_MD /= np.maximum(np.linalg.norm(z_MD, axis=1, keepdims=True), 1e-12)
    return Space(mean_D, scale_D, _main_directions(z_MD, rank, rng))


def _main_directions(z_MD: Floats, rank: int, rng: np.random.Generator) -> Floats:
    width = z_MD.shape[1]
    if width <= rank:
        return np.eye(width, dtype=np.float32)
    columns = min(width, rank + OVERSAMPLING)
    probe_DC = rng.standard_normal((width, columns)).astype(np.float32)
    for _ in range(2):
        probe_DC, _ = np.linalg.qr(z_MD.T @ (z_MD @ probe_DC))
    small_MC = z_MD @ probe_DC
    _, vectors_CC = np.linalg.eigh((small_MC.T @ small_MC).astype(np.float64))
    return np.asarray(probe_DC @ vectors_CC[:, ::-1][:, :rank], dtype=np.float32)
