"""The rooms of accounts: what each stores and finds; the migration keeps what was there, acts only grow."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from store import acts, annotators, database, errors, invites, schema, sessions, tokens, tries, users
from store.records_accounts import Act, Session


@pytest.fixture
def ada(db: database.Database) -> int:
    with db.write() as tx:
        person = annotators.ensure(tx, "Ada", 1.0)
        users.add(tx, person.id, person.name, 2.0)
        annotators.set_role(tx, person.id, "reviewer")
    return person.id


def test_users_are_annotators_and_found_in_any_case(db: database.Database, ada: int) -> None:
    with db.write() as tx:
        found = users.by_name(tx, "  ADA ")
        assert found == users.get(tx, ada)
        assert found is not None
        assert (found.name, found.role, found.active, found.password_hash) == ("Ada", "reviewer", True, None)
        other = annotators.ensure(tx, "ada", 1.0)
        with pytest.raises(errors.NameTaken, match="'Ada'"):
            users.add(tx, other.id, other.name, 2.0)
        with pytest.raises(errors.UnknownUser):
            users.get(tx, other.id)
        assert users.key("Straße") == users.key("STRASSE")
        assert users.key("e\u0301") == users.key("É")
    assert "secret" not in repr(users.User(**vars(found) | {"password_hash": "secret"}))


def test_only_admins_who_can_log_in_count(db: database.Database, ada: int) -> None:
    with db.write() as tx:
        assert users.others(tx, "reviewer", 0) == 0
        users.set_password(tx, ada, "hash")
        assert (users.others(tx, "reviewer", 0), users.others(tx, "reviewer", ada)) == (1, 0)
        users.set_active(tx, ada, False)
        assert users.others(tx, "reviewer", 0) == 0


def test_sessions_live_until_they_expire_or_end(db: database.Database, ada: int) -> None:
    with db.write() as tx:
        for name in ("a", "b"):
            sessions.add(tx, ada, name, now=5.0, expires_at=10.0)
        assert sessions.find(tx, "a", 9.9) == Session(annotator_id=ada, name="Ada", role="reviewer", seen_at=5.0)
        assert sessions.find(tx, "a", 10.0) is None
        sessions.see(tx, "a", now=9.0, expires_at=20.0)
        assert users.all_(tx)[0].seen_at == 9.0
        users.set_active(tx, ada, False)
        assert sessions.find(tx, "a", 9.0) is None
        users.set_active(tx, ada, True)
        sessions.add(tx, ada, "c", now=15.0, expires_at=30.0)
        assert tx.scalar(sa.select(sa.func.count()).select_from(schema.sessions)) == 2  # b had expired
        sessions.end(tx, "a")
        assert sessions.end_all(tx, ada) == 1


def test_an_invitation_replaces_the_one_before_and_remembers_its_use(db: database.Database, ada: int) -> None:
    with db.write() as tx:
        invites.add(tx, ada, "first", now=1.0, expires_at=9.0)
        invites.add(tx, ada, "second", now=2.0, expires_at=9.0)
        assert invites.find(tx, "first") is None
        assert invites.find(tx, "second") == (ada, 9.0, None)
        invites.use(tx, "second", 3.0)
        assert invites.find(tx, "second") == (ada, 9.0, 3.0)
        invites.end(tx, ada)
        assert invites.find(tx, "second") is None


def test_tokens_stay_on_the_list_when_they_end(db: database.Database, ada: int) -> None:
    with db.write() as tx:
        kept = tokens.add(tx, ada, "x", name="night", scopes=["read", "label"], now=1.0, expires_at=None)
        tokens.add(tx, ada, "y", name="day", scopes=["read"], now=1.0, expires_at=5.0)
        found = tokens.find(tx, "x", 100.0)
        assert found == tokens.get(tx, kept)
        assert found is not None
        assert (found.owner, found.role, found.scopes) == ("Ada", "reviewer", ("read", "label"))
        assert (tokens.find(tx, "y", 4.9) is None, tokens.find(tx, "y", 5.0) is None) == (False, True)
        tokens.use(tx, kept, 7.0)
        tokens.revoke(tx, kept, 8.0)
        tokens.revoke(tx, kept, 9.0)
        assert tokens.find(tx, "x", 8.5) is None
        assert tokens.revoke_all(tx, ada, 10.0) == 1
        assert [(each.used_at, each.revoked_at) for each in tokens.all_(tx)] == [(7.0, 8.0), (None, 10.0)]
        with pytest.raises(errors.UnknownToken):
            tokens.get(tx, 99)


def test_tries_are_counted_taken_back_and_forgotten(db: database.Database) -> None:
    with db.write() as tx:
        for moment in (1.0, 2.0):
            tries.count(tx, "name:x", moment)
        tries.count(tx, "address:y", 3.0)
        assert tries.of(tx, "name:x") == (2, 2.0)
        tries.take_back(tx, "name:x")
        tries.forget(tx, "address:y")
        assert [tries.of(tx, who) for who in ("name:x", "address:y")] == [(1, 2.0), (0, 0.0)]
        tries.forget_before(tx, 2.5)
        assert tries.of(tx, "name:x") == (0, 0.0)


def test_acts_only_grow(db: database.Database) -> None:
    with db.write() as tx:
        for number in range(3):
            acts.append(tx, "role", "bén", actor="Ada", now=float(number), before="annotator")
        newest = acts.latest(tx, 2)
    details = {"before": "annotator"}
    assert newest[0] == Act(id=3, at=2.0, actor="Ada", act="role", subject="bén", details=details)
    assert [act.id for act in newest] == [3, 2]
    for statement in (sa.delete(schema.acts), sa.update(schema.acts).values(actor="x")):
        with pytest.raises(sa.exc.IntegrityError, match="never changed"), db.write() as tx:
            tx.execute(statement)


def test_version_0002_gets_the_tables_and_keeps_its_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "raum.db"
    with monkeypatch.context() as older:
        older.setattr(schema, "VERSIONS", ("0001", "0002"))
        database.open(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("INSERT INTO annotators VALUES (7, 'ada', 'reviewer', 1)")
        raw.commit()
    with closing(database.open(path)) as db, db.read() as tx:
        assert not users.any_(tx)
        assert [person.name for person in annotators.all_(tx)] == ["ada"]
    assert [copy.name for copy in (tmp_path / "backups").iterdir()] == ["before-0002.1.db"]
