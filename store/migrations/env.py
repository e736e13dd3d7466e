"""Alembic's entry: runs the revisions on the connection that run.py hands over."""

from alembic import context

from store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
