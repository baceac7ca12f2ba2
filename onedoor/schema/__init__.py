"""Annotated classes to a GraphQL schema and its access policy."""
