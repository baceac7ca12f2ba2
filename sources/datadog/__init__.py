"""Monitors, events, logs and metrics of a Datadog organisation."""
