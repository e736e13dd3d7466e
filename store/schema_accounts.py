"""The tables of accounts: who may log in, with what, and what was done to whom. Of secrets only hashes are stored.

A token is 32 random bytes: its SHA-256 cannot be guessed back. A password is Argon2id's encoded hash.
"""

from __future__ import annotations

import sqlalchemy as sa

from store import columns

_HASH = sa.String(64)  # SHA-256, hexadecimal

# An annotator who may log in; annotators.role is the role. Rows are never deleted: once there is one, accounts are on.
users = sa.Table(
    "users",
    columns.metadata,
    columns.ref("annotator_id", "annotators.id", primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),  # the name folded for comparison: "Ada" and "ada" are one person
    sa.Column("password_hash", sa.Text),  # empty until an invitation is redeemed
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("added_at", sa.Float, nullable=False),
    sa.UniqueConstraint("key"),
)

invites = sa.Table(
    "invites",
    columns.metadata,
    sa.Column("token_hash", _HASH, primary_key=True),
    columns.ref("annotator_id", "users.annotator_id", nullable=False),
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.Column("used_at", sa.Float),
    sa.Index(None, "annotator_id"),
)

sessions = sa.Table(
    "sessions",
    columns.metadata,
    sa.Column("token_hash", _HASH, primary_key=True),
    columns.ref("annotator_id", "users.annotator_id", nullable=False),
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("seen_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.Index(None, "annotator_id"),
    sa.Index(None, "expires_at"),
)

api_tokens = sa.Table(
    "api_tokens",
    columns.metadata,
    columns.id_(),
    sa.Column("token_hash", _HASH, nullable=False),
    columns.ref("annotator_id", "users.annotator_id", nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),  # read,label,review,manage: some of them
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("used_at", sa.Float),
    sa.Column("expires_at", sa.Float),
    sa.Column("revoked_at", sa.Float),
    sa.UniqueConstraint("token_hash"),
    sa.Index(None, "annotator_id"),
)

# Failed logins by name and by address, so that guessing gets slower, also across a restart.
tries = sa.Table(
    "tries",
    columns.metadata,
    sa.Column("who", sa.String(200), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("last_at", sa.Float, nullable=False),
    sa.Index(None, "last_at"),
)

# Append-only, as label_events: the migration adds triggers that refuse anything else.
acts = sa.Table(
    "acts",
    columns.metadata,
    columns.id_(),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("act", sa.String(40), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    columns.json_("details", "{}"),
)
