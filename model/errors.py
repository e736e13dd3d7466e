"""The errors of the model wing, drawn as a tree; a message gives the value and what to do next.

ModelError
├── BadConfig            a setting that does not exist or does not fit
│   └── UnknownName      a name that is in no table; the nearest known one is told
├── BadInput             arrays whose shape, type or values cannot be used
├── UnreadableImage      one image file that cannot be decoded
├── BadCheckpoint        a file of weights that cannot be loaded
│   └── WrongVariant     the weights belong to another variant of the network
├── BackendUnavailable   a scan backend was asked for by name and cannot run here
└── NotFinite            a loss, weight or score became NaN or infinite
    └── TrainingDiverged a training run whose loss did, by step
    (a step that meets one stops by name; nothing is repaired silently)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ModelError(Exception):
    """Base of everything that the model wing raises on purpose."""


class BadConfig(ModelError, ValueError):
    """A setting that does not exist or does not fit the others."""


class UnknownName(BadConfig):
    """A name that is in no table."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        super().__init__(f"there is no {kind} named {name!r}{hint} (known: {', '.join(names)})")


class BadInput(ModelError, ValueError):
    """Arrays whose shape, type or values cannot be used."""


class UnreadableImage(ModelError):
    """One image file that cannot be decoded."""

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path = str(path)
        self.problem = problem
        super().__init__(f"cannot read the image {self.path}: {problem}")


class BadCheckpoint(ModelError):
    """A file of weights that cannot be loaded."""


class WrongVariant(BadCheckpoint):
    """The weights belong to another variant of the network than the one they are loaded into."""


class BackendUnavailable(ModelError, RuntimeError):
    """A scan backend was asked for by name and cannot run here."""


class NotFinite(ModelError, ArithmeticError):
    """A loss, weight or score became NaN or infinite."""


class TrainingDiverged(NotFinite):
    """A training run's loss became NaN or infinite; the message names the step."""
