"""Which trainings end with a head fitted to the trained features: those whose head is what is used."""

import pytest

from app import training
from model import config


def test_a_training_of_large_weights_ends_with_a_refit_and_a_published_recipe_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, large = config.for_backbone, config.NetworkConfig("hf:somewhere", num_classes=2)
    monkeypatch.setattr(config, "for_backbone", lambda name, **told: large if name == "large" else real(name, **told))
    assert training.configured("large", "raum", {}, steps=0).refit == training.REFIT
    assert training.configured("large", "raum", {}, steps=0, recipe="aam").refit == 0
    assert training.configured("vmamba_nano", "raum", {}, steps=0).refit == 0
    assert config.training(large, on_cpu=True).refit == 0  # a round publishes the last layer instead
