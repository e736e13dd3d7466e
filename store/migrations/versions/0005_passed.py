"""A skip may name the annotator who is asked instead, and the few that do are found by that name.

The column is added in place, named constraints and all, in words that SQLite and PostgreSQL share: making the table anew,
as alembic does for SQLite, would copy every answer and lose the triggers that keep them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column and its index; what was said before asked nobody."""
    op.execute(
        "ALTER TABLE label_events ADD COLUMN asked_id INTEGER "
        "CONSTRAINT fk_label_events_asked_id REFERENCES annotators (id) "
        "CONSTRAINT ck_label_events_asked_by_skip CHECK (asked_id IS NULL OR kind = 'skip')"
    )
    asked = sa.text("asked_id IS NOT NULL")
    name, columns = op.f("ix_label_events_asked_id_image_id"), ["asked_id", "image_id"]
    op.create_index(name, "label_events", columns, sqlite_where=asked, postgresql_where=asked)
