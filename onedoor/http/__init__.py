"""Serve HTTP, WebSocket and event streams."""
