"""The README opens with the two commands, and every command and option that it names exists."""

import re
from pathlib import Path

import typer.main

import launch

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = typer.main.get_command(launch.app)


def blocks() -> list[str]:
    return [block.strip() for block in re.findall(r"```\n(.*?)```", README, re.S)]


def test_it_opens_with_the_line_that_runs_and_the_line_that_tests() -> None:
    run, test = blocks()[:2]
    begun = "python3 -m venv --upgrade-deps .venv && .venv/bin/pip install -r"
    assert run == f"{begun} requirements.txt && .venv/bin/python launch.py"
    assert test == f"{begun} requirements-dev.txt && .venv/bin/python -m pytest"
    assert README.index(run) < 300


def test_every_verb_and_option_it_names_exists() -> None:
    lines = [line for block in blocks() for line in block.splitlines() if "launch.py " in line]
    assert lines
    for line in lines:
        words = line.split("launch.py ", 1)[1].split()
        command, rest = CLI, words
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert command is not CLI or words[0].startswith("--"), f"no verb in: {line}"
        for option in (word for word in rest if word.startswith("--")):
            assert option in known, f"{option} is unknown in: {line}"


def test_every_file_it_names_is_there() -> None:
    for target in re.findall(r"\]\((docs/[^)#]+)\)", README) + re.findall(
        r"`((?:docs|app|model|store)/[\w./-]+)`", README
    ):
        assert (ROOT / target).exists(), target
