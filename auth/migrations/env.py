"""Alembic's entry: runs the history on the connection that `auth.state.migrate` holds open."""

from alembic import context

from auth.tables import TABLES

context.configure(connection=context.config.attributes["connection"], target_metadata=TABLES, render_as_batch=True)
context.run_migrations()
