"""Which image next: `model.acquisition.select(strategy, ...)`."""

from model.acquisition.select import STRATEGIES, select

__all__ = ["STRATEGIES", "select"]
