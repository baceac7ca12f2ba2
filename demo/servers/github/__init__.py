"""Emulate GitHub."""
