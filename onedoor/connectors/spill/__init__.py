"""DuckDB, for rows that outgrow memory."""
