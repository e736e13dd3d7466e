"""Settings: defaults, the workspace's file, overrides, and refusals that name the value."""

from pathlib import Path

import pytest

from app import errors, settings


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("port = 8000\nholdout_rate = 0\nmethod = 'fixmatch'\n", encoding="utf-8")
    chosen = settings.load(tmp_path, port=9000, backbone=None)
    assert (chosen.port, chosen.holdout_rate, chosen.method) == (9000, 0.0, "fixmatch")
    assert chosen.backbone == settings.Settings.backbone
    assert chosen.database == tmp_path / "raum.db"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("prot = 1", "did you mean 'port'"),
        ("zzzz = 1", "known are"),
        ("port = 'x'", "takes int"),
        ("port = true", "takes int"),
        ("audit_rate = 1.5", "between 0 and 1"),
        ("workspace = 'x'", "unknown setting"),
        ("port = ", "not valid TOML"),
        ("webhooks = 'https://one'", "list of addresses"),
        ("webhooks = ['https://one', 'file:///etc/passwd']", "address 2"),
        ("webhooks = ['http://']", "address 1"),
        ("webhooks = ['http://one/a b']", "address 1"),
        ("webhooks = ['http://one:x']", "address 1"),
        ("webhooks = [3]", "address 1"),
        ("webhook_labels = 0", "1 or more"),
        ("database = 3", "is a URL"),
        ("database = 'raum.db'", "is a URL"),
        ("database = 'mysql://u:secret@h/d'", "mysql is not a kind of database"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "settings.toml").write_text(line, encoding="utf-8")
    with pytest.raises(errors.SettingsError, match=said):
        settings.load(tmp_path)


def test_the_database_is_a_file_until_a_url_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text("database = 'postgresql://ada@one/raum'\n", encoding="utf-8")
    served = settings.load(tmp_path)
    assert str(served.database) == "postgresql+psycopg://ada@one/raum"
    with pytest.raises(errors.BadRequest, match="is on a server"):
        _ = served.file
    monkeypatch.setenv(settings.DATABASE, "postgresql+psycopg://ada:secret@two/raum")
    chosen = settings.load(tmp_path, port=9000)
    assert getattr(chosen.database, "host", None) == "two", "--database, by the environment, goes before the file"
    assert "secret" not in f"{chosen} {chosen!r} {chosen.database}"
    monkeypatch.setenv(settings.DATABASE, f"sqlite:///{tmp_path}/other.db")
    assert settings.load(tmp_path).file == tmp_path / "other.db"


def test_addresses_to_be_told_never_show_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("webhooks = ['https://u:secret@one/a?key=secret']\n", encoding="utf-8")
    chosen = settings.load(tmp_path)
    assert chosen.webhooks == ("https://u:secret@one/a?key=secret",)
    assert "secret" not in f"{chosen} {chosen!r}"
    (tmp_path / "settings.toml").write_text("webhooks = ['ftp://u:secret@one']\n", encoding="utf-8")
    with pytest.raises(errors.SettingsError) as refused:
        settings.load(tmp_path)
    assert "u:" not in str(refused.value)
