"""Hold rows that exceed memory in DuckDB."""
