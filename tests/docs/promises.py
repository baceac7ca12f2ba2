"""What the demo's sources promise of each collection, by the code that promises it; no server is asked."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.servers import NAMES
from demo.settings import settings
from demo.sql.seed import seed
from engine.words import Can, Kind
from resolvers.query import KEY, PERSON
from sources.azure.collection import files as of_files
from sources.azure.files import promises as of_share
from sources.content.content import CANS
from sources.drive import columns as drive
from sources.drive.hits import CANS as DRIVE_SEARCHES
from sources.drive.permissions import CAN as DRIVE_PERMISSIONS
from sources.folder import promise as of_folder
from sources.graphql.collection import promise as of_graphql
from sources.graphql.declared import collections as of_directory
from sources.journal import CAN as RECORDS
from sources.patterns import compile_pattern
from sources.prometheus.collection import promise as of_prometheus
from sources.prometheus.declared import collections
from sources.rest.collection import promise as of_rest
from sources.s3 import promise as of_s3
from sources.slack.channels import channels
from sources.slack.collection import promise as of_slack
from sources.slack.messages import MESSAGES, REPLIES
from sources.slack.users import USERS
from sources.snowflake.tables import tables
from sources.sql.sqlite import reflected
from tests import acme, watched

PLACES = dict.fromkeys(NAMES, ("127.0.0.1", 1))
SNOWFLAKE_TYPES = {Kind.INTEGER: ("NUMBER", 38, 0), Kind.DECIMAL: ("NUMBER", 12, 2), Kind.DATE: ("DATE", None, None)}


def demo_promises() -> Mapping[str, Mapping[str, Can]]:
    """By source, then by collection."""
    said = tomllib.loads(settings(folder=Path("."), port=0, addresses=PLACES))["sources"]
    rooms = channels(compile_pattern(said["slack"]["channel_pattern"]))
    slack = {"users": USERS, "channels": rooms, "messages": MESSAGES, "replies": REPLIES}
    return {
        "internal (sqlite)": internal(),
        "snowflake": warehouse(),
        "s3": {"files": of_s3(compile_pattern(said["s3"]["pattern"])), **CANS},
        "folder": {"files": of_folder(compile_pattern(said["folder"]["pattern"])), **CANS},
        "slack": {name: of_slack(each) for name, each in slack.items()},
        "azure_files": {**of_share(compile_pattern(said["azure_files"]["pattern"])), **CANS},
        "azure_blob": {"files": of_files(compile_pattern(said["azure_blob"]["pattern"])), **CANS},
        "drive": {
            "files": drive.of_files(compile_pattern(said["drive"]["pattern"])),
            "folders": drive.of_folders(),
            "permissions": DRIVE_PERMISSIONS,
            **DRIVE_SEARCHES,
            **CANS,
        },
        "prometheus": {
            name: of_prometheus(each) for name, each in collections(said["prometheus"]["collections"]).items()
        },
        "datadog": watched.datadog_promises(),
        "github": {name: of_rest(each) for name, each in acme.github_declared().items()},
        "directory (graphql)": {
            name: of_graphql(each) for name, each in of_directory(said["directory"]["collections"]).items()
        },
        "journal": {"requests": RECORDS},
        "caller": {"person": PERSON, "key": KEY},
    }


def internal() -> Mapping[str, Can]:
    with TemporaryDirectory() as folder:
        seed(f"sqlite:///{folder}/internal.sqlite", 0.01)
        found = reflected(Path(folder) / "internal.sqlite")
    return {name: stock.can for name, stock in sorted(found.items())}


def warehouse() -> Mapping[str, Can]:
    columns = [
        (table.upper(), name.upper(), *SNOWFLAKE_TYPES[kind])
        for table, kinds in acme.WAREHOUSE.items()
        for name, kind in kinds.items()
    ]
    return {name: each.can for name, each in tables(columns).items()}
