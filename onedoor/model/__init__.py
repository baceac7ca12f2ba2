"""The catalog: schema, policy, mappings and connectors."""
