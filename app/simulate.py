"""The labelling loop without people: an oracle that knows the truth answers what each strategy asks."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich import console as consoles
from rich import progress as bars

from app import (
    errors,
    ingest_scenes,
    processes,
    simulate_arm,
    simulate_boxes,
    simulate_classifiers,
    simulate_conditions,
    simulate_data,
    simulate_network,
    simulate_plot,
    simulate_report,
    simulate_tables,
    simulate_target,
    simulate_work,
)
from model import acquisition
from model import config as configs

Progress = Callable[[float, str], None]
WIDTH = 120  # columns of the tables where no terminal says otherwise
TIME_LEFT_OVER = 600.0  # seconds of the past that the time left is told from


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the images come from: one of a folder (or the boxes in it), the demo pool, the digits, a file of embeddings."""

    images: Path | None = None
    demo: bool = False
    digits: bool = False
    embeddings: Path | None = None
    demo_images: int = 600
    boxes: ingest_scenes.Asked | None = None  # the images are boxes in the pictures of the folder
    labels: Path | None = None  # a CSV of their classes


def simulate(
    source: Source,
    plan: simulate_arm.Plan,
    *,
    cache: Path,
    target: str | None = None,
    grid: bool = False,
    save_embeddings: Path | None = None,
    fresh: bool = False,
    workers: int = 1,
    json_file: Path | None = None,
    plot: Path | None = None,
    console: consoles.Console | None = None,
) -> dict[str, Any]:
    """Simulate on `source`; print the tables, write `json_file` and `plot`, return the same values as the former.

    target: as in simulate_target, None takes the plan's. grid: the no-harm grid instead of the plan's own conditions.
    save_embeddings: write the material's embeddings there and do nothing else. cache: embeddings and finished arms
    between runs; `fresh` takes no arm from there.
    """
    given = (source.images is not None) + source.demo + source.digits + (source.embeddings is not None)
    if given != 1:
        raise errors.BadRequest(
            "a simulation runs on a folder of images, the demo pool, the digits or saved embeddings: give one of them"
        )
    if (source.boxes or source.labels) and not (source.images and source.boxes):
        raise errors.BadRequest(
            "--boxes are boxes in the pictures of --images DIR, --labels are of those boxes: give both"
        )
    plan = checked(plan)
    processes.keep_memory()
    console = console or consoles.Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    columns = [*bars.Progress.get_default_columns(), bars.TimeElapsedColumn()]
    with bars.Progress(*columns, console=console, speed_estimate_period=TIME_LEFT_OVER) as shown:
        task = shown.add_task("reading", total=1.0)
        material = _read(
            source,
            plan,
            cache,
            console.print,
            lambda share, words: shown.update(task, completed=share, description=words),
        )
        if save_embeddings is not None:
            simulate_data.save_embeddings(material, save_embeddings)
            console.print(f"{len(material.labels_N):,} embeddings of {material.name} written to {save_embeddings}")
            return {}
        if target is not None:
            shown.update(task, description="target")
            value, told = simulate_target.resolve(target, material, plan, cache)
            plan = dataclasses.replace(plan, target=value)
        else:
            told = f"accuracy {plan.target:g}"
        shown.update(task, visible=False)
        arms = shown.add_task("arms", total=1.0)

        def tell(share: float, words: str) -> None:
            shown.update(arms, completed=share, description=words)

        run_ = run_grid if grid else run
        result = run_(material, plan, workers=workers, kept=cache, fresh=fresh, target_told=told, progress=tell)
    _show(result, console, plot)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def _show(result: dict[str, Any], console: consoles.Console, plot: Path | None) -> None:
    results = list(result["cells"].values()) if "grid" in result else [result]
    tables = simulate_tables.of(result) if "grid" not in result else []
    if "grid" in result:
        told = {"name": result["name"], "seeds": result["seeds"], "measured": result["measured"]}
        tables = [simulate_tables.accuracy(each) for each in results] + simulate_tables.grid(result["grid"], **told)
    for table in tables:
        console.print(table)
    if plot is not None:
        simulate_plot.draw(results, plot)


def embedded(images: Path, backbone: str, cache: Path, crops: int = configs.BOTH) -> simulate_data.Material:
    """An ImageFolder with the embeddings of an untrained or pretrained backbone, kept in `cache` between runs."""

    def quiet(fraction: float, message: str) -> None:
        """Told nowhere."""

    network = simulate_network.start(backbone, crops=crops)
    return _from_folder(images, network, cache=cache, keep_pixels=False, progress=quiet)


def _from_folder(
    folder: Path, network: configs.NetworkConfig, *, progress: Progress, **more: Any
) -> simulate_data.Material:
    """`more` as for simulate_data.from_folder."""
    told, embed = (
        f"{network.backbone} ({simulate_network.weights(network)})",
        simulate_network.embedder(network, progress),
    )
    found = simulate_data.from_folder(folder, key=told, side=network.image_size, embed=embed, progress=progress, **more)
    return dataclasses.replace(found, features=told)


def run(
    material: simulate_data.Material,
    plan: simulate_arm.Plan,
    *,
    workers: int = 1,
    kept: Path | None = None,
    fresh: bool = False,
    target_told: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """All strategies (random is always one) with all seeds -> curves and figures, ready for JSON.

    workers: processes that share the arms, a thread each; the answer is the same for any number of them but one, which
    runs here with as many threads as torch takes. kept, fresh: see simulate_work.run.
    """
    plan, began = _fitting(checked(plan), material), time.perf_counter()
    jobs = simulate_work.jobs_of(plan)
    points = simulate_work.run(material, jobs, workers=workers, kept=kept, fresh=fresh, progress=progress)
    return _result(material, plan, points, target_told, time.perf_counter() - began)


def run_grid(
    material: simulate_data.Material,
    plan: simulate_arm.Plan,
    *,
    workers: int = 1,
    kept: Path | None = None,
    fresh: bool = False,
    target_told: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """As `run` under every condition of the grid: all of them on frozen embeddings, two where rounds train the network."""
    plan, began = _fitting(checked(plan), material), time.perf_counter()
    cells = simulate_conditions.GRID_WITH_ROUNDS if plan.rounds_at else simulate_conditions.GRID
    plans = [dataclasses.replace(plan, conditions=each) for each in cells]
    jobs = [job for each in plans for job in simulate_work.jobs_of(each)]
    points = simulate_work.run(material, jobs, workers=workers, kept=kept, fresh=fresh, progress=progress)
    seconds = time.perf_counter() - began
    results = {each.conditions.name: _result(material, each, points, target_told, seconds) for each in plans}
    return {
        "name": material.name,
        "seeds": plan.seeds,
        "plan": dataclasses.asdict(plan),
        "grid": simulate_report.grid(results),
        "cells": results,
        "measured": _how(material, plan, seconds),
    }


def _result(
    material: simulate_data.Material,
    plan: simulate_arm.Plan,
    points: simulate_work.Points,
    target_told: str,
    seconds: float,
) -> dict[str, Any]:
    arms = {n: [points[simulate_work.Job(plan, n, s)] for s in plan.seed_numbers] for n in plan.strategies}
    budgets = min((seed for seeds in arms.values() for seed in seeds), key=len)  # pools may differ by an image or two
    labels = [int(point["labels"]) for point in budgets]
    curves = {n: np.array([[p["accuracy"] for p in s[: len(labels)]] for s in seeds]) for n, seeds in arms.items()}
    strategies = {name: simulate_report.arm(labels, curves[name], plan.target) for name in plan.strategies}
    for name, figures in strategies.items():
        figures["points"] = arms[name]
        if name != "random":
            versus = simulate_report.against_random(labels, curves[name], curves["random"], plan.target)
            figures["against_random"] = versus
    return {
        "name": material.name,
        "conditions": plan.conditions.name,
        "labels": labels,
        "target": plan.target,
        "target_told": target_told or f"accuracy {plan.target:g}",
        "seeds": plan.seeds,
        "plan": dataclasses.asdict(plan),
        "classes": len(material.class_names),
        "measured": _how(material, plan, seconds),
        "strategies": strategies,
        "wins": simulate_report.wins({n: simulate_report.areas(labels, curves[n]) for n in plan.strategies}),
    }


def checked(plan: simulate_arm.Plan) -> simulate_arm.Plan:
    """The plan with `random` among its strategies; BadRequest names what cannot be run."""
    named = [("strategy", name, sorted(acquisition.STRATEGIES)) for name in plan.strategies]
    named.append(("start", plan.start, list(simulate_arm.STARTS)))
    named.append(("start of rounds", plan.round_start, list(configs.STARTS)))
    named.append(("classifier", plan.classifier, list(simulate_classifiers.CLASSIFIERS)))
    for kind, name, known in named:
        if name not in known:
            raise errors.BadRequest(f"no {kind} is called {name!r}; there are {', '.join(known)}")
    unfit = sorted(acquisition.COMPARES_DRAWS & set(plan.strategies))
    if unfit and not simulate_classifiers.CLASSIFIERS[plan.classifier].has_posterior:
        raise errors.BadRequest(f"{', '.join(unfit)} compare posterior draws; {plan.classifier!r} has none")
    if min(plan.budget, plan.batch, plan.seeds) < 1 or plan.first_seed < 0:
        raise errors.BadRequest(
            f"budget {plan.budget}, batch {plan.batch} and seeds {plan.seeds} must be 1 or more, "
            f"the first seed {plan.first_seed} not negative"
        )
    if not 0 <= plan.audit <= 1:
        raise errors.BadRequest(f"the audit share is between 0 and 1, not {plan.audit}")
    simulate_conditions.checked(plan.conditions)
    return dataclasses.replace(plan, strategies=tuple(dict.fromkeys(["random", *plan.strategies])))


def _fitting(plan: simulate_arm.Plan, material: simulate_data.Material) -> simulate_arm.Plan:
    if plan.rounds_at and material.images_NHWC is None and material.features:
        raise errors.BadRequest(f"rounds need the images, and {material.name} has only {material.features}")
    return plan


def _read(
    source: Source, plan: simulate_arm.Plan, cache: Path, say: simulate_boxes.Say, tell: Progress
) -> simulate_data.Material:
    if source.digits:
        return simulate_data.from_digits()
    if source.embeddings is not None:
        return simulate_data.from_embeddings(source.embeddings)
    network = simulate_network.start(plan.backbone, random_weights=plan.random_weights, crops=plan.crops)
    if source.images is not None:
        boxed = simulate_boxes.read(source.images, source.boxes, source.labels, say) if source.boxes else None
        keep = bool(plan.rounds_at)
        return _from_folder(source.images, network, cache=cache, keep_pixels=keep, progress=tell, boxed=boxed)
    found = simulate_data.from_demo(
        count=source.demo_images, side=network.image_size, seed=0, progress=tell,
        embed=simulate_network.embedder(network, tell),
    )  # fmt: skip
    return dataclasses.replace(found, features=f"{network.backbone} ({simulate_network.weights(network)})")


def _how(material: simulate_data.Material, plan: simulate_arm.Plan, seconds: float) -> str:
    """Where and how the figures were measured, in one line."""
    world = simulate_conditions.build(material, plan.conditions, plan.first_seed)
    rounds = "refreshes only"
    if plan.rounds_at:
        rounds = f"rounds at {', '.join(map(str, plan.rounds_at))} answers from {plan.round_start} weights"
    balanced = ", accuracy is the mean over classes" if plan.conditions.tail > 1 else ""
    return (
        f"{material.features or plan.backbone}, {plan.classifier}, {len(world.images_P)} pool and {len(world.test_T)} test "
        f"images{balanced}, batches of {plan.batch}, audit share {plan.audit:g}, start {plan.start}, seeds "
        f"{plan.first_seed} to {plan.seed_numbers[-1]}, {rounds}; {os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}, {seconds:.0f} s"
    )
