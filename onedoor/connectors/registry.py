"""The outside world: the one list of kinds, each a module that is imported only when a source of its kind is named."""

from importlib import import_module

from onedoor.spi.connector import ConnectorKind

CONNECTORS = {
    "sqlite": "onedoor.connectors.sql.sqlite:KIND",
    "postgresql": "onedoor.connectors.sql.postgresql:KIND",
    "mysql": "onedoor.connectors.sql.mysql:KIND",
    "snowflake": "onedoor.connectors.snowflake.connector:KIND",
    "s3": "onedoor.connectors.files.s3:KIND",
    "slack": "onedoor.connectors.slack.connector:KIND",
    "rest": "onedoor.connectors.rest.connector:KIND",
    "azure_files": "onedoor.connectors.azure.connector:FILES_KIND",
    "azure_blob": "onedoor.connectors.azure.connector:BLOB_KIND",
    "drive": "onedoor.connectors.drive.connector:KIND",
    "prometheus": "onedoor.connectors.prometheus.connector:KIND",
    "datadog": "onedoor.connectors.datadog.connector:KIND",
    "graphql": "onedoor.connectors.graphql.connector:KIND",
    "folder": "onedoor.connectors.files.folder:KIND",
}
"""By kind, the module and the name in it of its `ConnectorKind`."""

INTROSPECTORS_BY_SCHEME = {
    **dict.fromkeys(("sqlite", "postgresql", "postgres", "mysql", "mariadb"), "onedoor.connectors.sql.introspection"),
    "snowflake": "onedoor.connectors.snowflake.introspection",
    **dict.fromkeys(("graphql+https", "graphql+http"), "onedoor.connectors.graphql.introspection"),
}
"""By the scheme of a URL: each module has `describe(url)`, its tables, and `parse_source_settings(url)`, its settings."""

API_INTROSPECTOR = "onedoor.connectors.rest.openapi.description"
"""What reads a description of an API, in a file or at `https://`."""

INTROSPECTORS_BY_SUFFIX = dict.fromkeys(
    (".graphql", ".graphqls", ".gql", "/graphql"), "onedoor.connectors.graphql.introspection"
)
"""The same by how an address or the name of a file ends, where its scheme says nothing."""


def load_kind(kind: str) -> ConnectorKind:
    """Import the module of a kind. Raises KeyError for a kind that is not in `CONNECTORS`."""
    module, _, name = CONNECTORS[kind].partition(":")
    loaded: ConnectorKind = getattr(import_module(module), name)
    return loaded
