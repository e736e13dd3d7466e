"""What a model says of an image, for formats that hold predictions: the newest publication's word, else what was imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from app import class_names, imported, predictions

OWN = "RAUM publication"
Said = tuple[str, float, str]  # class name, probability, name of the model


def of_all(tx: Connection, workspace: Path | None) -> Callable[[int], list[Said]]:
    """A function from an image to what is predicted of it: its likeliest class, or nothing."""
    names = class_names.now(tx)
    newest = predictions.newest(workspace) if workspace is not None else None
    others = imported.all_(tx)

    def of(image_id: int) -> list[Said]:
        if newest is not None:
            at = int(np.searchsorted(newest.image_ids_N, image_id))
            if at < len(newest.image_ids_N) and int(newest.image_ids_N[at]) == image_id:
                class_id = names.stands_for.get(int(newest.top_class_N[at]), -1)
                model = f"{OWN} {newest.meta['publication']}"
                return (
                    [(names.active[class_id], float(newest.confidence_N[at]), model)]
                    if class_id in names.active
                    else []
                )
        told = [each for each in others.get(image_id, []) if not each.soft]
        best = names.suggestions(told[-1].shares)[:1] if told else []
        return [(each["name"], each["probability"], told[-1].model) for each in best]

    return of
