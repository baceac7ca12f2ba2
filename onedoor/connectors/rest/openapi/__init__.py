"""Read OpenAPI descriptions."""
