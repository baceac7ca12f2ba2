"""Connect to GraphQL services."""
