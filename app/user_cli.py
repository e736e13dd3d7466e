"""The verbs `launch.py user ...`: who may log in; what they need is imported when they are run."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from store.database import Database
    from store.records_accounts import ApiToken

user = typer.Typer(no_args_is_help=True, help="Who may log in; with the first user, every request needs a login.")
token = typer.Typer(no_args_is_help=True, help="API tokens: what scripts show instead of a password.")
user.add_typer(token, name="token")

Workspace = Annotated[Path, typer.Option("--workspace", help="the folder that holds everything RAUM stores")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="the user's name, in any case")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="read the password from standard input")]
ROLES = "annotator|reviewer|admin, each holds all that the one before may"
HOME = Path("workspace")


@user.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help=ROLES)] = "annotator",
    password_stdin: FromStdin = False,
    workspace: Workspace = HOME,
) -> None:
    """Add a user and ask for the password; who answered under this name before keeps the answers."""
    from app import accounts

    with _opened(workspace) as db:
        accounts.add(db, name, role, _password(password_stdin), actor=_actor(), now=time.time())
    print(f"{name} may log in ({role})")


@user.command()
def invite(
    name: Annotated[str | None, typer.Argument(help="a new user, or one who forgot the password")] = None,
    role: Annotated[str | None, typer.Option(help=f"{ROLES}; for a new user")] = None,
    csv: Annotated[Path | None, typer.Option(help="a file with the columns name,role: all of them or nobody")] = None,
    out: Annotated[Path | None, typer.Option(help="write name, role and link into this new CSV file")] = None,
    address: Annotated[str | None, typer.Option(help="where people open the page, e.g. https://raum.example")] = None,
    workspace: Workspace = HOME,
) -> None:
    """Print a one-time link, good for 7 days, with which a person sets his or her own password."""
    from app import accounts, errors, invitations, serving, settings

    base = address or serving.address(settings.load(workspace))
    with _opened(workspace) as db:
        if name is not None and csv is None and out is None:
            made = accounts.invite(db, name, role, actor=_actor(), now=time.time())
            print(invitations.link(base, made))
        elif csv is not None and name is None and role is None:
            for line in invitations.from_file(db, csv, out, address=base, actor=_actor(), now=time.time()):
                print(line)
        else:
            raise errors.BadRequest(
                "give a NAME, with --role for a new user, or --csv FILE, with --out FILE or without"
            )


@user.command("list")
def list_(workspace: Workspace = HOME) -> None:
    """Everybody who may log in, and who was locked out or has not come yet."""
    from app import accounts

    with _opened(workspace) as db:
        rows = [
            (each.name, each.role, _state(each.active, each.invited), _day(each.seen_at))
            for each in accounts.people(db)
        ]
    _table(("name", "role", "state", "last seen"), rows)


@user.command("role")
def role_(name: Name, role: Annotated[str, typer.Argument(help=ROLES)], workspace: Workspace = HOME) -> None:
    """Give a user another role; it holds from the next request on."""
    from app import accounts

    with _opened(workspace) as db:
        accounts.set_role(db, name, role, actor=_actor(), now=time.time())
    print(f"{name} is {role}")


@user.command()
def deactivate(name: Name, workspace: Workspace = HOME) -> None:
    """Lock a user out: sessions, invitations and tokens end, the answers stay."""
    from app import accounts

    with _opened(workspace) as db:
        accounts.deactivate(db, name, actor=_actor(), now=time.time())
    print(f"{name} is locked out")


@user.command()
def activate(name: Name, workspace: Workspace = HOME) -> None:
    """Let a user in again, with the password of before."""
    from app import accounts

    with _opened(workspace) as db:
        accounts.reactivate(db, name, actor=_actor(), now=time.time())
    print(f"{name} may log in again")


@user.command()
def password(name: Name, password_stdin: FromStdin = False, workspace: Workspace = HOME) -> None:
    """Set a user's password; his or her sessions and invitations end."""
    from app import accounts

    with _opened(workspace) as db:
        accounts.set_password(db, name, _password(password_stdin), actor=_actor(), now=time.time())
    print(f"{name} has a new password")


@user.command()
def logout(name: Name, workspace: Workspace = HOME) -> None:
    """End every session of a user, on all devices; API tokens stay."""
    from app import accounts

    with _opened(workspace) as db:
        ended = accounts.end_all_sessions(db, name, actor=_actor(), now=time.time())
    print(f"{ended} sessions of {name} are ended")


@user.command()
def acts(
    limit: Annotated[int, typer.Option(help="how many, newest first", min=1)] = 50, workspace: Workspace = HOME
) -> None:
    """What was done to whose account, when and by whom; this record only grows."""
    from app import accounts

    with _opened(workspace) as db:
        rows = [
            (_day(each.at), each.actor, each.act, each.subject, " ".join(f"{k}={v}" for k, v in each.details.items()))
            for each in accounts.acts(db, limit)
        ]
    _table(("when", "who", "did", "to", "details"), rows)


@token.command("make")
def token_make(
    name: Name,
    token_name: Annotated[str, typer.Argument(metavar="TOKEN_NAME", help="what it is for")],
    scopes: Annotated[str, typer.Option(help="some of read,label,review,manage")] = "read",
    days: Annotated[float | None, typer.Option(help="days after which it ends by itself", min=0.001)] = None,
    workspace: Workspace = HOME,
) -> None:
    """Print a new API token, this once; a script sends it as the header Authorization: Bearer TOKEN."""
    from app import api_tokens

    now = time.time()
    wanted = [each.strip() for each in scopes.split(",") if each.strip()]
    ends = None if days is None else now + days * 86400
    with _opened(workspace) as db:
        print(api_tokens.make(db, name, token_name, wanted, actor=_actor(), now=now, expires_at=ends))


@token.command("list")
def token_list(workspace: Workspace = HOME) -> None:
    """Every API token there ever was, without its secret."""
    from app import api_tokens

    with _opened(workspace) as db:
        rows = [
            (str(each.id), each.owner, each.name, ",".join(each.scopes), _day(each.used_at), _end(each))
            for each in api_tokens.all_(db)
        ]
    _table(("id", "user", "token", "scopes", "last used", "ends"), rows)


@token.command("revoke")
def token_revoke(
    number: Annotated[int, typer.Argument(metavar="ID", help="as token list says")], workspace: Workspace = HOME
) -> None:
    """End an API token."""
    from app import api_tokens

    with _opened(workspace) as db:
        api_tokens.revoke(db, number, actor=_actor(), now=time.time())
    print(f"token {number} is revoked")


@contextlib.contextmanager
def _opened(workspace: Path) -> "Iterator[Database]":
    from app import processes, settings
    from store import database

    chosen = settings.load(workspace)
    processes.writable(chosen.workspace)
    with contextlib.closing(database.open(chosen.database)) as db:
        yield db


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _actor() -> str:
    """The account that runs the command, as the system calls it."""
    import getpass

    try:
        return f"command line ({getpass.getuser()})"
    except (OSError, KeyError):  # a container may have no name for its user
        return "command line"


def _state(active: bool, invited: bool) -> str:
    return "locked out" if not active else "invited" if invited else "active"


def _end(each: "ApiToken") -> str:
    return _day(each.expires_at) if each.revoked_at is None else f"revoked {_day(each.revoked_at)}"


def _day(moment: float | None) -> str:
    return "-" if moment is None else f"{datetime.fromtimestamp(moment):%Y-%m-%d %H:%M}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
