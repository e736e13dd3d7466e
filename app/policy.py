"""WHEN a round is worth its minutes: the retrain policy."""

from sqlalchemy import Connection

from app.settings import Settings
from store import labels, queue, rounds
from store.records import Round

FEW_LABELS = 5  # what must be new for a round by time, or for another try after a failure


def round_is_due(tx: Connection, settings: Settings, *, failed_at: int, now: float, untrained: bool = False) -> bool:
    """Enough new labels, half as many where a class is among them that the last round did not know or where the holdout
    has drifted, or a few and enough time; never by one label, and after a failure not at once again.

    `failed_at` is the watermark at which the last round failed, -1 when it did not. `untrained`: the network that is
    shown is none of a round, though there may have been rounds, of another backbone.
    """
    counted, last = labels.training_counts(tx), rounds.last(tx)
    if counted["classes"] < 2 or counted["labels"] < settings.round_min_labels:
        return False
    if failed_at >= 0 and labels.watermark(tx) < failed_at + FEW_LABELS:
        return False
    if last is None or untrained:
        return True
    new = counted["labels"] - int(last.settings["labels"])
    waited = now - (last.finished_at or last.begun_at)
    known = last.settings.get("classes")  # rounds of older programs do not say
    enough: float = settings.round_after_labels
    if new >= enough / 2 and ((known is not None and counted["classes"] > known) or _has_drifted(tx, last)):
        enough /= 2
    return new >= enough or (new >= FEW_LABELS and waited >= 60 * settings.round_after_minutes)


def _has_drifted(tx: Connection, last: Round) -> bool:
    """Whether what is shown is worse on today's holdout answers than the round was on those of its time, beyond chance:
    new pictures are of another kind, or the answers have changed."""
    shown = queue.current(tx)
    if shown is None or "accuracy" not in last.metrics:
        return False
    return bool(shown.metrics.get("high", 1.0) < last.metrics["accuracy"])
