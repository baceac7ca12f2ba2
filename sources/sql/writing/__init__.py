"""Changing rows of a SQL database: in one transaction, with a row that keeps what came of each change."""
