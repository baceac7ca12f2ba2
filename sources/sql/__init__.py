"""SQL databases: an Ask becomes one statement in SQLAlchemy Core, which runs on the database's own driver."""
