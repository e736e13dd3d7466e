"""`train` and `evaluate`: one training run on a labelled data set with part of its labels, and a test of a checkpoint."""

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import board, decoded, errors, loggers, pool, self_teaching, team, testing
from model import checkpoint, config, precision, predict, self_taught_config, tta
from model import train as training
from model.data import datasets, occlusion
from model.network import raum_net
from model.semi import methods
from model.together import Together

Progress = Callable[[float, str], None]
REFIT = 0.75  # a run of a minute leaves the head undertrained; a round publishes the last layer instead and needs none
FROM_CHECKPOINT = ("seed", "class_subset")


@dataclasses.dataclass(frozen=True)
class Task:
    """Which data, and what of it: labelled_ratio of the training images with their labels, only the first class_subset
    classes where that is not 0, validation_share of the training images to choose the checkpoint by."""

    dataset: str
    root: Path
    labeled_ratio: float
    class_subset: int = 0
    validation_share: float = 0.1
    regions: bool = False  # the boxes of the labelled images are told as evidence regions


def configured(
    backbone: str, method: str, method_options: dict[str, Any], *, steps: int, recipe: str = "own", **changes: Any
) -> config.TrainConfig:
    """The training that goes with a backbone on this machine; `method_options` are values of the method to change, checked.
    `steps` 0 is the recipe's own length."""
    network, on_cpu = config.for_backbone(backbone, num_classes=2), pool.device().type == "cpu"
    changed = methods.changed(method, method_options)
    chosen = config.training(network, on_cpu=on_cpu, method=method, **changed, **changes)
    if chosen.first_head:
        chosen = dataclasses.replace(chosen, refit=REFIT)
    chosen = config.by_recipe(chosen, recipe)
    if steps:
        chosen = dataclasses.replace(chosen, steps=steps, epochs=0)
    return methods.settled(chosen)


def train(
    task: Task,
    *,
    backbone: str,
    attention: str,
    attention_options: dict[str, Any],
    chosen: config.TrainConfig,
    out: Path,
    progress: Progress,
    tta_name: str = "none",
    log_to: Sequence[str] = (),
    taught: self_taught_config.SelfTaughtConfig | None = None,
    random_weights: bool = False,
    beside: team.Team | None = None,
) -> dict[str, Any]:
    """Train on a stratified share of the training labels and, semi-supervised, on the rest; test; write both to `out`.

    `log_to`: loggers (app/loggers.py) that are told every step's losses and, ten times, shown maps of some test images.
    `taught`: first teach the backbone the training images, labels apart.
    `beside`: processes that call this alike and share every batch; the first one alone tests and writes, the others return {}.
    """
    beside = beside or team.Team()

    def told(fraction: float, message: str) -> None:
        beside.look()
        progress(fraction, message)

    data = datasets.load(task.dataset, task.root, classes=task.class_subset)
    parts = divided(task, data, chosen.seed)
    network = config.for_backbone(backbone, num_classes=len(data.class_names))
    network = dataclasses.replace(network, attention=attention, attention_options=attention_options, seed=chosen.seed)
    if random_weights:
        network = dataclasses.replace(network, pretrained=False)
    side = tta.side(tta_name, network.image_size)
    net = raum_net.build(network).to(pool.device())
    learning = np.concatenate([parts.labelled, parts.unlabelled, parts.validation])
    images = decoded.read(data.paths, learning, side=network.image_size, progress=told)
    before: dict[str, Any] = {}
    if taught is not None:
        if beside.joined.count > 1:
            raise errors.BadRequest("--pretrain pool is for one process; leave --launcher out")
        seen_N = images.readable(np.concatenate([parts.labelled, parts.unlabelled]))
        before["pretrained"] = self_teaching.teach(net, images.of(seen_N), taught, progress=told)
    chosen = dataclasses.replace(chosen, precision=precision.chosen(chosen.precision, pool.device()))
    learn = functools.partial(
        fit,
        net,
        data.labels_N,
        parts,
        images,
        chosen,
        progress=told,
        regions_N4=decoded.shares(data, parts.labelled) if task.regions else None,
        together=beside.joined,
    )
    if not beside.first:
        learn()
        return {}
    tests = decoded.read(data.paths, parts.test, side=side, progress=told)
    seen = tests.readable(parts.test)
    every = max(1, training.in_steps(chosen, len(parts.labelled)).steps // 10)
    known = {**_told(task, network, chosen), "processes": beside.joined.count, **before}
    with loggers.opened(log_to, out, known) as writers:
        fitted = learn(log=board.logs(writers, net, tests.of(seen), every=every))
        tested = testing.score(net, tests.of(seen), data.labels_N[seen], seed=chosen.seed, tta_name=tta_name).figures
        board.tell(writers, "test", tested, int(fitted["steps"]))
    figures = {**known, **fitted, "tta": tta_name, "test": tested}
    out.mkdir(parents=True, exist_ok=True)
    meta = {"class_names": data.class_names, "figures": figures}
    checkpoint.save(out / "checkpoint.safetensors", net, class_ids=list(range(len(data.class_names))), meta=meta)
    (out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return figures


def divided(task: Task, data: datasets.Dataset, seed: int) -> datasets.Parts:
    """The parts of a task's data for a seed. Raises BadRequest where there is nothing to test on."""
    parts = datasets.part(data, ratio=task.labeled_ratio, seed=seed, validation=task.validation_share)
    if not len(parts.test):
        raise errors.BadRequest(f"{task.root} leaves no image to test on: it needs two images of a class or more")
    return parts


def fit(
    net: Any,
    labels_N: NDArray[np.int64],
    parts: datasets.Parts,
    images: decoded.Decoded,
    chosen: config.TrainConfig,
    *,
    progress: Progress,
    log: training.Log | None = None,
    regions_N4: NDArray[np.float64] | None = None,
    together: Together | None = None,
) -> dict[str, Any]:
    """Train `net` in place; its checkpoint is the one that does best on the validation part, the last where there is none.

    Returns the training's metrics and the sizes of the parts."""
    labelled, unlabelled, apart = map(images.readable, (parts.labelled, parts.unlabelled, parts.validation))
    held_NHWC, truth_N = images.of(apart), labels_N[apart]

    def check(average: Any) -> float:
        found = torch.from_numpy(predict.embed(average, held_NHWC).embeddings_ND).to(next(average.parameters()).device)
        with torch.inference_mode():
            said_N = average.head.mean_network(found).argmax(1).cpu().numpy()
        return float((said_N == truth_N).mean())

    report = training.train(
        net,
        labelled_images=images.of(labelled),
        labels_N=labels_N[labelled],
        unlabelled_images=images.of(unlabelled),
        config=chosen,
        regions_N4=None if regions_N4 is None else regions_N4[labelled],
        progress=progress,
        log=log,
        check=check if len(apart) else None,
        together=together,
    )
    sizes = {"labelled": len(labelled), "unlabelled": len(unlabelled), "validated_on": len(apart)}
    return {**report.metrics, **sizes}


def evaluate(
    ckpt: Path,
    dataset: str,
    root: Path,
    *,
    occlusion_rate: float,
    progress: Progress,
    seed: int | None = None,
    class_subset: int | None = None,
    tta_name: str = "none",
) -> dict[str, Any]:
    """Test a checkpoint on the test share, each image covered to `occlusion_rate` of its area by a shape of its own.

    `seed`, which divides a data set without a split of its own, and `class_subset` are those of the training that left
    the checkpoint unless given: so no image that it was trained on is tested.
    """
    net, class_ids, meta = checkpoint.load(ckpt)
    taken = _as_trained(meta)
    taken |= {name: value for name, value in (("seed", seed), ("class_subset", class_subset)) if value is not None}
    data = datasets.load(dataset, root, classes=taken["class_subset"])
    if meta.get("class_names", data.class_names) != data.class_names or len(class_ids) != len(data.class_names):
        raise errors.BadRequest(
            f"{ckpt} knows {len(class_ids)} classes, {root} has {len(data.class_names)}: not the same data"
        )
    test_N = divided(Task(dataset, root, 1.0), data, taken["seed"]).test
    images = decoded.read(data.paths, test_N, side=tta.side(tta_name, net.config.image_size), progress=progress)
    seen = images.readable(test_N)
    covered = occlusion.cover(images.of(seen), occlusion_rate, ids=[data.ids[at] for at in seen])
    found = testing.score(
        net.to(pool.device()), covered, data.labels_N[seen], seed=taken["seed"], tta_name=tta_name
    ).figures
    told = {"checkpoint": str(ckpt), "dataset": dataset, "occlusion_rate": occlusion_rate, "tta": tta_name, **taken}
    return {**told, **found}


def _as_trained(meta: dict[str, Any]) -> dict[str, int]:
    """What a checkpoint says of its training; 0 where it says nothing, as one of a round does, or no number."""
    before = meta.get("figures")
    told = before if isinstance(before, dict) else {}
    return {name: told[name] if type(told.get(name)) is int else 0 for name in FROM_CHECKPOINT}


def _told(task: Task, network: config.NetworkConfig, chosen: config.TrainConfig) -> dict[str, Any]:
    """What was asked for, so that a run can be repeated."""
    return {
        **dataclasses.asdict(task),
        "root": str(task.root),
        "backbone": network.backbone,
        "attention": network.attention,
        "attention_options": network.attention_options,
        **{name: value for name, value in dataclasses.asdict(chosen).items() if value is not None},
    }
