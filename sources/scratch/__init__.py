"""Rows that outgrow memory: poured into a database of our own, asked there, forgotten."""
