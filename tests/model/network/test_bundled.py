"""The bundled weights: small, described, loaded by default, and worth more than random ones on pictures they never saw."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from model import config, predict, probe
from model.data import datasets, pixels
from model.network import pretrained, raum_net

BUNDLED = pretrained.bundled("vmamba_nano")
WANTED = config.for_backbone("vmamba_nano", num_classes=2)
BIRDS = Path(__file__).resolve().parents[4] / "shared/data/birds"


def test_the_file_is_small_and_says_what_it_is_made_of() -> None:
    assert BUNDLED.stat().st_size <= 8_000_000
    told = pretrained.describe(BUNDLED)
    assert told["variant"] == "vmamba_nano"
    assert (told["image_size"], tuple(told["mean"]), tuple(told["std"])) == (WANTED.image_size, WANTED.mean, WANTED.std)
    assert all(word in told["licence"] for word in ("MIT", "Apache-2.0", "own code"))
    assert not any("bird" in name for name in told["data"]), "the birds are for measuring"
    beside = (BUNDLED.parent / "README.md").read_text(encoding="utf-8")
    assert f"{told['steps']:,} steps" in beside
    assert str(told["recipe"]["batch"]) in beside


def test_a_network_starts_from_it_unless_told_otherwise() -> None:
    net, fresh = raum_net.build(WANTED), raum_net.build(dataclasses.replace(WANTED, pretrained=False))
    stored = net.backbone.state_dict()["patch_embed.0.weight"]
    assert not torch.equal(stored, fresh.backbone.state_dict()["patch_embed.0.weight"])
    assert pretrained.mark(WANTED)


@pytest.mark.skipif(not BIRDS.is_dir(), reason=f"no {BIRDS}")
def test_birds_it_never_saw_are_told_apart_better_than_with_random_weights() -> None:
    data = datasets.load("folder", BIRDS)
    chosen = np.flatnonzero(data.labels_N < 8)
    images = np.stack([pixels.decode(data.paths[at], size=WANTED.image_size) for at in chosen])
    test = data.test_N[chosen]
    train = ~test
    right = []
    for wanted in (WANTED, dataclasses.replace(WANTED, pretrained=False)):
        rows = predict.embed(raum_net.build(wanted), images).embeddings_ND
        mean, spread = rows[train].mean(0), rows[train].std(0) + 1e-6
        rows = (rows - mean) / spread
        weights = probe.fit(rows[train], data.labels_N[chosen][train], C=0.01)
        right.append(float((probe.predict(rows[test], weights) == data.labels_N[chosen][test]).mean()))
    assert right[0] > right[1] + 0.1, right
