"""Embedding a pool: the same numbers whatever the batch, features that pool to the embedding, clear refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from model import config, errors, half, predict
from model.network import raum_net


@pytest.fixture(scope="module")
def net():
    return raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=48, seed=2))


def pool(count=7, side=60):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_batches_and_maps(net):
    told = []
    net.train()
    whole = predict.embed(net, pool(), batch=7)
    parts = predict.embed(net, pool(), batch=3, keep_features=True, progress=lambda *args: told.append(args))
    assert net.training
    assert whole.embeddings_ND.shape == (7, 160)
    assert whole.embeddings_ND.dtype == np.float32
    assert whole.features_NDHW is None
    np.testing.assert_allclose(parts.embeddings_ND, whole.embeddings_ND, rtol=1e-4, atol=1e-5)
    assert parts.features_NDHW.dtype == np.float16
    pooled = np.einsum("ndhw,nhw->nd", parts.features_NDHW.astype(np.float32), parts.attention_NHW)
    np.testing.assert_allclose(pooled, parts.embeddings_ND, atol=5e-3)
    assert [share for share, _ in told] == pytest.approx([3 / 7, 6 / 7, 1.0])
    assert told[-1][1] == "7 of 7 images embedded"


def test_two_crops_are_the_mean_of_the_whole_and_of_the_mirrored_middle(net):
    images, both = pool(3, 48), raum_net.build(dataclasses.replace(net.config, crops=2))
    whole, middle = predict.embed(net, images, keep_features=True), predict.embed(net, images[:, 6:42, 41:5:-1])
    found = predict.embed(both, images, keep_features=True)
    wanted = (whole.embeddings_ND + middle.embeddings_ND) / 2
    np.testing.assert_allclose(found.embeddings_ND, wanted, atol=0.03)  # bfloat16 where the CPU has it
    assert np.abs(wanted - whole.embeddings_ND).max() > 0.1, "another one than the whole's"
    np.testing.assert_array_equal(found.features_NDHW, whole.features_NDHW)
    alone = predict.embed(both, images, keep_features=True, whole=True)
    np.testing.assert_array_equal(alone.embeddings_ND, whole.embeddings_ND)
    assert config.from_dict(config.to_dict(both.config)) == both.config
    assert "crops" not in config.to_dict(net.config), "as earlier versions wrote it"
    with pytest.raises(errors.UnknownName, match="no crops named '3'"):
        config.from_dict(config.to_dict(net.config) | {"crops": 3})


def test_an_empty_pool_and_wrong_arrays(net):
    assert predict.embed(net, pool(0)).embeddings_ND.shape == (0, 160)
    with pytest.raises(errors.BadInput, match=r"uint8 \(N, H, W, 3\)"):
        predict.embed(net, pool().astype(np.float32))
    with pytest.raises(errors.BadInput, match="batch is -1"):
        predict.embed(net, pool(), batch=-1)


def test_an_embedding_that_is_not_finite_stops_by_name(net):
    broken = raum_net.build(net.config)
    with torch.no_grad():
        broken.backbone.classifier["norm"].bias[0] = float("nan")
    with pytest.raises(errors.NotFinite, match="image 0 is not finite"):
        predict.embed(broken, pool())


def test_a_cpu_that_only_imitates_bfloat16_has_no_units_for_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert not half.has_units(torch.device("cpu"))


@pytest.mark.parametrize("backbone", ["vmamba_tiny", "vmamba_nano", "resnet18"])
def test_pictures_are_embedded_in_bfloat16_where_the_device_has_it(monkeypatch, backbone):
    net = raum_net.build(config.NetworkConfig(backbone, num_classes=3, image_size=32, seed=2, pretrained=False))
    rows = []
    for able in (False, True):
        monkeypatch.setattr(half, "has_units", lambda device, able=able: able)
        rows.append(predict.embed(net, pool(2, 32)).embeddings_ND)
    wide, narrow = rows
    assert 0 < np.abs(narrow - wide).max() < 0.1 * np.abs(wide).max()
    assert narrow.dtype == np.float32
