"""Connect to Snowflake."""
