"""What a round begins with: the pretrained weights, or the network of the round before, shrunk towards them."""

import dataclasses
from collections.abc import Sequence

from app.settings import Settings
from model import checkpoint, config, errors, restart
from model.network import raum_net
from store import rounds
from store.database import Database


def before(db: Database, settings: Settings, network: config.NetworkConfig) -> tuple[int, checkpoint.Loaded] | None:
    """The round that the next one goes on from, and what it left: the newest that was shown, if its network is of the kind
    that is wanted. None where rounds are to begin anew, or its file is gone or damaged."""
    if settings.round_start != config.LAST:
        return None
    with db.read() as tx:
        done = [each for each in rounds.all_(tx) if each.status == "published" and "kept_because" not in each.metrics]
    if not done or not done[-1].checkpoint:
        return None
    try:
        loaded = checkpoint.load(settings.workspace / done[-1].checkpoint)
    except errors.ModelError:
        return None
    return (done[-1].id, loaded) if _kind(loaded.net.config) == _kind(network) else None


def go_on(net: raum_net.RaumNet, last: checkpoint.Loaded, class_ids: Sequence[int]) -> None:
    """Half of each weight from `last`. A class keeps its row of the head by its id, wherever it stands and whatever it is
    called by now; a new one starts as in any round."""
    places = {class_id: place for place, class_id in enumerate(last.class_ids)}
    restart.go_on(net, last.net.to(next(net.parameters()).device), [places.get(class_id) for class_id in class_ids])


def _kind(network: config.NetworkConfig) -> config.NetworkConfig:
    """Without what two rounds of one kind of network may differ in."""
    return dataclasses.replace(network, num_classes=1, seed=0, pretrained=True, weights="")
