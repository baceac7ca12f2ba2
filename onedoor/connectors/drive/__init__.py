"""Serve Google Drive."""
