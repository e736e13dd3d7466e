"""Samples of the last layer's weights, from noise that may be kept: they then change with what the layer learns alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Noise:
    """What S weight samples of the seen classes (K) are made of, whatever was learned."""

    normals_RSK: Floats
    signs_RSK: npt.NDArray[np.bool_]  # a fair sign is as good as a normal number where many add up

    @classmethod
    def draw(cls, shape: tuple[int, int, int], rng: np.random.Generator) -> Noise:
        """Fresh numbers: rank, samples, seen classes."""
        normals_RSK = rng.standard_normal(shape, dtype=np.float32)
        bits = np.frombuffer(rng.bytes(-(-normals_RSK.size // 8)), np.uint8)
        return cls(normals_RSK, np.unpackbits(bits, count=normals_RSK.size).view(bool).reshape(shape))

    def weights(self, mean_RK: Floats, factor_RR: Floats, *, spread: float, alpha: float) -> Floats:
        """weights_RSK: the mean, `spread` times the covariance factor times normals, and +-sqrt(alpha) times the mean."""
        root = np.float32(np.sqrt(alpha))
        weights_RSK = self.signs_RSK.astype(np.float32)
        weights_RSK *= 2 * root
        weights_RSK += 1 - root
        weights_RSK *= mean_RK[:, None]
        posterior_RM = factor_RR @ self.normals_RSK.reshape(len(factor_RR), -1)
        posterior_RM *= np.float32(spread)
        weights_RSK += posterior_RM.reshape(weights_RSK.shape)
        return weights_RSK
