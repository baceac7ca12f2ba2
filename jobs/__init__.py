"""Declare Acme's own processes: one file a subject."""
