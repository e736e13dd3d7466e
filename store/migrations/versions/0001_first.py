"""The first tables, the counters, and the triggers that keep label events append-only."""

from alembic import op

from store import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make everything."""
    schema.metadata.create_all(op.get_bind())
    op.bulk_insert(schema.counters, [{"name": schema.WATERMARK, "value": 0}, {"name": schema.CLAIMS, "value": 0}])
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER label_events_no_{verb.lower()} BEFORE {verb} ON label_events "
                "BEGIN SELECT RAISE(ABORT, 'label events are never changed: append a retract'); END"
            )
