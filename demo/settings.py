"""Where the demo's parts are to the text of its onedoor.toml; secrets are named, never written."""

import json
from collections.abc import Mapping
from pathlib import Path

from demo.azure.seed import BLOB_ACCOUNT, CONTAINER, FILES_ACCOUNT, SHARE
from demo.directory import settings as directory
from demo.drive.account import service_account
from demo.s3 import BUCKET, REGION
from demo.serving import HOST
from demo.shelf import PATTERN, SHELF
from demo.snowflake import DATABASE, SCHEMA
from demo.world.documents import subject

SECRETS: Mapping[str, str] = {
    "SNOWFLAKE_PASSWORD": "acme-snowflake",
    "S3_ACCESS_KEY": "acme-s3",
    "S3_SECRET_KEY": "acme-s3-secret",
    "SLACK_TOKEN": "xoxb-acme-demo",
    "AZURE_FILES_KEY": "QWNtZSdzIGRlbW8gb2YgQXp1cmUgRmlsZXMsIHdoaWNoIGhvbGRzIG5vdGhpbmcgdGhhdCBpcyByZWFsIC4uLg==",
    "AZURE_BLOB_KEY": "QWNtZSdzIGRlbW8gb2YgQXp1cmUgQmxvYiBTdG9yYWdlLCB3aGljaCBob2xkcyBub3RoaW5nIHJlYWwgLi4uLg==",
    "DRIVE_KEY": service_account(),
    "PROMETHEUS_TOKEN": "acme-prometheus",
    "DATADOG_API_KEY": "acme-datadog-api",
    "DATADOG_APP_KEY": "acme-datadog-app",
    "GITHUB_AUTHORIZATION": "Bearer github_pat_acme_demo",
    **directory.SECRETS,
}
"""What the demo's own servers accept; they hold nothing real."""
INTERNAL_URL = "INTERNAL_URL"
GITHUB = Path(__file__).parent / "github" / "collections.toml"
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
writable = ["customer", "orders", "order_item", "product", "deployment"]
versions.deployment = "revision"

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
writable.usage_day = ["customer_id", "day"]
writable.revenue_month = ["customer_id", "month"]

[sources.s3]
kind = "s3"
endpoint = {s3}
bucket = {bucket}
pattern = "customers/{{customer_id:int}}/{{kind}}/{{name}}"
access_key = {{ env = "S3_ACCESS_KEY" }}
secret_key = {{ env = "S3_SECRET_KEY" }}
region = {region}
writable = true

[sources.folder]
kind = "folder"
path = {shelf}
pattern = {shelf_pattern}
writable = true

[sources.slack]
kind = "slack"
base_url = {slack}
token = {{ env = "SLACK_TOKEN" }}
channel_pattern = "cust-{{customer_id:int}}-{{slug}}"
writable = true

# the demo's Slack takes any number of calls; a real one is asked as often as its tiers grant
[sources.slack.quota]
"chat.delete" = 0
"chat.postMessage" = 0
"chat.update" = 0
"conversations.history" = 0
"conversations.list" = 0
"conversations.replies" = 0
"search.messages" = 0
"users.info" = 0
"users.list" = 0
"users.lookupByEmail" = 0

[sources.azure_files]
kind = "azure_files"
base_url = {azure_files}
private_addresses = true
account = {azure_files_account}
share = {share}
pattern = "customers/{{customer_id:int}}/{{kind}}/{{name}}"
access_key = {{ env = "AZURE_FILES_KEY" }}
writable = true

[sources.azure_blob]
kind = "azure_blob"
base_url = {azure_blob}
private_addresses = true
account = {azure_blob_account}
container = {container}
pattern = "customers/{{customer_id:int}}/{{kind}}/{{name}}"
access_key = {{ env = "AZURE_BLOB_KEY" }}
writable = true

[sources.drive]
kind = "drive"
endpoint = {drive}
service_account_key = {{ env = "DRIVE_KEY" }}
subject = {drive_subject}
scope = "https://www.googleapis.com/auth/drive"
writable = true
pattern = "Customers/{{customer_id:int}} {{called}}/{{kind}}/{{name}}"

[sources.drive.quota]
queries = 0

[sources.prometheus]
kind = "prometheus"
base_url = {prometheus}
token = {{ env = "PROMETHEUS_TOKEN" }}
private_addresses = true

# the share of requests that failed in the time that began at `time`
[sources.prometheus.collections.error_rate]
query = {error_rate}
labels = ["service", "environment"]
windows = ["5m", "1h", "1d"]

[sources.prometheus.collections.request_rate]
query = {request_rate}
labels = ["service", "environment"]
steps = ["1h", "1d"]
history = "7d"

[sources.datadog]
kind = "datadog"
base_url = {datadog}
api_key = {{ env = "DATADOG_API_KEY" }}
app_key = {{ env = "DATADOG_APP_KEY" }}
tags = ["service", "env", "customer_id:int"]
health = "customer_id"
days = 1000
private_addresses = true

[sources.datadog.metrics]
requests = "sum:acme.requests{{*}} by {{service,env}}.rollup(sum, 86400)"
errors = "sum:acme.errors{{*}} by {{service,env}}.rollup(sum, 86400)"

[sources.datadog.quota]
events = 0
logs = 0
metrics = 0
monitors = 0

[sources.github]
kind = "rest"
base_url = {github}
described = {github_collections}
headers.authorization = {{ env = "GITHUB_AUTHORIZATION" }}
redirects = [{host}]
private_addresses = true
writable = true
"""
PLACE = "by (service, environment)"
FAILED = 'rate(http_requests_total{code=~"5..",{selectors}}[{window}] offset -{window})'
ALL = "rate(http_requests_total{{selectors}}[{window}] offset -{window})"
ERROR_RATE = f"sum {PLACE} ({FAILED}) / sum {PLACE} ({ALL})"
REQUEST_RATE = f"sum {PLACE} (rate(http_requests_total{{{{selectors}}}}[5m]))"


def settings(*, folder: Path, port: int, addresses: Mapping[str, tuple[str, int]], internal: str | None = None) -> str:
    """`addresses` holds those of demo.servers.NAMES; `internal` is IN_POSTGRESQL, or None for the file in `folder`."""
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
        "azure_files": f"{url(addresses['azure'])}/{FILES_ACCOUNT}",
        "azure_files_account": FILES_ACCOUNT,
        "share": SHARE,
        "azure_blob": f"{url(addresses['azure'])}/{BLOB_ACCOUNT}",
        "azure_blob_account": BLOB_ACCOUNT,
        "container": CONTAINER,
        "drive": url(addresses["drive"]),
        "drive_subject": subject(),
        "prometheus": url(addresses["prometheus"]),
        "error_rate": ERROR_RATE,
        "request_rate": REQUEST_RATE,
        "datadog": url(addresses["datadog"]),
        "github": url(addresses["github"]),
        "github_collections": str(GITHUB),
    }
    written = TEMPLATE.format(
        internal=internal or in_sqlite(folder), **{name: quoted(value) for name, value in values.items()}
    )
    return written + directory.section(url(addresses["directory"]))


def in_sqlite(folder: Path) -> str:
    return f'kind = "sqlite"\npath = {quoted(str(folder / INTERNAL_FILE))}'


def url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


def quoted(value: str | int) -> str:
    """TOML's form of a text or a whole number, which is JSON's."""
    return json.dumps(value, ensure_ascii=False)
