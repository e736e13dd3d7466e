"""docs/api.md: every example is run against a server, with users and without; the OpenAPI document fits what is served."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.openapi import models

from app import api_cli, errors
from app.web import api_document, door_table
from store import database, labels
from tests.web import process, team

TEXT = (process.ROOT / "docs" / "api.md").read_text(encoding="utf-8")
MAKES_A_TOKEN = "user token make"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.M | re.S)


def python_blocks() -> list[str]:
    """But for the receiver and its settings, which tests/app/test_webhooks.py runs."""
    return [part for part in blocks("python") if "serve_forever" not in part]


def run(folder: Path, port: int, kind: str, parts: list[str], **environment: str) -> str:
    """What the parts print, run one after the other in one process."""
    launch = f"{sys.executable} {process.ROOT / 'launch.py'}"
    script = "".join(parts).replace("http://127.0.0.1:7860", f"http://127.0.0.1:{port}")
    script = script.replace("python launch.py", launch).replace("python3 -c", f"{sys.executable} -c")
    command = ["bash", "-euo", "pipefail", "-c"] if kind == "bash" else [sys.executable, "-W", "error", "-c"]
    inherited = {name: value for name, value in os.environ.items() if name != "RAUM_TOKEN"}
    done = subprocess.run(
        [*command, script], cwd=folder, env=inherited | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def events(workspace: Path) -> list[tuple[str, str]]:
    """(annotator, kind) of everything said, in order."""
    db = database.open(workspace / "raum.db")
    with db.read() as tx:
        names = {row.id: row.name for row in tx.exec_driver_sql("SELECT id, name FROM annotators")}
        found = [(names[each.annotator_id], each.kind) for each in labels.all_events(tx)]
    db.close()
    return found


@pytest.mark.parametrize("users", [False, True], ids=["alone", "with users"])
def test_every_example_runs(users: bool, tmp_path: Path, template: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl is installed, its examples are not run")
    workspace = tmp_path / "workspace"
    shutil.copytree(template, workspace)
    if users:
        team.fill(workspace, {"ada": "admin"})
    (workspace / "settings.toml").write_text("holdout_rate = 0\nhidden_rate = 0\n", encoding="utf-8")
    shell = [part for part in blocks("bash") if users or MAKES_A_TOKEN not in part]
    token = {"RAUM_TOKEN": team.token(workspace, "ada", "read", "label", "review", "manage")} if users else {}
    port = process.free_port()
    with process.page(workspace, port):
        if users:
            with pytest.raises(AssertionError, match="401"):
                run(tmp_path, port, "python", python_blocks())
        said = run(tmp_path, port, "bash", shell)
        assert '"saved":true' in said
        assert '"undone":true' in said
        assert '"finished":false' in said
        assert events(workspace) == [("ada", "label"), ("ada", "retract")]
        assert (tmp_path / "picture").stat().st_size > 1000
        out = run(tmp_path, port, "python", python_blocks(), **token)
    assert out.count("'saved': True") == 5
    robot = "ada" if users else "robot"  # with users the token's owner, whatever is sent
    mine = events(workspace)[2:]
    assert {name for name, _ in mine} == {robot}
    assert [kind for _, kind in mine][-1] == "retract"
    assert {kind for _, kind in mine} >= {"label"}
    rows = list(csv.DictReader((tmp_path / "labels.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == [kind for _, kind in mine].count("label") - (mine[-2][1] == "label")


def test_no_example_escapes_the_test() -> None:
    assert TEXT.count("```") == 2 * sum(len(blocks(kind)) for kind in ("bash", "python", "toml"))


def test_the_openapi_document_is_one_and_holds_exactly_our_routes(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    api_cli.api(file)
    made = json.loads(file.read_text(encoding="utf-8"))
    models.OpenAPI.model_validate(made)
    told = {
        (method.upper(), path): act["x-scope"] for path, acts in made["paths"].items() for method, act in acts.items()
    }
    assert told == {key: scope for key, scope in door_table.OURS.items() if key[1].startswith("/api/v1/")}
    known = made["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", json.dumps(made))) == set(known) == {"Refusal"}


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.BadRequest, match="cannot be written"):
        api_cli.api(tmp_path / "no" / "api.json")


def test_every_body_that_is_told_has_a_route() -> None:
    paths = api_document.document()["paths"]
    for (method, path), body in api_document.BODIES.items():
        assert paths[path][method]["requestBody"]["content"]["application/json"]["schema"] == body
