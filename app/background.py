"""Work that a request asks for and that takes longer than it may wait: done once in a thread, and told how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from app import errors

Made = TypeVar("Made")


class Later(errors.AppError):
    """It is being made; `share` (0..1) of it is done. The message says what; ask again."""

    def __init__(self, sentence: str, share: float) -> None:
        super().__init__(sentence)
        self.share = share


class Work(Generic[Made]):
    """State with a lifetime: one run of `make(tell)`, begun at once. `tell` hears the share that is done."""

    def __init__(self, sentence: str, make: Callable[[Callable[[float], None]], Made]) -> None:
        self.sentence, self.share = sentence, 0.0
        self._make, self._made, self._problem = make, list[Made](), list[BaseException]()
        self._thread = threading.Thread(target=self._run, name=sentence, daemon=True)
        self._thread.start()

    def result(self, patience_s: float) -> Made:
        """What was made, or what was raised while making it; raises Later when it takes longer than `patience_s`."""
        self._thread.join(patience_s)
        if self._problem:
            raise self._problem[0]
        if not self._made:
            raise Later(self.sentence, self.share)
        return self._made[0]

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; another one may then be begun."""
        return bool(self._problem)

    def _run(self) -> None:
        try:
            self._made.append(self._make(self._tell))
        except BaseException as problem:  # told to whoever asks for the result
            self._problem.append(problem)

    def _tell(self, share: float) -> None:
        self.share = share
