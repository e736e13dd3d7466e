"""RAUM-Net: a backbone, region attention and a Bayesian head that share one pass of the backbone.

Inspired by the paper, not a copy of it: its released code holds neither the Mamba backbone, nor the attention, nor the
uncertainty, so the forms of the latter two are ours (attention/region.py, bayesian_head.py say what was known).
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model import config as configs
from model import errors, noise
from model.data import augment
from model.network import backbones, bayesian_head, cross_scan, hf_backbone, pretrained, vmamba
from model.network.attention import aam, acol, cam, cbam, contract, ra_cnn, region, sam

ATTENTIONS: dict[str, type[contract.Attention]] = {
    "cam": cam.MeanPooling,
    "region": region.RegionAttention,
    "sam": sam.SelfBoosting,
    "sam_bilinear": sam.BilinearSelfBoosting,
    "ra_cnn": ra_cnn.RecurrentAttention,
    "aam": aam.AggregateAttention,
    "cbam": cbam.BlockAttention,
    "acol": acol.ACoL,
}
_GIVEN = ("dim", "num_classes", "image_size", "stage_dims", "pooling")  # arguments of an attention that are no options


class Output(NamedTuple):
    """logits (B, K); embedding (B, E); features (B, E, H, W); attention (B, H, W): the pooling weights, which sum to 1
    per image, with embedding = sum of attention_i features_i; alpha (B, H, W): the attention before its gate; pooled:
    the same as the attention gave it."""

    logits: Tensor
    embedding: Tensor
    features: Tensor
    attention: Tensor
    alpha: Tensor
    pooled: contract.Pooling


class RaumNet(nn.Module):
    """Build it with `build`; `config` says what it is, `posterior` draws from its head."""

    def __init__(self, config: configs.NetworkConfig, backbone: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.attention = _attention(config, backbone)
        if config.attention == "region" and isinstance(backbone, vmamba.VMamba) and backbone.variant.map_norm:
            nn.init.zeros_(self.attention.gamma)  # from scratch there is no classifier to protect: start half open
        self.head = bayesian_head.BayesianHead(self.attention.dim, config.num_classes, config.dropout)

    @property
    def dim(self) -> int:
        """Length E of the embedding."""
        return self.attention.dim

    def forward(self, x_BCHW: Tensor, generator: noise.Source | None = None) -> Output:
        """Dropout and drop path act in training mode and draw from `generator`, or from torch's global one."""
        look = contract.Look(x_BCHW, lambda again_BCHW: self._last_map(again_BCHW, generator))
        pooled = self.attention(look.backbone(x_BCHW), look)
        logits_BK = self.head(pooled.embedding, generator)
        features_BEHW = pooled.features.permute(0, 3, 1, 2)
        return Output(logits_BK, pooled.embedding, features_BEHW, pooled.pooling, pooled.alpha, pooled)

    def embedding(self, x_BCHW: Tensor, crops: int) -> tuple[Tensor, Output]:
        """What the picture is known by, (B, E), and the pass over the whole of it.

        With one of `crops` that is the pass's own embedding; with two the mean of it and of the mirrored middle's, seen
        larger, for a second pass (classifiers have long been tested over crops: Krizhevsky et al. 2012 took ten).
        """
        whole = self(x_BCHW)
        if crops == configs.WHOLE:
            return whole.embedding, whole
        middle = self(augment.middle(x_BCHW, size=self.config.image_size))
        return (whole.embedding.float() + middle.embedding.float()) / 2, whole

    def losses(self, output: Output, targets_B: Tensor, *, done: float) -> dict[str, Tensor]:
        """The attention's own losses by name, each (B,), already weighted, at `done` of the training."""
        return self.attention.losses(output.pooled, self.head, targets_B, done=done)

    @torch.no_grad()
    def overlays(self, output: Output, classes_B: Tensor) -> dict[str, contract.Overlay]:
        """The attention's own pictures by kind, for one class of each image."""
        return self.attention.overlays(output.pooled, self.head, classes_B)

    def features(self, x_BCHW: Tensor) -> Tensor:
        """The last map (B, D, H, W) alone."""
        return self._last_map(x_BCHW, None).permute(0, 3, 1, 2)

    def _last_map(self, x_BCHW: Tensor, generator: noise.Source | None) -> Tensor:
        """(B, H, W, D) of the backbone, with what the attention does between its stages."""
        if self.attention.at == "stages":
            return self.backbone.features(x_BCHW, generator, self.attention.after_stage)
        return self.backbone.features(x_BCHW, generator)

    def posterior(self, embedding_BD: Tensor, draws: int, generator: torch.Generator | None = None) -> Tensor:
        """log_probs_BSK: `draws` passes of the head over one embedding; no pass of the backbone."""
        return self.head.posterior(embedding_BD, draws, generator)


def build(config: configs.NetworkConfig, *, backbone_settings: dict[str, Any] | None = None) -> RaumNet:
    """A network with the weights of config.seed, or with the backbone's pretrained ones for `hf:` and where there is a
    file of some for our own variant (and config.pretrained wants them).

    backbone_settings: what `describe_backbone` gave, to build an `hf:` backbone without its folder and weights.
    """
    if config.attention not in ATTENTIONS:
        raise errors.UnknownName("attention", config.attention, ATTENTIONS)
    if config.num_classes < 1:
        raise errors.BadConfig(f"num_classes is {config.num_classes}; a network needs at least one class")
    backbone = _backbone(config, backbone_settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return RaumNet(config, backbone)


def describe_backbone(net: RaumNet) -> dict[str, Any] | None:
    """What `build` needs beside the config to make the same backbone again; None for our own variants."""
    return net.backbone.settings() if isinstance(net.backbone, hf_backbone.HFBackbone) else None


def scan_backend(net: RaumNet) -> str | None:
    """The selective-scan backend that this net uses where it lies; None for a backbone without scans."""
    if not isinstance(net.backbone, vmamba.VMamba):
        return None
    return cross_scan.chosen_backend(next(net.parameters()).device)


def reclass(net: RaumNet, rows: Sequence[int | None], *, seed: int) -> None:
    """Change the classes in place: new class i takes the head's row rows[i], or fresh weights where that is None."""
    old = net.head.linear
    if not rows or any(row is not None and not 0 <= row < old.out_features for row in rows):
        raise errors.BadInput(f"rows {list(rows)} must name classes of a head that has {old.out_features}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = bayesian_head.BayesianHead(net.dim, len(rows), net.head.dropout).linear.to(old.weight)
        resized = _attention(dataclasses.replace(net.config, num_classes=len(rows)), net.backbone).class_layers()
    _take_rows(fresh, old, rows)
    net.head.linear = fresh
    for name, layer in net.attention.class_layers().items():
        _take_rows(resized[name].to(old.weight), layer, rows)
        net.attention.set_submodule(name, resized[name])
    net.config = dataclasses.replace(net.config, num_classes=len(rows))


@torch.no_grad()
def _take_rows(fresh: nn.Module, old: nn.Module, rows: Sequence[int | None]) -> None:
    """Fill the outputs of a layer that are known from another one of the same shape."""
    known = dict(old.named_parameters())
    for name, parameter in fresh.named_parameters():
        for new_row, old_row in enumerate(rows):
            if old_row is not None:
                parameter[new_row] = known[name][old_row]


def _attention(config: configs.NetworkConfig, backbone: nn.Module) -> contract.Attention:
    """The attention of a config, on this backbone. Raises BadConfig for an option that it does not have, or that does
    not go with the backbone."""
    kind = ATTENTIONS[config.attention]
    known = [name for name in inspect.signature(kind).parameters if name not in _GIVEN]
    for name in config.attention_options:
        if name not in known:
            raise errors.UnknownName(f"option of the attention {config.attention}", name, known)
    stage_dims = getattr(backbone, "stage_dims", None)
    if config.attention_options.get("at") == "stages" and stage_dims is None:
        raise errors.BadConfig(
            f"{config.attention} at stages does not go with {config.backbone}: such a model shows its last map alone; "
            "take it at last, or a backbone of our own"
        )
    facts = {"num_classes": config.num_classes, "image_size": config.image_size, "stage_dims": stage_dims or ()}
    facts["pooling"] = config.pooling
    taken = {name: value for name, value in facts.items() if name in inspect.signature(kind).parameters}
    return kind(backbone.dim, **taken, **config.attention_options)


def _backbone(config: configs.NetworkConfig, settings: dict[str, Any] | None) -> nn.Module:
    if config.backbone.startswith(configs.HF_PREFIX):
        if settings is not None:
            return hf_backbone.from_settings(settings)
        return hf_backbone.load(config.backbone[len(configs.HF_PREFIX) :])
    backbone = backbones.build(config.backbone, config.seed)
    if (path := pretrained.start(config)) is not None:
        pretrained.load(backbone, path, config)
    return backbone
