"""Many invitations at once: a CSV file of names and roles in, one link for each person out."""

import csv
import os
from pathlib import Path
from typing import TextIO

from app import accounts, errors
from app.exchange import labels_csv
from store import users
from store.database import Database

COLUMNS = ("name", "role")
TOLD = 20  # problems that are named, the others are counted
LARGEST = 1 << 20  # bytes


def link(address: str, token: str) -> str:
    """The token stands in the fragment, which browsers send to nobody: no log ever holds it."""
    return f"{address.rstrip('/')}/invite#{token}"


def read(db: Database, path: Path) -> list[tuple[str, str]]:
    """Names and roles of a CSV file with these two columns; raises BadRequest that names every line at fault."""
    rows = _rows(path)
    problems: list[str] = []
    taken = {users.key(each.name): each.name for each in accounts.people(db) if not each.invited}
    seen: dict[str, int] = {}
    for number, name, role in rows:
        key = users.key(name)
        if not accounts.storable(name):
            problems.append(f"line {number}: a name has 1 to 100 printable characters, not {name[:120]!r}")
        elif role not in accounts.SCOPES:
            problems.append(f"line {number}: a role is one of {', '.join(accounts.SCOPES)}, not {role[:40]!r}")
        elif key in seen:
            problems.append(f"line {number}: {name} stands in line {seen[key]} already")
        elif key in taken:
            problems.append(f"line {number}: {taken[key]} has a password already; user invite NAME makes a new link")
        seen.setdefault(key, number)
    if not rows:
        problems.append("there is nobody in it")
    if problems:
        more = f"; and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
        raise errors.BadRequest(f"nobody was invited, mend {path} first: {'; '.join(problems[:TOLD])}{more}")
    return [(name, role) for _, name, role in rows]


def from_file(
    db: Database, path: Path, out: Path | None, *, address: str, actor: str, now: float
) -> list[str]:  # fmt: skip
    """Invite everybody in the file or nobody; returns what to print: the links, or where they were written."""
    people = read(db, path)
    written = None if out is None else _private_file(out)
    try:
        made = accounts.invite_all(db, people, actor=actor, now=now)
    except BaseException:
        if written is not None and out is not None:
            written.close()
            out.unlink()
        raise
    links = [link(address, each) for each in made]
    if written is None:
        return [f"{name}\t{each}" for (name, _), each in zip(people, links, strict=True)]
    with written:
        table = csv.writer(written)
        table.writerow([*COLUMNS, "link"])
        table.writerows([labels_csv.safe(name), role, each] for (name, role), each in zip(people, links, strict=True))
    return [f"{len(links)} links are in {out}: each is a secret, give it to its person only"]


def _private_file(path: Path) -> TextIO:
    """A new file that only its owner may read; raises BadRequest where there is one already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as problem:
        raise errors.BadRequest(f"{path} cannot be made ({problem.strerror}): choose another --out") from problem
    return os.fdopen(handle, "w", encoding="utf-8", newline="")


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """(line, name, role) of every line that is not empty."""
    try:
        if path.stat().st_size > LARGEST:
            raise errors.BadRequest(f"{path} is larger than {LARGEST:,} bytes: give a list of names and roles")
        text = path.read_text(encoding="utf-8-sig")
        table = csv.reader(text.splitlines(), strict=True)
        head = [cell.strip().lower() for cell in next(table, [])]
        if sorted(head) != sorted(COLUMNS):
            raise errors.BadRequest(f"{path} must begin with the line name,role")
        rows = [(table.line_num, dict(zip(head, cells, strict=False))) for cells in table if any(cells)]
    except OSError as problem:
        raise errors.BadRequest(f"{path} cannot be read ({problem.strerror}): give another file") from problem
    except UnicodeDecodeError as problem:
        raise errors.BadRequest(f"{path} is not UTF-8: save it as CSV UTF-8") from problem
    except csv.Error as problem:
        raise errors.BadRequest(f"{path}, line {table.line_num}: {problem}") from problem
    return [
        (number, labels_csv.as_said(row.get("name", "").strip()), row.get("role", "").strip().lower())
        for number, row in rows
    ]
