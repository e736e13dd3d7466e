"""The history of the classes: every change is kept, can be undone, and the names of any past moment come out again."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from store import class_acts, classes, database, errors, labels
from store.records import LabelClass
from tests.store.conftest import World

NOW = 50.0


def tree(db: database.Database) -> str:
    """The active classes in their order, those under another in brackets behind it: a(b(c)) d."""
    with db.read() as tx:
        found = classes.all_(tx)
    parents = {each.id: each.parent_id for each in found}

    def written(parent: int | None) -> str:
        names = [
            each.name + (f"({inner})" if (inner := written(each.id)) else "")
            for each in found
            if parents[each.id] == parent
        ]
        return " ".join(names)

    return written(None)


@pytest.fixture
def named(db: database.Database) -> dict[str, int]:
    """Five classes a to e by name."""
    with db.write() as tx:
        return {name: classes.add(tx, name, 1.0, by="ada").id for name in "abcde"}


def move(db: database.Database, class_id: int, parent: int | None, before: int | None = None) -> None:
    with db.write() as tx:
        classes.move(tx, class_id, parent_id=parent, before=before, now=NOW)


def undo(db: database.Database, seq: int | None = None) -> int:
    with db.write() as tx:
        return classes.undo(tx, seq or class_acts.newest(tx), now=NOW, by="ben")


def test_classes_are_put_in_any_order_and_under_one_another(db: database.Database, named: dict[str, int]) -> None:
    a, b, c, d, e = named.values()
    move(db, e, None, a)
    assert tree(db) == "e a b c d"
    move(db, d, None, b)
    assert tree(db) == "e a d b c"
    move(db, b, a)
    move(db, c, a, b)
    move(db, d, c)
    assert tree(db) == "e a(c(d) b)"
    for child, parent in ((a, a), (a, d), (c, d), (c, 99)):
        with pytest.raises(errors.BadParent):
            move(db, child, parent)
    with pytest.raises(errors.BadParent, match="moved meanwhile"):
        move(db, e, None, d)
    with db.read() as tx:
        assert [act.act for act in class_acts.latest(tx, 5)] == ["parent", "parent", "parent", "move", "move"]


def test_room_between_two_classes_never_ends(db: database.Database, named: dict[str, int]) -> None:
    _, b, *_, e = named.values()
    for turn in range(40):
        move(db, b if turn % 2 else e, None, e if turn % 2 else b)
    assert tree(db) == "a b e c d"


def test_a_merge_and_a_retirement_leave_no_class_under_one_that_is_gone(
    db: database.Database, named: dict[str, int]
) -> None:
    a, b, c, d, e = named.values()
    move(db, b, a)
    move(db, c, b)
    with db.write() as tx:
        classes.retire(tx, b, now=NOW)
    assert tree(db) == "a(c) d e"
    with db.write() as tx:
        classes.merge(tx, a, d, now=NOW)
    assert tree(db) == "d(c) e"
    with db.write() as tx:
        classes.merge(tx, d, c, now=NOW)  # into one that stands under it
        assert classes.resolve(tx)[a] == c
    assert tree(db) == "c e"
    undo(db), undo(db, undo_of(db, "merge", 2))
    undo(db, undo_of(db, "retire", 1))
    assert tree(db) == "a(b(c)) d e"
    with db.read() as tx:
        assert classes.resolve(tx)[a] == a
    assert e


def undo_of(db: database.Database, act: str, nth: int) -> int:
    """The seq of the nth newest change of this kind."""
    with db.read() as tx:
        return [each.seq for each in class_acts.latest(tx, 100) if each.act == act][nth - 1]


@pytest.mark.parametrize(
    "change",
    [
        lambda tx, a, b: classes.rename(tx, a, "other", now=NOW),
        lambda tx, a, b: classes.merge(tx, a, b, now=NOW),
        lambda tx, a, b: classes.retire(tx, a, now=NOW),
        lambda tx, a, b: classes.move(tx, a, parent_id=b, before=None, now=NOW),
        lambda tx, a, b: classes.move(tx, a, parent_id=None, before=None, now=NOW),
        lambda tx, a, b: classes.annotate(tx, a, "note", "two pale bars", now=NOW),
        lambda tx, a, b: classes.annotate(tx, a, "shortcut", "7", now=NOW),
        lambda tx, a, b: classes.annotate(tx, a, "images", [3, 1], now=NOW),
    ],
)
def test_every_change_is_kept_undone_and_redone(world: World, change: Callable[..., object]) -> None:
    def all_of() -> list[tuple[LabelClass, list[int]]]:
        with world.db.read() as tx:
            return [(each, class_acts.images_of(tx, [each.id]).get(each.id, [])) for each in classes.ever(tx)]

    before = all_of()
    with world.db.write() as tx:
        change(tx, *world.classes[:2])
        seq = class_acts.newest(tx)
    after = all_of()
    assert after != before
    taken_back = undo(world.db)
    assert all_of() == before
    with pytest.raises(errors.ChangedSince, match="undone already"):
        undo(world.db, seq)
    undo(world.db, taken_back)
    assert all_of() == after
    with world.db.read() as tx:
        acts = class_acts.latest(tx, 3)
        assert [act.actor for act in acts] == ["ben", "ben", ""]
        assert class_acts.undone(tx) == {taken_back}


def test_an_added_class_is_taken_back_by_retiring_it(db: database.Database, named: dict[str, int]) -> None:
    undo(db)
    assert tree(db) == "a b c d"
    with db.write() as tx:
        assert classes.get(tx, named["e"]).status == "retired"
        classes.restore(tx, named["e"], now=NOW)
    assert tree(db) == "a b c d e"


def test_what_another_change_rests_on_is_not_undone(db: database.Database, named: dict[str, int]) -> None:
    a, b, *_ = named.values()
    with db.write() as tx:
        classes.rename(tx, a, "first", now=NOW, by="ada")
        first = class_acts.newest(tx)
        classes.annotate(tx, a, "note", "n", now=NOW, by="ada")
        classes.rename(tx, a, "second", now=NOW, by="cyd")
    with pytest.raises(errors.ChangedSince, match="by cyd: undo that first"):
        undo(db, first)
    undo(db)
    undo(db, first)
    assert tree(db) == "a b c d e"
    with db.write() as tx:
        classes.annotate(tx, a, "shortcut", "1", now=NOW)
        classes.retire(tx, a, now=NOW)
        classes.rename(tx, b, "A", now=NOW)
        classes.annotate(tx, b, "shortcut", "1", now=NOW)
    with pytest.raises(errors.NameTaken, match="the name is 'A'"):
        undo(db, undo_of(db, "retire", 1))
    with pytest.raises(errors.NameTaken):
        with_restored(db, a)
    with db.write() as tx:
        classes.rename(tx, b, "b", now=NOW)
    with pytest.raises(errors.BadShortcut, match="the key 1 is 'b'"):
        undo(db, undo_of(db, "retire", 1))
    with_restored(db, a)


def with_restored(db: database.Database, class_id: int) -> None:
    with db.write() as tx:
        classes.restore(tx, class_id, now=NOW)


def test_shortcuts_are_unique_and_images_exist(world: World) -> None:
    a, b, _ = world.classes
    with world.db.write() as tx:
        assert classes.annotate(tx, a, "shortcut", "q", now=NOW).shortcut == "q"
        for wrong in ("q", "Q", "0", "12", "", 5):
            with pytest.raises(errors.BadShortcut):
                classes.annotate(tx, b, "shortcut", wrong, now=NOW)
        for ids in ([1, 1], [10**6], "1", [True, None]):
            with pytest.raises(errors.BadReference):
                classes.annotate(tx, a, "images", ids, now=NOW)
        with pytest.raises(errors.BadName):
            classes.annotate(tx, a, "note", "x" * 4001, now=NOW)
        classes.retire(tx, a, now=NOW, by="cyd")
        with pytest.raises(errors.NotActive, match="was retired by cyd"):
            classes.annotate(tx, a, "note", "x", now=NOW)
        assert classes.annotate(tx, b, "shortcut", "q", now=NOW).shortcut == "q"


def test_nothing_changed_leaves_no_trace_and_the_history_is_never_rewritten(
    db: database.Database, named: dict[str, int]
) -> None:
    with db.write() as tx:
        classes.rename(tx, named["a"], "a", now=NOW)
        classes.annotate(tx, named["a"], "note", " ", now=NOW)
        assert class_acts.newest(tx) == 5
        with pytest.raises(sa.exc.IntegrityError, match="never changed"):
            tx.execute(sa.text("UPDATE class_acts SET actor = 'eve'"))


def test_names_and_merges_come_out_as_they_were_at_any_moment(world: World) -> None:
    sparrow, finch, wren = world.classes
    first = world.say("label", world.pool[0], class_id=wren)
    with world.db.write() as tx:
        classes.rename(tx, sparrow, "House Sparrow", now=world.now + 10)
    second = world.say("label", world.pool[1], class_id=finch)
    with world.db.write() as tx:
        classes.merge(tx, wren, sparrow, now=world.now + 20)
    with world.db.read() as tx:
        now = class_acts.named(tx)
        assert (now.names[sparrow], now.stands_for[wren]) == ("House Sparrow", sparrow)
        for event, name in ((first, "Sparrow"), (second, "House Sparrow")):
            then = class_acts.named(tx, class_acts.moment(tx, event.seq))
            assert (then.names[sparrow], then.stands_for[wren]) == (name, wren)
        between = class_acts.moment(tx, first.seq, first.received_at + 11)
        assert class_acts.named(tx, between).names[sparrow] == "House Sparrow"
        assert labels.per_class(tx) == {sparrow: 1, finch: 1}
