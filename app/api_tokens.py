"""API tokens: what scripts show instead of a session. The secret is shown once; what is stored is its hash."""

from collections.abc import Sequence

from app import accounts, errors, passwords
from store import acts, tokens
from store.database import Database
from store.records_accounts import ApiToken

START = "raum_"  # so that a token that leaked is found by a search


def make(
    db: Database, name: str, token_name: str, scopes: Sequence[str], *, actor: str, now: float,
    expires_at: float | None = None,
) -> str:  # fmt: skip
    """A new API token of a user; raises BadRequest for scopes that the user's role does not hold."""
    label = token_name.strip()
    if not accounts.storable(label):
        raise errors.BadRequest(f"a token needs a name of 1 to 100 printable characters, not {token_name!r}")
    made = START + passwords.token()
    with db.write(durable=True) as tx:
        user = accounts.user_named(tx, name)
        held = accounts.SCOPES[user.role]
        wanted = [scope for scope in accounts.SCOPES["admin"] if scope in scopes]
        if not wanted or len(wanted) < len(set(scopes)) or not set(wanted) <= set(held):
            asked = ",".join(scopes)
            raise errors.BadRequest(f"scopes of {user.name} ({user.role}) are some of {','.join(held)}, not {asked!r}")
        token_id = tokens.add(
            tx, user.annotator_id, passwords.digest(made), name=label, scopes=wanted, now=now, expires_at=expires_at
        )
        details = {"token": token_id, "token_name": label, "scopes": wanted, "expires_at": expires_at}
        acts.append(tx, "make token", user.name, actor=actor, now=now, **details)
    return made


def revoke(db: Database, token_id: int, *, actor: str, now: float) -> None:
    """End an API token; raises the store's UnknownToken."""
    with db.write(durable=True) as tx:
        found = tokens.get(tx, token_id)
        tokens.revoke(tx, token_id, now)
        acts.append(tx, "revoke token", found.owner, actor=actor, now=now, token=token_id)


def all_(db: Database) -> list[ApiToken]:
    """Every API token there ever was; the secrets themselves are stored nowhere."""
    with db.read() as tx:
        return tokens.all_(tx)
