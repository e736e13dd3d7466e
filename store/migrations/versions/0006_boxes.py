"""An image may be a box in a file: which file, where in it, and how large the file's picture is.

Added in place, as in 0005: a box's `path` names its file and the box, so that a path is still one image's alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns and the index; every image until now is a whole file."""
    op.execute("ALTER TABLE images ADD COLUMN scene TEXT")
    for name in ("box_x", "box_y", "box_w", "box_h", "scene_width", "scene_height"):
        op.execute(f"ALTER TABLE images ADD COLUMN {name} INTEGER")
    inside = sa.text("scene IS NOT NULL")
    op.create_index(op.f("ix_images_scene"), "images", ["scene"], sqlite_where=inside, postgresql_where=inside)
