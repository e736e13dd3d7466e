"""What the worker finds for the Review tab while nobody waits: suspected errors, disagreements, flags and rejects."""

import numpy as np
from numpy.typing import NDArray

from app import agreement, agreement_model, consensus_file, pool, review_file, snapshot, study_plan
from app.settings import Settings
from app.snapshot import Snapshot
from model import consensus_trust, label_errors, neighbours
from store import answers, queue
from store.database import Database

Floats = NDArray[np.floating]
IDLE_SECONDS = 2.0  # without a new answer, before the worker looks
LONGEST_SECONDS = 60.0  # between two looks while answers keep coming
FEWEST_LABELS = 20  # under which no label is suspected
OPINIONS = 9
COMPARED = 3  # classes with nearest images, and images for each


class Looker:
    """WHEN to look: when something was said since, and nobody waits or the last look is long ago."""

    def __init__(self) -> None:
        """Nothing has been looked at."""
        self.watermark, self.at = -1, 0.0

    def is_due(self, watermark: int, *, now: float, last_answer: float) -> bool:
        """Times are seconds of one clock."""
        waited = now - last_answer >= IDLE_SECONDS or now - self.at >= LONGEST_SECONDS
        return watermark != self.watermark and waited

    def step(self, db: Database, held: pool.Pool, *, watermark: int, now: float, last_answer: float) -> bool:
        """Look and publish what was found, where that is due."""
        if not len(held.image_ids) or not self.is_due(watermark, now=now, last_answer=last_answer):
            return False
        self.watermark = look(db, held.settings, held)
        self.at = now
        return True


def look(db: Database, settings: Settings, held: pool.Pool) -> int:
    """Publish the review lists of this moment; returns the label event up to which they see."""
    rng = np.random.default_rng(settings.seed)
    with db.read() as tx:
        # who holds what is of no interest here
        seen = snapshot.take(
            tx, holdout=held.holdout, now=0.0, with_gold=study_plan.gold_rate(tx, settings.gold_rate) > 0
        )
        every, current, flagged = answers.standing(tx), queue.current(tx), answers.flagged(tx)
    reviewed = {said.image_id for said in every if said.review}
    rejects = {said.image_id for said in every if said.class_id is None} - reviewed
    told = consensus_file.read(settings.workspace) if seen.said else {"people": [], "method": None}
    settled, agreed = agreement.settle(
        seen, held.image_ids, held.prepared, settings=settings, rng=rng, kept=held.opinions
    )
    rows: list[review_file.Row] = []
    opinion = _Opinion(settled, held, rng)
    rows += _suspected(settled, opinion, reviewed)
    if agreed is not None:
        rows += _disagreements(seen, settled, agreed, opinion)
    rows += [_row(i, "flag", 1.0, "flagged for discussion", opinion, []) for i in flagged]
    rows += [_row(i, "reject", 1.0, _of_reject(i, seen), opinion, []) for i in sorted(rejects)]
    lists = review_file.Lists(
        watermark=seen.watermark,
        publication=current.id if current else None,
        rows=_bounded(rows),
        people=agreement.people_table(agreed) if agreed else told["people"],
        method=agreed.found.used if agreed else told["method"],
    )
    review_file.write(settings.workspace, lists)
    return seen.watermark


class _Opinion:
    """What the model thinks of an image whose own label it has not seen, and the labelled images like it."""

    def __init__(self, seen: Snapshot, held: pool.Pool, rng: np.random.Generator) -> None:
        self.seen, self.x_NR = seen, held.prepared.x_NR if len(held.image_ids) else np.empty((0, 1), np.float32)
        self.row_of = {int(image_id): row for row, image_id in enumerate(held.image_ids)}
        enough = seen.classes_seen > 1 and len(held.image_ids)
        self.model = agreement_model.model(seen, held.image_ids, held.prepared, rng=rng) if enough else None
        self.labelled = list(self.model.labelled) if self.model else []
        self.labels_L = np.array([seen.labelled[i] for i in self.labelled], np.int64)
        self.x_LR = self.x_NR[[self.row_of[i] for i in self.labelled]] if self.labelled else self.x_NR[:0]

    def of(self, image_id: int) -> Floats | None:
        """Log-probabilities of the classes; None where the model has none."""
        if self.model is None or image_id not in self.row_of:
            return None
        if image_id in self.model.labelled:
            return np.asarray(self.model.log_probs_LK[self.model.labelled[image_id]])
        return np.asarray(self.model.layer.log_probs_at(self.x_NR[[self.row_of[image_id]]])[0])

    def near(self, image_id: int, classes: list[int]) -> list[tuple[int, list[int]]]:
        """The labelled images of each class that look most like this one, itself left out."""
        if self.model is None or image_id not in self.row_of or not classes:
            return []
        others = np.array([other != image_id for other in self.labelled])
        ids = [other for other in self.labelled if other != image_id]
        x_1R = self.x_NR[[self.row_of[image_id]]]
        found = neighbours.nearest_per_class(
            x_1R, self.x_LR[others], self.labels_L[others], [classes], per_class=COMPARED
        )[0]
        return [(self.seen.class_ids[k], [ids[at] for at in positions]) for k, positions in found if len(positions)]


def _suspected(seen: Snapshot, opinion: _Opinion, reviewed: set[int]) -> list[review_file.Row]:
    """Labels that look wrong by confident learning on predictions that never saw them; reviewed ones are right."""
    if opinion.model is None or len(opinion.labelled) < FEWEST_LABELS:
        return []
    if not consensus_trust.measure(opinion.model.log_probs_LK, opinion.labels_L).tells_something:
        return []  # a model that knows no more than the classes' shares suspects everything
    found = label_errors.find(opinion.model.log_probs_LK, opinion.labels_L, embeddings_ND=opinion.x_LR)
    rows = []
    told = zip(found.positions_E, found.suggested_E, found.score_E, found.reasons_E, strict=True)
    for at, suggested, score, why in told:
        image_id = opinion.labelled[int(at)]
        if image_id not in reviewed:
            both = [seen.labelled[image_id], int(suggested)]
            rows.append(_row(image_id, "suspected", 1.0 - float(score), why, opinion, both))
    return rows[: review_file.MOST_ROWS]


def _disagreements(
    seen: Snapshot, settled: Snapshot, agreed: agreement.Agreement, opinion: _Opinion
) -> list[review_file.Row]:
    """Images about which people differ, the least certain consensus first."""
    rows = []
    position = {image_id: at for at, image_id in enumerate(agreed.items)}
    index = {class_id: at for at, class_id in enumerate(seen.class_ids)}
    for image_id, said in agreement.by_image(seen).items():
        named = list(dict.fromkeys(each.class_id for each in said))
        if len(named) < 2:
            continue
        sure = float(agreed.found.quality_I[position[image_id]]) if image_id in position else 0.0
        why = f"{len(said)} people say {len(named)} different things"
        if image_id in settled.soft:
            why += f"; together they make it {sure:.0%}"
        classes = [index[k] for k in named if k is not None]
        rows.append(_row(image_id, "disagreement", 1.0 - sure, why, opinion, classes[:COMPARED]))
    return rows


def _of_reject(image_id: int, seen: Snapshot) -> str:
    return "rejected" if image_id in seen.rejected else "rejected by some, labelled by others"


def _row(image_id: int, kind: str, score: float, why: str, opinion: _Opinion, classes: list[int]) -> review_file.Row:
    log_probs_K = opinion.of(image_id)
    likely: list[tuple[int, float]] = []
    if log_probs_K is not None:
        order = np.argsort(-log_probs_K, kind="stable")[:OPINIONS].tolist()
        likely = [(opinion.seen.class_ids[k], round(float(np.exp(log_probs_K[k])), 4)) for k in order]
        classes = list(dict.fromkeys(classes + order[:2]))[:COMPARED]
    near = opinion.near(image_id, classes)
    return review_file.Row(image_id=image_id, kind=kind, score=score, why=why, opinion=likely, neighbours=near)


def _bounded(rows: list[review_file.Row]) -> list[review_file.Row]:
    """The most urgent of each kind, in order."""
    kept: list[review_file.Row] = []
    for kind in review_file.KINDS:
        mine = sorted((row for row in rows if row["kind"] == kind), key=lambda row: -row["score"])
        kept += mine[: review_file.MOST_ROWS]
    return kept
