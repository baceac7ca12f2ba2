"""Connect to Prometheus, whose time series are rows."""
