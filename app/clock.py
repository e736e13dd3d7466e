"""The clock that leases run by: it goes evenly, whatever becomes of the machine's own clock; and times as people write them."""

import datetime
import time

from app import errors


class Steady:
    """Unix seconds as they stood when it was made, `at_least` those given, and in even steps from there.

    A clock that is set an hour ahead would end every lease while its tab still shows the image; one that is set back
    would keep the images of closed tabs for an hour. Sleep of the machine does not count, tabs sleep along.
    """

    def __init__(self, at_least: float = 0.0) -> None:
        self._offset = max(time.time(), at_least) - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()


def moment(text: str) -> float:
    """The unix seconds of a written time; a day alone is its first moment, without a zone it is this machine's."""
    try:
        return datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError) as problem:
        raise errors.BadRequest(
            f"{text!r} is no moment: give a time like 2026-11-25T14:30 (or ...+01:00), or the number of an event"
        ) from problem
