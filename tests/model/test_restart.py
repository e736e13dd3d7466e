"""A round that goes on from the one before: half of each weight, and rows of the head by class."""

import pytest
import torch

from model import config, errors, restart
from model.network import raum_net


def net(classes: int, seed: int, attention: str = "cam") -> raum_net.RaumNet:
    wanted = config.NetworkConfig("vmamba_nano", num_classes=classes, pretrained=False, seed=seed, attention=attention)
    return raum_net.build(wanted)


def test_each_weight_is_between_both_and_a_class_keeps_its_row() -> None:
    new, fresh, last = net(3, 1), net(3, 1), net(2, 2)
    before = {name: value.clone() for name, value in last.state_dict().items()}
    restart.go_on(new, last, [1, None, 0], kept=0.25)
    for name, value in new.backbone.state_dict().items():
        torch.testing.assert_close(value, 0.75 * fresh.backbone.state_dict()[name] + 0.25 * before[f"backbone.{name}"])
    own_KD, old_KD, got_KD = fresh.head.linear.weight, before["head.linear.weight"], new.head.linear.weight
    torch.testing.assert_close(got_KD[[0, 2]], 0.75 * own_KD[[0, 2]] + 0.25 * old_KD[[1, 0]])
    torch.testing.assert_close(got_KD[1], own_KD[1])  # the seed's own fresh row on both sides


def test_another_kind_of_network_is_refused() -> None:
    with pytest.raises(errors.BadInput, match="vmamba_nano with region cannot be gone on from"):
        restart.go_on(net(2, 0), net(2, 1, "region"), [0, 1])
