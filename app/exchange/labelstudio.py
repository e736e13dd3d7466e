"""Labels as Label Studio's JSON, with predictions: its whole project export is read, and what it imports is written.

Format: https://labelstud.io/guide/task_format, https://labelstud.io/guide/predictions. Written are the choices of two
questions over one image, `class` and `reject`; docs/label-studio.md has the labelling configuration that fits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app import imported, labelling
from app.exchange import answers, beside, fields, json_file, predicted, rows
from app.exchange import labelstudio_tasks as tasks
from store import images
from store.database import Database

CLASS, REJECT, NOTE = "class", "reject", "note"
ANSWERS = 1000  # a row's number is that of its task, times this, and its own within the task
REGIONS = "regions or other answers beside a choice, which have no place here"
SKIPPED = "tasks that somebody skipped"


def export(db: Database, path: Path, up_to: int | None = None) -> dict[str, int]:
    """Write a task for every image, with the answer that stands and with what the newest model says of it."""
    said = {answer.image.id: answer for answer in answers.settled(db, up_to)}
    counts = {"labelled": 0, "rejected": 0}
    with db.read() as tx, beside.file(path) as new, new.open("w", encoding="utf-8") as file:
        guesses = predicted.of_all(tx, db.home)
        for number, image in enumerate(images.each_ok(tx)):
            task: dict[str, Any] = {"id": image.id, "data": {"image": image.file, "digest": image.digest}}
            task["data"] |= {"box_xywh": list(image.box)} if image.box else {}
            task |= {"annotations": [], "predictions": [_prediction(*each) for each in guesses(image.id)]}
            if answer := said.get(image.id):
                counts[answer.state] += 1
                task["annotations"].append(_annotation(answer))
                task["data"] |= {"soft_label": answer.soft} if answer.soft else {}
            file.write(("," if number else "[") + "\n" + json.dumps(task, ensure_ascii=False, allow_nan=False))
        file.write("\n]\n" if file.tell() else "[]\n")
    return counts


def read(path: Path) -> Iterator[rows.Told]:
    """The annotations of every task, and its newest prediction; numbered as `place` tells."""
    for at, task in enumerate(json_file.items(path), start=1):
        number = at * ANSWERS
        try:
            image, also = tasks.image(task)
            digest, box = task["data"].get("digest"), task["data"].get("box_xywh")
            if box is not None:
                image, also = rows.boxed(image, rows.box({"box": json.dumps(box)}))
            place: dict[str, Any] = {
                "image": image,
                "digest": digest if isinstance(digest, str) else None,
                "also": also,
            }
            said = tasks.objects(task, "annotations") or tasks.objects(task, "completions")
            if len(said) >= ANSWERS:
                raise rows.Wrong("too long", f"{len(said):,} annotations of one task, at most {ANSWERS - 1} are taken")
            for own, one in enumerate(said, start=1):
                yield from _answer(number + own, place, one)
            soft = task["data"].get("soft_label")
            if isinstance(soft, dict):
                yield rows.Guess(number, shares=fields.shares(json.dumps(soft)), model=imported.SOFT, **place)
            yield from _guess(number, place, tasks.objects(task, "predictions"))
        except rows.Wrong as wrong:
            yield rows.Problem(number, wrong.kind, wrong.text)


def place(number: int) -> str:
    """Where in the file a row of this number stands."""
    return f"task {number // ANSWERS:,}"


def _annotation(answer: answers.Answer) -> dict[str, Any]:
    reason = answer.reason or "other"
    said = [_choice(CLASS, answer.class_name) if answer.class_name is not None else _choice(REJECT, reason)]
    if answer.event.note:
        text = {"from_name": NOTE, "to_name": "image", "type": "textarea", "value": {"text": [answer.event.note]}}
        said.append(text)
    at = answers.written(answer.at)
    return {
        "result": said, "completed_by": {"email": answer.annotator}, "created_at": at, "updated_at": at,
        "was_cancelled": False, "ground_truth": False,
    }  # fmt: skip


def _prediction(name: str, probability: float, model: str) -> dict[str, Any]:
    return {"model_version": model, "score": round(probability, 6), "result": [_choice(CLASS, name)]}


def _choice(question: str, name: str) -> dict[str, Any]:
    return {"from_name": question, "to_name": "image", "type": "choices", "value": {"choices": [name]}}


def _answer(number: int, place: dict[str, Any], one: Mapping[str, Any]) -> Iterator[rows.Told]:
    if one.get("was_cancelled"):
        yield rows.Passed(SKIPPED)
        return
    made, others = tasks.chosen(one)
    note = next((each["value"]["text"] for each in others if _is_note(each)), None)
    if len(others) > (note is not None):
        yield rows.Passed(REGIONS)
    if not made:
        return
    (question, name), at = made[0], one.get("created_at")
    said: dict[str, Any] = {"kind": "label", "class_name": name}
    if question == REJECT and name in labelling.REASONS:
        said = {"kind": "reject", "reason": name}
    told = rows.moment(at if isinstance(at, str) else "")
    text = note[0] if isinstance(note, list) and note and isinstance(note[0], str) else note
    yield rows.checked(
        rows.Row(
            number, place["image"], place["digest"], annotator=tasks.who(one.get("completed_by")), at=told, also=place["also"],
            note=text if isinstance(text, str) else None, **said,
        )
    )  # fmt: skip


def _guess(number: int, place: dict[str, Any], predictions: list[dict[str, Any]]) -> Iterator[rows.Told]:
    """The newest prediction; how sure it is stands beside its choice or beside the whole, else it counts as certain."""
    dated = sorted(predictions, key=lambda each: str(each.get("created_at") or ""))
    if not dated:
        return
    one = dated[-1]
    made, others = tasks.chosen(one)
    if others or not made:
        yield rows.Passed(REGIONS)
    if made:
        sure = next(
            (each["score"] for each in tasks.objects(one, "result") if each.get("score") is not None), one.get("score")
        )
        name = made[0][1]
        share = (name, rows.probability(name, 1.0 if sure is None else sure))
        yield rows.Guess(number, shares=(share,), model=str(one.get("model_version") or "a model")[:100], **place)


def _is_note(each: Mapping[str, Any]) -> bool:
    return each.get("from_name") == NOTE and isinstance(each.get("value"), dict) and "text" in each["value"]
