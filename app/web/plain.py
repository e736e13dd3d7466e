"""What a request may hold: texts and numbers that every database and every page can take; anything else is refused."""

import math
from typing import Annotated, Any

from fastapi import Body, Path, Query
from pydantic import AfterValidator

LONGEST_TEXT = 100_000
DEEPEST = 20
LARGEST = 2**53  # whole numbers beyond it are not exact in a browser


def _plain(value: Any, where: str = "", depth: int = 0) -> Any:
    """The value itself; raises ValueError for a lone surrogate, a NUL, a number beyond 2**53 or one that is none."""
    if depth > DEEPEST:
        raise ValueError(f"{where} holds lists or objects more than {DEEPEST} deep: send a flat object")
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT or "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError(f"{where or 'the text'} is too long or holds what is no text: send plain UTF-8")
    elif isinstance(value, (int, float)) and (not abs(value) <= LARGEST or not math.isfinite(value)):
        raise ValueError(f"{where or 'the number'} is too large or no number: send one up to 2^53")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _plain(name)
            _plain(inner, where or name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _plain(inner, where, depth + 1)
    return value


def checked(value: Any) -> Any:
    """The value itself, for any parameter; raises ValueError for what no database or page can take."""
    return _plain(value)


Object = Annotated[dict[str, Any], Body(), AfterValidator(checked)]
Id = Annotated[int, Path(ge=0, le=LARGEST)]
Tab = Annotated[str, Query(max_length=100), AfterValidator(checked)]
