"""The one history of the state, for SQLite and PostgreSQL; `auth.state.opened` runs it."""
