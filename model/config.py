"""Frozen configurations of the network and of one training run; imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from model import errors
from model.network import hub, preprocessor, pretrained

# Of weights that say nothing of their pixels: fresh ones, and those of VMamba's authors and of torchvision.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NATIVE_IMAGE_SIZES = {
    "vmamba_nano": 80,
    "vmamba_tiny": 224,
    "vmamba_tiny_s2l5": 224,
    "vmamba_small": 224,
    "vmamba_small_s1l20": 224,
    "vmamba_base": 224,
    "vmamba_base_s1l20": 224,
    **dict.fromkeys(("resnet18", "resnet50", "vgg16", "vgg19"), 224),
}
HF_PREFIX = "hf:"
NANO = "vmamba_nano"
REGION = "region"
POOLINGS = MEAN, SALIENT = ("mean", "salient")
CROPS = WHOLE, BOTH = (1, 2)  # looks at a picture: at the whole of it, and at its middle
AUTO = "auto"
PRETRAINED, LAST = STARTS = ("pretrained", "last")  # what a round begins with (model/restart.py)
PRECISIONS = (AUTO, "fp32", "bf16", "fp16")
METHODS = ("supervised", "fixmatch", "flexmatch", "softmatch", "freematch", "anomalymatch", "ups", "raum")
ATTENTIONS = ("cam", REGION, "sam", "sam_bilinear", "ra_cnn", "aam", "cbam", "acol")


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Everything needed to build the network and to feed it.

    image_size: side in pixels of the square input, which shows the whole picture: a map over it then covers the picture on
    the page. mean, std: per channel, of RGB scaled to 0..1. pooling: how the cells of the last map count before an attention
    has learnt anything, alike ("mean") or by how much they stand out ("salient", model/network/attention/region.py). All four
    come from the weights' own record. crops: how many looks an embedding is the mean of (RaumNet.embedding).
    attention_options: keyword arguments of the attention's class, plain values; {} is its own defaults. dropout: of the
    Bayesian head. seed: of the weights' initialisation. pretrained: start one of our own variants from the file `weights` or,
    where that is "", from one that model/network/pretrained.py finds, if any. Where the file lies is this machine's affair:
    it is no part of the record.
    """

    backbone: str
    num_classes: int
    attention: str = REGION
    attention_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    image_size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    pooling: str = MEAN
    crops: int = WHOLE
    dropout: float = 0.3
    seed: int = 0
    pretrained: bool = True
    weights: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """What a method makes of the unlabelled images. None is the method's own value, in model/semi/methods.py.

    ema: decay of the weights' average, at most (1 + t) / (10 + t) at step t. teacher: whose pass over the weak view makes the
    pseudo-label, the "average" or the "net" itself. draws: posterior draws of that pass; 0 is one without dropout.
    unlabelled_ratio: unlabelled images looked at for each labelled one. lambda_u: weight of the pseudo-label loss; it
    starts after the share ramp_start of the run and is whole after a further share ramp. oversample: how rare classes
    come oftener, "mild" (by the root of their share, three times at most) or "even" (every class as often). shown:
    unlabelled images in use at a time, 0 for all; others are taken after every `cycle` steps. tau: least probability of a
    pseudo-label. kappa: largest deviation of that probability over the draws. tau_n, kappa_n: largest probability and
    deviation of a class that an image is said not to be, at this temperature. momentum: of a rule's moving averages.
    n_sigma: width of SoftMatch's weights. fairness: weight of FreeMatch's second loss. head_pool: unlabelled images that
    teach the first head, where there is one (first_head). hidden: largest share of a labelled or strong view that is
    hidden, in every second one; of strong views up to 30 % in any case, as FixMatch hides squares of them.
    """

    ema: float | None = None
    teacher: str | None = None
    draws: int | None = None
    unlabelled_ratio: int | None = None
    lambda_u: float | None = None
    ramp_start: float | None = None
    ramp: float | None = None
    oversample: str | None = None
    shown: int | None = None
    cycle: int | None = None
    tau: float | None = None
    kappa: float | None = None
    tau_n: float | None = None
    kappa_n: float | None = None
    temperature: float | None = None
    momentum: float | None = None
    n_sigma: float | None = None
    fairness: float | None = None
    head_pool: int | None = None
    hidden: float | None = None


@dataclasses.dataclass(frozen=True)
class TrainConfig(MethodConfig):
    """One training run. The defaults are for vmamba_nano from scratch.

    method: a name in model/semi/methods.py. steps: optimiser steps (deterministic for a seed). seconds: a bound in time,
    beside the steps or (steps = 0) instead of them; the schedules follow whichever is nearer. epochs: passes over the
    labelled images, instead of steps where it is not 0. batch_unlabelled: images looked at in a step, 0 for unlabelled_ratio
    times batch_labelled. lr, lr_head: peak rates of the backbone and the rest. lr_matrix: of the backbone's matrices, which
    Muon moves (model/optimizers.py); 0 leaves them to AdamW at lr. sgd: momentum of SGD, which then moves everything; 0 for
    Muon and AdamW. schedule: of the rates, "cosine" after a warmup, a share of the run, or "poly" down to lr_end.
    occlusion_rate: as `hidden`, for any method; the larger of the two counts. spot, guide: weights of the spotter's own loss
    and of what it tells the attention (model/semi/spotter.py); region: of what people's evidence regions tell it instead,
    where there is one. aux_loss: "none", "center" or "mc", a further loss (model/semi/aux_losses.py) of the weight
    aux_weight. first_head: start with the head that the features give (model/semi/first_head.py), not with a random one.
    refit: how far it goes, in the end, towards the head that the trained features give. keep_norms: batch norms keep the
    statistics that they came with. precision: "fp32", "bf16", "fp16", or "auto" by the device (model/precision.py).
    accumulate: pieces in which a batch goes through the network, one after the other; fit_batch: more where a GPU's memory is
    too small for that. Both leave a batch's gradient what it is.
    """

    method: str = "raum"
    steps: int = 330
    epochs: int = 0
    seconds: float = 0.0
    batch_labelled: int = 16
    batch_unlabelled: int = 0
    lr: float = 4e-3
    lr_head: float = 4e-3
    lr_matrix: float = 0.04
    lr_end: float = 0.0
    sgd: float = 0.0
    schedule: str = "cosine"
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip_norm: float = 5.0
    spot: float = 1.0
    guide: float = 0.5
    region: float = 0.5
    aux_loss: str = "none"
    aux_weight: float = 0.01
    occlusion_rate: float = 0.0
    label_smoothing: float = 0.0
    first_head: bool = False
    refit: float = 0.0
    keep_norms: bool = False
    precision: str = "auto"
    accumulate: int = 1
    fit_batch: bool = True
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """One distillation of a teacher's features into a variant of ours (model/pretrain.py).

    steps, seconds, warmup, clip_norm, lr, lr_matrix, weight_decay: as in TrainConfig; lr_projection: of the maps from
    the student's features to the teacher's. batch: crops in one pass of the teacher. crops: how many of them come from
    one image, at scales that do not overlap. reuse: student steps for one pass of the teacher; all but one look at crops
    of the last `remembered` passes. crop: least side of a crop as a share of the picture's (0.28: 8 % of its area).
    spatial: weight of the loss per cell beside that of the mean. hints: weight of the loss of the teacher's inner maps.
    mix: share of the batches in which every crop is laid half over another one. teacher_size: side of the teacher's
    input; 0 is its own. ema: decay of the weights' average, which is what is kept.
    """

    steps: int = 0
    seconds: float = 0.0
    batch: int = 32
    crops: int = 2
    reuse: int = 2
    remembered: int = 400
    teacher_size: int = 0
    crop: float = 0.28
    spatial: float = 0.5
    hints: float = 0.0
    mix: float = 0.0
    lr: float = 2e-3
    lr_matrix: float = 0.02
    lr_projection: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.02
    clip_norm: float = 5.0
    ema: float = 0.999
    seed: int = 0


# Of whole trainings. aam: aggregate attention (2021), "poly" from 1e-4 to 1e-6, as its authors describe it.
RECIPES: dict[str, dict[str, Any]] = {
    "own": {},
    "aam": {
        "sgd": 0.8, "schedule": "poly", "lr": 1e-4, "lr_head": 1e-4, "lr_matrix": 0.0, "lr_end": 1e-6,
        "weight_decay": 2.5e-4, "epochs": 200, "batch_labelled": 16, "refit": 0.0,
    },
}  # fmt: skip


def for_backbone(
    name: str, *, num_classes: int, image_size: int | None = None, folders: Iterable[Path] = ()
) -> NetworkConfig:
    """The configuration that belongs to a backbone: `vmamba_*`, with what the file of its weights says of the pixels that they
    know (looked for in `folders`, the person's cache, and the program), or `hf:PATH_OR_ID` (read from its preprocessor file).

    Raises UnknownName, BadCheckpoint for such a file that is broken, or BadConfig where the preprocessor file is missing or
    says something we cannot follow.
    """
    if num_classes < 1:
        raise errors.BadConfig(f"num_classes is {num_classes}; a network needs at least one class")
    if name.startswith(HF_PREFIX):
        pixels = dataclasses.asdict(preprocessor.read(name[len(HF_PREFIX) :]))
    elif name not in NATIVE_IMAGE_SIZES:
        raise errors.UnknownName("backbone", name, [*NATIVE_IMAGE_SIZES, "hf:PATH_OR_ID"])
    elif (path := pretrained.find(name, folders)) is not None:
        pixels = {**pretrained.pixels(path, name), "weights": str(path)}
    else:
        pixels = {"image_size": NATIVE_IMAGE_SIZES[name]}
    pixels["image_size"] = image_size or pixels["image_size"]
    return NetworkConfig(backbone=name, num_classes=num_classes, **pixels)


def at_hand(name: str, folders: Iterable[Path] = ()) -> bool:
    """Whether trained weights of a backbone are on this machine, in a file that can be used."""
    if name.startswith(HF_PREFIX):
        model = name[len(HF_PREFIX) :]
        return hub.is_folder(model) or hub.cached(model)
    path = pretrained.find(name, folders)
    try:
        return path is not None and bool(pretrained.pixels(path, name))
    except errors.BadCheckpoint:
        return False


def gently(network: NetworkConfig) -> bool:
    """Whether a network starts from large pretrained weights, which are tuned with small rates; nano never does."""
    ours = bool(network.weights) and network.pretrained and network.backbone != NANO
    return ours or network.backbone.startswith(HF_PREFIX)


def training(network: NetworkConfig, *, on_cpu: bool, steps: int = 0, **changes: Any) -> TrainConfig:
    """The training that belongs to a network, with `changes`; `steps` 0 is its own number.

    What has large pretrained weights is tuned gently, and on a CPU only for a minute or two.
    """
    chosen = TrainConfig(**changes)
    if gently(network):
        chosen = dataclasses.replace(chosen, lr=1e-4, lr_head=1e-3, lr_matrix=0.0, first_head=True, keep_norms=True)
        if on_cpu:
            chosen = dataclasses.replace(chosen, steps=60, batch_labelled=8)
    return dataclasses.replace(chosen, steps=steps) if steps else chosen


def in_pieces(config: TrainConfig, precision: str, accumulate: int, batch_size: str) -> TrainConfig:
    """The config with these numbers, pieces and batch: a number of labelled images, or "auto", which is the recipe's own, in
    as many pieces as fit into the memory."""
    if batch_size != AUTO and not (batch_size.isdecimal() and int(batch_size)):
        raise errors.BadConfig(f"the batch size is a number of images or {AUTO}, not {batch_size!r}")
    chosen = dataclasses.replace(config, precision=precision, accumulate=accumulate, fit_batch=batch_size == AUTO)
    return chosen if batch_size == AUTO else dataclasses.replace(chosen, batch_labelled=int(batch_size))


def looked(config: TrainConfig) -> int:
    """Unlabelled images that a step looks at; `config` is settled (model/semi/methods.py)."""
    return config.batch_unlabelled or (config.unlabelled_ratio or 0) * config.batch_labelled


def by_recipe(config: TrainConfig, name: str) -> TrainConfig:
    """The config with a published recipe in place of the tool's optimiser and length; "own" changes nothing."""
    if name not in RECIPES:
        raise errors.UnknownName("recipe", name, RECIPES)
    return dataclasses.replace(config, **RECIPES[name])


def to_dict(config: NetworkConfig) -> dict[str, Any]:
    """Plain values for JSON, without this machine's paths and, as earlier versions wrote it, without what is as it was
    then; `from_dict` is its inverse."""
    usual = {"attention_options": {}, "pooling": MEAN, "crops": WHOLE}
    values = dataclasses.asdict(config)
    del values["weights"]
    return {name: value for name, value in values.items() if name not in usual or value != usual[name]}


def from_dict(values: dict[str, Any]) -> NetworkConfig:
    """A configuration from plain values; names that do not exist are refused with the nearest known one."""
    known = {field.name for field in dataclasses.fields(NetworkConfig)} - {"weights"}
    for name in values:
        if name not in known:
            raise errors.UnknownName("network setting", name, known)
    plain = dict(values)
    for name in ("mean", "std"):
        if name in plain:
            plain[name] = tuple(float(value) for value in plain[name])
    config = NetworkConfig(**plain)
    for name, values in (("pooling", POOLINGS), ("crops", CROPS)):
        if plain.get(name, values[0]) not in values:
            raise errors.UnknownName(name, str(plain[name]), map(str, values))
    return config
