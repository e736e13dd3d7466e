"""What the pages of tables share: one metadata that names every constraint, and the kinds of columns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def id_() -> sa.Column[int]:
    """A row's own number."""
    return sa.Column("id", sa.Integer, primary_key=True)


def ref(name: str, target: str, **options: Any) -> sa.Column[Any]:
    """The number of a row elsewhere."""
    return sa.Column(name, sa.Integer, sa.ForeignKey(f"{target}"), **options)


def json_(name: str, default: str) -> sa.Column[str]:
    """JSON as text."""
    return sa.Column(name, sa.Text, nullable=False, default=default)


def one_of(column: str, *values: str) -> sa.CheckConstraint:
    """The only values that a column takes."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=column)
