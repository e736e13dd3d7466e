"""Imports Gradio without the developer stubs that it writes at every import (half of its import time)."""

import inspect
import os
from types import ModuleType
from typing import Any


def load() -> ModuleType:
    """The gradio module, with analytics off.

    While its components are defined, Gradio parses its own source and rewrites .pyi files beside it: 1.8 s of 3.7 s on
    a 2-core machine, and a write into site-packages. It passes over classes whose file is unknown (an OSError of
    inspect.getfile), so during the import its own classes have none.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    real = inspect.getfile

    def getfile(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError("no stub is wanted")
        return real(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        import gradio
    finally:
        inspect.getfile = real
    return gradio
