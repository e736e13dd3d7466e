"""ResNet and VGG: torchvision's structure and answers, its files taken over, their place in a network and in training."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from model import averaging, config, errors
from model.network import backbones, pretrained, raum_net, resnet, vgg, weights_store

# weights of the whole torchvision model, and of its classifier
COUNTS = {
    "resnet18": (11_689_512, 512 * 1000 + 1000),
    "resnet50": (25_557_032, 2048 * 1000 + 1000),
    "vgg16": (138_357_544, 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000),
    "vgg19": (143_667_240, 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000),
}
# torchvision 0.29.1's last maps, with the weights of `recipe`, of `picture`: mean, deviation, one value
GOLDEN = {
    "resnet18": (0.1181607, 0.1331041, 0.004784878),
    "resnet50": (1.562585, 1.789194, 0.2220418),
    "vgg16": (0.03199654, 0.03862321, 0.06514967),
}


@torch.no_grad()
def recipe(net: torch.nn.Module) -> None:
    """Weights that any machine makes alike."""
    for name, tensor in net.state_dict().items():
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64)).view(tensor.shape)
        if name.endswith("running_var"):
            tensor.copy_(1 + 0.5 * wave)
        elif tensor.dim() == 4:
            tensor.copy_(wave * (4 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.copy_(0.1 * wave + (1 if name.endswith("weight") else 0))


def picture() -> torch.Tensor:
    return torch.cos(0.37 * torch.arange(2 * 3 * 40 * 72, dtype=torch.float64)).float().view(2, 3, 40, 72)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The same structures with few channels, and an empty cache."""
    monkeypatch.setattr(resnet, "WIDTHS", (8, 8, 16, 16))
    monkeypatch.setattr(vgg, "WIDTHS", (8, 8, 16, 16, 16))
    monkeypatch.setenv("RAUM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", COUNTS)
def test_there_are_as_many_weights_as_in_torchvision_without_the_classifier(name):
    net = backbones.build(name)
    whole, classifier = COUNTS[name]
    assert sum(parameter.numel() for parameter in net.parameters()) == whole - classifier
    assert config.NATIVE_IMAGE_SIZES[name] == 224


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16"])
def test_the_last_map_is_torchvisions(name):
    net = backbones.build(name).eval()
    recipe(net)
    with torch.inference_mode():
        map_BHWD = net.features(picture())
    grid = (2, 3) if name.startswith("resnet") else (2, 4)
    assert map_BHWD.shape == (2, *grid, net.dim)
    found = (map_BHWD.mean().item(), map_BHWD.std().item(), map_BHWD[1, 1, 2, 7].item())
    assert found == pytest.approx(GOLDEN[name], rel=1e-4)


@pytest.mark.parametrize("name", ["vmamba_nano", "resnet18", "vgg16"])
def test_what_is_done_between_stages_reaches_the_last_map(name, small):
    net = backbones.build(name).eval()
    seen = []

    def halved(index, map_BHWC):
        seen.append((index, map_BHWC.shape[3]))
        return map_BHWC * (0.5 if index == 1 else 1.0)

    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, same, other = net.features(x), net.features(x, None, lambda _, m: m), net.features(x, None, halved)
    assert seen == list(enumerate(net.stage_dims))
    assert torch.equal(plain, same)
    assert not torch.allclose(plain, other)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "vgg19"])
def test_a_file_of_torchvision_is_taken_over_and_a_network_starts_from_it(name, small, tmp_path):
    source = backbones.build(name, seed=7)
    classifier = resnet.CLASSIFIER if name.startswith("resnet") else vgg.CLASSIFIER
    held = {**source.state_dict(), **{each: torch.zeros(3) for each in classifier}}
    safetensors.torch.save_file(held, str(tmp_path / "a.safetensors"))
    torch.save({"state_dict": {f"module.{key}": value for key, value in held.items()}}, tmp_path / "b.pth")
    older = {key: value for key, value in held.items() if not key.endswith("num_batches_tracked")}
    torch.save(older, tmp_path / "c.pth")
    for file in ("a.safetensors", "b.pth", "c.pth"):
        stored = weights_store.take(tmp_path / file, pretrained.user_cache(), origin=file)
        assert stored.variant == name
        settings = config.for_backbone(name, num_classes=2)
        assert (settings.image_size, settings.mean) == (224, config.IMAGENET_MEAN)
        assert config.gently(settings)
        net = raum_net.build(settings)
        for key, tensor in net.backbone.state_dict().items():
            assert torch.equal(tensor, source.state_dict()[key]), key
        assert "BSD" in pretrained.describe(stored.path)["licence"]
        stored.path.unlink()


def test_files_that_do_not_fit_are_refused_by_name(small, tmp_path):
    held = backbones.build("resnet18").state_dict()
    torch.save({key: value for key, value in held.items() if "layer3.1" not in key}, tmp_path / "a.pth")
    with pytest.raises(
        errors.BadCheckpoint, match=r"torchvision's names, but none of resnet18, resnet50, vgg16, vgg19"
    ):
        weights_store.take(tmp_path / "a.pth", tmp_path, origin="a")
    torch.save({**held, "bn1.running_var": torch.full((8,), float("nan"))}, tmp_path / "b.pth")
    with pytest.raises(errors.NotFinite, match=r"bn1\.running_var"):
        weights_store.take(tmp_path / "b.pth", tmp_path, origin="b")
    torch.save(held, tmp_path / "c.pth")
    with pytest.raises(errors.WrongVariant, match="holds resnet18, not resnet50"):
        weights_store.take(tmp_path / "c.pth", tmp_path, wanted="resnet50", origin="c")
    with pytest.raises(errors.UnknownName, match="did you mean 'resnet18'"):
        backbones.build("resnet8")


def test_the_average_has_the_statistics_of_the_network_that_learns(small):
    net, average = (backbones.build("resnet18", seed).train() for seed in (0, 1))
    first = average.conv1.weight.clone()
    net.features(torch.randn(4, 3, 32, 32))
    averaging.follow(average, net, 0.75, 1000)
    torch.testing.assert_close(average.conv1.weight, 0.75 * first + 0.25 * net.conv1.weight)
    for name, buffer in average.named_buffers():
        assert torch.equal(buffer, dict(net.named_buffers())[name]), name
    assert average.bn1.num_batches_tracked == 1
