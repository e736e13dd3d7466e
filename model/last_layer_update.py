"""The last layer between two fits: label by label, by exact rank-one steps of its posterior, and a pool's scores with it.

With P = L L^T the posterior covariance for unit noise, x the coordinates of an image and w the weight of its label,

    u = L^T x,  d = 1 / w + |u|^2,  s = L u
    W <- W + s (t - c - W^T x)^T / d                       (t one-hot, c the classes' shares that `solve` takes off)
    L <- L - s u^T / (d + sqrt(d / w))                     (P <- P - s s^T / d; Potter's square root, Bierman 1977)

which is what ridge regression with that row added gives while everything else stays: pseudo-labels, sharpness, spread and
temperature wait for the next fit (after Huseljic et al. 2022, arXiv 2210.06112, in place of their logistic likelihood).
A row's scores follow by x s (t - c - W^T x)^T / d, so rows cost one product with s for each label, never a new fit.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from model import chunks, errors
from model.last_layer import Doubles, Floats, Ints, LastLayer
from model.last_layer_training import Recipe
from model.likeliest import Likeliest


class Following:
    """A layer and the scores of some rows, `x_MR`, (M, classes) in single precision, that follow each label."""

    def __init__(self, layer: LastLayer, x_MR: Floats, labels: npt.ArrayLike, recipe: Recipe | None = None) -> None:
        """`labels`: class indices that `layer` was fitted on; they say how frequent the classes are."""
        self.layer, self.x_MR, self.recipe = layer, x_MR, recipe or Recipe()
        self.counts_K = np.bincount(np.asarray(labels, np.int64), minlength=layer.num_classes).astype(np.float64)
        weights_RK, factor_RR = layer.weights_RK.astype(np.float32), layer.covariance_factor_RR.astype(np.float32)
        self.scores_MK = np.zeros((len(x_MR), layer.num_classes), np.float32)
        self.unit_M = np.empty(len(x_MR), np.float32)

        def work(rows: slice) -> None:
            self.scores_MK[rows, layer.seen_K] = x_MR[rows] @ weights_RK
            self.unit_M[rows] = np.square(x_MR[rows] @ factor_RR).sum(axis=1)

        chunks.each(work, len(x_MR), x_MR.shape[1] + layer.num_classes)
        self.steps: list[tuple[Doubles, Doubles, float]] = []  # s, residual / d, d: not in the scores yet

    def learn(self, x_R: Floats, class_index: int) -> None:
        """Take in the label of an image with these coordinates. BadInput for a class that the layer does not know of."""
        if not 0 <= class_index < self.layer.num_classes:
            raise errors.BadInput(f"class {class_index} is none of the {self.layer.num_classes} of the last layer")
        self.layer = self._with_column(class_index)
        self.counts_K[class_index] += 1
        seen_K, x_R = self.layer.seen_K, np.asarray(x_R, dtype=np.float64)
        counts = self.counts_K[seen_K]
        weight = self.recipe.label_weight * (counts.mean() / counts[seen_K == class_index][0]) ** self.recipe.balance
        told_K = (seen_K == class_index) - (counts + 1.0) / (counts + 1.0).sum() - x_R @ self.layer.weights_RK
        factor_RR = self.layer.covariance_factor_RR
        u_R = factor_RR.T @ x_R
        d, s_R = 1.0 / weight + float(u_R @ u_R), factor_RR @ u_R
        step_K = np.zeros(self.layer.num_classes)
        step_K[seen_K] = told_K / d
        self.layer = dataclasses.replace(
            self.layer,
            weights_RK=self.layer.weights_RK + np.outer(s_R, told_K / d),
            covariance_factor_RR=factor_RR - np.outer(s_R, u_R / (d + np.sqrt(d / weight))),
            labels=self.layer.labels + 1,
        )
        self.steps.append((s_R, step_K, d))

    def likeliest(self) -> Likeliest:
        """The two likeliest classes of every row, all labels taken in: one pass over the scores."""
        found, layer, steps, self.steps = Likeliest.empty(len(self.x_MR)), self.layer, self.steps, []
        s_RT = np.array([s for s, _, _ in steps], np.float32).reshape(len(steps), self.x_MR.shape[1]).T
        step_TK = np.array([step for _, step, _ in steps], np.float32).reshape(len(steps), layer.num_classes)
        d_T = np.array([d for _, _, d in steps], np.float32)
        whole = len(layer.seen_K) == layer.num_classes

        def work(rows: slice) -> None:
            scores_BK, unit_B = self.scores_MK[rows], self.unit_M[rows]
            if steps:
                along_BT = self.x_MR[rows] @ s_RT
                scores_BK += along_BT @ step_TK
                unit_B -= np.square(along_BT) @ (1.0 / d_T)
                np.maximum(unit_B, 0.0, out=unit_B)
            found.put(rows, layer.damped(self.x_MR[rows], scores_BK if whole else scores_BK[:, layer.seen_K], unit_B))

        chunks.each(work, len(self.x_MR), self.x_MR.shape[1] + layer.num_classes)
        return found

    def _with_column(self, class_index: int) -> LastLayer:
        """The layer with a column of zeros for a class that had no label yet."""
        layer = self.layer
        if class_index in layer.seen_K:
            return layer
        at = int(np.searchsorted(layer.seen_K, class_index))
        seen_K: Ints = np.insert(layer.seen_K, at, class_index)
        return dataclasses.replace(layer, seen_K=seen_K, weights_RK=np.insert(layer.weights_RK, at, 0.0, axis=1))
