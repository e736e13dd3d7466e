"""How a run's learning rate and its trust in pseudo-labels change from start (0) to end (1)."""

from __future__ import annotations

import math

from model import config as configs


def learning_rate(done: float, *, warmup: float) -> float:
    """Factor of the peak rate: linear from 0 over the first `warmup` share of the run, then half a cosine down to 0."""
    if done < warmup:
        return done / warmup
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1 - warmup, 1e-9)))


def poly(done: float, *, end: float, power: float = 0.9) -> float:
    """Factor of the peak rate: from 1 down to `end` along (1 - done)^power, the power of DeepLab."""
    return end + (1 - end) * (1 - done) ** power


def trust(done: float, *, start: float, ramp: float) -> float:
    """Factor of the pseudo-label loss: 0 until `start`, then linear to 1 over the next `ramp` share of the run."""
    if done < start:
        return 0.0
    return min((done - start) / ramp, 1.0) if ramp > 0 else 1.0


def over(steps: int, seconds: float, config: configs.TrainConfig) -> float:
    """Share of the run that is over: by steps, by time, or by whichever limit is nearer when both are set."""
    by_steps = steps / config.steps if config.steps > 0 else 0.0
    by_time = seconds / config.seconds if config.seconds > 0 else 0.0
    return min(1.0, max(by_steps, by_time))
