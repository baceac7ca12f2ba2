"""Compute the capabilities of the demo's collections without a server."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.data.seed_sql import seed
from demo.run import settings
from demo.servers.run import NAMES
from onedoor.connectors.access import ACCESS_CAPABILITIES
from onedoor.connectors.audit_log import AUDIT_CAPABILITIES
from onedoor.connectors.azure.connector import build_share_capabilities
from onedoor.connectors.drive import columns as drive_columns
from onedoor.connectors.drive.collections import PERMISSION_CAPABILITIES, SEARCH_CAPABILITIES
from onedoor.connectors.files.contents import CONTENT_CAPABILITIES
from onedoor.connectors.files.model import build_file_capabilities
from onedoor.connectors.graphql.config import build_graphql_capabilities, parse_graphql_collections
from onedoor.connectors.path_patterns import compile_pattern
from onedoor.connectors.principal import KEY_CAPABILITIES, PERSON_CAPABILITIES
from onedoor.connectors.prometheus.collections import build_prometheus_capabilities, parse_prometheus_collections
from onedoor.connectors.rest.model import build_rest_capabilities
from onedoor.connectors.slack.collections import (
    MESSAGES,
    REPLIES,
    USERS,
    build_channels_collection,
    build_slack_capabilities,
)
from onedoor.connectors.snowflake.tables import build_snowflake_tables
from onedoor.connectors.sql.sqlite import reflect_sqlite_tables
from onedoor.spi.capabilities import Capabilities, ColumnType
from tests import acme, monitoring

PLACES = dict.fromkeys(NAMES, ("127.0.0.1", 1))
SNOWFLAKE_TYPES = {
    ColumnType.INTEGER: ("NUMBER", 38, 0),
    ColumnType.DECIMAL: ("NUMBER", 12, 2),
    ColumnType.DATE: ("DATE", None, None),
}


def demo_promises() -> Mapping[str, Mapping[str, Capabilities]]:
    """By source, then by collection."""
    sources = tomllib.loads(settings(folder=Path("."), port=0, addresses=PLACES))["sources"]
    rooms = build_channels_collection(compile_pattern(sources["slack"]["channel_pattern"]))
    slack = {"users": USERS, "channels": rooms, "messages": MESSAGES, "replies": REPLIES}
    return {
        "internal (sqlite)": internal(),
        "snowflake": warehouse(),
        "s3": {"files": build_file_capabilities(compile_pattern(sources["s3"]["pattern"])), **CONTENT_CAPABILITIES},
        "folder": {
            "files": build_file_capabilities(compile_pattern(sources["folder"]["pattern"])),
            **CONTENT_CAPABILITIES,
        },
        "slack": {name: build_slack_capabilities(item) for name, item in slack.items()},
        "azure_files": {
            **build_share_capabilities(compile_pattern(sources["azure_files"]["pattern"])),
            **CONTENT_CAPABILITIES,
        },
        "azure_blob": {
            "files": build_file_capabilities(compile_pattern(sources["azure_blob"]["pattern"])),
            **CONTENT_CAPABILITIES,
        },
        "drive": {
            "files": drive_columns.build_files_capabilities(compile_pattern(sources["drive"]["pattern"])),
            "folders": drive_columns.build_folders_capabilities(),
            "permissions": PERMISSION_CAPABILITIES,
            **SEARCH_CAPABILITIES,
            **CONTENT_CAPABILITIES,
        },
        "prometheus": {
            name: build_prometheus_capabilities(prometheus_collection)
            for name, prometheus_collection in parse_prometheus_collections(
                sources["prometheus"]["collections"]
            ).items()
        },
        "datadog": monitoring.datadog_capabilities(),
        "github": {name: build_rest_capabilities(item) for name, item in acme.github_declared().items()},
        "directory (graphql)": {
            name: build_graphql_capabilities(graphql_collection)
            for name, graphql_collection in parse_graphql_collections(sources["directory"]["collections"]).items()
        },
        "journal": AUDIT_CAPABILITIES,
        "caller": {"person": PERSON_CAPABILITIES, "key": KEY_CAPABILITIES},
        "access": ACCESS_CAPABILITIES,
    }


def internal() -> Mapping[str, Capabilities]:
    with TemporaryDirectory() as folder:
        seed(f"sqlite:///{folder}/internal.sqlite", 0.01)
        result = reflect_sqlite_tables(Path(folder) / "internal.sqlite")
    return {name: stock.capabilities for name, stock in sorted(result.items())}


def warehouse() -> Mapping[str, Capabilities]:
    columns = [
        (table.upper(), name.upper(), *SNOWFLAKE_TYPES[kind])
        for table, kinds in acme.WAREHOUSE.items()
        for name, kind in kinds.items()
    ]
    return {name: item.capabilities for name, item in build_snowflake_tables(columns).items()}
