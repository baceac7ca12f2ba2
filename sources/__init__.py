"""The outside world: the one list of kinds, each a module that is imported only when a source of its kind is named."""

KINDS = {
    "sqlite": "sources.sql.sqlite",
    "postgresql": "sources.sql.postgresql",
    "snowflake": "sources.snowflake.source",
    "s3": "sources.s3",
    "slack": "sources.slack.source",
}
"""Each module has `Options`, the settings it takes, and `connect(options)`, which gives the source."""
