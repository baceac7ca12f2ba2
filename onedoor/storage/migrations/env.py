"""Alembic's entry: runs the history on the connection that `auth.state.migrate` holds open."""

from alembic import context

from onedoor.storage.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)

context.run_migrations()
