"""Finished arms of a simulation on disk: a second run with the same settings goes on where the first one ended."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from app import simulate_arm, simulate_data

ROOT = Path(__file__).resolve().parents[1]
OWN_ROOMS = ("simulate_arm", "simulate_classifiers", "simulate_conditions", "simulate_data", "simulate_network")
NOT_OF_AN_ARM = ("strategies", "seeds", "first_seed", "target")  # of a plan: other values leave an arm as it is


def file_of(folder: Path, material: simulate_data.Material, plan: simulate_arm.Plan) -> Path:
    """Where the arms of this plan on this material are kept; more seeds, strategies or another target share it.

    The code that makes an arm is part of the name: after a change nothing old is taken for new.
    """
    settings = {k: v for k, v in dataclasses.asdict(plan).items() if k not in NOT_OF_AN_ARM}
    if not plan.rounds_at:
        settings.update(
            backbone="", random_weights=False, crops=1
        )  # only the embeddings, which are in the material's own digest
    told = json.dumps([digest(material), settings, _code(bool(plan.rounds_at))], sort_keys=True)
    return folder / f"arms-{hashlib.sha256(told.encode()).hexdigest()[:16]}.jsonl"


def read(file: Path) -> dict[tuple[str, int], list[simulate_arm.Point]]:
    """(strategy, seed) -> points; lines that a stop has broken are passed over."""
    found: dict[tuple[str, int], list[simulate_arm.Point]] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                arm = json.loads(line)
                found[str(arm["strategy"]), int(arm["seed"])] = list(arm["points"])
            except (ValueError, KeyError, TypeError):
                continue
    return found


def append(file: Path, strategy: str, seed: int, points: list[simulate_arm.Point]) -> None:
    """Add one finished arm, after whatever a stop has left."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"strategy": strategy, "seed": seed, "points": points}) + "\n"
    with file.open("ab+") as handle:
        if handle.tell():
            handle.seek(-1, 2)
            if handle.read(1) != b"\n":
                line = "\n" + line
        handle.write(line.encode())


def digest(material: simulate_data.Material) -> str:
    """Of everything that an arm can see of the material."""
    sha = hashlib.sha256("\n".join(material.class_names).encode())
    for array in (material.embeddings_ND, material.labels_N, material.split_N, material.images_NHWC, material.groups_N):
        sha.update(b"|" if array is None else f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return sha.hexdigest()


def _code(rounds: bool) -> str:
    sha = hashlib.sha256()
    files: list[Any] = [ROOT / "app" / f"{room}.py" for room in OWN_ROOMS]
    files += (ROOT / "model").rglob("*.py") if rounds else (ROOT / "model").glob("*.py")
    files += (ROOT / "model" / "acquisition").glob("*.py")
    for file in sorted(set(files)):
        sha.update(file.read_bytes())
    return sha.hexdigest()
