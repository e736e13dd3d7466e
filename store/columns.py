"""What the tables are made of: the metadata that names every constraint, and columns that come again and again."""

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
    """A number of its own for every row."""
    return sa.Column("id", sa.Integer, primary_key=True)


def ref(name: str, target: str, **options: Any) -> sa.Column[Any]:
    """The id of a row of another table."""
    return sa.Column(name, sa.Integer, sa.ForeignKey(f"{target}"), **options)


def json_(name: str, default: str) -> sa.Column[str]:
    """JSON as text."""
    return sa.Column(name, sa.Text, nullable=False, default=default)


def one_of(column: str, *values: str) -> sa.CheckConstraint:
    """Only these values."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=column)
