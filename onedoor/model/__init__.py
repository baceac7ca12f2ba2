"""Model what one company serves: schema, access policy, mappings and connectors."""
