"""Serve Acme's data locally over the vendors' protocols."""
