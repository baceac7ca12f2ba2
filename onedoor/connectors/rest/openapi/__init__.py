"""Turn OpenAPI descriptions into declared collections."""
