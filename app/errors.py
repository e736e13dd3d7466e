"""The errors of the app wing.

AppError
├── BadRequest      what was asked cannot be done as asked: says the value and what to do
│   ├── WeakPassword    a password that is too short, too common, or the name
│   └── InviteRefused   an invitation that is unknown, used or expired
├── LoginRefused    name or password is wrong
├── TooManyTries    too many logins failed; `seconds` to wait
├── PeerLost        another process of the same work has ended, or all were asked to
├── NotFound        an image, class or publication of that id does not exist
├── RemoteError     what lies at an address cannot be listed, fetched or put there
├── SettingsError   an unknown or unusable setting
├── Stopped         the person stopped it; the message says what is kept
└── WorkspaceBusy   another page or worker already serves this workspace
"""


class AppError(Exception):
    """Base of every error that the app wing raises on purpose; its text is for the person at the page."""


class BadRequest(AppError):
    """The request cannot be taken as it stands; the message gives the value and the mend."""


class WeakPassword(BadRequest):
    """The password is too easy; the message says why."""


class InviteRefused(BadRequest):
    """The invitation is unknown, used or expired."""


class LoginRefused(AppError):
    """Name or password is wrong; which of them is not said."""


class TooManyTries(AppError):
    """Too many logins failed of late; `seconds` is how long to wait."""

    def __init__(self, sentence: str, seconds: float) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class PeerLost(AppError):
    """Another process of the same round or training has ended; the message says why, where that is known."""


class NotFound(AppError):
    """Nothing is stored under that id."""


class RemoteError(AppError):
    """What lies at an address cannot be had; the message names the address and the mend."""


class SettingsError(AppError):
    """A setting is unknown or its value unusable."""


class Stopped(AppError):
    """The person at the keyboard stopped it; the message says what is kept."""


class WorkspaceBusy(AppError):
    """Another process already owns this role in this workspace; the message names its pid."""
