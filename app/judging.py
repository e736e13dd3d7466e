"""WHETHER a round is published: not when the holdout says, beyond chance, that it is worse than what is shown."""

from pathlib import Path

import numpy as np
from scipy import stats

from app import errors, predictions
from app.snapshot import Snapshot

FEWEST = 20  # answers of the calibration half of the holdout, as for calling probabilities calibrated
CHANCE = 0.025  # of losing so many of the images on which the two differ, were both equally good


def worse(workspace: Path, after: predictions.Predictions | None, seen: Snapshot) -> str | None:
    """Why this round is kept but not shown; None where nothing speaks against it.

    Its word on each answered image of the holdout's calibration half is set against that of the newest predictions, of
    what is shown: an exact sign test on those that only one of the two has right (McNemar 1947). Neither was trained on
    them, and the test half is never looked at for a choice.
    """
    try:
        before = predictions.newest(workspace)
    except errors.BadRequest:  # damaged ones are told where they are needed
        return None
    if before is None or after is None:
        return None
    ids = np.array([i for i in seen.holdout_labels if seen.holdout[i] == 1], np.int64)
    truth = np.array([seen.class_ids[seen.holdout_labels[int(i)]] for i in ids], np.int64)
    known = np.isin(ids, before.image_ids_N) & np.isin(ids, after.image_ids_N)
    ids, truth = ids[known], truth[known]
    if len(ids) < FEWEST:
        return None
    was, now = (
        told.top_class_N[np.searchsorted(told.image_ids_N, ids)] == truth for told in (before, after)
    )  # image_ids_N ascends
    lost, won = int((was & ~now).sum()), int((now & ~was).sum())
    if lost <= won or stats.binomtest(lost, lost + won, alternative="greater").pvalue >= CHANCE:
        return None
    return f"worse on the holdout: {int(now.sum())} of {len(ids)} right, {int(was.sum())} with what is shown; kept, not shown"
