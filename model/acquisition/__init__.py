"""Which image next: `model.acquisition.select(strategy, ...)`."""

from model.acquisition.select import COMPARES_DRAWS, NEEDS_NOTHING, STRATEGIES, select

__all__ = ["COMPARES_DRAWS", "NEEDS_NOTHING", "STRATEGIES", "select"]
