"""Where a request stands: its path below the root path that a proxy may add, and the root path itself."""

from starlette.types import Scope


def root(scope: Scope) -> str:
    """The prefix under which the outside sees the page, without a slash at its end; empty at the top."""
    return str(scope.get("root_path", "")).rstrip("/")


def path(scope: Scope) -> str:
    """The path as the routes know it."""
    whole, prefix = str(scope["path"]), root(scope)
    if prefix and (whole == prefix or whole.startswith(prefix + "/")):
        return whole[len(prefix) :] or "/"
    return whole
