"""Answers of any size as files."""
