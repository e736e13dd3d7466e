"""`export-model`: a checkpoint becomes a folder that others can use: safetensors, JSON, a card, and ONNX if wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors, ingest_files, jobs, model_card, model_facts, named_classes, processes, settings
from model import checkpoint, classifier, onnx_file
from model import config as configs
from model.data import ahead, sources
from model.network import served

CHECKED = 100  # images on which ONNX is compared
FILES = {"weights": classifier.EXPORTED, "facts": "model.json", "card": "README.md", "onnx": "model.onnx"}
OUTPUTS = {
    "embedding": "(batch, E): the pooled features of the image",
    "log_probs": "(batch, K): natural logarithm of the probabilities, the mean of the posterior draws",
    "spread": "(batch, K): standard deviation of each probability over the draws",
    "entropy": "(batch): entropy of the mean, in nats",
    "epistemic": "(batch): the part of the entropy on which the draws disagree (mutual information), in nats",
}


def export(ckpt: Path, out: Path, *, onnx: bool, check: Path | None, workspace: Path | None) -> str:
    """Write the folder; returns a sentence. ONNX comes first: where it fails, nothing is written."""
    processes.keep_memory()
    if onnx:
        onnx_file.require()
    _free(out)
    place, file = workspace or named_classes.home(ckpt), named_classes.file_of(ckpt)
    model = classifier.load(file, names=named_classes.of(file, place))
    with jobs.bar("export-model") as tell:
        facts = model_facts.without(model)
        if place is not None:
            with jobs.opened(named_classes.there(settings.load(place))) as db:
                facts = model_facts.take(db, place, model, checkpoint.describe(file)["class_ids"], progress=tell)
        apart = None
        if onnx:
            tell(0.6, "writing and comparing the ONNX file")
            images_NHWC = _pictures(check, facts.images, model.net.config.image_size)
            apart = onnx_file.write(out / FILES["onnx"], _served(model, facts.temperature), images_NHWC=images_NHWC)
            facts.onnx = {"images": 0 if images_NHWC is None else len(images_NHWC), "apart": apart}
        else:
            (out / FILES["onnx"]).unlink(missing_ok=True)  # of an earlier export: it would be another network
        tell(0.9, "writing the weights")
        _write(out, model, file, facts)
    compared = f"; ONNX differs from torch by at most {max(apart.values()):.1e}" if apart else ""
    return f"wrote {out}: {len(model.names)} classes{compared}. Read {out / FILES['card']} and fill in the licence"


def _served(model: classifier.Classifier, temperature: float) -> served.Served:
    return served.Served(
        model.net.cpu(), draws=classifier.DRAWS, seed=classifier.SEED, temperature=temperature
    ).eval()  # fmt: skip


def _write(out: Path, model: classifier.Classifier, source: Path, facts: model_facts.Facts) -> None:
    class_ids = checkpoint.describe(source)["class_ids"]
    meta = {**model.meta, "class_names": model.names, "temperature": facts.temperature}
    checkpoint.save(out / FILES["weights"], model.net, class_ids=class_ids, meta=meta)
    told = json.dumps(described(model, facts), indent=1, ensure_ascii=False)
    checkpoint.write(out / FILES["facts"], told.encode())
    checkpoint.write(out / FILES["card"], model_card.text(model, facts).encode())


def described(model: classifier.Classifier, facts: model_facts.Facts) -> dict[str, Any]:
    """What model.json says: all that somebody without this program has to know."""
    config = model.net.config
    return {
        "format": "raum-model-1",
        "class_names": model.names,
        "network": configs.to_dict(config),
        "input": {
            "image_size": config.image_size,
            "how": "RGB, upright by its EXIF record, scaled whole to a square (bicubic), nothing cut off",
            "mean": config.mean,
            "std": config.std,
            "onnx": "images: uint8 (batch, image_size, image_size, 3); mean and std are applied inside",
            "torch": "float (batch, 3, image_size, image_size): (pixels / 255 - mean) / std",
        },
        "outputs": OUTPUTS,
        "posterior": {"draws": classifier.DRAWS, "seed": classifier.SEED, "temperature": facts.temperature},
        "measured": facts.measured,
        "onnx": facts.onnx,
    }


def _pictures(check: Path | None, known: list[sources.Where], side: int) -> NDArray[np.uint8] | None:
    """At most CHECKED readable images, spread over the folder, or over what the workspace has; None: there are none."""
    if check is not None:
        known = [file.path for file in ingest_files.walk(ingest_files.root(check)).files]
    some = known[:: max(1, len(known) // CHECKED)][:CHECKED]
    parts = [part.images_NHWC for part in ahead.batches(some, side=side, batch=16)]
    found = np.concatenate(parts) if parts else np.empty((0, side, side, 3), np.uint8)
    if check is not None and not len(found):
        raise errors.BadRequest(f"{check} holds no image that can be read")
    return found if len(found) else None


def _free(out: Path) -> None:
    """Refuse a folder in which something else lies."""
    if out.exists() and not out.is_dir():
        raise errors.BadRequest(f"{out} is a file: give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / FILES["facts"]).is_file():
        raise errors.BadRequest(f"{out} holds something else: give a new folder, or one that export-model wrote")
