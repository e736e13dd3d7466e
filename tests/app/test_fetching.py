"""`weights fetch` and `weights import`: a transfer that breaks off goes on, what came is checked, and refusals are quick."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
import safetensors.torch
import torch

from app import backbone_names, backbones, errors, fetching, settings
from model import config
from model.network import backbones as networks
from model.network import pretrained, raum_net, resnet, vmamba
from tests.app import files_server

MINI = vmamba.Variant((8, 16, 16, 24), (1, 1, 1, 1), 1.0, 0.0)
CONTENT = bytes(range(256)) * 40_000  # 10 MB


@pytest.fixture
def files() -> Iterator[files_server.Files]:
    with files_server.serving() as server:
        yield server


@pytest.fixture
def mini(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> vmamba.VMamba:
    """A small member of the family that somebody publishes, and an empty cache."""
    monkeypatch.setitem(vmamba.VARIANTS, "vmamba_mini", MINI)
    monkeypatch.setitem(config.NATIVE_IMAGE_SIZES, "vmamba_mini", 48)
    monkeypatch.setitem(backbone_names.OFFICIAL, "vmamba_mini", backbone_names.Named("mini.pth", 1, "tests"))
    monkeypatch.setenv("RAUM_CACHE", str(tmp_path / "cache"))
    return vmamba.build("vmamba_mini", num_classes=10, seed=7)


def released(net: vmamba.VMamba) -> bytes:
    held = io.BytesIO()
    torch.save({"model": net.state_dict(), "epoch": 3}, held)
    return held.getvalue()


def fetch(files: files_server.Files) -> str:
    return fetching.fetch("vmamba_mini", lambda come, total: None, releases=files.address)


def test_a_transfer_that_broke_off_goes_on_where_it_was(files: files_server.Files, tmp_path: Path) -> None:
    files.files["/big"], files.cut = CONTENT, 4_000_000
    part, told = tmp_path / "big.part", []
    with pytest.raises(errors.BadRequest, match=r"broke off after 4\.0 MB .*same command goes on"):
        fetching.download(f"{files.address}/big", part, lambda come, total: told.append((come, total)))
    have = part.stat().st_size
    assert have == 4_000_000
    fetching.download(f"{files.address}/big", part, lambda come, total: told.append((come, total)))
    assert part.read_bytes() == CONTENT
    assert files.asked == [("/big", ""), ("/big", f"bytes={have}-")]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [come for come, _ in told] == sorted(come for come, _ in told)


def test_a_file_that_changed_meanwhile_is_begun_anew(files: files_server.Files, tmp_path: Path) -> None:
    files.files["/big"], files.cut = CONTENT, 1_000_000
    part = tmp_path / "big.part"
    with pytest.raises(errors.BadRequest, match="broke off"):
        fetching.download(f"{files.address}/big", part, lambda come, total: None)
    files.files["/big"] = CONTENT[::-1]
    fetching.download(f"{files.address}/big", part, lambda come, total: None)
    assert part.read_bytes() == CONTENT[::-1]


def test_a_beginning_that_is_whole_or_too_long(files: files_server.Files, tmp_path: Path) -> None:
    files.files["/big"] = CONTENT
    part, tag = tmp_path / "big.part", tmp_path / "big.part.tag"
    part.write_bytes(CONTENT)
    tag.write_text(f'"{hash(CONTENT)}"')
    fetching.download(f"{files.address}/big", part, lambda come, total: None)
    assert part.read_bytes() == CONTENT
    assert not tag.exists()
    part.write_bytes(CONTENT + b"x")
    tag.write_text(f'"{hash(CONTENT)}"')
    with pytest.raises(errors.BadRequest, match="was removed: ask again"):
        fetching.download(f"{files.address}/big", part, lambda come, total: None)
    assert not part.exists()


def test_what_was_fetched_is_what_a_network_starts_from(files: files_server.Files, mini: vmamba.VMamba) -> None:
    files.files["/mini.pth"], files.cut = released(mini), 20_000
    with pytest.raises(errors.BadRequest, match="broke off"):
        fetch(files)
    assert "vmamba_mini is ready" in fetch(files)
    wanted = config.for_backbone("vmamba_mini", num_classes=3)
    assert (wanted.image_size, wanted.mean) == (48, config.IMAGENET_MEAN)
    net = raum_net.build(wanted)
    for name, tensor in net.backbone.state_dict().items():
        assert torch.equal(tensor, mini.state_dict()[name]), name
    assert config.gently(wanted)
    assert len(pretrained.mark(wanted)) == 8
    told = pretrained.describe(wanted.weights)
    assert told["origin"] == f"{files.address}/mini.pth"
    assert "MIT" in told["licence"]
    assert [path.name for path in (pretrained.user_cache() / "downloads").iterdir()] == []
    asked = len(files.asked)
    assert "here already" in fetch(files)
    assert len(files.asked) == asked


def test_torchvisions_files_are_fetched_from_torchvision(
    files: files_server.Files, mini: vmamba.VMamba, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resnet, "WIDTHS", (8, 8, 16, 16))
    monkeypatch.setattr(fetching, "TORCHVISION", files.address)
    published = networks.build("resnet18", seed=7)
    held = io.BytesIO()
    torch.save({**published.state_dict(), "fc.weight": torch.zeros(10, 16), "fc.bias": torch.zeros(10)}, held)
    files.files["/resnet18-f37072fd.pth"] = held.getvalue()
    assert "resnet18 is ready" in fetching.fetch("resnet18", lambda come, total: None)
    net = raum_net.build(config.for_backbone("resnet18", num_classes=3))
    assert torch.equal(net.backbone.layer4[1].conv2.weight, published.layer4[1].conv2.weight)


def test_a_cached_file_that_was_damaged_is_fetched_anew(files: files_server.Files, mini: vmamba.VMamba) -> None:
    files.files["/mini.pth"] = released(mini)
    fetch(files)
    path = pretrained.user_cache() / "vmamba_mini.safetensors"
    path.write_bytes(b"damaged")
    assert not config.at_hand("vmamba_mini")
    assert "is ready" in fetch(files)
    assert config.at_hand("vmamba_mini")


@pytest.mark.parametrize("what", ["page", "cut short", "another variant"])
def test_what_is_not_the_weights_is_refused_and_not_kept(
    files: files_server.Files, mini: vmamba.VMamba, what: str
) -> None:
    other = vmamba.build("vmamba_nano", num_classes=0)
    sent = {"page": b"<html>log in first", "cut short": released(mini)[:50_000], "another variant": released(other)}
    files.files["/mini.pth"] = sent[what]
    said = {"page": "is no file of weights", "another variant": "holds vmamba_nano, not vmamba_mini"}.get(
        what, "mini.pth"
    )
    with pytest.raises(errors.BadRequest, match=said):
        fetch(files)
    assert pretrained.find("vmamba_mini") is None
    assert list((pretrained.user_cache() / "downloads").iterdir()) == []
    files.files["/mini.pth"] = released(mini)
    assert "is ready" in fetch(files)


def test_a_server_without_the_file_and_a_second_fetch(files: files_server.Files, mini: vmamba.VMamba) -> None:
    with pytest.raises(errors.BadRequest, match=r"mini\.pth answers 404"):
        fetch(files)
    with (
        filelock.FileLock(pretrained.user_cache() / "fetch.lock"),
        pytest.raises(errors.BadRequest, match="another weights fetch"),
    ):
        fetch(files)


def test_without_a_network_it_says_within_a_second_what_to_do(mini: vmamba.VMamba) -> None:
    with files_server.serving() as gone:
        address = gone.address
    began = time.monotonic()
    with pytest.raises(errors.BadRequest, match=r"127\.0\.0\.1 cannot be reached.*weights import mini\.pth"):
        fetching.fetch("vmamba_mini", lambda come, total: None, releases=address)
    assert time.monotonic() - began < 1.5


def test_copied_files_are_taken_over_under_the_name_of_what_they_hold(mini: vmamba.VMamba, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(released(mini))
    assert "vmamba_mini is ready" in fetching.take_over(tmp_path / "a.pth")
    safetensors.torch.save_file(mini.state_dict(), str(tmp_path / "b.safetensors"))
    assert "vmamba_mini is ready" in fetching.take_over(tmp_path / "b.safetensors")
    ours = {
        "format": pretrained.FORMAT,
        "variant": "vmamba_nano",
        "image_size": 96,
        "mean": [0.5] * 3,
        "std": [0.2] * 3,
    }
    tensors = vmamba.build("vmamba_nano", num_classes=0, seed=3).state_dict()
    header = {"raum": json.dumps({**ours, "licence": "mine"})}
    safetensors.torch.save_file(tensors, str(tmp_path / "c.safetensors"), metadata=header)
    assert "vmamba_nano is ready" in fetching.take_over(tmp_path / "c.safetensors")
    wanted = config.for_backbone("vmamba_nano", num_classes=2)
    assert (wanted.image_size, wanted.mean, wanted.std) == (96, (0.5,) * 3, (0.2,) * 3)
    assert pretrained.describe(wanted.weights)["licence"] == "mine"


def test_files_that_are_no_weights_are_refused_by_name(mini: vmamba.VMamba, tmp_path: Path) -> None:
    with pytest.raises(errors.BadRequest, match="there is no file"):
        fetching.take_over(tmp_path / "none.pth")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(errors.BadRequest, match=r"text\.safetensors"):
        fetching.take_over(tmp_path / "text.safetensors")
    strange = vmamba.from_variant(vmamba.Variant((8, 16, 16, 32), (1, 1, 1, 1), 1.0, 0.0), num_classes=0, seed=0)
    (tmp_path / "strange.pth").write_bytes(released(strange))
    with pytest.raises(errors.BadRequest, match=r"dims \(8, 16, 16, 32\).*known are"):
        fetching.take_over(tmp_path / "strange.pth")
    with pytest.raises(errors.SettingsError, match="did you mean 'vmamba_small'"):
        fetching.fetch("vmamba_smal", lambda come, total: None)
    assert not list(pretrained.user_cache().glob("*.safetensors"))


def test_a_model_of_the_hub_is_downloaded_whole_and_then_needs_no_network(
    files: files_server.Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    import transformers

    shape = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic")
    transformers.AutoModel.from_config(shape).save_pretrained(tmp_path / "model")
    for name in ("config.json", "model.safetensors"):
        files.files[f"/someone/tiny/resolve/main/{name}"] = (tmp_path / "model" / name).read_bytes()
    files.files["/someone/tiny/resolve/main/preprocessor_config.json"] = json.dumps({"size": 40}).encode()
    files.headers = {"X-Repo-Commit": "0" * 40}
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", files.address)
    assert not config.at_hand("hf:someone/tiny")
    named = settings.load(tmp_path, backbone="hf:someone/tiny")
    assert "is downloaded when the worker starts" in backbones.check(named)
    assert "hf:someone/tiny is ready" in fetching.fetch("hf:someone/tiny", lambda come, total: None)
    with pytest.raises(errors.BadRequest, match="someone/other could not be downloaded: 404"):
        fetching.fetch("hf:someone/other", lambda come, total: None)
    assert backbones.check(named) == ""
    asked = len(files.asked)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert config.at_hand("hf:someone/tiny")
    assert raum_net.build(config.for_backbone("hf:someone/tiny", num_classes=2)).config.image_size == 40
    assert len(files.asked) == asked
    began = time.monotonic()
    with pytest.raises(errors.BadRequest, match=r"facebook/dinov2-small.*127\.0\.0\.1 cannot be reached.*hf:FOLDER"):
        fetching.fetch("dinov2", lambda come, total: None)
    assert time.monotonic() - began < 1.5
