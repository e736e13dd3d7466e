"""launch.py user: each verb as it is typed."""

import csv
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import argon2
import pytest
from typer import testing

import launch
from app import accounts, errors, passwords
from store import database

GOOD = "a kite over Jura"
LINK = re.compile(r"https?://\S+/invite#(\S{43})")
Typed = Callable[..., str]


@pytest.fixture
def typed(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs `launch.py user ...` on a workspace and returns what it prints; a refusal is raised as it is."""
    (tmp_path / "raum.db").write_bytes(template.read_bytes())
    cheap = argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST)
    monkeypatch.setattr(passwords, "hasher", lambda: cheap)

    def run(*words: str, stdin: str = "") -> str:
        done = testing.CliRunner().invoke(
            launch.app, ["user", *words, "--workspace", str(tmp_path)], input=stdin, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.output

    return run


@pytest.fixture
def db(tmp_path: Path, typed: Typed) -> Iterator[database.Database]:
    with closing(database.open(tmp_path / "raum.db")) as opened:
        yield opened


def test_a_password_is_asked_twice_and_not_shown(typed: Typed, db: database.Database) -> None:
    said = typed("add", "Ada", "--role", "admin", stdin=f"{GOOD}\nanother one\n{GOOD}\n{GOOD}\n")
    assert GOOD not in said
    assert said.splitlines()[-1] == "Ada may log in (admin)"
    accounts.login(db, "Ada", GOOD, address="::1", now=1.0)


def test_a_password_from_standard_input_keeps_its_spaces(typed: Typed, db: database.Database) -> None:
    typed("add", "Ada", "--role", "admin", "--password-stdin", stdin="  spaces at both ends \r\nmore\n")
    accounts.login(db, "Ada", "  spaces at both ends ", address="::1", now=1.0)
    typed("password", "ada", "--password-stdin", stdin=f"{GOOD}\n")
    accounts.login(db, "Ada", GOOD, address="::1", now=1.0)


def test_without_a_password_nothing_is_added(typed: Typed, db: database.Database) -> None:
    with pytest.raises(errors.WeakPassword, match="at least 10"):
        typed("add", "Ada", "--role", "admin", "--password-stdin", stdin="")
    assert not accounts.any_users(db)


def test_an_invitation_is_a_link_that_no_log_holds(typed: Typed, db: database.Database) -> None:
    found = LINK.fullmatch(typed("invite", "ben", "--role", "reviewer", "--address", "https://r.example/raum/").strip())
    assert found is not None
    assert found[0].startswith("https://r.example/raum/invite#")
    session = accounts.redeem(db, found[1], GOOD, now=0.0)
    person = accounts.who(db, session, now=0.0)
    assert person is not None
    assert person.role == "reviewer"
    assert typed("invite", "BEN").startswith("http://127.0.0.1:7860/invite#")
    with pytest.raises(errors.NotFound, match="cyd"):
        typed("invite", "cyd")


def test_twenty_people_by_one_command(typed: Typed, db: database.Database, tmp_path: Path) -> None:
    names = [f"person {number}" for number in range(19)] + ['=HYPERLINK("x")']
    people, out = tmp_path / "people.csv", tmp_path / "links.csv"
    with people.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["Role", "Name"], *(["annotator", name] for name in names), [], ["", ""]])
    assert "20 links are in" in typed("invite", "--csv", str(people), "--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["name"] for row in rows] == [*names[:19], "'" + names[19]]
    tokens = [LINK.fullmatch(row["link"])[1] for row in rows]  # type: ignore[index]
    assert len(set(tokens)) == 20
    accounts.redeem(db, tokens[0], GOOD, now=0.0)
    assert [each.invited for each in accounts.people(db)].count(True) == 19
    with pytest.raises(errors.BadRequest, match="line 2: person 0 has a password already"):
        typed("invite", "--csv", str(people), "--out", str(tmp_path / "more.csv"))
    assert not (tmp_path / "more.csv").exists()
    people.write_text("name,role\n" + "".join(f'"{name}",annotator\n' for name in names[1:5]), encoding="utf-8")
    with pytest.raises(errors.BadRequest, match=r"links\.csv cannot be made"):
        typed("invite", "--csv", str(people), "--out", str(out))
    printed = [line.split("\t") for line in typed("invite", "--csv", str(people)).splitlines()]
    assert [name for name, _ in printed] == names[1:5]
    with pytest.raises(errors.InviteRefused, match="newer one"):
        accounts.redeem(db, tokens[1], GOOD, now=0.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,role\nben,annotator\ncyd,captain\n,admin\nBEN,annotator\n", "line 3: a role.*; line 4: a name.*; line 5: BEN"),
        ("name,role\n\nben\n", "line 3: a role"),
        ("name;role\nben;annotator\n", "must begin with the line name,role"),
        ("", "must begin with the line name,role"),
        ("name,role\n", "nobody in it"),
        ('name,role\n"ben,annotator\n', "line 2: unexpected end"),
        ("name,role\n" + "\nben,x".join([""] * 30), "and 9 more"),
        ("name,role\na\x07b,admin\n", r"line 2: a name .* 'a\\x07b'"),
    ],
)  # fmt: skip
def test_a_file_with_faults_invites_nobody(
    typed: Typed, db: database.Database, tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "people.csv").write_text(text, encoding="utf-8")
    with pytest.raises(errors.BadRequest, match=why):
        typed("invite", "--csv", str(tmp_path / "people.csv"))
    assert not accounts.any_users(db)


def test_files_that_are_none(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("name,role\nZo\u00eb,admin".encode("latin-1"))
    (tmp_path / "big").write_bytes(b"name,role\n" * 200_000)
    for name, why in (("none", "No such file"), ("latin", "not UTF-8"), ("big", "larger than"), ("", "cannot be read")):
        with pytest.raises(errors.BadRequest, match=why):
            typed("invite", "--csv", str(tmp_path / name))


@pytest.mark.parametrize("words", [[], ["ben", "--csv", "x"], ["--csv", "x", "--role", "admin"], ["ben", "--out", "x"]])
def test_who_is_invited_must_be_clear(typed: Typed, words: list[str]) -> None:
    with pytest.raises(errors.BadRequest, match="NAME, with --role"):
        typed("invite", *words)


def test_lists_roles_locks_and_acts(typed: Typed, db: database.Database) -> None:
    typed("add", "Ada", "--role", "admin", "--password-stdin", stdin=f"{GOOD}\n")
    accounts.login(db, "Ada", GOOD, address="::1", now=1.0)
    typed("invite", "ben", "--role", "annotator")
    assert "ben is reviewer" in typed("role", "ben", "reviewer")
    assert "Ada may log in again" in typed("activate", "Ada")
    assert "1 sessions of Ada are ended" in typed("logout", "Ada")
    typed("deactivate", "ben")
    assert [line.split() for line in typed("list").splitlines()] == [
        ["name", "role", "state", "last", "seen"],
        ["Ada", "admin", "active", "-"],
        ["ben", "reviewer", "locked", "out", "-"],
    ]
    told = typed("acts", "--limit", "3").splitlines()
    assert [re.split(r"  +", line)[2:4] for line in told] == [
        ["did", "to"],
        ["deactivate", "ben"],
        ["end sessions", "Ada"],
        ["activate", "Ada"],
    ]
    assert "command line (" in told[1]


def test_tokens_are_shown_once_listed_and_revoked(typed: Typed, db: database.Database) -> None:
    typed("add", "Ada", "--role", "admin", "--password-stdin", stdin=f"{GOOD}\n")
    made = typed("token", "make", "ada", "nightly export", "--scopes", "read, label", "--days", "1").strip()
    person = accounts.bearer(db, made, now=1.0)
    assert person is not None
    assert person.scopes == {"read", "label"}
    listed = typed("token", "list")
    assert made not in listed
    assert "nightly export" in listed
    typed("token", "revoke", "1")
    assert "revoked" in typed("token", "list").splitlines()[1]
    assert accounts.bearer(db, made, now=1.0) is None
