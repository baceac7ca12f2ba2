"""The sources under contract: each a line in SOURCES, and a way to open it over what its far end holds."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.postgresql import PostgresqlServer
from demo.s3 import BUCKET
from demo.servers import Running, address
from demo.settings import SECRETS
from engine.words import All, Ask, Exists, Keys, Row, Source
from records.journal import opened as journal_opened
from records.record import Outcome, Record, record_id, stamp
from resolvers.query import asking
from sources import s3
from sources.journal import JournalSource
from sources.memory import Collection, Memory
from sources.slack import source as slack
from sources.snowflake import source as snowflake
from sources.sql import postgresql, sqlite
from tests import acme
from tests.contract.asks import Told
from tests.contract.tables import TABLES, into_postgresql, into_snowflake, into_sqlite

SCHEMA = "CONTRACT"
ANY = All(())
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
FILES = {"files": Held(key=("key",))}
CHAT = {
    "users": Held(),
    "channels": Held(),
    "messages": Held(key=("channel_id", "ts")),
    "replies": Held(key=("channel_id", "ts"), through=("messages", ("channel_id", "ts"))),
}


@asynccontextmanager
async def in_memory(_: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    kinds = {name: table.columns for name, table in TABLES.items()}
    collections = {
        name: Collection(can=acme.sql(kinds[name], acme.FOLDED, 1000), rows=table.rows)
        for name, table in TABLES.items()
    }
    yield Kept(source=Memory(collections), held=OURS)


@asynccontextmanager
async def in_sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    path = request.getfixturevalue("sqlite_tables")
    yield Kept(source=await sqlite.connect(sqlite.Options(path=str(path))), held=OURS)


@asynccontextmanager
async def in_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    url = request.getfixturevalue("postgresql_tables")
    yield Kept(source=await postgresql.connect(postgresql.Options(url=url)), held=OURS)


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


SOURCES: Mapping[str, Callable[[pytest.FixtureRequest], Any]] = {
    "memory": in_memory,
    "sqlite": in_sqlite,
    "postgresql": in_postgresql,
    "snowflake": in_snowflake,
    "s3": in_s3,
    "slack": in_slack,
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
