"""What may be said: adding, renaming, retiring and merging classes."""

import pytest

from store import annotators, classes, database, errors


def test_names_are_stripped_and_unique_whatever_their_case(db: database.Database) -> None:
    with db.write() as tx:
        first = classes.add(tx, "  House Sparrow ", 1.0)
        assert (first.name, first.position, first.status) == ("House Sparrow", 0, "active")
        for other in ("house sparrow", "HOUSE  SPARROW"):
            with pytest.raises(errors.NameTaken, match="House Sparrow"):
                classes.add(tx, other, 2.0)
        with pytest.raises(errors.BadName):
            classes.add(tx, " \t", 2.0)
        assert classes.add(tx, "Wren", 2.0).position == 1
        assert [each.name for each in classes.all_(tx)] == ["House Sparrow", "Wren"]
        assert classes.by_name(tx, "wren") == classes.all_(tx)[1]


def test_equal_names_in_another_unicode_form_are_taken(db: database.Database) -> None:
    with db.write() as tx:
        classes.add(tx, "Gr\u00fcnfink", 1.0)
        with pytest.raises(errors.NameTaken):
            classes.add(tx, "Gru\u0308nfink", 1.0)


def test_rename_keeps_the_id_and_may_change_case_only(db: database.Database) -> None:
    with db.write() as tx:
        wren, finch = classes.add(tx, "wren", 1.0), classes.add(tx, "finch", 1.0)
        assert classes.rename(tx, wren.id, "Wren", now=3.0).name == "Wren"
        with pytest.raises(errors.NameTaken):
            classes.rename(tx, finch.id, "WREN", now=3.0)
        with pytest.raises(errors.UnknownClass):
            classes.rename(tx, 99, "x", now=3.0)
        assert [each.name for each in classes.all_(tx)] == ["Wren", "finch"]


def test_a_retired_class_frees_its_name(db: database.Database) -> None:
    with db.write() as tx:
        old = classes.add(tx, "Wren", 1.0)
        classes.retire(tx, old.id, now=3.0)
        assert classes.all_(tx) == []
        new = classes.add(tx, "Wren", 2.0)
        assert new.id != old.id
        assert [each.status for each in classes.ever(tx)] == ["retired", "active"]
        assert classes.resolve(tx) == {old.id: old.id, new.id: new.id}


def test_merges_never_chain(db: database.Database) -> None:
    with db.write() as tx:
        a, b, c = (classes.add(tx, name, 1.0).id for name in "abc")
        classes.merge(tx, a, b, now=3.0)
        classes.merge(tx, b, c, now=3.0)
        assert classes.resolve(tx) == {a: c, b: c, c: c}
        assert [each.id for each in classes.all_(tx)] == [c]
        for src, dst in ((c, c), (c, a), (c, b)):
            with pytest.raises(errors.BadMerge):
                classes.merge(tx, src, dst, now=3.0)


def test_an_annotator_is_added_once(db: database.Database) -> None:
    with db.write() as tx:
        ada = annotators.ensure(tx, " ada ", 1.0)
        assert annotators.ensure(tx, "ada", 2.0) == ada
        assert (ada.name, ada.role, ada.added_at) == ("ada", "annotator", 1.0)
        assert annotators.by_name(tx, "ben") is None
        ben = annotators.ensure(tx, "ben", 3.0, role="admin")
        assert annotators.all_(tx) == [ada, ben]
        with pytest.raises(errors.BadName):
            annotators.ensure(tx, "  ", 1.0)
