"""A GraphQL federated data layer: one schema over tables and third-party systems, with permission per field and a record per request."""
