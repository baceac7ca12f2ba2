"""Execute a plan: scans, dynamic filters and residual steps."""
