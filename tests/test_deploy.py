"""docs/deploy and docs/postgresql.md: nothing can be built here, but all that they name exists, and every command is one."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import launch
from app import settings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "docs" / "deploy"
CLI = typer.main.get_command(launch.app)
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def check_command(words: list[str]) -> None:
    """The words after launch.py name a verb and options that exist."""
    command: Any = CLI
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert command is not CLI or not words or words[0].startswith("--"), words
    known = {option for parameter in command.params for option in parameter.opts}
    assert [word for word in words if word.startswith("--") and word not in known] == []


def instructions(name: str) -> list[tuple[str, str]]:
    """The lines of a Dockerfile, continued ones joined, as (instruction, what follows)."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (DEPLOY / name).read_text(encoding="utf-8"))
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_a_dockerfile_takes_files_that_exist_and_starts_a_verb_that_exists(name: str) -> None:
    found = instructions(name)
    assert {each for each, _ in found} <= KNOWN
    assert found[0] == ("FROM", "python:3.11-slim-bookworm")
    sources = [source for each, rest in found if each == "COPY" for source in rest.split()[:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {"launch.py", "app", "model", "store"} <= set(sources)
    allowed = (DEPLOY / f"{name}.dockerignore").read_text(encoding="utf-8").splitlines()
    for source in sources:
        assert any(Path(source).match(line[1:]) for line in allowed if line.startswith("!")), f"{source} is not sent"
    installed = [word for each, rest in found if each == "RUN" for word in re.findall(r"-r (\S+)", rest)]
    assert set(installed) == {source for source in sources if source.startswith("requirements")}
    pin = next(rest for each, rest in found if each == "RUN" and "torch==" in rest)
    assert re.findall(r"torch==\S+", pin)[0] in (ROOT / installed[0]).read_text(encoding="utf-8").splitlines()
    last = dict(found)
    entry, command = yaml.safe_load(last["ENTRYPOINT"]), yaml.safe_load(last["CMD"])
    assert entry == ["python", "launch.py"]
    check_command(command)
    assert last["USER"] != "root"
    assert command[command.index("--workspace") + 1] == last["VOLUME"]
    assert "/healthz" in last["HEALTHCHECK"]


def test_the_compose_file_builds_what_is_there_and_runs_verbs_that_exist() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    told = yaml.safe_load(text)
    services, volumes = told["services"], told["volumes"]
    assert set(services) == {"database", "page", "worker"}
    built = services["page"]["build"]
    assert (DEPLOY / built["context"]).resolve() == ROOT
    assert (ROOT / built["dockerfile"]).is_file()
    for name in ("page", "worker"):
        service = services[name]
        check_command(service["command"])
        assert set(service["depends_on"]) <= set(services)
        assert settings.DATABASE in service["environment"]
        url = settings.located(ROOT, service["environment"][settings.DATABASE])
        assert (url.host, url.username, url.database) == (
            "database",
            "raum",
            services["database"]["environment"]["POSTGRES_DB"],
        )
        assert url.password is None, "it comes from PGPASSWORD"
        named = [each.split(":")[0] for each in service["volumes"] if not each.startswith(("$", "."))]
        assert set(named) <= set(volumes)
    assert re.fullmatch(r"postgres:\d+", services["database"]["image"])
    for secret in ("POSTGRES_PASSWORD", "PGPASSWORD"):
        assert re.search(rf"{secret}: \$\{{DATABASE_PASSWORD:\?", text), "a password stands in the file"


@pytest.mark.parametrize("path", ["docs/postgresql.md", "docs/deploy/compose.yaml", "docs/deploy/Dockerfile"])
def test_every_command_that_is_shown_exists(path: str) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    shown = [line.split("launch.py ", 1)[1] for line in lines if line.startswith("python launch.py ")]
    for line in lines:  # what docker and compose pass on to the entry point
        found = re.search(r"(?:run --rm page|work:/work raum) (.+)$", line)
        shown += [found.group(1)] if found else []
    assert shown
    for line in shown:
        check_command(shlex.split(line))


def test_every_file_that_the_page_names_is_there() -> None:
    text = (ROOT / "docs" / "postgresql.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
    for target in re.findall(r"`((?:docs|app|model|store|tests)/[\w./-]+)`", text):
        assert (ROOT / target).exists(), target
    assert "requirements-postgresql.txt" in text
