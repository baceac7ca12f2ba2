"""The sources under contract: each a line in SOURCES, and a way to open it over what its far end holds."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.postgresql import PostgresqlServer
from demo.s3 import BUCKET
from demo.servers import Running, address
from demo.settings import SECRETS
from demo.shelf import PATTERN, shelve
from engine.constant import Constant
from engine.house import Limits
from engine.words import Aggregate, All, Ask, Can, Exists, Keys, Kind, Row, Scratch, Source, Unit
from records.journal import opened as journal_opened
from records.record import Outcome, Record, record_id, stamp
from resolvers.query import asking
from sources import folder, s3
from sources.journal import JournalSource
from sources.memory import Collection, Memory
from sources.rest import source as rest
from sources.scratch.scratch import Scratches
from sources.slack import source as slack
from sources.snowflake import source as snowflake
from sources.sql import mysql, postgresql, sqlite
from tests import acme
from tests.contract.asks import Told
from tests.contract.tables import TABLES, into_mysql, into_postgresql, into_snowflake, into_sqlite
from tests.servers.mariadb import MariadbServer
from tests.servers.rest import Api, serving

SCHEMA = "CONTRACT"
ANY = All(())
MEASURES = {kind: frozenset(Aggregate) - {Aggregate.SUM} for kind in Kind} | {
    kind: frozenset(Aggregate) for kind in (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT)
}
LEADS: Mapping[str, tuple[Exists, ...]] = {
    "thing": (
        Exists("part", ("id",), ("thing_id",), ANY),
        Exists("thing", ("parent_id",), ("id",), ANY),
        Exists("part", ("id", "name"), ("thing_id", "label"), ANY),
        Exists("empty", ("id",), ("id",), ANY),
    ),
    "part": (Exists("thing", ("thing_id",), ("id",), ANY), Exists("part", ("label",), ("label",), ANY)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A collection as the test knows it: what identifies its rows, and the rows themselves where we put them there.

    `through` names the collection and its columns whose values are the keys that every read must carry.
    """

    key: tuple[str, ...] = ("id",)
    rows: tuple[Row, ...] | None = None
    through: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A source under contract, and what is in it. `most`: how many asks of one law it is fast enough for."""

    source: Source
    held: Mapping[str, Held]
    most: int = 300
    told: dict[str, Told] = field(default_factory=dict)


OURS = {name: Held(key=table.key, rows=tuple(table.rows)) for name, table in TABLES.items()}
FILES = {"files": Held()}
CHAT = {
    "users": Held(),
    "channels": Held(),
    "messages": Held(key=("channel_id", "ts")),
    "replies": Held(key=("channel_id", "ts"), through=("messages", ("channel_id", "ts"))),
}


def promised(can: Can) -> Can:
    """All that can be."""
    columns = {name: replace(each, measures=MEASURES[each.kind]) for name, each in can.columns.items()}
    return replace(can, columns=columns, among=1000, cuts=frozenset(Unit), arranges=True)


@asynccontextmanager
async def in_memory(_: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    kinds = {name: table.columns for name, table in TABLES.items()}
    collections = {
        name: Collection(can=promised(acme.sql(kinds[name], acme.FOLDED, 1000)), rows=table.rows)
        for name, table in TABLES.items()
    }
    yield Kept(source=Memory(collections), held=OURS)


class Poured:
    """Scratch tables by name, as one source."""

    def __init__(self, cans: Mapping[str, Can], tables: Mapping[str, Scratch]) -> None:
        self.cans = cans
        self.tables = tables

    def can(self, collection: str) -> Can:
        return self.cans[collection]

    def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        return self.tables[ask.collection].read(ask)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        for table in self.tables.values():
            await table.close()


@asynccontextmanager
async def in_scratch(_: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    scratches = Scratches(Limits())
    cans = {
        name: replace(promised(acme.sql(table.columns, acme.FOLDED, 1000)), related=False)
        for name, table in TABLES.items()
    }
    tables = {name: scratches(table.columns) for name, table in TABLES.items()}
    for name, table in TABLES.items():
        await tables[name].pour(table.rows)
    yield Kept(source=Poured(cans, tables), held=OURS)


@asynccontextmanager
async def in_sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    path = request.getfixturevalue("sqlite_tables")
    yield Kept(source=await sqlite.connect(sqlite.Options(path=str(path))), held=OURS)


@asynccontextmanager
async def in_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    url = request.getfixturevalue("postgresql_tables")
    yield Kept(source=await postgresql.connect(postgresql.Options(url=url)), held=OURS)


@asynccontextmanager
async def in_mysql(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    url = request.getfixturevalue("mysql_tables")
    yield Kept(source=await mysql.connect(mysql.Options(url=url)), held=OURS)


@asynccontextmanager
async def in_snowflake(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    host, port = request.getfixturevalue("snowflake_tables")
    options = snowflake.Options(
        host=host, port=port, protocol="http", account="acme", user="demo", password="any", database="ACME",
        schema=SCHEMA,
    )  # fmt: skip
    yield Kept(source=await snowflake.connect(options), held=OURS, most=100)


@asynccontextmanager
async def in_s3(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    host, port = address(request.getfixturevalue("acme_servers"), "s3")
    options = s3.Options(
        endpoint=f"http://{host}:{port}", bucket=BUCKET, pattern="customers/{customer_id:int}/{kind}/{name}",
        access_key=SECRETS["S3_ACCESS_KEY"], secret_key=SECRETS["S3_SECRET_KEY"],
    )  # fmt: skip
    yield Kept(source=await s3.connect(options), held=FILES)


@asynccontextmanager
async def in_folder(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    path = shelve(request.getfixturevalue("tmp_path"), acme.SCALE)
    yield Kept(source=await folder.connect(folder.Options(path=path, pattern=PATTERN)), held=FILES)


@asynccontextmanager
async def with_constants(_: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """Tables in memory, each with a column that none of them has."""
    async with in_memory(_) as kept:
        fixed = {name: {"store": name.upper()} for name in TABLES}
        held = {name: replace(each, key=("store", *each.key), rows=None) for name, each in OURS.items()}
        yield Kept(source=Constant(kept.source, fixed), held=held)


@asynccontextmanager
async def in_slack(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    host, port = address(request.getfixturevalue("acme_servers"), "slack")
    options = slack.Options(
        base_url=f"http://{host}:{port}/api/", token=SECRETS["SLACK_TOKEN"],
        channel_pattern="cust-{customer_id:int}-{slug}",
    )  # fmt: skip
    yield Kept(source=await slack.connect(options), held=CHAT)


@asynccontextmanager
async def in_journal(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    folder = request.getfixturevalue("tmp_path")
    journal = journal_opened(folder, acme.NOW)
    for number in range(3):
        at = acme.NOW + timedelta(microseconds=number)
        await journal.append(
            Record(
                id=record_id(at, bytes(9)), time=stamp(at), surface="graphql", outcome=Outcome.ANSWERED, status=200,
                person="P1" if number else None, groups=("everyone", "é")[:number], variables={"a": ["\ud800"]}, ms=0.5,
            )
        )  # fmt: skip
    journal.close()
    yield Kept(source=JournalSource(folder), held={"requests": Held()})


@asynccontextmanager
async def of_the_caller(_: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    yield Kept(source=asking(acme.caller("finance")), held={"person": Held(), "key": Held()})


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
}


@asynccontextmanager
async def over_rest(_: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    tables = {
        name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for name, table in TABLES.items()
    }
    held = {**OURS, "by_path": OURS["thing"], "by_page": OURS["thing"]}
    async with serving(Api(tables)) as url:
        source = await rest.connect(rest.Options(base_url=url, collections=API, private_addresses=True))
        yield Kept(source=source, held=held, most=60)


SOURCES: Mapping[str, Callable[[pytest.FixtureRequest], Any]] = {
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
    "rest": over_rest,
    "journal": in_journal,
    "caller": of_the_caller,
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
def snowflake_tables(acme_servers: Running) -> tuple[str, int]:
    place = address(acme_servers, "snowflake")
    into_snowflake(*place, SCHEMA)
    return place


@pytest.fixture(params=SOURCES)
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """Each source in turn, and what a plain read of each of its collections gives."""
    async with SOURCES[request.param](request) as made:
        for name in made.held:
            made.told[name] = await told(made, name)
        yield made
        await made.source.close()


async def told(kept: Kept, name: str) -> Told:
    held, can = kept.held[name], kept.source.can(name)
    columns = tuple(can.columns)
    plain = Ask(collection=name, columns=columns)
    through = None
    if held.through is None:
        rows = await answered(kept.source, plain)
    else:
        beside, names = held.through
        found = [tuple(row[each] for each in names) for row in kept.told[beside].rows]
        rows = []
        for start in range(0, len(found), can.keys):
            through = Keys(can.requires, tuple(found[start : start + can.keys]))
            rows += await answered(kept.source, Ask(collection=name, columns=columns, keys=through))
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    return Told(name=name, can=can, key=held.key, leads=LEADS.get(name, ()), rows=records, through=through)


async def answered(source: Source, ask: Ask) -> list[Row]:
    async with aclosing(source.read(ask)) as batches:  # type: ignore[type-var]
        return [row for batch in [each async for each in batches] for row in batch]
