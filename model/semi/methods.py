"""The ways to learn from unlabelled images, by name: each with its rule and the values it was published with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from model import config as configs
from model import errors
from model.semi import anomalymatch, fixmatch, flexmatch, freematch, pseudo_labels, raum, softmatch, ups


class Method(NamedTuple):
    """`rule` judges the unlabelled images, None: they are not looked at. `own`: values for configs.MethodConfig; what is not
    named there the method does not use. `tuned`: in their place, where large pretrained weights are tuned (first_head)."""

    rule: Callable[..., pseudo_labels.Rule] | None
    own: dict[str, Any]
    tuned: Mapping[str, Any] = MappingProxyType({})


_OURS = {
    "ema": 0.99, "teacher": "average", "draws": 0, "unlabelled_ratio": 1, "lambda_u": 1.0, "ramp_start": 0.75, "ramp": 0.05,
    "oversample": "mild", "shown": 0, "cycle": 0, "head_pool": 0,
    "hidden": 0.0,
}  # fmt: skip
_PUBLISHED = _OURS | {"ema": 0.999, "teacher": "net", "ramp_start": 0.0, "ramp": 0.0}

METHODS: dict[str, Method] = {
    "supervised": Method(None, {name: _OURS[name] for name in ("ema", "oversample")}),
    "fixmatch": Method(fixmatch.FixMatch, _PUBLISHED | {"tau": 0.95}),
    "flexmatch": Method(flexmatch.FlexMatch, _PUBLISHED | {"tau": 0.95}),
    "softmatch": Method(softmatch.SoftMatch, _PUBLISHED | {"momentum": 0.999, "n_sigma": 2.0}),
    "freematch": Method(freematch.FreeMatch, _PUBLISHED | {"momentum": 0.999, "fairness": 0.001}),
    "anomalymatch": Method(
        anomalymatch.AnomalyMatch,
        _PUBLISHED
        | {"tau": 0.95, "ema": 0.99, "unlabelled_ratio": 5, "oversample": "even", "shown": 1000, "cycle": 200},
    ),
    "ups": Method(
        ups.UPS,
        _OURS
        | {"tau": 0.7, "kappa": 0.05, "tau_n": 0.05, "kappa_n": 0.005, "temperature": 2.0, "draws": 10}
        | {"ramp_start": 0.5, "ramp": 0.0},
    ),
    "raum": Method(
        raum.Raum,
        _OURS
        | {"tau": 0.9, "kappa": 0.1, "draws": 10, "head_pool": 1000, "hidden": 0.4, "ramp_start": 0.0, "ramp": 0.0},
        tuned={"ramp_start": 0.75, "ramp": 0.05},
    ),
}


def find(name: str) -> Method:
    """The method of that name; raises UnknownName with the nearest one."""
    if name not in METHODS:
        raise errors.UnknownName("method", name, METHODS)
    return METHODS[name]


def settled(config: configs.TrainConfig) -> configs.TrainConfig:
    """The config with the method's own values where it leaves them open."""
    method = find(config.method)
    own = method.own | dict(method.tuned if config.first_head else {})
    return dataclasses.replace(config, **{name: value for name, value in own.items() if getattr(config, name) is None})


def changed(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """`options` to change in a method, checked: each is one of its own, of the same kind. Raises UnknownName or BadConfig."""
    own, found = find(name).own, {}
    for option, value in options.items():
        if option not in own:
            raise errors.UnknownName(f"option of the method {name}", option, own)
        kind = type(own[option])
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits:
            raise errors.BadConfig(f"the option {option} of the method {name} is a {kind.__name__}, not {value!r}")
        found[option] = kind(value)
    return found


def rule(config: configs.TrainConfig, *, classes: int, images: int) -> pseudo_labels.Rule | None:
    """A fresh rule for one run over `images` unlabelled images; `config` is settled."""
    kind = find(config.method).rule
    return None if kind is None else kind(config, classes=classes, images=images)
