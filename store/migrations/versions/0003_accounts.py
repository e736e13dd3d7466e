"""Accounts: who may log in and with what, failed logins, and the append-only record of administrative acts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.migrations import triggers

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the six tables, and the triggers that keep acts as they were written."""
    _tables()
    triggers.append_only("acts", "acts are never changed")


def _column(name: str, kind: Any, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _owner(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["annotator_id"], ["users.annotator_id"], name=op.f(f"fk_{table}_annotator_id"))


def _tables() -> None:
    op.create_table(
        "users",
        sa.Column("annotator_id", sa.Integer(), autoincrement=False, nullable=False),
        _column("key", sa.Text()),
        _column("password_hash", sa.Text(), nullable=True),
        _column("active", sa.Boolean()),
        _column("added_at", sa.Float()),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_users_annotator_id")),
        sa.PrimaryKeyConstraint("annotator_id", name=op.f("pk_users")),
        sa.UniqueConstraint("key", name=op.f("uq_users_key")),
    )
    op.create_table(
        "invites",
        _column("token_hash", sa.String(length=64)),
        _column("annotator_id", sa.Integer()),
        _column("made_at", sa.Float()),
        _column("expires_at", sa.Float()),
        _column("used_at", sa.Float(), nullable=True),
        _owner("invites"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_invites")),
    )
    op.create_table(
        "sessions",
        _column("token_hash", sa.String(length=64)),
        _column("annotator_id", sa.Integer()),
        _column("made_at", sa.Float()),
        _column("seen_at", sa.Float()),
        _column("expires_at", sa.Float()),
        _owner("sessions"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_table(
        "api_tokens",
        _column("id", sa.Integer()),
        _column("token_hash", sa.String(length=64)),
        _column("annotator_id", sa.Integer()),
        _column("name", sa.Text()),
        _column("scopes", sa.Text()),
        _column("made_at", sa.Float()),
        _column("used_at", sa.Float(), nullable=True),
        _column("expires_at", sa.Float(), nullable=True),
        _column("revoked_at", sa.Float(), nullable=True),
        _owner("api_tokens"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_table(
        "tries",
        _column("who", sa.String(length=200)),
        _column("count", sa.Integer()),
        _column("last_at", sa.Float()),
        sa.PrimaryKeyConstraint("who", name=op.f("pk_tries")),
    )
    op.create_table(
        "acts",
        _column("id", sa.Integer()),
        _column("at", sa.Float()),
        _column("actor", sa.Text()),
        _column("act", sa.String(length=40)),
        _column("subject", sa.Text()),
        _column("details", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acts")),
    )
    for table, column in (
        ("invites", "annotator_id"),
        ("sessions", "annotator_id"),
        ("sessions", "expires_at"),
        ("api_tokens", "annotator_id"),
        ("tries", "last_at"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
