"""Official weights: every style that upstream has used is read, a wrong variant and a dangerous file are refused."""

from __future__ import annotations

import sys
import types

import pytest
import safetensors.torch
import torch

from model import config, errors
from model.network import raum_net, vmamba, weights


@pytest.fixture(scope="module")
def source():
    return vmamba.build("vmamba_nano", num_classes=10, seed=1)


def released(tensors):
    return tensors


def single_file(tensors):
    """The style of upstream's one-file rewrite."""
    renamed = {}
    for name, tensor in tensors.items():
        for ours, theirs in (("op.x_proj_weight", "op.x_proj.weight"), ("op.dt_projs_weight", "op.dt_projs.weight")):
            if name.endswith(ours):
                name, tensor = name.removesuffix(ours) + theirs, tensor.flatten(0, 1)
        renamed[name] = tensor
    return renamed


def convolutions(tensors):
    """Linears written as 1x1 convolutions."""
    linear = ("in_proj.weight", "out_proj.weight", "fc1.weight", "fc2.weight")
    return {name: t[..., None, None] if name.endswith(linear) else t for name, t in tensors.items()}


def detection(tensors):
    """A detector's backbone: no classifier head, a norm after each stage, everything under one prefix."""
    kept = {f"backbone.{name}": t for name, t in tensors.items() if not name.startswith("classifier.head")}
    return {**kept, "backbone.outnorm0.weight": torch.ones(32)}


@pytest.mark.parametrize("style", [released, single_file, convolutions])
@pytest.mark.parametrize("wrapper", [None, "model", "model_ema", "state_dict"])
def test_every_style_gives_the_same_network(source, style, wrapper, tmp_path):
    tensors = style(source.state_dict())
    path = tmp_path / "weights.pth"
    torch.save(tensors if wrapper is None else {wrapper: tensors, "epoch": 3, "optimizer": {"lr": 0.1}}, path)
    net = vmamba.build("vmamba_nano", num_classes=10, seed=2)
    report = weights.load_official(net, path)
    assert (report.variant, report.loaded, report.dropped) == ("vmamba_nano", len(source.state_dict()), ())
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in net.state_dict().items())


def test_a_head_for_other_classes_keeps_its_own_weights(source, tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({f"module.{k}": v for k, v in source.state_dict().items()}, str(path))
    net = vmamba.build("vmamba_nano", num_classes=4, seed=2)
    before = net.classifier["head"].weight.clone()
    assert weights.load_official(net, path).dropped == weights.HEAD[::-1]
    assert torch.equal(net.classifier["head"].weight, before)
    assert torch.equal(net.patch_embed[0].weight, source.patch_embed[0].weight)
    raum = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=4))
    weights.load_official(raum, path)
    assert torch.equal(raum.backbone.patch_embed[0].weight, source.patch_embed[0].weight)


def test_a_detectors_backbone_is_read_without_its_extra_norms(source, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": detection(source.state_dict())}, path)
    report = weights.load_official(vmamba.build("vmamba_nano", num_classes=4), path)
    assert report.dropped == ("outnorm0.weight",)


def test_another_variant_is_refused_by_naming_both(source, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(source.state_dict(), path)
    with pytest.raises(errors.WrongVariant, match="holds vmamba_nano, the network is vmamba_tiny"):
        weights.load_official(vmamba.build("vmamba_tiny", num_classes=4), path)


def test_broken_content_is_listed(source, tmp_path):
    path = tmp_path / "weights.pth"
    tensors = dict(source.state_dict())
    del tensors["classifier.norm.bias"]
    tensors["layers.0.blocks.0.op.conv2d.bias"] = torch.zeros(32)
    torch.save(tensors, path)
    with pytest.raises(errors.BadCheckpoint, match=r"classifier\.norm\.bias is missing; .*conv2d\.bias is unknown"):
        weights.load_official(vmamba.build("vmamba_nano"), path)
    torch.save({**source.state_dict(), "classifier.norm.bias": torch.full((160,), float("nan"))}, path)
    with pytest.raises(errors.NotFinite, match=r"classifier\.norm\.bias"):
        weights.load_official(vmamba.build("vmamba_nano"), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"patch_embed.proj.weight": torch.zeros(1)}, "first family"),
        ({"a": torch.zeros(1)}, "is not a VMamba"),
        ([], "no tensors"),
    ],
)
def test_foreign_files_are_named(content, message, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(errors.BadCheckpoint, match=message):
        weights.load_official(vmamba.build("vmamba_nano"), path)


def test_a_file_that_could_run_code_is_refused_and_runs_none(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "weights.pth"
    torch.save({"model": {"a": torch.zeros(1)}, "config": Trap()}, path)
    with pytest.raises(errors.BadCheckpoint, match="could run code"):
        weights.read(path)
    assert not (tmp_path / "sprung").exists()


def test_the_settings_object_that_upstream_saves_beside_the_weights_is_passed_over(source, tmp_path, monkeypatch):
    package, module = types.ModuleType("yacs"), types.ModuleType("yacs.config")
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = node
    monkeypatch.setitem(sys.modules, "yacs", package)
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    settings = node(a=1, nested=node(b=[1, 2]))
    settings.__dict__["__immutable__"] = True
    path = tmp_path / "weights.pth"
    torch.save({"model": source.state_dict(), "config": settings}, path)
    monkeypatch.delitem(sys.modules, "yacs.config")
    monkeypatch.delitem(sys.modules, "yacs")
    assert weights.load_official(vmamba.build("vmamba_nano", num_classes=10), path).variant == "vmamba_nano"
