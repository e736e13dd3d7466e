"""What every process of a round but the first does: what it is told. It reads images, and nothing else of the workspace."""

import dataclasses
from typing import Any

import torch

from app import pictures, pool, round_steps, team
from app.settings import Settings
from model import config, errors
from model.network import raum_net


def follow(beside: team.Team, settings: Settings) -> None:
    """Do what the first process asks until it says that it is done."""
    torch.set_num_threads(team.threads())
    net: Any = None
    while (asked := beside.joined.tell())["task"] != "done":
        if asked["task"] == "train":
            _train(beside, settings, asked["lesson"])
        elif asked["task"] == "show":
            net = _built(asked["network"]).eval()
            beside.joined.same(net.state_dict().values())
        else:
            cache = pool.open_cache(settings, net.config)
            team.embedded(beside.joined, net, cache, team.unlisted(asked["images"]), settings.workspace)


def _built(told: dict[str, Any]) -> Any:
    """The network that the first process has; its weights come from there."""
    wanted = dataclasses.replace(config.from_dict(told["config"]), pretrained=False)
    return raum_net.build(wanted, backbone_settings=told["backbone"]).to(pool.device())


def _train(beside: team.Team, settings: Settings, lesson: dict[str, Any]) -> None:
    """Its part of a training. Raises BadInput where an image cannot be read here."""
    net = _built(lesson["network"])
    cache = pool.open_cache(settings, net.config)
    found = {}
    for kind in ("labelled", "unlabelled"):
        images = team.unlisted(lesson[kind])
        batch = cache.read([each.id for each in images], [pictures.source(each, settings.workspace) for each in images])
        if batch.problems:
            raise errors.BadInput(
                f"{batch.problems[0]}; the first process can: images have to lie under the same paths on every machine"
            )
        found[kind] = batch.images_NHWC
    round_steps.learn(net, lesson, found["labelled"], found["unlabelled"], together=beside.joined)
