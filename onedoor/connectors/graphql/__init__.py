"""Any GraphQL service."""
