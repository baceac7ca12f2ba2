"""Define how each SQL database maps types, binds values and compiles expressions."""
