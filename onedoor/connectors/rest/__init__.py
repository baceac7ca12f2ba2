"""Any HTTP API, described by hand or by OpenAPI."""
