"""What the convolutional backbones share: handing the map of each stage to an attention, and their first weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

# (index of the stage, its map (B, H, W, C)) -> the map to go on with. Called after every stage but the last, before the
# grid is halved; the last map goes to the attention anyway. A backbone's `stage_dims` says the channels of those maps.
After = Callable[[int, Tensor], Tensor]


def passed(after_stage: After | None, index: int, x_BCHW: Tensor) -> Tensor:
    """The map that goes on after stage `index`."""
    if after_stage is None:
        return x_BCHW
    return after_stage(index, x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def init_convolutions(net: nn.Module) -> None:
    """He's normal weights by the outputs, as torchvision; norms keep 1 and 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
