"""The frozen records of how the work goes: people by the hour and by suggestion, background processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Hour(NamedTuple):
    """What one annotator answered in the hour that begins at `at`."""

    name: str
    at: float
    answers: int


class Following(NamedTuple):
    """How often one annotator said what was suggested, for one suggested class; see following.counts."""

    name: str
    class_id: int
    shown: bool
    answers: int
    agree: int
    judged: int
    misled: int


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """The last sign of life of one background process."""

    name: str
    pid: int
    phase: str
    fraction: float | None
    message: str
    throughput: float | None
    eta_s: float | None
    device: str | None
    beat_at: float
