"""Where the demo's parts are to the text of its onedoor.toml; secrets are named, never written."""

import json
from collections.abc import Mapping
from pathlib import Path

from demo.s3 import BUCKET, REGION
from demo.serving import HOST
from demo.shelf import PATTERN, SHELF
from demo.snowflake import DATABASE, SCHEMA

SECRETS: Mapping[str, str] = {
    "SNOWFLAKE_PASSWORD": "acme-snowflake",
    "S3_ACCESS_KEY": "acme-s3",
    "S3_SECRET_KEY": "acme-s3-secret",
    "SLACK_TOKEN": "xoxb-acme-demo",
}
"""What the demo's own servers accept; they hold nothing real."""
INTERNAL_URL = "INTERNAL_URL"
INTERNAL_FILE = "internal.sqlite"
IN_POSTGRESQL = f'kind = "postgresql"\nurl = {{ env = "{INTERNAL_URL}" }}'
TEMPLATE = """\
[server]
host = {host}
port = {port}
sql_shown_to = ["engineering"]

[state]
url = {state}

[records]
folder = {records}

[sources.internal]
{internal}

[sources.snowflake]
kind = "snowflake"
host = {snowflake_host}
port = {snowflake_port}
protocol = "http"
account = "acme"
user = "demo"
password = {{ env = "SNOWFLAKE_PASSWORD" }}
database = {database}
schema = {schema}
timeout = 1.0

[sources.s3]
kind = "s3"
endpoint = {s3}
bucket = {bucket}
pattern = "customers/{{customer_id:int}}/{{kind}}/{{name}}"
access_key = {{ env = "S3_ACCESS_KEY" }}
secret_key = {{ env = "S3_SECRET_KEY" }}
region = {region}

[sources.folder]
kind = "folder"
path = {shelf}
pattern = {shelf_pattern}

[sources.slack]
kind = "slack"
base_url = {slack}
token = {{ env = "SLACK_TOKEN" }}
channel_pattern = "cust-{{customer_id:int}}-{{slug}}"

# the demo's Slack takes any number of calls; a real one is asked as often as its tiers grant
[sources.slack.quota]
"conversations.history" = 0
"conversations.list" = 0
"conversations.replies" = 0
"search.messages" = 0
"users.info" = 0
"users.list" = 0
"users.lookupByEmail" = 0
"""


def settings(*, folder: Path, port: int, addresses: Mapping[str, tuple[str, int]], internal: str | None = None) -> str:
    """`addresses` holds s3, slack and snowflake; `internal` is IN_POSTGRESQL, or None for the file in `folder`."""
    snowflake_host, snowflake_port = addresses["snowflake"]
    values: dict[str, str | int] = {
        "host": HOST,
        "port": port,
        "state": f"sqlite:///{folder}/state.sqlite",
        "records": str(folder / "records"),
        "snowflake_host": snowflake_host,
        "snowflake_port": snowflake_port,
        "database": DATABASE,
        "schema": SCHEMA,
        "s3": url(addresses["s3"]),
        "bucket": BUCKET,
        "region": REGION,
        "shelf": str(folder / SHELF),
        "shelf_pattern": PATTERN,
        "slack": f"{url(addresses['slack'])}/api/",
    }
    return TEMPLATE.format(
        internal=internal or in_sqlite(folder), **{name: quoted(value) for name, value in values.items()}
    )


def in_sqlite(folder: Path) -> str:
    return f'kind = "sqlite"\npath = {quoted(str(folder / INTERNAL_FILE))}'


def url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


def quoted(value: str | int) -> str:
    """TOML's form of a text or a whole number, which is JSON's."""
    return json.dumps(value, ensure_ascii=False)
