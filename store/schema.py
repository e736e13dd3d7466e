"""The tables on one page: what is stored, under which names, and which indexes the hot queries use.

Those of accounts and classes stand on pages of their own, schema_accounts.py and schema_classes.py.
Times are unix seconds (float), durations say their unit, JSON is text. Only types that SQLite and PostgreSQL share.
"""

from __future__ import annotations

import sqlalchemy as sa

from store import columns, schema_accounts, schema_classes

# Every revision this program knows, oldest first; the last is the one it works with.
VERSIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004", "0005", "0006")

WATERMARK = "watermark"  # counters row: seq of the newest label event

OVERLAP = "overlap"  # settings row: how many people are to answer an image, see overlap.py

# image_state.lane: who may draw the image. "more": answered, but by fewer people than are wanted; drawn by others only.
POOL, HOLDOUT, MORE, CLOSED = "pool", "holdout", "more", "closed"

metadata = columns.metadata
classes, class_images, class_acts = schema_classes.classes, schema_classes.class_images, schema_classes.class_acts
_id, _ref, _json, _one_of = columns.id_, columns.ref, columns.json_, columns.one_of

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)

_IN_A_SCENE = sa.text("scene IS NOT NULL")

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("key", sa.String(120), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

images = sa.Table(
    "images",
    metadata,
    _id(),
    sa.Column("path", sa.Text, nullable=False),  # of a box: its scene's with "#xywh=" and the box
    sa.Column("digest", sa.String(128)),  # of the file, a box's too
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("phash", sa.String(64)),  # hexadecimal
    sa.Column("group_id", sa.Integer),  # near-duplicates and bursts share one
    sa.Column("holdout", sa.Integer, nullable=False),  # 0 no, 1 calibration half, 2 test half
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("problem", sa.Text),  # why it is in quarantine
    sa.Column("taken_at", sa.Float),
    sa.Column("added_at", sa.Float, nullable=False),
    sa.Column("scene", sa.Text),  # of a box: the file it is a part of; its place there in pixels of the upright picture
    sa.Column("box_x", sa.Integer),
    sa.Column("box_y", sa.Integer),
    sa.Column("box_w", sa.Integer),
    sa.Column("box_h", sa.Integer),
    sa.Column("scene_width", sa.Integer),
    sa.Column("scene_height", sa.Integer),
    sa.UniqueConstraint("path"),
    sa.CheckConstraint("holdout IN (0, 1, 2)", name="holdout"),
    _one_of("status", "ok", "quarantined"),
    sa.Index(None, "status", "holdout"),
    sa.Index(None, "scene", sqlite_where=_IN_A_SCENE, postgresql_where=_IN_A_SCENE),
)

annotators = sa.Table(
    "annotators",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("added_at", sa.Float, nullable=False),
    sa.UniqueConstraint("name"),
)

rounds = sa.Table(
    "rounds",
    metadata,
    _id(),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    _json("settings", "{}"),
    sa.Column("watermark", sa.Integer, nullable=False),
    sa.Column("pid", sa.Integer),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("fraction", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("throughput", sa.Float),  # images a second
    sa.Column("eta_s", sa.Float),
    _json("metrics", "{}"),
    sa.Column("checkpoint", sa.Text),  # relative to the workspace
    sa.Column("error", sa.Text),
    sa.Column("begun_at", sa.Float, nullable=False),
    sa.Column("finished_at", sa.Float),
    _one_of("status", "running", "published", "failed"),
    sa.Index(None, "status"),
)

publications = sa.Table(
    "publications",
    metadata,
    _id(),
    sa.Column("kind", sa.String(16), nullable=False),
    _ref("round_id", "rounds.id"),
    sa.Column("watermark", sa.Integer, nullable=False),
    sa.Column("checkpoint", sa.Text),  # relative to the workspace, like embeddings
    sa.Column("embeddings", sa.Text),
    sa.Column("calibrated", sa.Boolean, nullable=False),
    sa.Column("pool_size", sa.Integer, nullable=False),
    _json("metrics", "{}"),
    sa.Column("created_at", sa.Float, nullable=False),
    _one_of("kind", "cold", "refresh", "round"),
)

queue = sa.Table(
    "queue",
    metadata,
    _ref("publication_id", "publications.id", primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    _ref("image_id", "images.id", nullable=False),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("total", sa.Float),
    sa.Column("epistemic", sa.Float),
    sa.Column("aleatoric", sa.Float),
    sa.Column("margin", sa.Float),
    sa.Column("propensity", sa.Float),
    _json("suggestions", "[]"),  # [[class_id, probability]], best first
    _json("neighbours", "[]"),  # [[class_id, [image_id]]], nearest first
    _json("overlays", "[]"),  # [kind]
    sa.UniqueConstraint("publication_id", "image_id"),
)

_PASSED = sa.text("asked_id IS NOT NULL")  # few rows: the index costs an ordinary answer nothing

# Append-only: rows are never updated or deleted (the first migration adds triggers that refuse it).
label_events = sa.Table(
    "label_events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),  # the watermark counter, in commit order
    sa.Column("uuid", sa.String(64), nullable=False),  # made by the client; a second send changes nothing
    _ref("image_id", "images.id", nullable=False),
    _ref("annotator_id", "annotators.id", nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    _ref("class_id", "classes.id"),
    sa.Column("reason", sa.Text),
    sa.Column("note", sa.Text),
    _ref("target_seq", "label_events.seq"),  # what a retract takes back
    sa.Column("source", sa.String(16), nullable=False),
    _ref("publication_id", "publications.id"),
    _ref("round_id", "rounds.id"),
    sa.Column("lease_token", sa.String(64)),
    _ref("suggestion_class_id", "classes.id"),
    sa.Column("suggestion_probability", sa.Float),
    sa.Column("suggestion_visible", sa.Boolean),
    sa.Column("overlay_kind", sa.String(40)),
    sa.Column("overlay_visible", sa.Boolean),
    sa.Column("shown_ms", sa.Float),  # milliseconds from painted to answered
    sa.Column("input_mode", sa.String(16)),
    sa.Column("queue_reason", sa.String(40)),
    sa.Column("queue_rank", sa.Integer),
    sa.Column("propensity", sa.Float),
    sa.Column("region", sa.Text),
    sa.Column("client_at", sa.Float),
    sa.Column("received_at", sa.Float, nullable=False),
    _ref("asked_id", "annotators.id"),  # whom a skip passes the image to: "ask Anna"
    sa.UniqueConstraint("uuid"),
    _one_of("kind", "label", "reject", "skip", "flag", "retract", "review"),
    _one_of("source", "page", "import", "oracle"),
    sa.CheckConstraint("kind <> 'label' OR class_id IS NOT NULL", name="label_has_class"),
    sa.CheckConstraint("(kind = 'retract') = (target_seq IS NOT NULL)", name="retract_has_target"),
    sa.CheckConstraint("asked_id IS NULL OR kind = 'skip'", name="asked_by_skip"),
    sa.Index(None, "image_id", "seq"),
    sa.Index(None, "annotator_id", "seq"),
    sa.Index(None, "target_seq"),
    sa.Index(None, "asked_id", "image_id", sqlite_where=_PASSED, postgresql_where=_PASSED),
)

# The fold of label_events, one row per image, written in the same transaction as the event; rebuildable.
image_state = sa.Table(
    "image_state",
    metadata,
    _ref("image_id", "images.id", primary_key=True, autoincrement=False),
    sa.Column("lane", sa.String(8), nullable=False),  # who may draw it; closed: settled or unusable
    sa.Column("draw", sa.Integer, nullable=False),  # fixed random rank from the digest: the random order of the pool
    sa.Column("kind", sa.String(16)),  # label or reject once settled
    _ref("class_id", "classes.id"),
    sa.Column("reason", sa.Text),
    _ref("event_seq", "label_events.seq"),
    _ref("annotator_id", "annotators.id"),
    sa.Column("source", sa.String(16)),
    sa.Column("settled_at", sa.Float),
    sa.Column("answers", sa.Integer, nullable=False),  # unretracted labels and rejects
    sa.Column("skips", sa.Integer, nullable=False),  # annotators with an unretracted skip
    sa.Column("flags", sa.Integer, nullable=False),  # annotators with a flag that stands and that no review followed
    sa.Column("said_by", sa.Text, nullable=False, default=""),  # annotators with a standing answer: ",3,14," or empty
    _one_of("lane", POOL, HOLDOUT, MORE, CLOSED),
    sa.Index(None, "lane", "skips", "draw"),
    sa.Index(None, "lane", "skips", "said_by", "draw"),
    sa.Index(None, "kind", "class_id"),
    sa.Index(None, "event_seq"),
    sa.Index(None, "settled_at"),
    sa.Index(None, "annotator_id", "settled_at"),
)

leases = sa.Table(
    "leases",
    metadata,
    _ref("image_id", "images.id", primary_key=True, autoincrement=False),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    _ref("annotator_id", "annotators.id", nullable=False),
    sa.Column("client", sa.String(120), nullable=False),
    sa.Column("token", sa.String(64), nullable=False),
    _ref("publication_id", "publications.id"),
    sa.Column("position", sa.Integer),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("propensity", sa.Float),
    sa.Column("leased_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.UniqueConstraint("token"),
    sa.Index(None, "annotator_id", "client"),
    sa.Index(None, "publication_id"),
    sa.Index(None, "expires_at"),
)

commands = sa.Table(
    "commands",
    metadata,
    _id(),
    sa.Column("kind", sa.String(40), nullable=False),
    _json("payload", "{}"),
    sa.Column("asked_at", sa.Float, nullable=False),
    sa.Column("taken_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    _json("result", "{}"),
    sa.Column("error", sa.Text),
    sa.Index(None, "finished_at"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("fraction", sa.Float),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("throughput", sa.Float),  # images a second
    sa.Column("eta_s", sa.Float),
    sa.Column("device", sa.Text),
    sa.Column("beat_at", sa.Float, nullable=False),
)

users, invites, sessions = schema_accounts.users, schema_accounts.invites, schema_accounts.sessions
api_tokens, tries, acts = schema_accounts.api_tokens, schema_accounts.tries, schema_accounts.acts
