"""Logging in, invitations, roles, sessions and tokens: what each lets in, refuses, ends and writes down."""

import sqlite3
from collections.abc import Iterator
from concurrent import futures
from contextlib import closing
from pathlib import Path

import argon2
import numpy as np
import pytest
import sqlalchemy as sa

from app import accounts, api_tokens, backups, errors, labelling, passwords, restoring, settings
from store import annotators, database, schema
from store import errors as store_errors

NOW = 1_000_000.0
GOOD = "a kite over Jura"
HERE = {"address": "192.0.2.1"}
CHEAP = argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its cheapest; two tests take the parameters that are in use."""
    monkeypatch.setattr(passwords, "hasher", lambda: CHEAP)
    monkeypatch.setattr(passwords, "_nobodys", lambda: CHEAP.hash("nobody's"))


@pytest.fixture
def db(tmp_path: Path, template: Path) -> Iterator[database.Database]:
    (tmp_path / "raum.db").write_bytes(template.read_bytes())
    with closing(database.open(tmp_path / "raum.db")) as opened:
        yield opened


@pytest.fixture
def ada(db: database.Database) -> database.Database:
    """A workspace with one user, an admin."""
    accounts.add(db, "Ada", "admin", GOOD, actor="shell", now=NOW)
    return db


def _everything(db: database.Database) -> bytes:
    db.checkpoint()
    assert db.path is not None
    return db.path.read_bytes()


def test_the_first_user_turns_accounts_on(db: database.Database) -> None:
    assert not accounts.any_users(db)
    accounts.add(db, "Ada", "admin", GOOD, actor="shell", now=NOW)
    assert accounts.any_users(db)


def test_the_right_password_opens_a_session(ada: database.Database) -> None:
    token = accounts.login(ada, " ada ", GOOD, **HERE, now=NOW)
    person = accounts.who(ada, token, now=NOW + 1)
    assert person is not None
    assert (person.name, person.role, person.via) == ("Ada", "admin", "session")
    assert person.scopes == {"read", "label", "review", "manage"}
    accounts.logout(ada, token, now=NOW + 2)
    assert accounts.who(ada, token, now=NOW + 2) is None


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("Ada", "not her password"),
        ("nobody", GOOD),
        ("ben", GOOD),
        ("", ""),
        ("\0", GOOD),
        ("\ud800", GOOD),
        ("a" * 5000, GOOD),
        ("Ada", "\udfff" * 2000),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same(ada: database.Database, name: str, password: str) -> None:
    accounts.invite(ada, "ben", "annotator", actor="Ada", now=NOW)  # no password yet
    with pytest.raises(errors.LoginRefused, match=r"^name or password is wrong$"):
        accounts.login(ada, name, password, **HERE, now=NOW)


def test_an_unknown_name_costs_the_same_work(db: database.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    accounts.add(db, "Ada", "admin", GOOD, actor="shell", now=NOW)
    looked = []
    real = argon2.PasswordHasher.verify

    def verify(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        looked.append(argon2.extract_parameters(stored))
        return real(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    for name in ("Ada", "nobody"):
        with pytest.raises(errors.LoginRefused):
            accounts.login(db, name, "not her password", **HERE, now=NOW)
    assert len(looked) == 2
    assert looked[0] == looked[1]
    assert looked[0].type is argon2.Type.ID
    assert looked[0].memory_cost * looked[0].time_cost >= 3 * 19 * 1024  # OWASP's least: 19 MiB and 2 passes


def test_no_secret_is_in_the_database(ada: database.Database) -> None:
    secrets = [
        GOOD,
        accounts.login(ada, "Ada", GOOD, **HERE, now=NOW),
        accounts.invite(ada, "ben", "annotator", actor="Ada", now=NOW),
        api_tokens.make(ada, "Ada", "night", ["read"], actor="Ada", now=NOW),
    ]
    stored = _everything(ada)
    assert passwords.digest(secrets[1]).encode() in stored
    for secret in secrets:
        assert secret.encode() not in stored


def test_sessions_last_while_they_are_used_and_survive_a_restart(ada: database.Database) -> None:
    token = accounts.login(ada, "Ada", GOOD, **HERE, now=NOW)
    assert accounts.who(ada, token, now=NOW + 13 * accounts.DAY) is not None
    assert ada.path is not None
    with closing(database.open(ada.path)) as again:
        assert accounts.who(again, token, now=NOW + 26 * accounts.DAY) is not None
    assert accounts.who(ada, token, now=NOW + 41 * accounts.DAY) is None
    accounts.login(ada, "Ada", GOOD, **HERE, now=NOW + 41 * accounts.DAY)
    with ada.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(schema.sessions)) == 1  # the expired one is gone


def test_being_seen_is_written_at_most_once_a_minute(ada: database.Database) -> None:
    token = accounts.login(ada, "Ada", GOOD, **HERE, now=NOW)
    for seconds, seen in ((59, 0), (60, 60), (100, 60), (125, 125)):
        accounts.who(ada, token, now=NOW + seconds)
        assert accounts.people(ada)[0].seen_at == NOW + seen


def test_failures_make_each_try_wait_twice_as_long(ada: database.Database) -> None:
    now, waits = NOW, []
    for _ in range(21):
        try:
            with pytest.raises(errors.LoginRefused):
                accounts.login(ada, "Ada", "not her password", **HERE, now=now)
        except errors.TooManyTries as problem:
            waits.append(problem.seconds)
            now += problem.seconds
    assert waits == [2.0**power for power in range(len(waits))]
    assert len(waits) >= 7
    with pytest.raises(errors.TooManyTries, match=r"wait \d+ s"):
        accounts.login(ada, "ADA", GOOD, address="198.51.100.7", now=now)  # the right one, elsewhere: it waits too
    token = accounts.login(ada, "Ada", GOOD, **HERE, now=now + 900)
    assert accounts.who(ada, token, now=now + 900) is not None
    for _ in range(5):  # a success has forgotten the failures
        with pytest.raises(errors.LoginRefused):
            accounts.login(ada, "Ada", "not her password", **HERE, now=now + 901)


def test_failures_are_remembered_across_a_restart_and_a_clock_set_back(ada: database.Database) -> None:
    for _ in range(5):
        with pytest.raises(errors.LoginRefused):
            accounts.login(ada, "Ada", "not her password", **HERE, now=NOW)
    assert ada.path is not None
    with closing(database.open(ada.path)) as again, pytest.raises(errors.TooManyTries) as caught:
        accounts.login(again, "Ada", GOOD, **HERE, now=NOW - 86400)
    assert caught.value.seconds == 1.0


def test_guesses_at_the_same_time_are_not_more_guesses(ada: database.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = argon2.PasswordHasher.verify

    def verify(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        looked.append(password)
        return real(self, stored, password)

    def guess(number: int) -> type[Exception]:
        try:
            accounts.login(ada, "Ada", f"guess number {number}", **HERE, now=NOW)
        except (errors.LoginRefused, errors.TooManyTries) as problem:
            return type(problem)
        pytest.fail("let in")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    with futures.ThreadPoolExecutor(16) as pool:
        said = list(pool.map(guess, range(64)))
    assert len(looked) == said.count(errors.LoginRefused) == 5
    assert said.count(errors.TooManyTries) == 59


@pytest.mark.parametrize(("first", "second"), [("192.0.2.9", "192.0.2.9"), ("2001:db8::1", "2001:db8::ffff:2")])
def test_many_names_from_one_address_wait_too(ada: database.Database, first: str, second: str) -> None:
    for number in range(20):
        with pytest.raises(errors.LoginRefused):
            accounts.login(ada, f"guess {number}", GOOD, address=first, now=NOW)
    with pytest.raises(errors.TooManyTries):
        accounts.login(ada, "Ada", GOOD, address=second, now=NOW)
    accounts.login(ada, "Ada", GOOD, address="203.0.113.5", now=NOW)  # others are let in


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("ninechars", "at least 10"),
        ("x" * 1001, "at most"),
        ("Password123", "first that anybody tries"),
        ("aaaaaaaaaaaaaaaa", "first that anybody tries"),
        ("Ludmilla Petrova", "more than the name"),
        ("ludmilla petrova1", "more than the name"),
    ],
)
def test_weak_passwords_are_refused(db: database.Database, password: str, why: str) -> None:
    with pytest.raises(errors.WeakPassword, match=why):
        accounts.add(db, "Ludmilla Petrova", "annotator", password, actor="shell", now=NOW)
    assert not accounts.any_users(db)


def test_a_password_in_another_spelling_of_the_same_letters_fits(db: database.Database) -> None:
    accounts.add(db, "Zoë", "annotator", "caf\u00e9 au lait", actor="shell", now=NOW)
    accounts.login(db, "ZOE\u0308", "cafe\u0301 au lait", **HERE, now=NOW)


def test_a_hash_of_older_parameters_is_made_anew(ada: database.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8192).hash(GOOD)
    with ada.write() as tx:
        tx.execute(sa.update(schema.users).values(password_hash=old))
    accounts.login(ada, "Ada", GOOD, **HERE, now=NOW)
    with ada.read() as tx:
        new = tx.scalar(sa.select(schema.users.c.password_hash))
    assert new != old
    assert not argon2.PasswordHasher().check_needs_rehash(new)
    accounts.login(ada, "Ada", GOOD, **HERE, now=NOW)


def test_an_invitation_sets_a_password_once(ada: database.Database) -> None:
    link = accounts.invite(ada, "ben", "reviewer", actor="Ada", now=NOW)
    with pytest.raises(errors.WeakPassword):
        accounts.redeem(ada, link, "short", now=NOW)
    session = accounts.redeem(ada, link, "green finches sing", now=NOW + 1)
    person = accounts.who(ada, session, now=NOW + 1)
    assert person is not None
    assert (person.name, person.role, person.scopes) == ("ben", "reviewer", {"read", "label", "review"})
    with pytest.raises(errors.InviteRefused, match="used already"):
        accounts.redeem(ada, link, "another long one", now=NOW + 2)
    accounts.login(ada, "ben", "green finches sing", **HERE, now=NOW + 3)


def test_invitations_expire_and_a_newer_one_replaces_the_older(ada: database.Database) -> None:
    first = accounts.invite(ada, "ben", "annotator", actor="Ada", now=NOW)
    second = accounts.invite(ada, "ben", None, actor="Ada", now=NOW)
    for link, when, why in (
        (first, NOW, "not known"),
        ("no such", NOW, "not known"),
        (second, NOW + 8 * 86400, "expi"),
    ):
        with pytest.raises(errors.InviteRefused, match=why):
            accounts.redeem(ada, link, "green finches sing", now=when)
    accounts.redeem(ada, second, "green finches sing", now=NOW + 6 * 86400)


def test_a_forgotten_password_is_replaced_and_its_sessions_end(ada: database.Database) -> None:
    session = accounts.login(ada, "Ada", GOOD, **HERE, now=NOW)
    accounts.redeem(ada, accounts.invite(ada, "Ada", None, actor="shell", now=NOW), "green finches sing", now=NOW)
    assert accounts.who(ada, session, now=NOW) is None
    with pytest.raises(errors.LoginRefused):
        accounts.login(ada, "Ada", GOOD, **HERE, now=NOW)


def test_many_are_invited_or_nobody(ada: database.Database) -> None:
    with pytest.raises(errors.BadRequest, match="captain"):
        accounts.invite_all(ada, [("ben", "annotator"), ("cyd", "captain")], actor="Ada", now=NOW)
    assert [each.name for each in accounts.people(ada)] == ["Ada"]
    links = accounts.invite_all(ada, [("ben", "annotator"), ("cyd", "reviewer")], actor="Ada", now=NOW)
    assert len(set(links)) == 2
    assert [(each.name, each.role, each.invited) for each in accounts.people(ada)] == [
        ("Ada", "admin", False),
        ("ben", "annotator", True),
        ("cyd", "reviewer", True),
    ]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "import", "\u202eada", "ADA"])
def test_names_that_cannot_be(ada: database.Database, name: str) -> None:
    with pytest.raises(errors.BadRequest):
        accounts.add(ada, name, "annotator", None, actor="shell", now=NOW)


def test_whoever_labelled_before_there_were_accounts_keeps_the_answers(db: database.Database) -> None:
    labelling.next_images(db, annotator="ben", client="tab", count=1, now=NOW, rng=np.random.default_rng(0))
    with db.read() as tx:
        before = annotators.by_name(tx, "ben")
    assert before is not None
    session = accounts.redeem(db, accounts.invite(db, "ben", "reviewer", actor="shell", now=NOW), GOOD, now=NOW)
    person = accounts.who(db, session, now=NOW)
    assert person is not None
    assert (person.annotator_id, person.role) == (before.id, "reviewer")


def test_a_role_holds_from_the_next_request_on(ada: database.Database) -> None:
    session = accounts.redeem(ada, accounts.invite(ada, "ben", "annotator", actor="Ada", now=NOW), GOOD, now=NOW)
    accounts.set_role(ada, "ben", "reviewer", actor="Ada", now=NOW)
    person = accounts.who(ada, session, now=NOW)
    assert person is not None
    assert "review" in person.scopes
    with pytest.raises(errors.BadRequest, match="annotator, reviewer, admin"):
        accounts.set_role(ada, "ben", "captain", actor="Ada", now=NOW)
    with pytest.raises(errors.NotFound, match="nobody"):
        accounts.set_role(ada, "nobody", "admin", actor="Ada", now=NOW)


def test_the_last_admin_stays(ada: database.Database) -> None:
    accounts.invite(ada, "ben", "admin", actor="Ada", now=NOW)  # cannot log in yet
    with pytest.raises(errors.BadRequest, match="last admin"):
        accounts.deactivate(ada, "Ada", actor="Ada", now=NOW)
    with pytest.raises(errors.BadRequest, match="last admin"):
        accounts.set_role(ada, "Ada", "reviewer", actor="Ada", now=NOW)
    accounts.set_password(ada, "ben", "green finches sing", actor="Ada", now=NOW)
    accounts.deactivate(ada, "Ada", actor="ben", now=NOW)


def test_locked_out_means_out(ada: database.Database) -> None:
    link = accounts.invite(ada, "ben", "reviewer", actor="Ada", now=NOW)
    session = accounts.redeem(ada, link, GOOD, now=NOW)
    token = api_tokens.make(ada, "ben", "night", ["read"], actor="ben", now=NOW)
    link = accounts.invite(ada, "ben", None, actor="Ada", now=NOW)
    accounts.deactivate(ada, "ben", actor="Ada", now=NOW)
    assert accounts.who(ada, session, now=NOW) is None
    assert accounts.bearer(ada, token, now=NOW) is None
    with pytest.raises(errors.LoginRefused):
        accounts.login(ada, "ben", GOOD, **HERE, now=NOW)
    with pytest.raises(errors.InviteRefused):
        accounts.redeem(ada, link, GOOD, now=NOW)
    with pytest.raises(errors.BadRequest, match="locked out"):
        accounts.invite(ada, "ben", None, actor="Ada", now=NOW)
    accounts.reactivate(ada, "ben", actor="Ada", now=NOW)
    accounts.login(ada, "ben", GOOD, **HERE, now=NOW)
    assert accounts.bearer(ada, token, now=NOW) is None


def test_sessions_and_passwords_can_be_ended_by_an_admin(ada: database.Database) -> None:
    sessions = [accounts.login(ada, "Ada", GOOD, **HERE, now=NOW) for _ in range(2)]
    assert accounts.end_all_sessions(ada, "Ada", actor="shell", now=NOW) == 2
    sessions.append(accounts.login(ada, "Ada", GOOD, **HERE, now=NOW))
    accounts.set_password(ada, "Ada", "green finches sing", actor="shell", now=NOW)
    assert [accounts.who(ada, each, now=NOW) for each in sessions] == [None] * 3


def test_a_token_may_what_it_was_made_for_and_never_more_than_its_owner(ada: database.Database) -> None:
    accounts.add(ada, "ben", "reviewer", GOOD, actor="Ada", now=NOW)
    token = api_tokens.make(ada, "ben", "night", ["review", "read"], actor="Ada", now=NOW)
    assert token.startswith("raum_")
    person = accounts.bearer(ada, token, now=NOW)
    assert person is not None
    assert (person.name, person.scopes, person.via) == ("ben", {"read", "review"}, "token")
    accounts.set_role(ada, "ben", "annotator", actor="Ada", now=NOW)
    person = accounts.bearer(ada, token, now=NOW + 90)
    assert person is not None
    assert person.scopes == {"read"}
    (listed,) = api_tokens.all_(ada)
    assert (listed.owner, listed.name, listed.scopes, listed.used_at) == ("ben", "night", ("read", "review"), NOW + 90)


@pytest.mark.parametrize("scopes", [[], ["review"], ["read", "fly"], ["manage", "read"]])
def test_a_token_beyond_the_role_is_not_made(ada: database.Database, scopes: list[str]) -> None:
    accounts.add(ada, "ben", "annotator", GOOD, actor="Ada", now=NOW)
    with pytest.raises(errors.BadRequest, match="read,label"):
        api_tokens.make(ada, "ben", "night", scopes, actor="Ada", now=NOW)


def test_tokens_end_when_revoked_or_expired(ada: database.Database) -> None:
    kept, ended = (api_tokens.make(ada, "Ada", name, ["read"], actor="Ada", now=NOW) for name in ("a", "b"))
    short = api_tokens.make(ada, "Ada", "c", ["read"], actor="Ada", now=NOW, expires_at=NOW + 10)
    api_tokens.revoke(ada, 2, actor="Ada", now=NOW + 5)
    assert [accounts.bearer(ada, each, now=NOW + 9) is not None for each in (kept, ended, short)] == [True, False, True]
    assert accounts.bearer(ada, short, now=NOW + 10) is None
    assert accounts.bearer(ada, "raum_nonsense\ud800", now=NOW) is None
    with pytest.raises(store_errors.UnknownToken):
        api_tokens.revoke(ada, 9, actor="Ada", now=NOW)


def test_a_restored_backup_logs_nobody_in(ada: database.Database, tmp_path: Path) -> None:
    session = accounts.login(ada, "Ada", GOOD, **HERE, now=NOW)
    link = accounts.invite(ada, "ben", "annotator", actor="Ada", now=NOW)
    chosen = settings.load(tmp_path)
    backups.by_hand(chosen, tmp_path / "kept.db", now=NOW)
    accounts.logout(ada, session, now=NOW)
    ada.close()
    told = restoring.restore(chosen, tmp_path / "kept.db", now=NOW + 1)
    assert "everybody logs in anew" in told
    with closing(database.open(chosen.database)) as again:
        assert accounts.who(again, session, now=NOW) is None
        with pytest.raises(errors.InviteRefused):
            accounts.redeem(again, link, "green finches sing", now=NOW)
        accounts.login(again, "Ada", GOOD, **HERE, now=NOW)
        assert accounts.acts(again, 1)[0].act == "restore"


def test_every_administrative_act_is_written_down_and_stays(ada: database.Database) -> None:
    accounts.redeem(ada, accounts.invite(ada, "ben", "annotator", actor="Ada", now=NOW), GOOD, now=NOW + 1)
    accounts.set_role(ada, "ben", "reviewer", actor="Ada", now=NOW + 2)
    accounts.set_password(ada, "ben", "green finches sing", actor="Ada", now=NOW + 3)
    accounts.end_all_sessions(ada, "ben", actor="Ada", now=NOW + 4)
    api_tokens.make(ada, "ben", "night", ["read"], actor="ben", now=NOW + 5)
    api_tokens.revoke(ada, 1, actor="Ada", now=NOW + 6)
    accounts.deactivate(ada, "ben", actor="Ada", now=NOW + 7)
    accounts.reactivate(ada, "ben", actor="Ada", now=NOW + 8)
    with pytest.raises(errors.BadRequest):
        accounts.deactivate(ada, "Ada", actor="Ada", now=NOW + 9)
    said = [(each.actor, each.act, each.subject) for each in accounts.acts(ada)][::-1]
    assert said == [
        ("shell", "add", "Ada"),
        ("Ada", "invite", "ben"),
        ("ben", "redeem", "ben"),
        ("Ada", "role", "ben"),
        ("Ada", "password", "ben"),
        ("Ada", "end sessions", "ben"),
        ("ben", "make token", "ben"),
        ("Ada", "revoke token", "ben"),
        ("Ada", "deactivate", "ben"),
        ("Ada", "activate", "ben"),
    ]
    assert accounts.acts(ada, 7)[-1].details == {"role": "reviewer", "before": "annotator"}
    assert ada.path is not None
    with closing(sqlite3.connect(ada.path)) as raw:
        for statement in ("DELETE FROM acts", "UPDATE acts SET actor = 'cyd'"):
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                raw.execute(statement)
