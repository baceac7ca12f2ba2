"""Run the migrations on the connection that `onedoor.storage.database.migrate` holds open."""

from alembic import context

from onedoor.storage.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)

context.run_migrations()
