"""Several people's answers become one label for the learning: a consensus, soft where they disagree, and who to ask again.

With one person nothing here is computed. Reviewed images keep the reviewer's word; holdout images go by the majority of
people alone, so that the model never judges itself.
"""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import agreement_model, consensus_file
from app.settings import Settings
from app.snapshot import Snapshot
from model import consensus, consensus_trust, last_layer, relabel
from store.records import QueueRow, Said

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
COMPARED = 500  # open images that answered ones compete with for being asked
MOST_ANSWERS = 4  # of one image by re-asking
WEIGHT = 0.01  # probabilities under this are left out of the file


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What several people's answers say together; `items` are image ids, answered ones first, then some open ones."""

    items: list[int]
    people: list[int]
    found: consensus.Consensus
    again: list[int]  # images worth another answer, the most urgent first


def settle(
    seen: Snapshot,
    image_ids: Ints | None,
    prepared: last_layer.Prepared | None,
    *,
    settings: Settings,
    rng: np.random.Generator,
    kept: agreement_model.Kept | None = None,
) -> tuple[Snapshot, Agreement | None]:
    """The snapshot with consensus labels, and what they rest on; without embeddings the model has no say. With `kept`
    the model's fits are those of the last call where few answers came since."""
    if not seen.said or len(seen.class_ids) < 2:
        return seen, None
    answers = by_image(seen)
    teaching = {i: said for i, said in answers.items() if i not in seen.holdout and i in seen.labelled}
    if not teaching:
        return seen, None
    heard = None
    if image_ids is not None and prepared is not None and seen.classes_seen > 1:
        heard = agreement_model.model(seen, image_ids, prepared, kept=kept, rng=rng)
    agreed = _agree(seen, teaching, heard, image_ids, prepared, settings=settings, rng=rng)
    return _applied(seen, answers, teaching, agreed), agreed


def by_image(seen: Snapshot) -> dict[int, list[Said]]:
    """Answers by image, where no review stands; those that name a class of today, or a reject."""
    reviewed = {said.image_id for said in seen.said if said.review}
    known = set(seen.class_ids)
    found: dict[int, list[Said]] = {}
    for said in seen.said:
        if said.image_id not in reviewed and (said.class_id is None or said.class_id in known):
            found.setdefault(said.image_id, []).append(said)
    return found


def _agree(
    seen: Snapshot,
    teaching: dict[int, list[Said]],
    heard: agreement_model.Model | None,
    image_ids: Ints | None,
    prepared: last_layer.Prepared | None,
    *,
    settings: Settings,
    rng: np.random.Generator,
) -> Agreement:
    index = {class_id: at for at, class_id in enumerate(seen.class_ids)}
    people = sorted({said.annotator_id for answers in teaching.values() for said in answers})
    person = {annotator_id: at for at, annotator_id in enumerate(people)}
    items, classes = list(teaching), len(seen.class_ids)
    log_probs_IK: Floats | None = None
    if heard is not None and image_ids is not None and prepared is not None:
        open_N = _some_open(seen, image_ids, rng)
        log_probs_IK = np.full((len(items), classes), -np.log(classes), np.float32)
        for at, image_id in enumerate(items):
            if image_id in heard.labelled:
                log_probs_IK[at] = heard.log_probs_LK[heard.labelled[image_id]]
        log_probs_IK = np.concatenate([log_probs_IK, heard.layer.log_probs_at(prepared.x_NR[open_N])])
        items += [int(image_id) for image_id in image_ids[open_N]]
    flat = [
        (at, person[s.annotator_id], index[s.class_id])
        for at, i in enumerate(teaching)
        for s in teaching[i]
        if s.class_id is not None
    ]
    item_A, annotator_A, label_A = (np.array(column, np.int64) for column in zip(*flat, strict=True))
    method = settings.consensus
    judged = heard.trust.n if heard else 0
    early = method == "auto" and heard is not None and judged < consensus_trust.LEAST_HOLDOUT
    if early or (log_probs_IK is None and method == "dawid_skene_model"):
        method = "dawid_skene"
    found = consensus.consensus(
        item_A,
        annotator_A,
        label_A,
        num_items=len(items),
        num_annotators=len(people),
        num_classes=classes,
        model_log_probs_IK=log_probs_IK,
        model_trust=heard.trust if heard else None,
        method=method,
    )
    if early:
        told = (
            f"people alone: {judged} of the {consensus_trust.LEAST_HOLDOUT} holdout answers that are to judge the model"
        )
        found = dataclasses.replace(found, why=told)
    most = round(settings.again_rate * settings.queue_length)
    chosen = relabel.priorities(
        found, item_A, annotator_A, label_A, model_log_probs_IK=log_probs_IK, most_answers=MOST_ANSWERS
    )
    again = [items[at] for at in chosen.choose(most) if chosen.again_I[at]] if log_probs_IK is not None else []
    return Agreement(items, people, found, again)


def _some_open(seen: Snapshot, image_ids: Ints, rng: np.random.Generator) -> Ints:
    closed = np.array(sorted(seen.settled | seen.holdout.keys()), np.int64)
    open_N = np.flatnonzero(~np.isin(image_ids, closed))
    return open_N if len(open_N) <= COMPARED else np.sort(rng.choice(open_N, COMPARED, replace=False))


def _applied(
    seen: Snapshot, answers: dict[int, list[Said]], teaching: dict[int, list[Said]], agreed: Agreement
) -> Snapshot:
    """Labels, soft labels and rejects after the consensus; an image that one person answered stays as it is."""
    labelled, held, rejected, soft = dict(seen.labelled), dict(seen.holdout_labels), set(seen.rejected), {}
    index = {class_id: at for at, class_id in enumerate(seen.class_ids)}
    position = {image_id: at for at, image_id in enumerate(teaching)}
    for image_id, said in answers.items():
        if len(said) < 2:
            continue
        outcome = _vote(said)
        if outcome is None:
            labelled.pop(image_id, None), held.pop(image_id, None)
            rejected.add(image_id)
        elif image_id in seen.holdout:
            rejected.discard(image_id)
            held[image_id] = index[outcome]
        elif image_id in position and sum(each.class_id is not None for each in said) > 1:
            probs_K = agreed.found.probs([position[image_id]])[0]
            labelled[image_id] = int(probs_K.argmax())
            if probs_K.max() < 1.0 - 1e-6:
                soft[image_id] = probs_K
        else:
            rejected.discard(image_id)
            labelled[image_id] = index[outcome]
    return dataclasses.replace(seen, labelled=labelled, holdout_labels=held, rejected=rejected, soft=soft)


def _vote(said: list[Said]) -> int | None:
    """The class that most say, None for a reject; of equally many the one that was said last."""
    counted = Counter(each.class_id for each in said)
    most = max(counted.values())
    return next(each.class_id for each in reversed(said) if counted[each.class_id] == most)


def with_again(rows: list[QueueRow], agreed: Agreement | None, *, rate: float) -> list[QueueRow]:
    """The queue, numbered anew, with the images worth another answer: one in 1 / rate, the rest at its end."""
    again = [] if agreed is None or rate <= 0 else list(agreed.again)
    if not again:
        return rows
    mixed: list[QueueRow] = []
    for at, row in enumerate(rows):
        if again and int((at + 1) * rate) > int(at * rate):
            mixed.append(QueueRow(position=0, image_id=again.pop(0), reason="again"))
        mixed.append(row)
    mixed += [QueueRow(position=0, image_id=image_id, reason="again") for image_id in again]
    return [dataclasses.replace(row, position=position) for position, row in enumerate(mixed)]


def write(workspace: Path, seen: Snapshot, agreed: Agreement | None) -> None:
    """Leave the consensus for rounds, exports and the page; nothing is written where nobody disagrees."""
    if agreed is None:
        return
    kept: dict[str, list[tuple[int, float]]] = {}
    for image_id, probs_K in seen.soft.items():
        order = np.argsort(-probs_K, kind="stable")
        kept[str(image_id)] = [(seen.class_ids[k], round(float(probs_K[k]), 4)) for k in order if probs_K[k] >= WEIGHT]
    told = {"watermark": seen.watermark, "method": agreed.found.used, "why": agreed.found.why, "images": kept}
    consensus_file.write(workspace, {**told, "people": people_table(agreed)})


def recalled(seen: Snapshot, workspace: Path, *, settings: Settings, rng: np.random.Generator) -> Snapshot:
    """The snapshot with the soft labels of the last refresh; before any, with a consensus of the people alone."""
    if not seen.said:
        return seen
    told = consensus_file.read(workspace)["images"]
    seen = settle(seen, None, None, settings=settings, rng=rng)[0]
    labelled, soft = dict(seen.labelled), dict(seen.soft)
    index = {class_id: at for at, class_id in enumerate(seen.class_ids)}
    for image_id in list(soft):
        rows = [(seen.stands_for.get(k, k), p) for k, p in told.get(str(image_id), [])]
        probs_K = np.zeros(len(index))
        for class_id, p in rows:
            if class_id in index:
                probs_K[index[class_id]] += p
        if probs_K.sum() > 0.5:  # less is left where the class was retired since
            soft[image_id] = probs_K / probs_K.sum()
            labelled[image_id] = int(probs_K.argmax())
    return dataclasses.replace(seen, labelled=labelled, soft=soft)


def people_table(agreed: Agreement) -> list[dict[str, Any]]:
    """Rows of the quality table, with 95 % intervals."""
    quality = agreed.found.annotators
    columns = (agreed.people, quality.answers_J, quality.quality_J, quality.low_J, quality.high_J)
    return [
        {"annotator_id": who, "answers": int(n), "accuracy": float(q), "low": float(low), "high": float(high)}
        for who, n, q, low, high in zip(*columns, strict=True)
    ]
