"""Acme's internal tables in a SQL database."""
