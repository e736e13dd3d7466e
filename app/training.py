"""`train` and `evaluate`: one training run on a labelled data set with part of its labels, and a test of a checkpoint."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import board, errors, pool
from model import calibration, checkpoint, config, predict, roc, shares, uncertainty
from model import errors as model_errors
from model import train as training
from model.data import datasets, occlusion, pixels
from model.network import raum_net
from model.semi import methods

Progress = Callable[[float, str], None]
TEST_SHARE = 0.4  # where a data set has no split of its own
DRAWS = 30


def configured(
    backbone: str, method: str, method_options: dict[str, Any], *, steps: int, **changes: Any
) -> config.TrainConfig:
    """The training that goes with a backbone on this machine; `method_options` are values of the method to change, checked."""
    network, on_cpu = config.for_backbone(backbone, num_classes=2), pool.device().type == "cpu"
    changed = methods.changed(method, method_options)
    return methods.settled(config.training(network, on_cpu=on_cpu, steps=steps, method=method, **changed, **changes))


def train(
    dataset: str,
    root: Path,
    *,
    labeled_ratio: float,
    backbone: str,
    attention: str,
    attention_options: dict[str, Any],
    chosen: config.TrainConfig,
    out: Path,
    progress: Progress,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Train on a stratified share of the training labels and, semi-supervised, on the rest; test; write both to `out`.

    `tensorboard`: also log every step's losses and, ten times, the maps of some test images to out/tensorboard.
    """
    data = datasets.load(dataset, root)
    rng = np.random.default_rng(chosen.seed)
    train_N, test_N = datasets.split(data, rng=rng, test_share=TEST_SHARE)
    labelled = train_N[datasets.labelled_part(data.labels_N[train_N], labeled_ratio, rng=rng)]
    network = config.for_backbone(backbone, num_classes=len(data.class_names))
    network = dataclasses.replace(network, attention=attention, attention_options=attention_options)
    net = raum_net.build(network).to(pool.device())
    images, readable_N = _read(data.paths, network, progress)
    labelled, rest, test_N = (
        readable_N[part][readable_N[part] >= 0] for part in (labelled, np.setdiff1d(train_N, labelled), test_N)
    )
    labels_N = data.labels_N[readable_N >= 0]
    report = training.train(
        net,
        labelled_images=images[labelled],
        labels_N=labels_N[labelled],
        unlabelled_images=images[rest],
        config=chosen,
        progress=progress,
        log=board.run(out / "tensorboard", net, images[test_N], every=max(1, chosen.steps // 10))
        if tensorboard
        else None,
    )
    figures = {**_told(dataset, root, network, chosen, labeled_ratio), **report.metrics, "labelled": len(labelled)}
    figures["test"] = test(net, images[test_N], labels_N[test_N], seed=chosen.seed)
    out.mkdir(parents=True, exist_ok=True)
    meta = {"class_names": data.class_names, "figures": figures}
    checkpoint.save(out / "checkpoint.safetensors", net, class_ids=list(range(len(data.class_names))), meta=meta)
    (out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return figures


def evaluate(
    ckpt: Path, dataset: str, root: Path, *, occlusion_rate: float, seed: int, progress: Progress
) -> dict[str, Any]:
    """Test a checkpoint on the test share, each image covered to `occlusion_rate` of its area by a shape of its own."""
    net, class_ids, meta = checkpoint.load(ckpt)
    data = datasets.load(dataset, root)
    if meta.get("class_names", data.class_names) != data.class_names or len(class_ids) != len(data.class_names):
        raise errors.BadRequest(
            f"{ckpt} knows {len(class_ids)} classes, {root} has {len(data.class_names)}: not the same data"
        )
    _, test_N = datasets.split(data, rng=np.random.default_rng(seed), test_share=TEST_SHARE)
    images, readable_N = _read([data.paths[at] for at in test_N], net.config, progress)
    ids = [data.paths[at].relative_to(root).as_posix() for at in test_N[readable_N >= 0]]
    images = occlusion.cover(images, occlusion_rate, ids=ids)
    figures = test(net.to(pool.device()), images, data.labels_N[test_N][readable_N >= 0], seed=seed)
    return {"checkpoint": str(ckpt), "dataset": dataset, "occlusion_rate": occlusion_rate, **figures}


def test(net: Any, images_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64], *, seed: int) -> dict[str, Any]:
    """Accuracy with its Wilson interval, calibration, and the AUROC with which uncertainty finds the mistakes."""
    began = time.perf_counter()
    found = predict.embed(net, images_NHWC)
    seconds = time.perf_counter() - began
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.from_numpy(found.embeddings_ND).to(next(net.parameters()).device)
    with torch.inference_mode():
        draws_NSK = net.posterior(embeddings, DRAWS, generator).float().cpu().numpy()
    told = uncertainty.decompose(draws_NSK)
    right_N = told.mean_NK.argmax(axis=1) == labels_N
    low, high = shares.wilson(int(right_N.sum()), len(right_N))
    return {
        "n": len(labels_N),
        "accuracy": float(right_N.mean()),
        "low": low,
        "high": high,
        "ece": calibration.ece(told.mean_NK, labels_N),
        "nll": calibration.nll(told.mean_NK, labels_N),
        "auroc_margin": roc.area(-told.margin_N, ~right_N),
        "auroc_epistemic": roc.area(told.epistemic_N, ~right_N),
        "images_per_s": len(labels_N) / seconds,
    }


def _read(
    paths: list[Path], network: config.NetworkConfig, progress: Progress
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The readable images, and for every path its row among them or -1."""
    images, rows = [], np.full(len(paths), -1, np.int64)
    for at, path in enumerate(paths):
        try:
            images.append(pixels.decode(path, size=network.image_size))
        except model_errors.UnreadableImage as problem:
            print(f"left out: {problem}")
            continue
        rows[at] = len(images) - 1
        if at % 50 == 0:
            progress(0.0, f"decoding {at:,} of {len(paths):,} images")
    if not images:
        raise errors.BadRequest(f"none of the {len(paths)} images could be read")
    return np.stack(images), rows


def _told(
    dataset: str, root: Path, network: config.NetworkConfig, chosen: config.TrainConfig, ratio: float
) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "root": str(root),
        "backbone": network.backbone,
        "attention": network.attention,
        "attention_options": network.attention_options,
        "aux_loss": chosen.aux_loss,
        "method": chosen.method,
        "labeled_ratio": ratio,
        "occlusion_rate": chosen.occlusion_rate,
        "seed": chosen.seed,
    }
