"""Checkpoints: what is saved comes back, and a file that is broken or not ours is refused by name."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from model import checkpoint, config, errors
from model.network import raum_net


@pytest.fixture
def net():
    return raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32, seed=2)).eval()


def rewrite(path, change):
    """Change the tensors of a file, its header kept."""
    header = {"raum": json.dumps(checkpoint.describe(path))}
    tensors = safetensors.torch.load_file(str(path))
    change(tensors)
    safetensors.torch.save_file(tensors, str(path), metadata=header)


def test_a_network_comes_back_whole(net, tmp_path):
    path = tmp_path / "rounds" / "1.safetensors"
    checkpoint.save(path, net, class_ids=[11, 5, 8], meta={"round": 1, "accuracy": 0.5})
    loaded = checkpoint.load(path)
    assert (loaded.class_ids, loaded.meta, loaded.net.config) == ([11, 5, 8], {"round": 1, "accuracy": 0.5}, net.config)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded.net(x).logits, net(x).logits)
    assert not loaded.net.training
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_that_are_not_numbers_are_refused_on_both_ways(net, tmp_path):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path, net, class_ids=[1, 2, 3], meta={})
    rewrite(path, lambda tensors: tensors["head.linear.bias"].fill_(float("nan")))
    with pytest.raises(errors.NotFinite, match=r"head\.linear\.bias"):
        checkpoint.load(path)
    with torch.no_grad():
        net.attention.gamma.fill_(float("inf"))
    with pytest.raises(errors.NotFinite, match=r"attention\.gamma"):
        checkpoint.save(path, net, class_ids=[1, 2, 3], meta={})


def test_wrong_shapes_and_names_are_listed(net, tmp_path):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path, net, class_ids=[1, 2, 3], meta={})

    def change(tensors):
        tensors["head.linear.weight"] = torch.zeros(4, 160)
        del tensors["attention.gamma"]
        tensors["extra"] = torch.zeros(1)

    rewrite(path, change)
    with pytest.raises(errors.BadCheckpoint) as caught:
        checkpoint.load(path)
    for part in ("attention.gamma is missing", "extra is not part", "head.linear.weight is (4, 160), not (3, 160)"):
        assert part in str(caught.value)


def test_a_failed_write_leaves_the_old_file(net, tmp_path):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path, net, class_ids=[1, 2, 3], meta={"round": 1})
    with pytest.raises(ValueError, match="JSON"):
        checkpoint.save(path, net, class_ids=[1, 2, 3], meta={"accuracy": float("nan")})
    assert checkpoint.describe(path)["meta"] == {"round": 1}


def test_class_ids_must_fit_the_head(net, tmp_path):
    with pytest.raises(errors.BadInput, match="2 distinct class ids for a head of 3"):
        checkpoint.save(tmp_path / "net.safetensors", net, class_ids=[1, 2, 2], meta={})


def test_foreign_and_broken_files_are_named(tmp_path):
    with pytest.raises(errors.BadCheckpoint, match=r"cannot read the checkpoint.*missing"):
        checkpoint.load(tmp_path / "missing.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a safetensors file at all")
    with pytest.raises(errors.BadCheckpoint, match="cannot read"):
        checkpoint.load(broken)
    foreign = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, str(foreign))
    with pytest.raises(errors.BadCheckpoint, match="not a checkpoint of this program"):
        checkpoint.load(foreign)
