"""The workspace of the app's tests; RAUM_SOAK=long in the environment chooses the long form of every soak."""

from tests.app.conftest import template, workspace

__all__ = ["template", "workspace"]
