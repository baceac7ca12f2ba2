"""Connect to Datadog: its monitors, events, logs and metrics."""
