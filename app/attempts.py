"""How often somebody may try to log in: after some failures each try waits twice as long as the one before.

A try is counted before the password is looked at, so that many at once are not looked at either.
"""

import ipaddress
import math

from sqlalchemy import Connection

from app import errors, passwords
from store import tries, users

OF_A_NAME, OF_AN_ADDRESS = 5, 20  # failures that cost nothing
MINUTES_15 = 900.0  # seconds after which failures are forgotten, and the longest wait


def count(tx: Connection, name: str, address: str, now: float) -> None:
    """Count a try as failed; raises errors.TooManyTries, and counts nothing, where it comes too early."""
    tries.forget_before(tx, now - MINUTES_15)
    free = {_by_name(name): OF_A_NAME, by_address(address): OF_AN_ADDRESS}
    wait = max(_wait(*tries.of(tx, who), free[who], now) for who in free)
    if wait > 0:
        raise errors.TooManyTries(f"too many tries failed: wait {math.ceil(wait)} s and try again", wait)
    for who in free:
        tries.count(tx, who, now)


def succeeded(tx: Connection, name: str, address: str) -> None:
    """The try that was counted was right: the name's failures are forgotten, the address's stay."""
    tries.forget(tx, _by_name(name))
    tries.take_back(tx, by_address(address))


def _wait(failed: int, last_at: float, free: int, now: float) -> float:
    if failed < free:
        return 0.0
    longest = min(MINUTES_15, 2.0 ** (min(failed, 99) - free))
    return min(longest, last_at + longest - now)  # a clock that was set back must not lock anybody out for long


def _by_name(name: str) -> str:
    """As a hash: now and then somebody types the password where the name belongs."""
    return f"name:{passwords.digest(users.key(name))}"


def by_address(address: str) -> str:
    """An IPv6 customer owns a /64: it counts as one address."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"address:{passwords.digest(address)}"
    if known.version == 6:
        return f"address:{ipaddress.ip_network((known, 64), strict=False)}"
    return f"address:{known}"
