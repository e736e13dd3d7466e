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
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "settings.toml").write_text(line, encoding="utf-8")
    with pytest.raises(errors.SettingsError, match=said):
        settings.load(tmp_path)
