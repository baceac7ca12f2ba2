"""The metadata database."""
