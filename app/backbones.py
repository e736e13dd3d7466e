"""Which backbone a workspace works with: `auto` becomes a name here, once, and the reason is kept for people to read."""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from app import backbone_names, errors
from app.settings import Settings
from model import config
from model import errors as model_errors
from store import queue, rounds
from store import settings as stored
from store.database import Database

log = logging.getLogger("raum.worker")

KEPT_AS = "backbone"  # the key in the settings table under which the page finds the choice
# Gigabytes that a round takes at its default batches: 32 images of 0.54 (small) or 0.25 (tiny) of stored activations,
# counted on a CPU in single precision, and the weights with what the optimiser keeps of them; then a little more.
NEEDS = {"vmamba_small": 20.0, "vmamba_tiny": 10.0}
CORES_FOR_DINO = 4


class Machine(NamedTuple):
    """`gpu`: its name, "" where there is none; what of its memory is free."""

    gpu: str
    free_gigabytes: float
    cores: int


@dataclasses.dataclass(frozen=True)
class Choice:
    """A backbone by name and why; `better`: what would be better on this machine, "" for nothing, and the command."""

    name: str
    why: str
    better: str = ""
    command: str = ""


def settle(
    db: Database, settings: Settings, machine: Machine, *, say: Callable[[str], object] | None = log.info
) -> Settings:
    """The settings with the backbone by its name. The choice is said and kept for the page; a child that was told its
    backbone does neither (`say` is None)."""
    choice = look(db, settings, machine)
    if say is not None:
        say(sentence(choice))
        with db.write() as tx:
            stored.set_setting(tx, KEPT_AS, dataclasses.asdict(choice))
    return dataclasses.replace(settings, backbone=choice.name)


def look(db: Database | None, settings: Settings, machine: Machine) -> Choice:
    """The choice for a workspace; without a database, for a new one."""

    def at_hand(name: str) -> bool:
        return config.at_hand(name, [settings.workspace / "cache"])

    return choose(settings.backbone, machine, built_on=_built_on(db, settings) if db else None, at_hand=at_hand)


def choose(asked: str, machine: Machine, *, built_on: str | None, at_hand: Callable[[str], bool]) -> Choice:
    """asked: a name, or auto. built_on: the backbone of the network that the workspace shows, where there is one to keep.
    at_hand: whether trained weights of a backbone are on this machine.

    A workspace never changes its backbone unasked while the weights of that are still to be had.
    """
    if asked != backbone_names.AUTO:
        name, why = asked, "asked for by name"
    elif built_on and _still_to_be_had(built_on, at_hand):
        name, why = built_on, "the network of this workspace is built on it"
    else:
        name, why = _best_at_hand(machine, at_hand)
        if built_on:
            why += f"; the weights of {backbone_names.short(built_on)}, on which it was built so far, are gone"
    if not name.startswith(config.HF_PREFIX) and not at_hand(name):
        why += "; it starts from random weights"
    return Choice(name, why, *_better(name, machine, at_hand, stays=asked != backbone_names.AUTO or bool(built_on)))


def sentence(choice: Choice) -> str:
    """The choice as one line for a terminal or a log."""
    better = f". Better here: {choice.better}: {choice.command}" if choice.better else ""
    return f"backbone {backbone_names.short(choice.name)}: {choice.why}{better}"


def check(settings: Settings) -> str:
    """What a person who named a backbone should know before anything starts; "" for nothing.

    Raises BadRequest where it cannot be had: its files are absent and no network is there to bring them.
    """
    if settings.backbone == backbone_names.AUTO:
        return ""
    folders = [settings.workspace / "cache"]
    try:
        config.for_backbone(settings.backbone, num_classes=1, folders=folders)
    except model_errors.ModelError as problem:
        raise errors.BadRequest(str(problem)) from problem
    if settings.backbone.startswith(config.HF_PREFIX) and not config.at_hand(settings.backbone):
        typed = backbone_names.short(settings.backbone)
        return (
            f"{typed} is downloaded when the worker starts; launch.py weights fetch {typed} shows how far it has come"
        )
    return from_scratch(settings.backbone, folders)


def from_scratch(name: str, folders: Iterable[Path] = ()) -> str:
    """The sentence for one whose trained weights are published but not here, with the command; "" for any other."""
    if name not in backbone_names.OFFICIAL or config.at_hand(name, folders):
        return ""
    return f"{name} starts from random weights; its trained ones: {_fetch(name)}"


def _built_on(db: Database, settings: Settings) -> str | None:
    """The backbone of the network that is shown: a round's, or a large pretrained one before any round. What the program
    itself started with before any round is nobody's choice: better weights may take its place."""
    with db.read() as tx:
        current = queue.current(tx)
        if current is None:
            return None
        recorded = next((each.settings for each in rounds.all_(tx) if each.id == current.round_id), {})
    try:
        meta = settings.workspace / (current.embeddings or "") / "meta.json"
        name = json.loads(meta.read_text(encoding="utf-8"))["network"]["backbone"]
    except (OSError, ValueError, LookupError, TypeError):
        name = recorded.get("backbone")
    known = isinstance(name, str) and (name.startswith(config.HF_PREFIX) or name in config.NATIVE_IMAGE_SIZES)
    return name if known and (current.checkpoint or name.startswith(config.HF_PREFIX)) else None


def _still_to_be_had(name: str, at_hand: Callable[[str], bool]) -> bool:
    if name == config.NANO or at_hand(name):
        return True
    if not name.startswith(config.HF_PREFIX):
        return False
    try:
        config.for_backbone(name, num_classes=1)
    except model_errors.ModelError:
        return False
    return True


def _best_at_hand(machine: Machine, at_hand: Callable[[str], bool]) -> tuple[str, str]:
    if not machine.gpu:
        return config.NANO, "there is no GPU"
    found = f"{machine.gpu} has {machine.free_gigabytes:.0f} GB free"
    fitting = [name for name, needed in NEEDS.items() if machine.free_gigabytes >= needed]
    for name in fitting:
        if at_hand(name):
            return name, f"{found}, and its trained weights are here"
    return config.NANO, f"{found}" + (f", but weights of {fitting[0]} are not here" if fitting else "")


def _better(name: str, machine: Machine, at_hand: Callable[[str], bool], *, stays: bool) -> tuple[str, str]:
    """What would be better on this machine than `name`, and the one command that gets it; two empty texts for nothing."""
    if name in backbone_names.OFFICIAL and not at_hand(name):
        return f"{name} with its trained weights", _fetch(name)
    fitting = [each for each, needed in NEEDS.items() if machine.gpu and machine.free_gigabytes >= needed]
    on_cpu = "dinov2" if machine.cores >= CORES_FOR_DINO else "mobilenet_v2"
    best = fitting[0] if fitting else backbone_names.named(on_cpu)
    if name == best or name.startswith(config.HF_PREFIX) or (name != config.NANO and name not in NEEDS):
        return "", ""
    good = (backbone_names.OFFICIAL.get(best) or backbone_names.SHORTCUTS[on_cpu]).good_for
    told = f"{backbone_names.short(best)} ({good})"
    use = f"launch.py serve --backbone {backbone_names.short(best)}"
    if at_hand(best):
        return told, use
    if best in backbone_names.OFFICIAL:
        return told, _fetch(best) + (f", then {use}" if stays else ", then start again")
    return told, f"{use} (downloads {backbone_names.megabytes(best)} MB)"


def _fetch(name: str) -> str:
    return f"launch.py weights fetch {name} (downloads {backbone_names.megabytes(name)} MB)"
