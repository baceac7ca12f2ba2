"""Connect to SQLite, PostgreSQL, MySQL and MariaDB."""
