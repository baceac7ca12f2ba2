"""`python -m demo`."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from auth import users
from auth.policy import EVERYONE
from demo.data.business import HEADS, employees
from demo.data.files import PATTERN, SHELF, subject
from demo.servers import directory
from demo.servers.azure.app import BLOB_ACCOUNT, CONTAINER, FILES_ACCOUNT, SHARE
from demo.servers.drive.auth import service_account
from demo.servers.run import HOST
from demo.servers.s3 import BUCKET, REGION
from demo.servers.snowflake import DATABASE, SCHEMA
from onedoor.storage.database import MetadataDatabase

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

COMPANY = Path(__file__).parents[1]

COMPANY_SETTINGS = COMPANY / "onedoor.toml"
"""What holds for Acme wherever it runs; the demo adds addresses."""

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
    return f"{written}{directory.section(url(addresses['directory']))}\n{COMPANY_SETTINGS.read_text(encoding='utf-8')}"


def in_sqlite(folder: Path) -> str:
    return f'kind = "sqlite"\npath = {quoted(str(folder / INTERNAL_FILE))}'


def url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


def quoted(value: str | int) -> str:
    """TOML's form of a text or a whole number, which is JSON's."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An employee of Acme in one group (and in `everyone`), with a question worth asking as that group."""

    group: str
    first_name: str
    last_name: str
    email: str
    question: str


DEPARTMENT_HEADS = {
    "everyone": 9,
    "sales": 2,
    "marketing": 3,
    "finance": 4,
    "people": 5,
    "engineering": 6,
    "support": 7,
    "audit": 8,
}

QUESTIONS = {
    "everyone": "{ me { firstName groups } employees(first: 5) { nodes { fullName title manager { fullName }"
    " desk { label site { city } } } } }",
    "sales": "{ customers(where: {segment: {eq: ENTERPRISE}}, first: 5) { nodes { name channel { name }"
    " revenue(first: 3) { nodes { month revenue } } } } }",
    "marketing": "{ customers(first: 5) { nodes { name country usage(first: 3) { nodes { day activeUsers } } } } }",
    "finance": "{ orders(where: {status: {eq: REFUNDED}}, orderBy: [{total: DESC}], first: 5)"
    " { nodes { id total customer { name creditLimit files(first: 3) { nodes { name size } } } } } }",
    "people": "{ employees(orderBy: [{salary: DESC}], first: 5) { nodes { fullName salary slackUser { name } } } }",
    "engineering": "{ deployments(where: {status: {ne: SUCCEEDED}}, orderBy: [{startedAt: DESC}], first: 5)"
    " { nodes { service version author { fullName } announcements { nodes { text replies { nodes { text } } } } } } }",
    "support": "{ customer(id: 20) { name phone channel { messages(first: 3) { nodes { text } } }"
    " orders(orderBy: [{placedAt: DESC}], first: 3) { nodes { status note items { nodes { product { name } } } } } } }",
    "audit": "{ me { firstName groups key { expiresAt } } employees(first: 3) { nodes { fullName salary } } }",
}

PEOPLE = tuple(
    Person(group=group, first_name=row[1], last_name=row[2], email=row[3], question=QUESTIONS[group])
    for group, row in ((group, employees(HEADS)[number - 1]) for group, number in DEPARTMENT_HEADS.items())
)


def keys(state: MetadataDatabase) -> Mapping[str, str]:
    """Each group's key, the same at every start; people who are missing are made. Raises Mistake."""
    known = {person.email for person in users.list_users(state)}
    for person in PEOPLE:
        if person.email not in known:
            users.create_user(state, first_name=person.first_name, last_name=person.last_name, email=person.email)
        if person.group != EVERYONE:
            users.join_group(state, person.email, person.group)
    for other in other_keys(state):
        users.revoke_key(state, other)
    return {person.group: users.create_demo_key(state, person.email, person.group).text for person in PEOPLE}


def other_keys(state: MetadataDatabase) -> Iterator[str]:
    """Keys that the demo's people were given since: a person has one key, and the demo's is shown again."""
    emails = {person.email for person in PEOPLE}
    return (held.id for held in users.list_keys(state) if held.email in emails and held.revoked_at is None)


class Unusable(Exception):
    """The port or the folder cannot be used; the message says why, and what would do."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Made where it is missing, then ours until the end, or until this process dies. Raises Unusable."""
    try:
        (folder / "records").mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as reason:
        raise Unusable(f"`{folder}` cannot be written to: {reason.strerror}; choose another `--folder`") from reason
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as reason:
            raise Unusable(f"another demo runs in `{folder}`; stop it, or choose another `--folder`") from reason
        yield


def pepper(folder: Path) -> str:
    """The folder's secret, made at its first start: it is why each start prints the same keys."""
    path = folder / "pepper"
    if not path.exists():
        keep(path, secrets.token_hex(32))
    return path.read_text(encoding="ascii")


def keep(path: Path, text: str) -> None:
    """For our eyes only, and whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
