"""Open the connectors under contract: each is a line in SOURCES and a function that opens it over its server."""

import tomllib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.blob import BlobServiceClient, ContentSettings

from demo.data import files as data_files
from demo.data.files import FOLDER_PATTERN, get_drive_subject, write_folder
from demo.run import GITHUB as COLLECTIONS
from demo.run import SECRETS
from demo.servers.azure.app import BLOB_ACCOUNT, CONTAINER, FILES_ACCOUNT, SHARE
from demo.servers.directory import build_settings
from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import RunningServers, address
from demo.servers.s3 import BUCKET
from onedoor.audit.log import open_audit_log
from onedoor.audit.record import AuditedChange, AuditOutcome, AuditRecord, build_record_id, format_timestamp
from onedoor.connectors.audit_log import AuditLogConnector
from onedoor.connectors.azure import connector as azure_connector
from onedoor.connectors.datadog import connector as datadog_connector
from onedoor.connectors.drive import connector as drive_connector
from onedoor.connectors.files import folder, s3
from onedoor.connectors.graphql import connector as graphql_connector
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.principal import build_principal_connector
from onedoor.connectors.prometheus import connector as prometheus_connector
from onedoor.connectors.rest import connector as rest_connector
from onedoor.connectors.slack import connector as slack_connector
from onedoor.connectors.snowflake import connector
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.connectors.sql import mysql, postgresql, sqlite
from onedoor.model.catalog import Limits
from onedoor.model.constant_columns import ConstantColumns
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import Connector, SpillTable
from onedoor.spi.predicates import And, Exists, Row
from onedoor.spi.scan import AggregateFunction, KeyFilter, ScanRequest, TimeUnit
from tests import acme
from tests.contract import change_history, time_series
from tests.contract.scan_requests import HOSTILE, CollectionFacts
from tests.contract.tables import TABLES, into_mysql, into_postgresql, into_snowflake, into_sqlite
from tests.jobs import stored_jobs
from tests.servers.graphql import Service
from tests.servers.mariadb import MariadbServer
from tests.servers.prometheus_twin import twin_server
from tests.servers.rest import Api, serve_app
from tests.servers.snowflake import LOGGED_IN

SCHEMA = "CONTRACT"
AZURE_PATTERN = "customers/{customer_id:int}/{kind}/{name}"
ANY = And(())
AGGREGATES = {kind: frozenset(AggregateFunction) - {AggregateFunction.SUM} for kind in ColumnType} | {
    kind: frozenset(AggregateFunction) for kind in (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.FLOAT)
}
LINKS: Mapping[str, tuple[Exists, ...]] = {
    "thing": (
        Exists("part", ("id",), ("thing_id",), ANY),
        Exists("thing", ("parent_id",), ("id",), ANY),
        Exists("part", ("id", "name"), ("thing_id", "label"), ANY),
        Exists("empty", ("id",), ("id",), ANY),
    ),
    "part": (Exists("thing", ("thing_id",), ("id",), ANY), Exists("part", ("label",), ("label",), ANY)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the tests know about a collection: its key, and its rows where the tests have put them there.

    `through` names the collection and columns whose values are the keys that every scan must carry; `more` are further
    keys that mean something.
    """

    key: tuple[str, ...] = ("id",)
    rows: tuple[Row, ...] | None = None
    through: tuple[str, tuple[str, ...]] | None = None
    more: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedConnector:
    """An open connector and its collections. `most`: how many requests of one law it is fast enough for."""

    source: Connector
    expected: Mapping[str, Expected]
    most: int = 100
    name: str = ""
    facts: dict[str, CollectionFacts] = field(default_factory=dict)


OWN_TABLES = {name: Expected(key=table.key, rows=tuple(table.rows)) for name, table in TABLES.items()}
FILES = {"files": Expected()}
CHAT = {
    "users": Expected(),
    "channels": Expected(),
    "messages": Expected(key=("channel_id", "ts")),
    "replies": Expected(key=("channel_id", "ts"), through=("messages", ("channel_id", "ts"))),
}

TEXTS = tuple((text,) for text in HOSTILE[ColumnType.TEXT])
DRIVE = {
    "files": Expected(),
    "folders": Expected(),
    "permissions": Expected(key=("file_id", "id"), through=("files", ("id",))),
    "searches": Expected(key=("text",), through=("files", ("name",)), more=TEXTS),
    "hits": Expected(key=("text", "file_id"), through=("files", ("name",)), more=TEXTS),
}


WATCHED = {
    "monitors": Expected(),
    "health": Expected(key=("customer_id",)),
    "events": Expected(),
    "logs": Expected(),
    "metrics": Expected(key=("metric", "service", "env", "time")),
}


def with_all_capabilities(can: Capabilities) -> Capabilities:
    """Declare everything that a collection can do."""
    columns = {name: replace(column, aggregates=AGGREGATES[column.type]) for name, column in can.columns.items()}
    return replace(
        can, columns=columns, max_in_filter_keys=1000, time_buckets=frozenset(TimeUnit), group_ordering_and_limit=True
    )


@asynccontextmanager
async def in_memory(_: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    kinds = {name: table.columns for name, table in TABLES.items()}
    collections = {
        name: MemoryCollection(
            capabilities=with_all_capabilities(acme.sql(kinds[name], acme.FOLDED, 1000)), rows=table.rows
        )
        for name, table in TABLES.items()
    }
    yield OpenedConnector(source=MemoryConnector(collections), expected=OWN_TABLES)


class SpillTables:
    """Serves spill tables by name as a connector."""

    def __init__(self, cans: Mapping[str, Capabilities], tables: Mapping[str, SpillTable]) -> None:
        self.cans = cans
        self.tables = tables

    def capabilities(self, collection: str) -> Capabilities:
        return self.cans[collection]

    def scan(self, scan_request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        return self.tables[scan_request.collection].scan(scan_request)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        for table in self.tables.values():
            await table.close()


@asynccontextmanager
async def in_scratch(_: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    scratches = SpillTableFactory(Limits())
    cans = {
        name: replace(
            with_all_capabilities(acme.sql(table.columns, acme.FOLDED, 1000)), exists_filters=False, joins=False
        )
        for name, table in TABLES.items()
    }
    tables = {name: scratches(table.columns) for name, table in TABLES.items()}
    for name, table in TABLES.items():
        await tables[name].append_rows(table.rows)
    yield OpenedConnector(source=SpillTables(cans, tables), expected=OWN_TABLES, most=100)


@asynccontextmanager
async def in_sqlite(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    path = request.getfixturevalue("sqlite_tables")
    yield OpenedConnector(source=await sqlite.connect(sqlite.SqliteOptions(path=str(path))), expected=OWN_TABLES)


@asynccontextmanager
async def in_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    url = request.getfixturevalue("postgresql_tables")
    yield OpenedConnector(source=await postgresql.connect(postgresql.PostgresqlOptions(url=url)), expected=OWN_TABLES)


@asynccontextmanager
async def in_mysql(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    url = request.getfixturevalue("mysql_tables")
    yield OpenedConnector(source=await mysql.connect(mysql.MysqlOptions(url=url)), expected=OWN_TABLES)


@asynccontextmanager
async def in_snowflake(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = request.getfixturevalue("snowflake_tables")
    options = SnowflakeOptions(host=host, port=port, **LOGGED_IN, database="ACME", schema=SCHEMA)
    yield OpenedConnector(source=await connector.connect(options), expected=OWN_TABLES, most=25)


@asynccontextmanager
async def in_s3(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "s3")
    options = s3.S3Options(
        endpoint=f"http://{host}:{port}", bucket=BUCKET, pattern="customers/{customer_id:int}/{kind}/{name}",
        access_key=SECRETS["S3_ACCESS_KEY"], secret_key=SECRETS["S3_SECRET_KEY"],
    )  # fmt: skip
    yield OpenedConnector(source=await s3.connect(options), expected=FILES)


@asynccontextmanager
async def in_folder(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    path = write_folder(new_folder(request), acme.SCALE)
    options = folder.FolderOptions(path=path, pattern=FOLDER_PATTERN)
    yield OpenedConnector(source=await folder.connect(options), expected=FILES)


@asynccontextmanager
async def with_constants(_: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    """Open tables in memory, each with a constant column that none of them stores."""
    async with in_memory(_) as opened_connector:
        fixed = {name: {"store": name.upper()} for name in TABLES}
        expected = {
            name: replace(own_table, key=("store", *own_table.key), rows=None) for name, own_table in OWN_TABLES.items()
        }
        yield OpenedConnector(source=ConstantColumns(opened_connector.source, fixed), expected=expected)


@asynccontextmanager
async def in_slack(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "slack")
    options = slack_connector.SlackOptions(
        base_url=f"http://{host}:{port}/api/", token=SECRETS["SLACK_TOKEN"],
        channel_pattern="cust-{customer_id:int}-{slug}",
    )  # fmt: skip
    yield OpenedConnector(source=await slack_connector.connect(options), expected=CHAT)


@asynccontextmanager
async def in_drive(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "drive")
    options = drive_connector.DriveOptions(
        endpoint=f"http://{host}:{port}", service_account_key=SECRETS["DRIVE_KEY"], subject=get_drive_subject(),
        pattern="Customers/{customer_id:int} {called}/{kind}/{name}",
    )  # fmt: skip
    yield OpenedConnector(source=await drive_connector.connect(options), expected=DRIVE, most=100)


AUDIT_PARTS = {
    "field_uses": Expected(key=("request_id", "use", "coordinate")),
    "changes": Expected(key=("request_id", "change")),
}


@asynccontextmanager
async def in_audit_log(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    folder = new_folder(request)
    audit_log = open_audit_log(folder, acme.NOW)
    for number in range(3):
        at = acme.NOW + timedelta(microseconds=number)
        await audit_log.append(
            AuditRecord(
                id=build_record_id(at, bytes(9)), time=format_timestamp(at), surface="graphql",
                outcome=AuditOutcome.ANSWERED, status=200, person="P1" if number else None,
                groups=("everyone", "é")[:number], variables={"a": ["\ud800"]}, ms=0.5,
                fields=("Customer.id", "Customer.name")[:number],
                changes=tuple(AuditedChange(id=f"C{each}", type="Customer", row="r", verb="update", state="DONE")
                              for each in range(number)),
            )
        )  # fmt: skip
    audit_log.close()
    yield OpenedConnector(source=AuditLogConnector(folder), expected={"requests": Expected(), **AUDIT_PARTS})


@asynccontextmanager
async def of_the_caller(_: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    yield OpenedConnector(
        source=build_principal_connector(acme.caller("finance")), expected={"person": Expected(), "key": Expected()}
    )


@asynccontextmanager
async def of_changes(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    async with change_history.open_history(new_folder(request)) as source:
        yield OpenedConnector(
            source=source, expected={name: Expected(key=key) for name, key in change_history.KEYS.items()}
        )


def columns(name: str) -> dict[str, str]:
    return {column: str(kind) for column, kind in TABLES[name].columns.items()}


API: Mapping[str, Mapping[str, Any]] = {
    "thing": {
        "path": "/thing",
        "columns": columns("thing"),
        "keys": {"id": {"parameter": "id", "most": 100, "separator": ","}, "name": {"parameter": "name", "most": 100}},
        "filters": {"code": "code", "done": "done", "day": "day", "parent_id": "parent_id"},
        "order": {"parameter": "order_by", "columns": ["id", "code"], "separator": ","},
        "limit": {"parameter": "limit", "most": 2},
    },
    "part": {
        "path": "/turned/offset/part",
        "rows": "data.rows",
        "columns": columns("part"),
        "keys": {"thing_id": {"parameter": "thing_id", "most": 3, "separator": ","}, "label": {"parameter": "label"}},
        "paging": {"by": "offset", "parameter": "offset", "size_parameter": "size", "size": 3},
    },
    "empty": {
        "path": "/turned/cursor/empty",
        "rows": "data.rows",
        "columns": columns("empty"),
        "paging": {"by": "cursor", "parameter": "after", "next": "meta.next"},
    },
    "by_path": {
        "path": "/turned/link/thing",
        "rows": "data.rows",
        "columns": columns("thing"),
        "keys": {"id": {"path": "/thing/{id}", "rows": "row"}},
        "filters": {"name": "name"},
        "paging": {"by": "link"},
    },
    "by_page": {
        "path": "/turned/page/thing",
        "rows": "data.rows",
        "columns": columns("thing"),
        "keys": {"code": {"parameter": "code", "most": 1000}},
        "order": {"parameter": "order_by", "columns": ["id"]},
        "paging": {"by": "page", "parameter": "page", "size_parameter": "size", "size": 3},
    },
    "under": {
        "path": "/under/thing_id/{thing_id}/part",
        "columns": columns("part"),
        "keys": {"line": {}, "label": {"parameter": "label", "most": 2}},
        "filters": {"line": "line"},
    },
}


@asynccontextmanager
async def over_rest(_: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    tables = {
        name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for name, table in TABLES.items()
    }
    under = Expected(key=TABLES["part"].key, through=("part", ("thing_id",)))
    expected = {**OWN_TABLES, "by_path": OWN_TABLES["thing"], "by_page": OWN_TABLES["thing"], "under": under}
    async with serve_app(Api(tables)) as url:
        source = await rest_connector.connect(
            rest_connector.RestOptions(base_url=url, collections=API, private_addresses=True)
        )
        yield OpenedConnector(source=source, expected=expected, most=60)


@asynccontextmanager
async def in_azure_files(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "azure")
    options = azure_connector.AzureFilesOptions(
        account=FILES_ACCOUNT, share=SHARE, access_key=SECRETS["AZURE_FILES_KEY"], pattern=AZURE_PATTERN,
        base_url=f"http://{host}:{port}/{FILES_ACCOUNT}", private_addresses=True,
    )  # fmt: skip
    expected = {"files": Expected(), "directories": Expected(), "shares": Expected()}
    yield OpenedConnector(source=await azure_connector.connect_azure_files(options), expected=expected, most=100)


@asynccontextmanager
async def in_azure_blob(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "azure")
    yield OpenedConnector(source=await blobs(f"http://{host}:{port}/{BLOB_ACCOUNT}"), expected={"files": Expected()})


@asynccontextmanager
async def in_azurite(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    yield OpenedConnector(
        source=await blobs(request.getfixturevalue("azurite_exports")), expected={"files": Expected()}
    )


async def blobs(url: str) -> Connector:
    return await azure_connector.connect_azure_blob(
        azure_connector.AzureBlobOptions(
            account=BLOB_ACCOUNT, container=CONTAINER, access_key=SECRETS["AZURE_BLOB_KEY"], pattern=AZURE_PATTERN,
            base_url=url, private_addresses=True,
        )
    )  # fmt: skip


@asynccontextmanager
async def over_prometheus(_: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    with twin_server(time_series.HISTORY) as url:
        options = prometheus_connector.PrometheusOptions(
            base_url=url, collections=time_series.DECLARED, private_addresses=True
        )
        source = await prometheus_connector.connect(options, lambda: time_series.NOW)
        yield OpenedConnector(
            source=source, expected={name: Expected(key=key) for name, key in time_series.KEYS.items()}, most=60
        )


@asynccontextmanager
async def over_datadog(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "datadog")
    options = datadog_connector.DatadogOptions(
        base_url=f"http://{host}:{port}", api_key=SECRETS["DATADOG_API_KEY"], app_key=SECRETS["DATADOG_APP_KEY"],
        tags=("service", "env", "customer_id:int"), health="customer_id", days=30, private_addresses=True,
        metrics={"errors": "sum:acme.errors{*} by {service,env}.rollup(sum, 864000)"},
    )  # fmt: skip
    source = await datadog_connector.connect(options, clock=lambda: acme.NOW)
    yield OpenedConnector(source=source, expected=WATCHED, most=40)


GITHUB = {
    "repos": Expected(key=("name",)),
    "deployments": Expected(key=("repo", "id"), through=("repos", ("name",))),
    "deployment_statuses": Expected(key=("repo", "deployment_id", "id"), through=("deployments", ("repo", "id"))),
    "workflow_runs": Expected(key=("repo", "id"), through=("repos", ("name",))),
    "workflow_jobs": Expected(key=("repo", "run_id", "id"), through=("workflow_runs", ("repo", "id"))),
    "approvals": Expected(key=("repo", "run_id", "user_login"), through=("workflow_runs", ("repo", "id"))),
    "pending_deployments": Expected(
        key=("repo", "run_id", "environment_id"), through=("workflow_runs", ("repo", "id"))
    ),
    "job_logs": Expected(key=("repo", "job_id"), through=("workflow_jobs", ("repo", "id"))),
    "users": Expected(key=("login",)),
}


GRAPHQL_COLUMNS = columns("thing") | {
    "big": {"kind": "integer", "at": "size.big"},
    "ratio": {"kind": "float", "at": "size.ratio"},
    "parent_id": {"kind": "integer", "at": "parentId"},
}
GRAPHQL: Mapping[str, Mapping[str, Any]] = {
    "thing": {
        "field": "thing",
        "columns": GRAPHQL_COLUMNS,
        "keys": {"id": {"argument": "ids", "type": "[ID!]", "most": 4}, "name": {"argument": "name", "type": "String"}},
        "filters": {
            "code": {"argument": "code", "type": "String"},
            "done": {"argument": "done", "type": "Boolean"},
            "day": {"argument": "day", "type": "Day"},
            "parent_id": {"argument": "parentId", "type": "Int"},
        },
        "limit": {"argument": "first", "most": 2},
    },
    "paged": {
        "field": "things",
        "rows": "edges.node",
        "columns": GRAPHQL_COLUMNS,
        "keys": {
            "id": {"field": "oneThing", "argument": "id", "type": "ID!", "most": 3},
            "name": {"argument": "name", "type": "String", "most": 5},
        },
        "paging": {"size": 2},
    },
    "part": {
        "field": "office.parts",
        "rows": "nodes",
        "arguments": {"sort": {"type": "Sort", "value": "LINE"}},
        "columns": {**columns("part"), "thing_id": {"kind": "integer", "at": "thingId"}},
        "keys": {"thing_id": {"argument": "thingIds", "type": "[Int!]", "most": 3}},
        "filters": {"label": {"argument": "label", "type": "String"}},
        "paging": {},
    },
    "empty": {"field": "empty", "rows": "nodes", "columns": columns("empty"), "paging": {"size": 5}},
}


@asynccontextmanager
async def of_github(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "github")
    options = rest_connector.RestOptions(
        base_url=f"http://{host}:{port}", described=COLLECTIONS, private_addresses=True, redirects=(host,),
        headers={"authorization": SECRETS["GITHUB_AUTHORIZATION"]},
    )  # fmt: skip
    yield OpenedConnector(source=await rest_connector.connect(options), expected=GITHUB, most=30)


@asynccontextmanager
async def over_graphql(_: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    tables = {
        name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for name, table in TABLES.items()
    }
    async with serve_app(Service(tables)) as url:
        options = graphql_connector.GraphQLOptions(url=url, collections=GRAPHQL, private_addresses=True)
        yield OpenedConnector(
            source=await graphql_connector.connect(options),
            expected={**OWN_TABLES, "paged": OWN_TABLES["thing"]},
            most=60,
        )


@asynccontextmanager
async def in_directory(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    host, port = address(request.getfixturevalue("acme_servers"), "directory")
    declared = tomllib.loads(build_settings(f"http://{host}:{port}"))["sources"]["directory"]
    options = graphql_connector.GraphQLOptions(
        url=declared["url"], collections=declared["collections"], private_addresses=True,
        headers={"authorization": SECRETS["DIRECTORY_AUTHORIZATION"]},
    )  # fmt: skip
    yield OpenedConnector(
        source=await graphql_connector.connect(options),
        expected={"office": Expected(), "desk": Expected(), "shift": Expected()},
        most=60,
    )


@asynccontextmanager
async def of_jobs(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    with stored_jobs.open_stored_jobs(new_folder(request)) as source:
        lines, files = Expected(key=("job_id", "number")), Expected(key=("job_id", "name"))
        yield OpenedConnector(
            source=source, expected={"job": Expected(), "job_line": lines, "job_file": files}, most=60
        )


SOURCES: Mapping[str, Callable[[pytest.FixtureRequest], Any]] = {
    "directory": in_directory,
    "graphql": over_graphql,
    "memory": in_memory,
    "scratch": in_scratch,
    "sqlite": in_sqlite,
    "postgresql": in_postgresql,
    "mysql": in_mysql,
    "snowflake": in_snowflake,
    "s3": in_s3,
    "folder": in_folder,
    "constants": with_constants,
    "slack": in_slack,
    "drive": in_drive,
    "rest": over_rest,
    "azure_files": in_azure_files,
    "azure_blob": in_azure_blob,
    "azurite": in_azurite,
    "prometheus": over_prometheus,
    "datadog": over_datadog,
    "github": of_github,
    "journal": in_audit_log,
    "caller": of_the_caller,
    "changes": of_changes,
    "jobs": of_jobs,
}


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "tables.sqlite"
    into_sqlite(path)
    return path


@pytest.fixture(scope="session")
def postgresql_tables(postgresql_started: PostgresqlServer) -> str:
    url = postgresql_started.emptied("contract")
    into_postgresql(url)
    return url


@pytest.fixture(scope="session")
def mysql_tables(mariadb_started: MariadbServer) -> str:
    url = mariadb_started.emptied("contract")
    into_mysql(url)
    return url


@pytest.fixture(scope="session")
def snowflake_tables(acme_servers: RunningServers) -> tuple[str, int]:
    place = address(acme_servers, "snowflake")
    into_snowflake(*place, SCHEMA)
    return place


@pytest.fixture(scope="session")
def azurite_exports(azurite_started: str) -> str:
    """Store the demo's exports with Microsoft's own client."""
    account = {"account_name": BLOB_ACCOUNT, "account_key": SECRETS["AZURE_BLOB_KEY"]}
    with BlobServiceClient(azurite_started, credential=account) as client:
        container = client.create_container(CONTAINER)
        for container_file in data_files.container_files(0.01):
            settings = ContentSettings(content_type=container_file.content_type)
            container.upload_blob(container_file.path, container_file.body, content_settings=settings)
    return azurite_started


def new_folder(request: pytest.FixtureRequest) -> Path:
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    return factory.mktemp("contract")


@pytest_asyncio.fixture(params=SOURCES, scope="module", loop_scope="module")
async def opened_connector(request: pytest.FixtureRequest) -> AsyncIterator[OpenedConnector]:
    """Open each connector in turn, once for all cases of a module, and read all rows of its collections."""
    async with open_connector(request, request.param) as opened_connector:
        yield opened_connector


@asynccontextmanager
async def open_connector(request: pytest.FixtureRequest, name: str) -> AsyncIterator[OpenedConnector]:
    async with SOURCES[name](request) as opened_connector:
        try:
            for collection in opened_connector.expected:
                opened_connector.facts[collection] = await read_facts(opened_connector, collection)
            yield replace(opened_connector, name=name)
        finally:
            await opened_connector.source.close()


async def read_facts(opened_connector: OpenedConnector, name: str) -> CollectionFacts:
    expected, can = opened_connector.expected[name], opened_connector.source.capabilities(name)
    columns = tuple(can.columns)
    plain = ScanRequest(collection=name, columns=columns)
    through = None
    if expected.through is None:
        rows = await read_rows(opened_connector.source, plain)
    else:
        beside, names = expected.through
        known = (tuple(row[item] for item in names) for row in opened_connector.facts[beside].rows)
        results = list(dict.fromkeys((*known, *expected.more)))
        rows = []
        for start in range(0, len(results), can.max_keys):
            through = KeyFilter(can.required_columns, tuple(results[start : start + can.max_keys]))
            rows += await read_rows(
                opened_connector.source, ScanRequest(collection=name, columns=columns, keys=through)
            )
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    return CollectionFacts(
        name=name, can=can, key=expected.key, links=LINKS.get(name, ()), rows=records, through=through
    )


async def read_rows(source: Connector, scan_request: ScanRequest) -> list[Row]:
    async with aclosing(source.scan(scan_request)) as batches:  # type: ignore[type-var]
        return [row for batch in [item async for item in batches] for row in batch]
