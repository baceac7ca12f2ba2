"""Emulate Prometheus."""
