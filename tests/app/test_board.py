"""Maps in TensorBoard: a row of pictures for each kind, written while the network is in training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app import board, loggers
from model import config
from model.network import raum_net
from tests import looking

KINDS = ["evidence", "contrast", *looking.Looking.KINDS]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(raum_net.ATTENTIONS, "looking", looking.Looking)
    network = config.NetworkConfig("vmamba_nano", num_classes=3, image_size=48, attention="looking", pretrained=False)
    return raum_net.build(network)


IMAGES = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)


class Kept:
    """Takes what TensorBoard's writer takes."""

    def __init__(self) -> None:
        self.images: dict[str, tuple[tuple[int, ...], int]] = {}
        self.scalars: list[tuple[str, float, int]] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def add_image(self, name: str, image: np.ndarray, step: int, *, dataformats: str) -> None:
        assert dataformats == "HWC"
        assert image.dtype == np.uint8
        self.images[name] = (image.shape, step)


def test_a_row_for_each_kind_and_training_goes_on_as_it_was(net: Any) -> None:
    kept = Kept()
    net.train()
    before = torch.random.get_rng_state()
    board.log_overlays(kept, net, IMAGES, 7)
    assert net.training
    assert torch.equal(before, torch.random.get_rng_state())
    assert list(kept.images) == [f"overlays/{kind}" for kind in KINDS]
    assert kept.images["overlays/first"] == ((64, 3 * 64, 3), 7)


def test_tensorboard_reads_them_back(net: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed, nothing is written for it")
    from tensorboard.backend.event_processing import event_accumulator

    with loggers.opened(["tensorboard"], tmp_path, {}) as (writer,):
        board.log_overlays(writer, net, IMAGES, 7)
    read = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert sorted(read.Tags()["images"]) == sorted(f"overlays/{kind}" for kind in KINDS)
    assert [each.step for each in read.Images("overlays/zoom")] == [7]


def test_a_training_logs_losses_and_maps(net: Any) -> None:
    kept, other = Kept(), Kept()
    log = board.logs([kept, other], net, IMAGES, every=2)
    assert log is not None
    log(1, {"loss_labelled": 2.0})
    assert (kept.scalars, kept.images) == ([("train/loss_labelled", 2.0, 1)], {})
    log(2, {"loss_labelled": 1.0})
    assert kept.scalars[-1] == ("train/loss_labelled", 1.0, 2)
    assert set(kept.images)
    board.tell([kept], "test", {"accuracy": 0.5, "reliability": []}, 2)
    assert kept.scalars[-1] == ("test/accuracy", 0.5, 2)
    assert other.scalars == kept.scalars[:-1]
    assert board.logs([], net, IMAGES, every=2) is None
