"""Accounts: who may log in, as what, with which session or token. Every administrative act is written down with it."""

import contextlib
import dataclasses
import unicodedata
from collections.abc import Iterable

from sqlalchemy import Connection

from app import attempts, errors, passwords
from store import acts as records_of_acts
from store import annotators, invites, sessions, tokens, users
from store import errors as store_errors
from store.database import Database
from store.records_accounts import Act, Member, User

SCOPES = {  # each role holds all of the one before
    "annotator": ("read", "label"),
    "reviewer": ("read", "label", "review"),
    "admin": ("read", "label", "review", "manage"),
}
DAY = 86400.0
SESSION_SECONDS, INVITE_SECONDS = 14 * DAY, 7 * DAY
SEEN_SECONDS = 60.0  # how exactly it is known when somebody was last here
RESERVED = ("import", "oracle")  # annotators that are not people


@dataclasses.dataclass(frozen=True)
class Person:
    """Who asks, and what he or she may do; `via` session, token, or local (a workspace without accounts)."""

    annotator_id: int
    name: str
    role: str
    scopes: frozenset[str]
    via: str


def any_users(db: Database) -> bool:
    """Whether the workspace has accounts."""
    with db.read() as tx:
        return users.any_(tx)


def login(db: Database, name: str, password: str, *, address: str, now: float) -> str:
    """A new session's token for the right password; raises LoginRefused, or TooManyTries after many failures."""
    with db.write() as tx:
        attempts.count(tx, name, address, now)
        known = users.by_name(tx, name) if storable(name) else None
    stored = known.password_hash if known is not None and known.active else None
    if not passwords.fits(stored, password) or known is None or stored is None:
        raise errors.LoginRefused("name or password is wrong")
    anew = passwords.rehashed(password) if passwords.outdated(stored) else None
    with db.write() as tx:
        found = users.get(tx, known.annotator_id)
        if not found.active or found.password_hash != stored:  # changed while it was looked at
            raise errors.LoginRefused("name or password is wrong")
        if anew is not None:
            users.set_password(tx, known.annotator_id, anew)
        attempts.succeeded(tx, name, address)
        return _session(tx, known.annotator_id, now)


def who(db: Database, session_token: str, *, now: float) -> Person | None:
    """The person whose session it is; None when unknown, expired, or locked out. A session lasts while it is used."""
    digest = passwords.digest(session_token)
    with db.read() as tx:
        found = sessions.find(tx, digest, now)
    if found is None:
        return None
    if now - found.seen_at >= SEEN_SECONDS:
        with contextlib.suppress(store_errors.Busy, store_errors.CannotWrite), db.write() as tx:
            sessions.see(tx, digest, now=now, expires_at=now + SESSION_SECONDS)  # a full disk must not log people out
    return Person(found.annotator_id, found.name, found.role, frozenset(SCOPES[found.role]), "session")


def bearer(db: Database, api_token: str, *, now: float) -> Person | None:
    """The person whose API token it is; None when unknown, revoked, expired, or locked out."""
    with db.read() as tx:
        found = tokens.find(tx, passwords.digest(api_token), now)
    if found is None:
        return None
    if found.used_at is None or now - found.used_at >= SEEN_SECONDS:
        with contextlib.suppress(store_errors.Busy, store_errors.CannotWrite), db.write() as tx:
            tokens.use(tx, found.id, now)
    scopes = frozenset(found.scopes) & frozenset(SCOPES[found.role])
    return Person(found.annotator_id, found.owner, found.role, scopes, "token")


def logout(db: Database, session_token: str, *, now: float) -> None:
    """End one session."""
    with db.write(durable=True) as tx:
        sessions.end(tx, passwords.digest(session_token))


def redeem(db: Database, invite_token: str, password: str, *, now: float) -> str:
    """Set the password of whoever was invited; returns a new session's token. Raises InviteRefused, WeakPassword."""
    digest = passwords.digest(invite_token)
    with db.read() as tx:
        user = _invited(tx, digest, now)
    hashed = passwords.hashed(password, user.name)
    with db.write(durable=True) as tx:
        user = _invited(tx, digest, now)
        invites.use(tx, digest, now)
        users.set_password(tx, user.annotator_id, hashed)
        sessions.end_all(tx, user.annotator_id)
        records_of_acts.append(tx, "redeem", user.name, actor=user.name, now=now)
        return _session(tx, user.annotator_id, now)


def add(db: Database, name: str, role: str, password: str | None, *, actor: str, now: float) -> None:
    """A new user; without a password he or she needs an invitation. Raises BadRequest, WeakPassword."""
    hashed = None if password is None else passwords.hashed(password, name)
    with db.write(durable=True) as tx:
        user = _added(tx, name, role, now)
        if hashed is not None:
            users.set_password(tx, user.annotator_id, hashed)
        records_of_acts.append(tx, "add", user.name, actor=actor, now=now, role=role)


def invite(db: Database, name: str, role: str | None, *, actor: str, now: float) -> str:
    """A one-time token for a new user of this role, or for one who forgot the password; raises BadRequest."""
    return invite_all(db, [(name, role)], actor=actor, now=now)[0]


def invite_all(db: Database, people: Iterable[tuple[str, str | None]], *, actor: str, now: float) -> list[str]:
    """Invite these names in these roles, all or nobody; returns a token for each. Raises BadRequest.

    Without a role somebody is invited who is a user already; with one, it must be the one he or she has.
    """
    made = []
    with db.write(durable=True) as tx:
        for name, role in people:
            user = users.by_name(tx, name) if storable(name) else None
            if user is None:
                user = _added(tx, name, role or "", now) if role is not None else user_named(tx, name)
            if role not in (None, user.role):
                raise errors.BadRequest(f"{user.name} is {user.role} already: change that with launch.py user role")
            if not user.active:
                raise errors.BadRequest(f"{user.name} is locked out: let him or her in again first")
            made.append(passwords.token())
            expires_at = now + INVITE_SECONDS
            invites.add(tx, user.annotator_id, passwords.digest(made[-1]), now=now, expires_at=expires_at)
            records_of_acts.append(tx, "invite", user.name, actor=actor, now=now, role=user.role)
    return made


def set_role(db: Database, name: str, role: str, *, actor: str, now: float) -> None:
    """Another role, from the next request on; raises BadRequest for the last admin."""
    _checked_role(role)
    with db.write(durable=True) as tx:
        user = user_named(tx, name)
        if role != "admin":
            _leave_an_admin(tx, user)
        annotators.set_role(tx, user.annotator_id, role)
        records_of_acts.append(tx, "role", user.name, actor=actor, now=now, role=role, before=user.role)


def deactivate(db: Database, name: str, *, actor: str, now: float) -> None:
    """Lock a user out: sessions, invitations and API tokens end, answers stay. Raises BadRequest for the last admin."""
    with db.write(durable=True) as tx:
        user = user_named(tx, name)
        _leave_an_admin(tx, user)
        users.set_active(tx, user.annotator_id, False)
        ended = sessions.end_all(tx, user.annotator_id)
        invites.end(tx, user.annotator_id)
        revoked = tokens.revoke_all(tx, user.annotator_id, now)
        records_of_acts.append(tx, "deactivate", user.name, actor=actor, now=now, sessions=ended, tokens=revoked)


def reactivate(db: Database, name: str, *, actor: str, now: float) -> None:
    """Let a user in again, with the password of before; API tokens are to be made anew."""
    with db.write(durable=True) as tx:
        user = user_named(tx, name)
        users.set_active(tx, user.annotator_id, True)
        records_of_acts.append(tx, "activate", user.name, actor=actor, now=now)


def set_password(db: Database, name: str, password: str, *, actor: str, now: float) -> None:
    """Another password; sessions and invitations end, API tokens stay. Raises WeakPassword."""
    with db.read() as tx:
        user = user_named(tx, name)
    hashed = passwords.hashed(password, user.name)
    with db.write(durable=True) as tx:
        users.set_password(tx, user.annotator_id, hashed)
        ended = sessions.end_all(tx, user.annotator_id)
        invites.end(tx, user.annotator_id)
        records_of_acts.append(tx, "password", user.name, actor=actor, now=now, sessions=ended)


def end_all_sessions(db: Database, name: str, *, actor: str, now: float) -> int:
    """Log a user out everywhere; returns how many sessions there were. API tokens stay."""
    with db.write(durable=True) as tx:
        user = user_named(tx, name)
        ended = sessions.end_all(tx, user.annotator_id)
        records_of_acts.append(tx, "end sessions", user.name, actor=actor, now=now, sessions=ended)
    return ended


def restored(db: Database, *, now: float) -> bool:
    """End what a restored backup brought back of sessions and invitations; returns whether there are accounts in it."""
    with db.write(durable=True) as tx:
        known = users.any_(tx)
        if known:
            sessions.end_everybodys(tx)
            invites.end_everybodys(tx)
            records_of_acts.append(tx, "restore", "a backup", actor="command line", now=now)
    return known


def people(db: Database) -> list[Member]:
    """Everybody who may log in, invited and locked out ones too, by name."""
    with db.read() as tx:
        return users.all_(tx)


def user_named(tx: Connection, name: str) -> User:
    """The user of this name, whatever its case; raises NotFound."""
    found = users.by_name(tx, name) if storable(name) else None
    if found is None:
        raise errors.NotFound(f"there is no user {name!r}")
    return found


def acts(db: Database, limit: int = 50) -> list[Act]:
    """The latest administrative acts, newest first."""
    with db.read() as tx:
        return records_of_acts.latest(tx, limit)


def _session(tx: Connection, annotator_id: int, now: float) -> str:
    made = passwords.token()
    sessions.add(tx, annotator_id, passwords.digest(made), now=now, expires_at=now + SESSION_SECONDS)
    return made


def _invited(tx: Connection, digest: str, now: float) -> User:
    found = invites.find(tx, digest)
    if found is None:
        raise errors.InviteRefused("this invitation is not known, or a newer one replaced it: ask for another")
    annotator_id, expires_at, used_at = found
    user = users.get(tx, annotator_id)
    if used_at is not None:
        raise errors.InviteRefused("this invitation was used already: log in, or ask for another")
    if expires_at <= now:
        raise errors.InviteRefused("this invitation has expired: ask for another")
    return user


def _added(tx: Connection, name: str, role: str, now: float) -> User:
    """Make a user of the annotator of this name, who may have answered before there were accounts."""
    _checked_role(role)
    text = unicodedata.normalize("NFC", name.strip())
    if not storable(text) or text in RESERVED:
        raise errors.BadRequest(f"a user needs a name of 1 to 100 printable characters, not {name!r}")
    try:
        person = annotators.ensure(tx, text, now)
        users.add(tx, person.id, text, now)
    except store_errors.NameTaken as problem:
        raise errors.BadRequest(f"{problem}: choose another name") from problem
    annotators.set_role(tx, person.id, role)
    return users.get(tx, person.id)


def storable(name: str) -> bool:
    """Whether it is a name of 1 to 100 printable characters."""
    return 1 <= len(name) <= 100 and name.isprintable()


def _checked_role(role: str) -> None:
    if role not in SCOPES:
        raise errors.BadRequest(f"a role is one of {', '.join(SCOPES)}, not {role!r}")


def _leave_an_admin(tx: Connection, user: User) -> None:
    able = user.role == "admin" and user.active and user.password_hash is not None
    if able and not users.others(tx, "admin", user.annotator_id):
        raise errors.BadRequest(f"{user.name} is the last admin who can log in: make another one first")
