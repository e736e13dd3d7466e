"""The clock that leases run by: it goes evenly, whatever becomes of the machine's own clock."""

import time


class Steady:
    """Unix seconds as they stood when it was made, `at_least` those given, and in even steps from there.

    A clock that is set an hour ahead would end every lease while its tab still shows the image; one that is set back
    would keep the images of closed tabs for an hour. Sleep of the machine does not count, tabs sleep along.
    """

    def __init__(self, at_least: float = 0.0) -> None:
        self._offset = max(time.time(), at_least) - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()
