"""Time series of a Prometheus, as PromQL that the settings declare."""
