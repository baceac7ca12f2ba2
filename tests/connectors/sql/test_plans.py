"""PostgreSQL reads by index what an index can serve, in tables of any native type, whatever the values are."""

import re
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.connectors.sql.postgresql import PostgresqlOptions, connect
from onedoor.query.cursors import build_keyset_predicate
from onedoor.spi.predicates import Comparison, Exists, InKeys, Op
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey
from tests.connectors.sql.plans import count_touched_rows

ROWS = {"fifty thousand": 50_000, "a million": 1_000_000}
KEYS = {
    "bigint": "g",
    "text": "'t' || lpad(g::text, 9, '0')",
    "uuid": "md5(g::text)::uuid",
    "char(12)": "'c' || lpad(g::text, 9, '0')",
    "inet": "'10.0.0.0'::inet + g",
    "cidr": "('10.0.0.0'::inet + g)::cidr",
    "macaddr": "('08002b' || lpad(to_hex(g), 6, '0'))::macaddr",
    "macaddr8": "('08002b0102' || lpad(to_hex(g), 6, '0'))::macaddr8",
    "numeric": "g + 0.5",
    "date": "'2000-01-01'::date + g",
    "timestamptz": "'2000-01-01'::timestamptz + g * interval '1 second'",
}
"""By type, the key of row number `g`."""
CHILDREN = 5
PAGE = 11


def build_tables(rows: int) -> str:
    """Write the tables: five children of each parent, and a value of the enum that few rows have."""
    statements = ["CREATE TYPE mood AS ENUM ('zen', 'glad')"]
    for name, (type, key) in name_tables().items():
        parent = re.sub(r"\bg\b", f"(g % {rows // CHILDREN} + 1)", key)
        statements += [
            f"CREATE TABLE {name} (id {type} PRIMARY KEY, parent {type}, mood mood, note text)",
            f"INSERT INTO {name} SELECT {key}, {parent}, (CASE WHEN g % 5000 = 0 THEN 'glad' ELSE 'zen' END)::mood, "
            f"'n' || g FROM generate_series(1, {rows}) g",
            f"CREATE INDEX ON {name} (parent)",
            f"CREATE INDEX ON {name} (mood)",
            f"VACUUM ANALYZE {name}",
        ]
    return ";\n".join(statements)


def name_tables() -> dict[str, tuple[str, str]]:
    return {f"by_{type.partition('(')[0]}": (type, key) for type, key in KEYS.items()}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("fifty thousand", id="50,000 rows"),
        pytest.param("a million", id="1,000,000 rows", marks=pytest.mark.long),
    ],
)
def url(request: pytest.FixtureRequest, postgresql_started: PostgresqlServer) -> str:
    result = postgresql_started.emptied("plans")
    with psycopg.connect(result, autocommit=True) as connection:
        for statement in build_tables(ROWS[request.param]).split(";\n"):
            connection.execute(statement)  # type: ignore[arg-type]
    return result


@pytest.fixture
async def source(url: str) -> AsyncIterator[SqlConnector]:
    connector = await connect(PostgresqlOptions(url=url))
    yield connector
    await connector.close()


def build_requests(table: str, ids: Sequence[object], parents: Sequence[object]) -> dict[str, ScanRequest]:
    """Name the questions that people ask of a table of any size."""
    columns, key = ("id", "note"), (SortKey("id"),)
    page = ScanRequest(collection=table, columns=columns, sort=key, limit=PAGE)
    backwards = ScanRequest(collection=table, columns=columns, sort=(SortKey("id", descending=True),), limit=PAGE)
    plain = ScanRequest(collection=table, columns=columns)
    after = build_keyset_predicate(key, (ids[9],), after=True)
    keys = tuple((value,) for value in ids)
    return {
        "the first page": page,
        "the next page": ScanRequest(collection=table, columns=columns, sort=key, limit=PAGE, filter=after),
        "the last page": backwards,
        "a row by its key": ScanRequest(collection=table, columns=columns, keys=KeyFilter(("id",), keys[:1])),
        "20 rows by their keys": ScanRequest(collection=table, columns=columns, keys=KeyFilter(("id",), keys[:20])),
        "equal to": ScanRequest(collection=table, columns=columns, filter=Comparison("id", Op.EQ, ids[3])),
        "one of": ScanRequest(collection=table, columns=columns, filter=Comparison("id", Op.IN, tuple(ids[:20]))),
        "among keys": ScanRequest(collection=table, columns=columns, filter=InKeys(("id",), frozenset(keys[:20]))),
        "a range": ScanRequest(
            collection=table, columns=columns, filter=Comparison("id", Op.LT, ids[15]), sort=key, limit=PAGE
        ),
        "children of 20 parents": ScanRequest(
            collection=table,
            columns=("parent", *columns),
            keys=KeyFilter(("parent",), tuple((value,) for value in parents[:20])),
            sort=key,
            limit=PAGE,
        ),
        "rows with a child": ScanRequest(
            collection=table,
            columns=columns,
            sort=key,
            limit=PAGE,
            filter=Exists(table, ("id",), ("parent",), plain.filter),
        ),
        "a seldom value of an enum": ScanRequest(
            collection=table, columns=columns, filter=Comparison("mood", Op.EQ, "glad")
        ),
    }


@pytest.mark.parametrize("table", name_tables())
async def test_rows_touched_are_a_constant_times_rows_returned(source: SqlConnector, url: str, table: str) -> None:
    [rows] = [
        batch
        async for batch in source.scan(ScanRequest(collection=table, columns=("id",), sort=(SortKey("id"),), limit=25))
    ]
    ids = [value for (value,) in rows]
    touched = {
        name: count_touched_rows(source, url, request) for name, request in build_requests(table, ids, ids).items()
    }
    far = {name: (counts.returned, counts.touched) for name, counts in touched.items() if not counts.is_served_by_index}
    assert far == {}
