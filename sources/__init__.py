"""The outside world: the one list of kinds, each a module that is imported only when a source of its kind is named."""

KINDS = {
    "sqlite": "sources.sql.sqlite",
    "postgresql": "sources.sql.postgresql",
    "mysql": "sources.sql.mysql",
    "snowflake": "sources.snowflake.source",
    "s3": "sources.s3",
    "slack": "sources.slack.source",
    "rest": "sources.rest.source",
    "azure_files": "sources.azure.files",
    "azure_blob": "sources.azure.blob",
    "drive": "sources.drive.source",
    "prometheus": "sources.prometheus.source",
    "datadog": "sources.datadog.source",
    "graphql": "sources.graphql.source",
    "folder": "sources.folder",
}
"""Each module has `Options`, the settings it takes, and `connect(options)`, which gives the source."""
DESCRIBED = {
    **dict.fromkeys(("sqlite", "postgresql", "postgres", "mysql", "mariadb"), "sources.sql.describe"),
    "snowflake": "sources.snowflake.describe",
    **dict.fromkeys(("graphql+https", "graphql+http"), "sources.graphql.describe"),
}
"""By the scheme of a URL: each module has `described(url)`, its tables, and `settings(url)`, its source's settings."""
DOCUMENTS = "sources.rest.describe"
"""What reads a description of an API, in a file or at `https://`."""
ENDINGS = dict.fromkeys((".graphql", ".graphqls", ".gql", "/graphql"), "sources.graphql.describe")
"""The same by how an address or the name of a file ends, where its scheme says nothing."""
