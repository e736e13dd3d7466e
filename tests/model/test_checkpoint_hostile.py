"""Files of weights that somebody made to harm: none runs code, each is refused by name with what to do."""

from __future__ import annotations

import json
import os
import struct

import pytest
import safetensors.torch
import torch

from model import checkpoint, config, errors, pretrain
from model.network import hf_backbone, raum_net, weights


class Payload:
    """Unpickled, it makes the folder `path`."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def sound(tmp_path):
    """A checkpoint that can be loaded."""
    path = tmp_path / "net.safetensors"
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32, seed=2)).eval()
    checkpoint.save(path, net, class_ids=[1, 2, 3], meta={})
    return path


@pytest.mark.parametrize("read", [checkpoint.describe, checkpoint.load, weights.read, pretrain.read_state])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_pickle_is_never_executed_whatever_it_is_called(tmp_path, read, suffix):
    path, mark = tmp_path / f"harmless{suffix}", tmp_path / "mark"
    torch.save({"model": {"a": torch.zeros(1)}, "extra": Payload(mark)}, path)
    with pytest.raises(errors.BadCheckpoint, match="harmless"):
        read(path)
    assert not mark.exists()
    torch.load(path.rename(tmp_path / "harm.pth"), weights_only=False)  # the file is what it is taken for
    assert mark.exists()


def rewritten(path, change):
    """The file with its header's JSON changed in place; the tensors' bytes stay."""
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])


def cut_to(size):
    return lambda whole: whole[:size]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: struct.pack("<Q", len(whole) * 2) + whole[8:],
        lambda whole: struct.pack("<Q", 2**63) + whole[8:],
        lambda whole: struct.pack("<Q", 0) + whole[8:],
        lambda whole: whole + b"more",
        lambda whole: whole[:8] + b"[" * (len(whole) - 8),
        cut_to(0),
        cut_to(5),
        cut_to(4000),
        lambda whole: whole[:-1],
    ],
)
def test_a_header_beyond_the_file_and_cut_files_are_refused(sound, damage):
    sound.write_bytes(damage(sound.read_bytes()))
    with pytest.raises(errors.BadCheckpoint, match=r"net\.safetensors"):
        checkpoint.load(sound)


@pytest.mark.parametrize(
    "offsets", [[0, 2**40], [2**62, 2**62 + 4], [8, 4], [0, 4]], ids=["long", "far", "backward", "overlapping"]
)
def test_offsets_that_lie_are_refused(sound, offsets):
    def change(header):
        name = sorted(name for name in header if name != "__metadata__")[3]
        header[name]["data_offsets"] = offsets

    rewritten(sound, change)
    with pytest.raises(errors.BadCheckpoint, match=r"net\.safetensors"):
        checkpoint.load(sound)


def described(header, **changes):
    found = json.loads(header["__metadata__"]["raum"])
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        if inner:
            found[outer][inner] = value
        else:
            found[outer] = value
    header["__metadata__"]["raum"] = json.dumps(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {}},
        {"config": None},
        {"config__num_classes": 10**12},
        {"config__num_classes": "3"},
        {"config__num_classes": -1},
        {"config__image_size": "x"},
        {"config__backbone": "../../etc"},
        {"config__backbone": "hf:someone/somewhere"},
        {"config__weights": "/etc/hosts"},
        {"config__attention": "__import__"},
        {"config__unknown": 1},
        {"class_ids": [1, 2]},
        {"class_ids": [1, 1, 2]},
        {"class_ids": "abc"},
        {"class_ids": None},
        {"class_ids": [[1], [2], [3]]},
    ],
    ids=str,
)
def test_a_description_that_lies_is_refused(sound, changes):
    rewritten(sound, lambda header: described(header, **changes))
    with pytest.raises(errors.BadCheckpoint, match=r"net\.safetensors"):
        checkpoint.load(sound)


@pytest.mark.parametrize("text", ["[]", "5", "{", "[" * 100_000, '{"format": ["raum-checkpoint-1"]}'])
def test_a_header_that_is_no_description_is_refused(sound, text):
    rewritten(sound, lambda header: header["__metadata__"].update(raum=text))
    with pytest.raises(errors.BadCheckpoint, match=r"net\.safetensors"):
        checkpoint.load(sound)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(sound, value):
    tensors = safetensors.torch.load_file(str(sound))
    tensors["head.linear.weight"][1, 2] = value
    header = {"raum": json.dumps(checkpoint.describe(sound))}
    safetensors.torch.save_file(tensors, str(sound), metadata=header)
    with pytest.raises(errors.NotFinite, match=r"head\.linear\.weight of .*net\.safetensors.*earlier checkpoint"):
        checkpoint.load(sound)


def test_weights_of_another_type_are_refused_by_name(sound):
    tensors = safetensors.torch.load_file(str(sound))
    tensors["head.linear.bias"] = tensors["head.linear.bias"].to(torch.int64)
    header = {"raum": json.dumps(checkpoint.describe(sound))}
    safetensors.torch.save_file(tensors, str(sound), metadata=header)
    with pytest.raises(errors.BadCheckpoint, match=r"head\.linear\.bias is torch\.int64, not torch\.float32"):
        checkpoint.load(sound)


@pytest.mark.parametrize("name", ["auto_map", "_attn_implementation", "attn_implementation"])
def test_backbone_settings_that_can_name_code_are_refused(name):
    with pytest.raises(errors.BadConfig, match=name):
        hf_backbone.from_settings({"model_type": "vit", name: "someone/kernel"})
