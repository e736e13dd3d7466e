"""Backbones from transformers: offline weights, equality with the library's own pooling, pixel settings read by us."""

from __future__ import annotations

import json

import pytest
import torch

from model import checkpoint, config, errors
from model.network import hf_backbone, preprocessor, raum_net


@pytest.fixture(scope="module")
def folder(shared_data):
    path = shared_data / "weights" / "mobilenet_v2_imagenet"
    if not path.is_dir():
        pytest.skip("the MobileNetV2 weights are absent")
    return path


def test_pretrained_features_pool_to_the_librarys_own_and_survive_a_checkpoint(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = config.for_backbone(f"hf:{folder}", num_classes=4)
    assert (settings.image_size, settings.mean, settings.std) == (256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    net = raum_net.build(settings).eval()
    with torch.no_grad():
        net.attention.gamma.fill_(-40.0)
    x = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = net(x)
        want = net.backbone.model(pixel_values=x).pooler_output
    assert output.features.shape == (2, 1280, 8, 8)
    torch.testing.assert_close(output.embedding, want, rtol=1e-5, atol=1e-5)
    checkpoint.save(tmp_path / "net.safetensors", net, class_ids=[3, 1, 4, 5], meta={})
    loaded = checkpoint.load(tmp_path / "net.safetensors")
    with torch.inference_mode():
        torch.testing.assert_close(loaded.net(x).logits, output.logits)


def test_a_vision_transformers_tokens_become_a_map_without_the_class_token(tmp_path):
    settings = {
        "model_type": "vit",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    }
    backbone = hf_backbone.from_settings(settings)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone.features(x)
        tokens = backbone.model(pixel_values=x).last_hidden_state
    assert features.shape == (2, 4, 4, 32)
    torch.testing.assert_close(features.flatten(1, 2), tokens[:, 1:])


def test_convolutions_keep_channels_last_from_the_first_to_the_last():
    backbone = hf_backbone.from_settings(
        {"model_type": "mobilenet_v2", "image_size": 64, "depth_multiplier": 0.35}
    ).eval()
    with torch.inference_mode():
        assert backbone.features(torch.randn(2, 3, 64, 64)).is_contiguous()
        assert all(each.is_contiguous() for each in backbone.maps(torch.randn(2, 3, 64, 64)))


def test_token_counts_that_form_no_grid_are_refused():
    assert hf_backbone._grid(197, (224, 224), 16) == (14, 14)
    assert hf_backbone._grid(201, (224, 224), 16) == (14, 14)
    assert hf_backbone._grid(49, (224, 224), 4) == (7, 7)
    assert hf_backbone._grid(7 * 14, (224, 448), 4) == (7, 14)
    with pytest.raises(errors.BadConfig, match="form no grid"):
        hf_backbone._grid(300, (224, 224), 16)


def test_pixel_settings_in_their_several_spellings():
    read = preprocessor.parse({"size": {"height": 384, "width": 384}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3})
    assert (read.image_size, read.mean, read.std) == (384, (0.5,) * 3, (0.25,) * 3)
    assert preprocessor.parse({"size": 160}).image_size == 160
    cropped = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
    assert preprocessor.parse(cropped).image_size == 224
    assert preprocessor.parse(cropped, any_size=True).image_size == 256
    raw = preprocessor.parse({"size": 64, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3})
    assert raw.mean == pytest.approx((0.5,) * 3)
    assert preprocessor.parse({"size": 64, "do_normalize": False}).std == (1.0, 1.0, 1.0)
    with pytest.raises(errors.BadConfig, match="only RGB"):
        preprocessor.parse({"size": 64, "image_mean": [0.5], "image_std": [0.5]})


def test_folders_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(errors.BadConfig, match="there is no folder"):
        config.for_backbone(f"hf:{tmp_path / 'a' / 'b'}", num_classes=2)
    with pytest.raises(errors.BadConfig, match=r"holds no preprocessor_config\.json"):
        config.for_backbone(f"hf:{tmp_path}", num_classes=2)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 64}))
    with pytest.raises(errors.BadConfig, match=r"holds no config\.json"):
        config.for_backbone(f"hf:{tmp_path}", num_classes=2)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(errors.BadConfig, match="cannot load the backbone"):
        raum_net.build(config.for_backbone(f"hf:{tmp_path}", num_classes=2))


@pytest.mark.parametrize(("model", "side"), [({"hidden_sizes": [8]}, 256), ({"num_attention_heads": 2}, 224)])
def test_a_convolutional_network_sees_the_whole_picture_as_large_as_before_the_crop(tmp_path, model, side):
    cropped = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(cropped))
    (tmp_path / "config.json").write_text(json.dumps(model))
    assert config.for_backbone(f"hf:{tmp_path}", num_classes=2).image_size == side
