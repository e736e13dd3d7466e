"""The tables of the classes: what may be said, the images that show each, and everything that was changed about them."""

from __future__ import annotations

import sqlalchemy as sa

from store.columns import id_, json_, metadata, one_of, ref

classes = sa.Table(
    "classes",
    metadata,
    id_(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("key", sa.Text),  # the name folded for comparison; empty once retired or merged, which frees the name
    sa.Column("position", sa.Integer, nullable=False),  # among the classes of one parent
    sa.Column("status", sa.String(16), nullable=False),
    ref("merged_into", "classes.id"),  # always the final class, never a chain
    sa.Column("added_at", sa.Float, nullable=False),
    ref("parent_id", "classes.id"),
    sa.Column("note", sa.Text, nullable=False, default=""),  # what to look for
    sa.Column("shortcut", sa.String(1)),  # the key it is pinned to; empty once retired or merged
    sa.UniqueConstraint("key"),
    sa.UniqueConstraint("shortcut"),
    one_of("status", "active", "retired", "merged"),
    sa.CheckConstraint("(status = 'merged') = (merged_into IS NOT NULL)", name="merged_into"),
)

# Reference images: what the class looks like.
class_images = sa.Table(
    "class_images",
    metadata,
    ref("class_id", "classes.id", primary_key=True, autoincrement=False),
    ref("image_id", "images.id", primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, nullable=False),
)

# Append-only, as label_events: one row a change, with what it changed of which class.
class_acts = sa.Table(
    "class_acts",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),  # in commit order
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("watermark", sa.Integer, nullable=False),  # seq of the newest label event then
    sa.Column("actor", sa.Text, nullable=False),  # a person's name, empty for the program itself
    ref("class_id", "classes.id", nullable=False),
    sa.Column("act", sa.String(16), nullable=False),
    json_("before", "{}"),  # {class_id: {column: value}} of what changed; null for a class that was not there
    json_("after", "{}"),
    ref("undoes", "class_acts.seq"),
    sa.Index(None, "class_id"),
)
