"""Declared jobs and how they run."""
