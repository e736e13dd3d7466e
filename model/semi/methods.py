"""The pseudo-label rules by name: from the weak view's posterior to what training may believe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from model import errors
from model.semi import fixmatch, pseudo_labels, raum, supervised


class Method(NamedTuple):
    """One way to learn from unlabelled images.

    `select(log_probs_BSK, *, tau, kappa)` is the rule; `unlabelled` says whether it looks at unlabelled images at all,
    `draws` whether it wants posterior draws (else one pass without dropout, S = 1).
    """

    select: Callable[..., pseudo_labels.PseudoLabels]
    unlabelled: bool
    draws: bool


METHODS: dict[str, Method] = {
    "supervised": Method(supervised.select, unlabelled=False, draws=False),
    "fixmatch": Method(fixmatch.select, unlabelled=True, draws=False),
    "raum": Method(raum.select, unlabelled=True, draws=True),
}


def find(name: str) -> Method:
    """The method of that name; raises UnknownName with the nearest one."""
    if name not in METHODS:
        raise errors.UnknownName("method", name, METHODS)
    return METHODS[name]
