"""Gradio without what it does in vain: developer stubs at every import, and apps that are thrown away."""

import contextlib
import inspect
import os
from collections.abc import Iterator
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


@contextlib.contextmanager
def unserved() -> Iterator[None]:
    """Blocks that are built in here make no app of their own.

    Gradio makes two, of a hundred routes each, and mounting makes the one that is served: .15 s of the page's start.
    """
    from gradio.routes import App

    real = App.create_app
    App.create_app = staticmethod(lambda *_, **__: None)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        App.create_app = real  # type: ignore[method-assign]
