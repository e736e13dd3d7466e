"""Where the page may be served: other machines only with users or on purpose, TLS only with a pair that fits."""

from contextlib import closing
from pathlib import Path

import pytest

from app import accounts, errors, serving, settings
from store import database
from tests.web import process


def test_this_machine_needs_nothing(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        serving.checked(settings.load(tmp_path, host=host), insecure=False)
    assert not (tmp_path / "raum.db").exists()  # nothing is opened only to find that out


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.0.2.1", "::", "raum.example"])
def test_other_machines_need_users_or_a_clear_word(tmp_path: Path, host: str) -> None:
    chosen = settings.load(tmp_path, host=host)
    with pytest.raises(errors.BadRequest, match=r"launch\.py user add NAME --role admin, or say --insecure"):
        serving.checked(chosen, insecure=False)
    serving.checked(chosen, insecure=True)
    with closing(database.open(chosen.database)) as db:
        accounts.invite(db, "Ada", "admin", actor="shell", now=1.0)
    serving.checked(chosen, insecure=False)


@pytest.mark.parametrize("verb", ["serve", "page"])
def test_both_processes_refuse(tmp_path: Path, verb: str) -> None:
    run = serving.page if verb == "page" else serving.serve
    more = {} if verb == "page" else dict.fromkeys(("images", "classes", "backbone", "labels_from_folders", "demo"))
    with pytest.raises(errors.BadRequest, match="has no users"):
        run(tmp_path, insecure=False, host="0.0.0.0", port=1, **more)


@pytest.mark.parametrize(
    ("root", "kept"), [("/raum", "/raum"), ("/raum/", "/raum"), ("/", ""), ("", ""), ("/a/b-1.x", "/a/b-1.x")]
)
def test_root_paths(tmp_path: Path, root: str, kept: str) -> None:
    chosen = settings.load(tmp_path, root_path=root)
    assert chosen.root_path == kept
    assert serving.address(chosen) == f"http://127.0.0.1:7860{kept}"


@pytest.mark.parametrize("root", ["raum", "//evil.example", "/../x", "/a b", "/a\nb", '/"x', "/a?b", "https://x/y"])
def test_root_paths_that_cannot_be(tmp_path: Path, root: str) -> None:
    with pytest.raises(errors.SettingsError, match="such as /raum"):
        settings.load(tmp_path, root_path=root)


def test_only_addresses_are_trusted_as_proxies(tmp_path: Path) -> None:
    assert settings.load(tmp_path, trusted_proxies="10.0.0.0/8, ::1").trusted_proxies == "10.0.0.0/8, ::1"
    for wrong in ("*", "proxy.example", "10.0.0.5,", "", "10.0.0.1/8"):
        with pytest.raises(errors.SettingsError, match=r"such as 10\.0\.0\.5"):
            settings.load(tmp_path, trusted_proxies=wrong)


def test_a_pair_that_fits_is_taken_by_its_whole_path(tmp_path: Path) -> None:
    cert, key = process.certificate(tmp_path, "ours")
    for given in ((str(cert), str(key)), ("ours.pem", "ours.key")):
        chosen = serving.checked(settings.load(tmp_path, tls_cert=given[0], tls_key=given[1]), insecure=False)
        assert (chosen.tls_cert, chosen.tls_key) == (str(cert), str(key))
        assert serving.address(chosen).startswith("https://")


def test_pairs_that_do_not_serve(tmp_path: Path) -> None:
    (cert, key), (_, other) = process.certificate(tmp_path, "ours"), process.certificate(tmp_path, "other")
    _, locked = process.certificate(tmp_path, "locked", "-passout", "pass:secret")
    (tmp_path / "text").write_text("not a certificate")
    for pair, why in (
        (("ours.pem", ""), "both"),
        (("", "ours.key"), "both"),
        (("none.pem", "ours.key"), r"none\.pem cannot be read \(No such file"),
        (("ours.pem", "."), "cannot be read"),
        (("ours.pem", other), "the key is not this certificate's"),
        (("ours.pem", locked), "passphrase"),
        (("text", key), "PEM files are needed"),
        ((cert, "text"), "PEM files are needed"),
    ):
        chosen = settings.load(tmp_path, tls_cert=str(pair[0]), tls_key=str(pair[1]))
        with pytest.raises(errors.BadRequest, match=why):
            serving.checked(chosen, insecure=False)
