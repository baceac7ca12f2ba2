"""Hold rows that outgrow memory in DuckDB."""
