"""Passwords and tokens: Argon2id for what people choose, SHA-256 for what is drawn at random.

What a password must be follows NIST SP 800-63B-4, 3.1.1.2: long enough, not a common one, not the name; nothing about
which kinds of characters it holds.
"""

import functools
import hashlib
import secrets
import unicodedata
from typing import TYPE_CHECKING

from app import errors

if TYPE_CHECKING:
    import argon2  # takes 0.1 s: imported once somebody logs in

SHORTEST, LONGEST = 10, 1000  # characters
BESIDE_THE_NAME = 6  # characters that a password has besides the person's name
# Of those that are long enough, the first that guessers try; compared without case.
_COMMONEST = """
1234567890 0123456789 0987654321 9876543210 12345678910 123456789a a123456789 1q2w3e4r5t 1q2w3e4r5t6y
q1w2e3r4t5 qwertyuiop qwertyuiop123 asdfghjkl1 asdfghjkl123 zxcvbnm123 1qaz2wsx3edc qazwsxedcrfv password12
password123 password1234 passw0rd123 p@ssw0rd123 mypassword mypassword1 iloveyou12 iloveyou123 iloveyouforever
qwerty1234 qwerty12345 qwerty123456 abcdefghij abcdef1234 abc1234567 abcd123456 administrator administrator1
admin12345 admin123456 welcome123 welcome1234 changeme123 letmein123 football123 baseball123 sunshine123
princess123 superman123 1234512345 1231231234 123123123123 1122334455 0000000000 1111111111 raumraumraum
labelling1 correcthorsebatterystaple
"""


def checked(password: str, name: str) -> str:
    """The password as it is hashed; raises errors.WeakPassword saying what it lacks."""
    text = _normal(password)
    folded = text.casefold()
    if not SHORTEST <= len(text) <= LONGEST:
        raise errors.WeakPassword(f"the password must have at least {SHORTEST} characters (and at most {LONGEST:,})")
    if folded in _COMMONEST.split() or len(set(folded)) < 3:
        raise errors.WeakPassword("this password is among the first that anybody tries: choose another")
    if len(folded.replace(_normal(name).casefold(), "")) < BESIDE_THE_NAME:
        raise errors.WeakPassword("the password must be more than the name: choose another")
    return text


def hashed(password: str, name: str) -> str:
    """Argon2id's encoded hash of a password that is good enough; raises errors.WeakPassword. Takes 64 MiB and a moment."""
    return hasher().hash(checked(password, name))


def fits(password_hash: str | None, password: str) -> bool:
    """Whether it is the password; without a hash the same work is done, so that the time tells nothing."""
    from argon2 import exceptions

    try:
        hasher().verify(password_hash or _nobodys(), _normal(password[: LONGEST + 1]))
    except (exceptions.VerificationError, exceptions.InvalidHashError):
        return False
    return password_hash is not None


def rehashed(password: str) -> str:
    """The hash with the parameters of today of a password that was found to fit."""
    return hasher().hash(_normal(password))


def outdated(password_hash: str) -> bool:
    """Whether the library has since chosen other parameters."""
    return hasher().check_needs_rehash(password_hash)


def token() -> str:
    """A new secret of 32 random bytes."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


@functools.cache
def hasher() -> "argon2.PasswordHasher":
    """Argon2id with the library's parameters of today."""
    import argon2

    return argon2.PasswordHasher()


@functools.cache
def _nobodys() -> str:
    return hasher().hash(token())


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode())
