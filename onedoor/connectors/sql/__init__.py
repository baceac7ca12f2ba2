"""SQLite, PostgreSQL and MySQL."""
