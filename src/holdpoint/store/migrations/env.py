"""Runs the migrations on the connection that ``store.database`` hands in."""

from alembic import context

from holdpoint.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=False,  # `store.database` holds the transaction
)
context.run_migrations()
