"""Values of a pretraining on a pool's own images; imports no torch."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class SelfTaughtConfig:
    """One pretraining on a pool's images without labels (model/self_taught.py).

    objective: "vicreg", "simsiam" or "dino". steps, seconds, warmup, clip_norm, lr, lr_matrix, weight_decay: as in
    TrainConfig; lr_head: of the objective's own layers. batch: images, of each two views. side: of a view in pixels, 0 is
    the network's own. gentle: factor of lr and lr_matrix where the backbone starts from trained weights. ema: decay of
    the weights' average, which is what is kept.
    """

    objective: str = "vicreg"
    steps: int = 0
    seconds: float = 600.0
    batch: int = 32
    side: int = 0
    lr: float = 2e-3
    lr_matrix: float = 0.02
    lr_head: float = 2e-3
    gentle: float = 0.1
    weight_decay: float = 0.02
    warmup: float = 0.05
    clip_norm: float = 5.0
    ema: float = 0.99
    seed: int = 0
