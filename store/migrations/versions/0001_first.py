"""The first tables, the counters, and the triggers that keep label events append-only."""

import sqlalchemy as sa
from alembic import op

from store.migrations import triggers

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make everything."""
    _tables()
    counters = sa.table("counters", sa.column("name", sa.String), sa.column("value", sa.Integer))
    op.bulk_insert(counters, [{"name": "watermark", "value": 0}, {"name": "claims", "value": 0}])
    triggers.append_only("label_events", "label events are never changed: append a retract")


def _tables() -> None:
    op.create_table(
        "annotators",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotators")),
        sa.UniqueConstraint("name", name=op.f("uq_annotators_name")),
    )
    op.create_table(
        "classes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.CheckConstraint("(status = 'merged') = (merged_into IS NOT NULL)", name=op.f("ck_classes_merged_into")),
        sa.CheckConstraint("status IN ('active', 'retired', 'merged')", name=op.f("ck_classes_status")),
        sa.ForeignKeyConstraint(["merged_into"], ["classes.id"], name=op.f("fk_classes_merged_into")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classes")),
        sa.UniqueConstraint("key", name=op.f("uq_classes_key")),
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("taken_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
    )
    op.create_index(op.f("ix_commands_finished_at"), "commands", ["finished_at"])
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=128), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("phash", sa.String(length=64), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("holdout", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("taken_at", sa.Float(), nullable=True),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.CheckConstraint("status IN ('ok', 'quarantined')", name=op.f("ck_images_status")),
        sa.CheckConstraint("holdout IN (0, 1, 2)", name=op.f("ck_images_holdout")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("path", name=op.f("uq_images_path")),
    )
    op.create_index(op.f("ix_images_status_holdout"), "images", ["status", "holdout"])
    op.create_table(
        "rounds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("watermark", sa.Integer(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("throughput", sa.Float(), nullable=True),
        sa.Column("eta_s", sa.Float(), nullable=True),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.CheckConstraint("status IN ('running', 'published', 'failed')", name=op.f("ck_rounds_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rounds")),
    )
    op.create_index(op.f("ix_rounds_status"), "rounds", ["status"])
    op.create_table(
        "settings",
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Float(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("throughput", sa.Float(), nullable=True),
        sa.Column("eta_s", sa.Float(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("beat_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    op.create_table(
        "publications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("round_id", sa.Integer(), nullable=True),
        sa.Column("watermark", sa.Integer(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("embeddings", sa.Text(), nullable=True),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        sa.Column("pool_size", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("kind IN ('cold', 'refresh', 'round')", name=op.f("ck_publications_kind")),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name=op.f("fk_publications_round_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publications")),
    )
    op.create_table(
        "label_events",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.String(length=64), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("target_seq", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("publication_id", sa.Integer(), nullable=True),
        sa.Column("round_id", sa.Integer(), nullable=True),
        sa.Column("lease_token", sa.String(length=64), nullable=True),
        sa.Column("suggestion_class_id", sa.Integer(), nullable=True),
        sa.Column("suggestion_probability", sa.Float(), nullable=True),
        sa.Column("suggestion_visible", sa.Boolean(), nullable=True),
        sa.Column("overlay_kind", sa.String(length=40), nullable=True),
        sa.Column("overlay_visible", sa.Boolean(), nullable=True),
        sa.Column("shown_ms", sa.Float(), nullable=True),
        sa.Column("input_mode", sa.String(length=16), nullable=True),
        sa.Column("queue_reason", sa.String(length=40), nullable=True),
        sa.Column("queue_rank", sa.Integer(), nullable=True),
        sa.Column("propensity", sa.Float(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("client_at", sa.Float(), nullable=True),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'retract') = (target_seq IS NOT NULL)", name=op.f("ck_label_events_retract_has_target")
        ),
        sa.CheckConstraint("kind <> 'label' OR class_id IS NOT NULL", name=op.f("ck_label_events_label_has_class")),
        sa.CheckConstraint(
            "kind IN ('label', 'reject', 'skip', 'flag', 'retract', 'review')", name=op.f("ck_label_events_kind")
        ),
        sa.CheckConstraint("source IN ('page', 'import', 'oracle')", name=op.f("ck_label_events_source")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_label_events_annotator_id")),
        sa.ForeignKeyConstraint(["class_id"], ["classes.id"], name=op.f("fk_label_events_class_id")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_label_events_image_id")),
        sa.ForeignKeyConstraint(["publication_id"], ["publications.id"], name=op.f("fk_label_events_publication_id")),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name=op.f("fk_label_events_round_id")),
        sa.ForeignKeyConstraint(
            ["suggestion_class_id"], ["classes.id"], name=op.f("fk_label_events_suggestion_class_id")
        ),
        sa.ForeignKeyConstraint(["target_seq"], ["label_events.seq"], name=op.f("fk_label_events_target_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_label_events")),
        sa.UniqueConstraint("uuid", name=op.f("uq_label_events_uuid")),
    )
    op.create_index(op.f("ix_label_events_annotator_id_seq"), "label_events", ["annotator_id", "seq"])
    op.create_index(op.f("ix_label_events_image_id_seq"), "label_events", ["image_id", "seq"])
    op.create_index(op.f("ix_label_events_target_seq"), "label_events", ["target_seq"])
    op.create_table(
        "leases",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("client", sa.String(length=120), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("publication_id", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("propensity", sa.Float(), nullable=True),
        sa.Column("leased_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_leases_annotator_id")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_leases_image_id")),
        sa.ForeignKeyConstraint(["publication_id"], ["publications.id"], name=op.f("fk_leases_publication_id")),
        sa.PrimaryKeyConstraint("image_id", "slot", name=op.f("pk_leases")),
        sa.UniqueConstraint("token", name=op.f("uq_leases_token")),
    )
    op.create_index(op.f("ix_leases_annotator_id_client"), "leases", ["annotator_id", "client"])
    op.create_index(op.f("ix_leases_expires_at"), "leases", ["expires_at"])
    op.create_index(op.f("ix_leases_publication_id"), "leases", ["publication_id"])
    op.create_table(
        "queue",
        sa.Column("publication_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("total", sa.Float(), nullable=True),
        sa.Column("epistemic", sa.Float(), nullable=True),
        sa.Column("aleatoric", sa.Float(), nullable=True),
        sa.Column("margin", sa.Float(), nullable=True),
        sa.Column("propensity", sa.Float(), nullable=True),
        sa.Column("suggestions", sa.Text(), nullable=False),
        sa.Column("neighbours", sa.Text(), nullable=False),
        sa.Column("overlays", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_queue_image_id")),
        sa.ForeignKeyConstraint(["publication_id"], ["publications.id"], name=op.f("fk_queue_publication_id")),
        sa.PrimaryKeyConstraint("publication_id", "position", name=op.f("pk_queue")),
        sa.UniqueConstraint("publication_id", "image_id", name=op.f("uq_queue_publication_id_image_id")),
    )
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
        sa.CheckConstraint("lane IN ('pool', 'holdout', 'closed')", name=op.f("ck_image_state_lane")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_image_state_annotator_id")),
        sa.ForeignKeyConstraint(["class_id"], ["classes.id"], name=op.f("fk_image_state_class_id")),
        sa.ForeignKeyConstraint(["event_seq"], ["label_events.seq"], name=op.f("fk_image_state_event_seq")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_image_state_image_id")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_state")),
    )
    op.create_index(op.f("ix_image_state_event_seq"), "image_state", ["event_seq"])
    op.create_index(op.f("ix_image_state_settled_at"), "image_state", ["settled_at"])
    op.create_index(op.f("ix_image_state_annotator_id_settled_at"), "image_state", ["annotator_id", "settled_at"])
    op.create_index(op.f("ix_image_state_kind_class_id"), "image_state", ["kind", "class_id"])
    op.create_index(op.f("ix_image_state_lane_skips_draw"), "image_state", ["lane", "skips", "draw"])
