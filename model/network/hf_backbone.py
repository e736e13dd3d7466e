"""Backbones from Hugging Face transformers: the last map of any AutoModel, for people who have pretrained weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from model import errors, noise
from model.network import hub

MOST_PREFIX_TOKENS = 16  # class, distillation and register tokens stand before the patches
_LABELS = ("id2label", "label2id")
_FOREIGN = (
    "auto_map",
    "attn_implementation",
    "experts_implementation",
    "quantization_config",
)  # may name code elsewhere


class HFBackbone(nn.Module):
    """`features` gives the last map, channel-last, from models that return maps or tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.dim = _width(model.config)

    def features(self, x_BCHW: Tensor, generator: noise.Source | None = None) -> Tensor:
        """(B, H, W, D). The generator is not used: these models draw from torch's global one, if at all."""
        hidden = self.model(pixel_values=_laid_out(x_BCHW)).last_hidden_state
        if hidden.dim() == 4:
            return hidden.permute(0, 2, 3, 1)
        height, width = _grid(hidden.shape[1], x_BCHW.shape[-2:], getattr(self.model.config, "patch_size", None))
        return hidden[:, hidden.shape[1] - height * width :].unflatten(1, (height, width))

    def maps(self, x_BCHW: Tensor) -> list[Tensor]:
        """The inner maps of a convolutional model, (B, H, W, C) in order, then what `features` gives of one."""
        told = self.model(pixel_values=_laid_out(x_BCHW), output_hidden_states=True)
        inner = [hidden.permute(0, 2, 3, 1) for hidden in told.hidden_states if hidden.dim() == 4]
        if told.last_hidden_state.dim() != 4 or not inner:
            raise errors.BadConfig("this teacher gives tokens, no maps that could be hints; use another, or no hints")
        return [*inner, told.last_hidden_state.permute(0, 2, 3, 1)]

    def settings(self) -> dict[str, Any]:
        """The model's configuration as plain values, without its class names."""
        values = self.model.config.to_diff_dict()
        return {n: v for n, v in values.items() if n not in (*_LABELS, *_FOREIGN) and not n.startswith("_")}


def _laid_out(x_BCHW: Tensor) -> Tensor:
    """Channels last in memory, as convolutions are fastest on a CPU."""
    return x_BCHW.contiguous(memory_format=torch.channels_last)


def load(path_or_id: str) -> HFBackbone:
    """With pretrained weights from a folder, the cache or the hub. Raises BadConfig by name."""
    return HFBackbone(_loaded(path_or_id, "AutoModel")[0])


def load_classifier(path_or_id: str) -> Any:
    """The whole classifier, pixels in and an object with `logits` out. Raises BadConfig by name."""
    model, missing = _loaded(path_or_id, "AutoModelForImageClassification")
    if missing:
        raise errors.BadConfig(f"{path_or_id!r} holds no trained classifier ({', '.join(sorted(missing)[:2])} missing)")
    return model


def _loaded(path_or_id: str, face: str) -> tuple[nn.Module, set[str]]:
    """The model under one of transformers' automatic classes, and the names of weights that were nowhere to be found."""
    if not hub.is_folder(path_or_id):
        hub.require(path_or_id)
    transformers = _transformers()
    local = hub.is_folder(path_or_id) or hub.cached(path_or_id)
    try:
        model, told = getattr(transformers, face).from_pretrained(
            path_or_id, local_files_only=local, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError) as problem:
        first_line = str(problem).strip().splitlines()[0]
        raise errors.BadConfig(f"cannot load the backbone {path_or_id!r}: {first_line}") from problem
    return model.eval(), set(told["missing_keys"])


def from_settings(settings: dict[str, Any]) -> HFBackbone:
    """The same structure with fresh weights, for a checkpoint to fill; needs neither folder nor network."""
    transformers = _transformers()
    foreign = [name for name in settings if name in _FOREIGN or name.startswith("_")]
    if foreign:
        raise errors.BadConfig(f"the backbone's settings hold {', '.join(foreign)}, which can name code: not used")
    plain = {name: value for name, value in settings.items() if name != "model_type"}
    with torch.random.fork_rng(devices=[]):
        config = transformers.AutoConfig.for_model(settings["model_type"], **plain)
        return HFBackbone(transformers.AutoModel.from_config(config, trust_remote_code=False).eval())


def _transformers() -> Any:
    import transformers  # here, because it takes seconds and most runs never need it

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _width(config: Any) -> int:
    """Channels of the last map; MobileNet-like configurations do not say it under one name."""
    if config.model_type == "mobilenet_v2":
        return (
            1280 if config.finegrained_output and config.depth_multiplier < 1 else round(1280 * config.depth_multiplier)
        )
    sizes = getattr(config, "hidden_sizes", None)
    width = sizes[-1] if sizes else getattr(config, "hidden_size", None)
    if width is None:
        raise errors.BadConfig(f"a {config.model_type!r} model does not say how wide its last map is; use another")
    return int(width)


def _grid(tokens: int, size: tuple[int, int], patch: Any) -> tuple[int, int]:
    """Height and width of the token grid; raises BadConfig where none fits."""
    side = patch[0] if isinstance(patch, (list, tuple)) else patch
    for stride in (side, 32, 16, 14, 8):
        if stride:
            height, width = size[0] // stride, size[1] // stride
            if height * width and 0 <= tokens - height * width <= MOST_PREFIX_TOKENS:
                return height, width
    root = math.isqrt(tokens)
    if root * root == tokens:
        return root, root
    raise errors.BadConfig(f"{tokens} tokens for an input of {size[0]} x {size[1]} form no grid; use another backbone")
