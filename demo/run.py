"""Write what the demo's company is started with: its settings, its people and their keys, and load its app."""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from string import Template
from typing import Any

from auth import api_keys, users
from auth.groups import EVERYONE
from demo.data.files import FOLDER_NAME, FOLDER_PATTERN, get_drive_subject
from demo.data.operations import employees
from demo.servers import directory
from demo.servers.azure.app import BLOB_ACCOUNT, CONTAINER, FILES_ACCOUNT, SHARE
from demo.servers.drive.auth import build_service_account
from demo.servers.run import HOST
from demo.servers.s3 import BUCKET, REGION
from demo.servers.snowflake.account import DATABASE, SCHEMA
from onedoor.audit.statements import generate_private_key
from onedoor.storage.database import MetadataDatabase

SECRETS: Mapping[str, str] = {
    "SNOWFLAKE_PASSWORD": "acme-snowflake",
    "SNOWFLAKE_TOKEN": "acme-snowflake-oauth",
    "S3_ACCESS_KEY": "acme-s3",
    "S3_SECRET_KEY": "acme-s3-secret",
    "SLACK_TOKEN": "xoxb-acme-demo",
    "AZURE_FILES_KEY": "QWNtZSdzIGRlbW8gb2YgQXp1cmUgRmlsZXMsIHdoaWNoIGhvbGRzIG5vdGhpbmcgdGhhdCBpcyByZWFsIC4uLg==",
    "AZURE_BLOB_KEY": "QWNtZSdzIGRlbW8gb2YgQXp1cmUgQmxvYiBTdG9yYWdlLCB3aGljaCBob2xkcyBub3RoaW5nIHJlYWwgLi4uLg==",
    "DRIVE_KEY": build_service_account(),
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

TEMPLATE = Template((Path(__file__).parent / "onedoor.toml").read_text(encoding="utf-8"))

PLACE = "by (service, environment)"

FAILED = 'rate(http_requests_total{code=~"5..",{selectors}}[{window}] offset -{window})'

ALL = "rate(http_requests_total{{selectors}}[{window}] offset -{window})"

ERROR_RATE = f"sum {PLACE} ({FAILED}) / sum {PLACE} ({ALL})"

REQUEST_RATE = f"sum {PLACE} (rate(http_requests_total{{{{selectors}}}}[5m]))"


def settings(*, folder: Path, port: int, addresses: Mapping[str, tuple[str, int]], internal: str | None = None) -> str:
    """Return the settings file; `internal` is IN_POSTGRESQL, or None for the SQLite file in `folder`."""
    snowflake_host, snowflake_port = addresses["snowflake"]
    values: dict[str, str | int] = {
        "host": HOST,
        "port": port,
        "state": f"sqlite:///{folder}/state.sqlite",
        "records": str(folder / "records"),
        "checkpoints": str(folder / "checkpoints"),
        "snowflake_host": snowflake_host,
        "snowflake_port": snowflake_port,
        "database": DATABASE,
        "schema": SCHEMA,
        "s3": build_url(addresses["s3"]),
        "bucket": BUCKET,
        "region": REGION,
        "folder": str(folder / FOLDER_NAME),
        "folder_pattern": FOLDER_PATTERN,
        "slack": f"{build_url(addresses['slack'])}/api/",
        "azure_files": f"{build_url(addresses['azure'])}/{FILES_ACCOUNT}",
        "azure_files_account": FILES_ACCOUNT,
        "share": SHARE,
        "azure_blob": f"{build_url(addresses['azure'])}/{BLOB_ACCOUNT}",
        "azure_blob_account": BLOB_ACCOUNT,
        "container": CONTAINER,
        "drive": build_url(addresses["drive"]),
        "drive_subject": get_drive_subject(),
        "prometheus": build_url(addresses["prometheus"]),
        "error_rate": ERROR_RATE,
        "request_rate": REQUEST_RATE,
        "datadog": build_url(addresses["datadog"]),
        "github": build_url(addresses["github"]),
        "github_collections": str(GITHUB),
    }
    written = TEMPLATE.substitute(
        internal=internal or build_sqlite_source(folder), **{name: format_toml(value) for name, value in values.items()}
    )
    company_settings = COMPANY_SETTINGS.read_text(encoding="utf-8")
    return f"{written}{directory.build_settings(build_url(addresses['directory']))}\n{company_settings}"


def build_sqlite_source(folder: Path) -> str:
    return f'kind = "sqlite"\npath = {format_toml(str(folder / INTERNAL_FILE))}'


def build_url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


def format_toml(value: str | int) -> str:
    """Return a text or an integer as TOML writes it, which is how JSON does."""
    return json.dumps(value, ensure_ascii=False)


def load_app() -> Any:
    """Return the app that Acme's app.py makes; each process calls it."""
    spec = spec_from_file_location("app", COMPANY / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone in a group and in `everyone`, with a question worth asking: an employee of Acme, or of a vendor."""

    group: str
    first_name: str
    last_name: str
    email: str
    question: str
    other_groups: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


EMPLOYEE_NUMBERS = {
    "everyone": 9,
    "sales": 2,
    "marketing": 3,
    "finance": 4,
    "people": 5,
    "engineering": 6,
    "support": 7,
    "audit": 8,
    "user-administration": 10,
    "access-review": 11,
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
    "user-administration": "{ me { firstName groups key { expiresAt } } }",
    "access-review": '{ simulate(query: "{ customers { nodes { name creditLimit } } }", groups: ["sales"])'
    " { allowed fields { nodes { path allowed missing remedy } } } }",
}

OTHER_GROUPS = {"access-review": ("finance",)}
"""By group of a person, the others they are in: who decides on access to `finance` is in it, too."""

EMPLOYEES = employees(max(EMPLOYEE_NUMBERS.values()))

VENDORS_PERSON = Person(
    group="vendor",
    first_name="Vera",
    last_name="Kestrel",
    email="vera@kestrel.example",
    question="{ customers(first: 5) { totalCount nodes { name country orders(first: 2) { nodes { status total } } } }"
    " orders { totalCount } }",
    attributes={"vendor": ("kestrel",)},
)
"""Sees the customers that the vendor `kestrel` looks after, and their orders."""

PEOPLE = (
    *(
        Person(
            group=group,
            first_name=row[1],
            last_name=row[2],
            email=row[3],
            question=QUESTIONS[group],
            other_groups=OTHER_GROUPS.get(group, ()),
        )
        for group, row in ((group, EMPLOYEES[number - 1]) for group, number in EMPLOYEE_NUMBERS.items())
    ),
    VENDORS_PERSON,
)


def keys(state: MetadataDatabase) -> Mapping[str, str]:
    """Create the demo's people where they are missing, and return each group's key, the same at every start."""
    known = {person.email for person in users.list_users(state)}
    for person in PEOPLE:
        if person.email not in known:
            users.create_user(
                state,
                first_name=person.first_name,
                last_name=person.last_name,
                email=person.email,
                attributes=person.attributes,
            )
        groups = {person.group, *person.other_groups} - {EVERYONE}
        users.join_group(state, person.email, *sorted(groups))
    for other in list_other_keys(state):
        api_keys.revoke_key(state, other)
    return {person.group: api_keys.create_demo_key(state, person.email, person.group).text for person in PEOPLE}


def list_other_keys(state: MetadataDatabase) -> Iterator[str]:
    """Yield the keys that the demo's people were given since: each has one key, and the demo's is shown again."""
    emails = {person.email for person in PEOPLE}
    return (held.id for held in api_keys.list_keys(state) if held.email in emails and held.revoked_at is None)


class Unusable(Exception):
    """The port or the folder cannot be used; the message says why, and what would do."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create the folder if it is missing, and lock it until the end of this process. Raises Unusable."""
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


def load_pepper(folder: Path) -> str:
    """Return the folder's secret, made at its first start, so that each start prints the same keys."""
    return load_secret(folder / "pepper", partial(secrets.token_hex, 32))


def load_checkpoint_key(folder: Path) -> str:
    """Return the folder's key that seals the audit log, made at its first start."""
    return load_secret(folder / "checkpoint_key", generate_private_key)


def load_secret(path: Path, generate: Callable[[], str]) -> str:
    if not path.exists():
        write_private_file(path, generate())
    return path.read_text(encoding="ascii")


def write_private_file(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
