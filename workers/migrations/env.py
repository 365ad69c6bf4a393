"""How alembic reaches the database: on the connection that ``Database.upgrade`` gives it."""

from alembic import context

from workers.models import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
