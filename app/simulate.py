"""The labelling loop without people: an oracle that knows the truth answers what each strategy asks."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import console as consoles
from rich import progress as bars

from app import errors, processes, simulate_arm, simulate_classifiers, simulate_data, simulate_report
from model import acquisition
from model import config as configs

Floats = NDArray[np.floating]
Progress = Callable[[float, str], None]
WIDTH = 120  # columns of the table where no terminal says otherwise


def simulate(
    images: Path | None,
    *,
    cache: Path,
    demo: bool = False,
    strategies: Sequence[str] = ("random", "auto"),
    budget: int = 200,
    batch: int = 20,
    seeds: int = 5,
    backbone: str = simulate_arm.DEFAULT_BACKBONE,
    target: float = 0.6,
    audit: float = 0.0,
    start: str = "own",
    rounds_at: Sequence[int] = (),
    steps: int = 0,
    demo_images: int = 600,
    workers: int = 1,
    json_file: Path | None = None,
    console: consoles.Console | None = None,
) -> dict[str, Any]:
    """Simulate on an ImageFolder or the demo pool; print the table, write `json_file`, return the same values.

    See simulate_arm.Plan for the settings; `cache` keeps embeddings between runs, `steps` 0 is the training's default.
    """
    if demo == (images is not None):
        raise errors.BadRequest("a simulation runs on a folder of images or on the demo pool: give one of them")
    plan = checked(
        simulate_arm.Plan(
            tuple(strategies), budget=budget, batch=batch, seeds=seeds, target=target, audit=audit, start=start,
            rounds_at=tuple(sorted(rounds_at)), steps=steps, backbone=backbone,
        )
    )  # fmt: skip
    processes.keep_memory()
    console = console or consoles.Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    with bars.Progress(*bars.Progress.get_default_columns(), bars.TimeElapsedColumn(), console=console) as shown:
        task = shown.add_task("reading", total=1.0)

        def tell(fraction: float, message: str) -> None:
            shown.update(task, completed=fraction, description=message)

        embed = _embedder(backbone, tell)
        if images is None:
            side = _side(backbone)
            material = simulate_data.from_demo(count=demo_images, side=side, seed=0, embed=embed, progress=tell)
        else:
            material = simulate_data.from_folder(
                images, key=backbone, side=_side(backbone), cache=cache, keep_pixels=bool(plan.rounds_at), embed=embed,
                progress=tell,
            )  # fmt: skip
        result = run(material, plan, workers=workers, progress=tell)
    console.print(simulate_report.table(result))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def embedded(images: Path, backbone: str, cache: Path) -> simulate_data.Material:
    """An ImageFolder with the embeddings of an untrained or pretrained backbone, kept in `cache` between runs."""

    def quiet(fraction: float, message: str) -> None:
        """Told nowhere."""

    return simulate_data.from_folder(
        images, key=backbone, side=_side(backbone), cache=cache, keep_pixels=False, embed=_embedder(backbone, quiet),
        progress=quiet,
    )  # fmt: skip


def run(
    material: simulate_data.Material, plan: simulate_arm.Plan, *, workers: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """All strategies (random is always one) with all seeds -> curves and figures, ready for JSON.

    workers: processes that share the arms, a thread each; the answer is the same for any number of them but one, which
    runs here with as many threads as torch takes.
    """
    plan, began = checked(plan), time.perf_counter()
    todo = [(name, seed) for seed in range(plan.seeds) for name in plan.strategies]
    points: dict[tuple[str, int], list[dict[str, float]]] = {}
    for arm, found in _arms(material, plan, todo, workers):
        points[arm] = found
        if progress is not None:
            progress(len(points) / len(todo), f"{len(points)} of {len(todo)} arms")
    arms = {name: [points[name, seed] for seed in range(plan.seeds)] for name in plan.strategies}
    labels = [int(point["labels"]) for point in arms["random"][0]]
    curves = {name: np.array([[p["accuracy"] for p in points] for points in seeds]) for name, seeds in arms.items()}
    strategies = {name: simulate_report.arm(labels, curves[name], plan.target) for name in plan.strategies}
    for name, figures in strategies.items():
        figures["points"] = arms[name]
        if name != "random":
            versus = simulate_report.against_random(labels, curves[name], curves["random"], plan.target)
            figures["against_random"] = versus
    return {
        "name": material.name,
        "labels": labels,
        "target": plan.target,
        "seeds": plan.seeds,
        "plan": dataclasses.asdict(plan),
        "classes": len(material.class_names),
        "measured": _how(material, plan, time.perf_counter() - began),
        "strategies": strategies,
    }


def _arms(
    material: simulate_data.Material, plan: simulate_arm.Plan, todo: list[tuple[str, int]], workers: int
) -> Iterator[tuple[tuple[str, int], list[dict[str, float]]]]:
    """Each (strategy, seed) with its points, in the order in which they are done."""
    if workers == 1:
        for name, seed in todo:
            yield (name, seed), simulate_arm.run(material, plan, name, seed, _retrainer(material, plan))
        return
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(workers, context, _hold, (material, plan)) as executor:
        waiting = {executor.submit(_arm, name, seed): (name, seed) for name, seed in todo}
        for done in futures.as_completed(waiting):
            yield waiting[done], done.result()


_held: list[Any] = []  # what a process of its own works on: sent once, not with every arm


def _hold(material: simulate_data.Material, plan: simulate_arm.Plan) -> None:
    _held[:] = [material, plan]
    processes.keep_memory()
    if plan.rounds_at:
        import torch

        torch.set_num_threads(1)


def _arm(name: str, seed: int) -> list[dict[str, float]]:
    material, plan = _held
    return simulate_arm.run(material, plan, name, seed, _retrainer(material, plan))


def checked(plan: simulate_arm.Plan) -> simulate_arm.Plan:
    """The plan with `random` among its strategies; BadRequest names what cannot be run."""
    known = ", ".join(sorted(acquisition.STRATEGIES))
    for name in plan.strategies:
        if name not in acquisition.STRATEGIES:
            raise errors.BadRequest(f"no strategy is called {name!r}; there are {known}")
    if plan.start not in simulate_arm.STARTS:
        raise errors.BadRequest(f"no start is called {plan.start!r}; there are {', '.join(simulate_arm.STARTS)}")
    if plan.classifier not in simulate_classifiers.CLASSIFIERS:
        names = ", ".join(simulate_classifiers.CLASSIFIERS)
        raise errors.BadRequest(f"no classifier is called {plan.classifier!r}; there are {names}")
    if not simulate_classifiers.CLASSIFIERS[plan.classifier].has_posterior:
        unfit = sorted(acquisition.COMPARES_DRAWS & set(plan.strategies))
        if unfit:
            raise errors.BadRequest(f"{', '.join(unfit)} compare posterior draws; {plan.classifier!r} has none")
    if min(plan.budget, plan.batch, plan.seeds) < 1:
        raise errors.BadRequest(f"budget {plan.budget}, batch {plan.batch} and seeds {plan.seeds} must be 1 or more")
    if not 0 <= plan.audit <= 1:
        raise errors.BadRequest(f"the audit share is between 0 and 1, not {plan.audit}")
    return dataclasses.replace(plan, strategies=tuple(dict.fromkeys(["random", *plan.strategies])))


def _side(backbone: str) -> int:
    """Side of the squares that images are kept at for a backbone."""
    from model.data import pixels

    return pixels.cache_side(configs.for_backbone(backbone, num_classes=2).image_size)


def _embedder(backbone: str, progress: Progress) -> simulate_data.Embed:
    """Embeds by the network as it starts: pretrained where the backbone has weights, else random."""

    def embed(images_NHWC: NDArray[np.uint8]) -> Floats:
        from model import predict  # torch takes seconds to import, and embeddings kept from before need none of it
        from model.network import raum_net

        net = raum_net.build(configs.for_backbone(backbone, num_classes=2))
        return np.asarray(predict.embed(net, images_NHWC, progress=progress).embeddings_ND, dtype=np.float32)

    return embed


def _retrainer(material: simulate_data.Material, plan: simulate_arm.Plan) -> simulate_arm.Retrain:
    """Trains the network from its start on the answers so far -> new embeddings of all images."""

    def retrain(answers: simulate_arm.Answers, seed: int) -> Floats:
        from app import pool
        from model import predict, train
        from model.network import raum_net

        if material.images_NHWC is None:
            raise errors.BadRequest("rounds need the images, not only their embeddings")
        net = raum_net.build(configs.for_backbone(plan.backbone, num_classes=len(material.class_names))).to(
            pool.device()
        )
        on_cpu = pool.device().type == "cpu"
        settings = configs.training(plan.backbone, on_cpu=on_cpu, steps=plan.steps, seed=seed)
        train.train(
            net,
            labelled_images=material.images_NHWC[answers.labelled],
            labels_N=answers.labels,
            unlabelled_images=material.images_NHWC[answers.unlabelled],
            config=settings,
        )
        return np.asarray(predict.embed(net, material.images_NHWC).embeddings_ND, dtype=np.float32)

    return retrain


def _how(material: simulate_data.Material, plan: simulate_arm.Plan, seconds: float) -> str:
    """Where and how the figures were measured, in one line."""
    pool, test = material.split(0)
    rounds = f"rounds at {', '.join(map(str, plan.rounds_at))} answers" if plan.rounds_at else "refreshes only"
    return (
        f"{plan.backbone}, {len(pool)} pool and {len(test)} test images, batches of {plan.batch}, audit share "
        f"{plan.audit:g}, start {plan.start}, {rounds}; {os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}, {seconds:.0f} s"
    )
