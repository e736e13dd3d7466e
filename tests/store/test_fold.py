"""The kept state equals the fold of the events, whatever people do in whatever order."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from store import annotators, classes, database, images, labels, records, schema

IMAGES, PEOPLE, CLASSES = 4, 3, 3
Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["label", "label", "label", "reject", "skip", "flag", "review", "retract", "retract"]),
        st.integers(0, IMAGES - 1),
        st.integers(0, PEOPLE - 1),
        st.integers(0, 30),
    ),
    max_size=20,
)


@contextmanager
def _fresh(template: Path) -> Iterator[database.Database]:
    with tempfile.TemporaryDirectory() as folder:
        db = database.open(shutil.copy(template, folder))
        try:
            with db.write() as tx:
                images.add_many(
                    tx,
                    [
                        records.NewImage(path="a"),
                        records.NewImage(path="b"),
                        records.NewImage(path="c", holdout=1),
                        records.NewImage(path="d", status="quarantined"),
                    ],
                )
                for name in ("one", "two", "three"):
                    classes.add(tx, name, 0.0)
                    annotators.ensure(tx, name, 0.0)
            yield db
        finally:
            db.close()


def _play(tx: sa.Connection, steps: list[Step]) -> list[records.Event]:
    """Append the steps; a retract takes back the event that its number points at, by whomever."""
    said: list[records.Event] = []
    for at, (kind, image, person, number) in enumerate(steps):
        targets = [event for event in said if event.kind != "retract"]
        if kind == "retract" and not targets:
            continue
        target = targets[number % len(targets)] if kind == "retract" else None
        new = records.NewEvent(
            uuid=f"u{at}",
            image_id=target.image_id if target else image + 1,
            annotator_id=person + 1,
            kind=kind,
            class_id=_class_of(kind, number),
            reason="bad_image" if kind == "reject" else None,
            target_seq=target.seq if target else None,
        )
        said.append(labels.append(tx, new, float(at))[0])
    return said


def _class_of(kind: str, number: int) -> int | None:
    """Every label has a class, and every other review."""
    return number % CLASSES + 1 if kind == "label" or (kind == "review" and number % 2) else None


def _judge(said: list[records.Event], image_id: int, wanted: int) -> tuple[object, ...]:
    """The rules again, written the slow and obvious way: walk back to the last answer nobody took back."""
    answer, review, skippers, answers, people, flags = None, None, set(), 0, set(), set()
    for event in reversed(said):
        taken_back = any(other.target_seq == event.seq for other in said)
        if event.image_id != image_id or taken_back:
            continue
        if event.kind in ("label", "reject"):
            answers += 1
            answer = answer or event
            people.add(event.annotator_id)
        if event.kind == "review":
            review = review or event
        if event.kind == "flag" and not review:
            flags.add(event.annotator_id)
        if event.kind == "skip":
            skippers.add(event.annotator_id)
    lane = "more" if people else "holdout" if image_id == 3 else "pool"
    lane = "closed" if review or len(people) >= wanted or image_id == 4 else lane
    answer = review or answer
    seq, class_id = (answer.seq, answer.class_id) if answer else (None, None)
    return lane, seq, class_id, answers, len(skippers), len(flags), sorted(people)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, overlap=st.sampled_from([(1, 0.0), (2, 1.0), (3, 1.0), (2, 0.5)]), late=st.booleans())
def test_the_state_is_what_the_rules_say_and_a_rebuild_finds_nothing_wrong(
    template: Path, steps: list[Step], overlap: tuple[int, float], late: bool
) -> None:
    with _fresh(template) as db, db.write() as tx:
        if not late:
            labels.ask_several(tx, *overlap)
        said = _play(tx, steps)
        if late:
            labels.ask_several(tx, *overlap)
        states = [labels.state(tx, image_id) for image_id in range(1, IMAGES + 1)]
        for state in states:
            wanted = overlap[0] if state.draw < overlap[1] * 2**31 else 1
            found = (state.lane, state.event_seq, state.class_id, state.answers, state.skips, state.flags, state.people)
            assert found == _judge(said, state.image_id, wanted)
        assert labels.settled(tx) == labels.settled(tx, up_to=labels.watermark(tx))
        assert labels.rebuild(tx) == 0
        assert [labels.state(tx, image_id) for image_id in range(1, IMAGES + 1)] == states


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, cut=st.integers(0, 25))
def test_the_past_is_read_as_it_was(template: Path, steps: list[Step], cut: int) -> None:
    with _fresh(template) as db, db.write() as tx:
        _play(tx, steps[:cut])
        then, watermark = labels.settled(tx), labels.watermark(tx)
        for at, (kind, image, person, number) in enumerate(steps[cut:]):
            if kind == "retract":
                continue
            class_id = _class_of(kind, number)
            new = records.NewEvent(
                uuid=f"v{at}", image_id=image + 1, annotator_id=person + 1, kind=kind, class_id=class_id
            )
            labels.append(tx, new, 100.0 + at)
        assert labels.settled(tx, up_to=watermark) == then


def test_a_rebuild_repairs_a_broken_state(template: Path) -> None:
    with _fresh(template) as db, db.write() as tx:
        _play(tx, [("label", 0, 0, 1), ("skip", 1, 0, 0), ("reject", 2, 1, 0)])
        right = [labels.state(tx, image_id) for image_id in range(1, IMAGES + 1)]
        tx.execute(sa.update(schema.image_state).values(lane="pool", kind=None, class_id=None, event_seq=None, skips=9))
        assert labels.rebuild(tx) == IMAGES
        assert [labels.state(tx, image_id) for image_id in range(1, IMAGES + 1)] == right
