"""What the demo's sources promise of each collection, by the code that promises it; no server is asked."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.settings import settings
from demo.sql.seed import seed
from engine.words import Can, Kind
from resolvers.query import KEY, PERSON
from sources.folder import promise as of_folder
from sources.journal import CAN as RECORDS
from sources.patterns import compile_pattern
from sources.s3 import promise as of_s3
from sources.slack.channels import channels
from sources.slack.collection import promise as of_slack
from sources.slack.messages import MESSAGES, REPLIES
from sources.slack.users import USERS
from sources.snowflake.tables import tables
from sources.sql.sqlite import reflected
from tests import acme

PLACES = dict.fromkeys(("s3", "slack", "snowflake"), ("127.0.0.1", 1))
SNOWFLAKE_TYPES = {Kind.INTEGER: ("NUMBER", 38, 0), Kind.DECIMAL: ("NUMBER", 12, 2), Kind.DATE: ("DATE", None, None)}


def demo_promises() -> Mapping[str, Mapping[str, Can]]:
    """By source, then by collection."""
    said = tomllib.loads(settings(folder=Path("."), port=0, addresses=PLACES))["sources"]
    rooms = channels(compile_pattern(said["slack"]["channel_pattern"]))
    slack = {"users": USERS, "channels": rooms, "messages": MESSAGES, "replies": REPLIES}
    return {
        "internal (sqlite)": internal(),
        "snowflake": warehouse(),
        "s3": {"files": of_s3(compile_pattern(said["s3"]["pattern"]))},
        "folder": {"files": of_folder(compile_pattern(said["folder"]["pattern"]))},
        "slack": {name: of_slack(each) for name, each in slack.items()},
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
