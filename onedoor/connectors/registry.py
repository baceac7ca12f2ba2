"""List the kinds of connectors, each in a module that is imported only when the settings name its kind."""

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
"""The module and the name of a ConnectorKind, by kind."""

INTROSPECTORS_BY_SCHEME = {
    **dict.fromkeys(("sqlite", "postgresql", "postgres", "mysql", "mariadb"), "onedoor.connectors.sql.introspection"),
    "snowflake": "onedoor.connectors.snowflake.introspection",
    **dict.fromkeys(("graphql+https", "graphql+http"), "onedoor.connectors.graphql.introspection"),
}
"""The module that describes a source, by the scheme of its URL, with `describe` and `parse_source_settings`."""

API_INTROSPECTOR = "onedoor.connectors.rest.openapi.description"
"""What reads a description of an API, in a file or at `https://`."""

INTROSPECTORS_BY_SUFFIX = dict.fromkeys(
    (".graphql", ".graphqls", ".gql", "/graphql"), "onedoor.connectors.graphql.introspection"
)
"""The module that describes a source, by the end of its address or file name, where the scheme does not tell."""


def load_kind(kind: str) -> ConnectorKind:
    """Import the module of a kind. Raises KeyError for a kind that is not in `CONNECTORS`."""
    module, _, name = CONNECTORS[kind].partition(":")
    loaded: ConnectorKind = getattr(import_module(module), name)
    return loaded
