"""Connect to HTTP APIs that are declared by hand or read from an OpenAPI description."""
