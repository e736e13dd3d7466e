"""Classes with a parent, a note, a pinned key and reference images; the history of their changes."""

import sqlalchemy as sa
from alembic import op

from store.migrations import triggers

revision = "0004"
down_revision = "0003"

KEPT = "id, name, key, position, status, merged_into, added_at"


def upgrade() -> None:
    """Give the classes their new columns; SQLite can add no named constraint, so there the table is made anew."""
    if op.get_bind().dialect.name == "sqlite":
        _made_anew()
    else:
        _altered()
    op.create_table(
        "class_images",
        sa.Column("class_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["class_id"], ["classes.id"], name=op.f("fk_class_images_class_id")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_class_images_image_id")),
        sa.PrimaryKeyConstraint("class_id", "image_id", name=op.f("pk_class_images")),
    )
    _history()


def _made_anew() -> None:
    op.execute(f"CREATE TABLE classes_kept AS SELECT {KEPT} FROM classes")
    op.drop_table("classes")
    op.create_table(
        "classes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("shortcut", sa.String(length=1), nullable=True),
        sa.CheckConstraint("(status = 'merged') = (merged_into IS NOT NULL)", name=op.f("ck_classes_merged_into")),
        sa.CheckConstraint("status IN ('active', 'retired', 'merged')", name=op.f("ck_classes_status")),
        sa.ForeignKeyConstraint(["merged_into"], ["classes.id"], name=op.f("fk_classes_merged_into")),
        sa.ForeignKeyConstraint(["parent_id"], ["classes.id"], name=op.f("fk_classes_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classes")),
        sa.UniqueConstraint("key", name=op.f("uq_classes_key")),
        sa.UniqueConstraint("shortcut", name=op.f("uq_classes_shortcut")),
    )
    op.execute(f"INSERT INTO classes ({KEPT}, note) SELECT {KEPT}, '' FROM classes_kept")
    op.drop_table("classes_kept")


def _altered() -> None:
    op.add_column("classes", sa.Column("parent_id", sa.Integer(), nullable=True))
    op.add_column("classes", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.alter_column("classes", "note", server_default=None)
    op.add_column("classes", sa.Column("shortcut", sa.String(length=1), nullable=True))
    op.create_foreign_key(op.f("fk_classes_parent_id"), "classes", "classes", ["parent_id"], ["id"])
    op.create_unique_constraint(op.f("uq_classes_shortcut"), "classes", ["shortcut"])


def _history() -> None:
    op.create_table(
        "class_acts",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("watermark", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("act", sa.String(length=16), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["class_id"], ["classes.id"], name=op.f("fk_class_acts_class_id")),
        sa.ForeignKeyConstraint(["undoes"], ["class_acts.seq"], name=op.f("fk_class_acts_undoes")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_class_acts")),
    )
    op.create_index(op.f("ix_class_acts_class_id"), "class_acts", ["class_id"])
    triggers.append_only("class_acts", "the history of classes is never changed: append an undo")
