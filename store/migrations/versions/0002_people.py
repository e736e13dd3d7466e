"""Several people: who has answered each image, and the lane of images that wait for another person's answer.

image_state is a fold of the events, so it is made anew around what it held; nothing that anybody said is touched.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEPT = (
    "image_id, lane, draw, kind, class_id, reason, event_seq, annotator_id, source, settled_at, answers, skips, flags"
)


def upgrade() -> None:
    """Make image_state anew with said_by, and fill it from the answers that stand."""
    op.execute(f"CREATE TABLE image_state_kept AS SELECT {KEPT} FROM image_state")
    op.drop_table("image_state")
    _table()
    op.execute(f"INSERT INTO image_state ({KEPT}, said_by) SELECT {KEPT}, '' FROM image_state_kept")
    op.drop_table("image_state_kept")
    for name, columns in (
        ("lane_skips_draw", ["lane", "skips", "draw"]),
        ("lane_skips_said_by_draw", ["lane", "skips", "said_by", "draw"]),
        ("kind_class_id", ["kind", "class_id"]),
        ("event_seq", ["event_seq"]),
        ("settled_at", ["settled_at"]),
        ("annotator_id_settled_at", ["annotator_id", "settled_at"]),
    ):
        op.create_index(op.f(f"ix_image_state_{name}"), "image_state", columns)
    _fill()


def _fill() -> None:
    tx = op.get_bind()
    standing = (
        "SELECT DISTINCT image_id, annotator_id FROM label_events AS said WHERE kind IN ('label', 'reject') AND NOT "
        "EXISTS (SELECT 1 FROM label_events AS back WHERE back.target_seq = said.seq) ORDER BY image_id, annotator_id"
    )
    people: dict[int, list[str]] = {}
    for image_id, annotator_id in tx.execute(sa.text(standing)):
        people.setdefault(image_id, []).append(str(annotator_id))
    rows = [{"image": image_id, "said_by": f",{','.join(ids)},"} for image_id, ids in people.items()]
    if rows:
        tx.execute(sa.text("UPDATE image_state SET said_by = :said_by WHERE image_id = :image"), rows)


def _table() -> None:
    op.create_table(
        "image_state",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.String(length=8), nullable=False),
        sa.Column("draw", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("class_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("event_seq", sa.Integer(), nullable=True),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=True),
        sa.Column("settled_at", sa.Float(), nullable=True),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("skips", sa.Integer(), nullable=False),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.CheckConstraint("lane IN ('pool', 'holdout', 'more', 'closed')", name=op.f("ck_image_state_lane")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_image_state_annotator_id")),
        sa.ForeignKeyConstraint(["class_id"], ["classes.id"], name=op.f("fk_image_state_class_id")),
        sa.ForeignKeyConstraint(["event_seq"], ["label_events.seq"], name=op.f("fk_image_state_event_seq")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_image_state_image_id")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_state")),
    )
