"""The model behind the page: the published network with its last layer, fitted on the labels there are now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app import agreement, artifact_keeping, errors, named_classes, pool, ranking, ranking_spots, snapshot, study_plan
from app.settings import Settings
from model import classifier, uncertainty
from store import images, queue
from store.database import Database


def load(db: Database, chosen: Settings, *, now: float) -> tuple[classifier.Classifier, str]:
    """As a refresh would publish it now, and a sentence on what its probabilities are. Nothing is written.

    BadRequest before two classes have labels, and where the network's weights are not to be had.
    """
    rng = np.random.default_rng(chosen.seed)
    with db.read() as tx:
        known, current = images.all_ok(tx), queue.current(tx)
    if current is None:
        raise errors.BadRequest(f"nothing is published in {chosen.workspace} yet: run launch.py refresh")
    artifact_keeping.at_hand(db, chosen)
    held = pool.open_(chosen, current, known)
    if held.net is None or not len(held.image_ids):
        raise errors.BadRequest(held.note or f"no image of {chosen.workspace} is embedded yet: run launch.py refresh")
    with db.read() as tx:
        with_gold = study_plan.gold_rate(tx, chosen.gold_rate) > 0
        seen = snapshot.take(tx, holdout=held.holdout, now=now, with_gold=with_gold)
    if seen.classes_seen < 2:
        raise errors.BadRequest("labels of two classes are needed before the model says anything")
    seen, _ = agreement.settle(seen, held.image_ids, held.prepared, settings=chosen, rng=rng)
    spots = ranking_spots.Spots(held.image_ids, seen)
    layer, figures, calibrated = ranking.taught(held.prepared, seen, spots, rng=rng)
    draw = layer.sampler(chosen.draws, rng)

    def judge(embeddings_BD: NDArray[np.float32]) -> classifier.Judged:
        x_BR = layer.space.project(embeddings_BD.astype(np.float16))  # as the pool's are kept
        mean_BK = layer.log_probs_at(x_BR)
        return classifier.Judged(
            np.exp(mean_BK), uncertainty.entropy(mean_BK), uncertainty.decompose(draw(x_BR)).epistemic_N
        )

    meta = {"publication": current.id, "temperature": layer.temperature, "figures": figures}
    how = (
        f"calibrated on the holdout (error {figures['ece']:.3f})"
        if calibrated
        else "not calibrated: too few holdout answers"
    )
    told = f"probabilities: the last layer over {current.checkpoint or held.config.backbone}, {how}"
    return classifier.Classifier(held.net, named_classes.in_database(db, seen.class_ids), judge, meta), told
