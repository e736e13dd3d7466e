"""Which image next: `model.acquisition.select(strategy, ...)`, told by `situation(...)` what has been answered."""

from model.acquisition.select import COMPARES_DRAWS, NEEDS_NOTHING, STRATEGIES, select
from model.acquisition.situated import situation

__all__ = ["COMPARES_DRAWS", "NEEDS_NOTHING", "STRATEGIES", "select", "situation"]
