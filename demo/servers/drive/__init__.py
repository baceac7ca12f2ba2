"""Emulate Google Drive."""
