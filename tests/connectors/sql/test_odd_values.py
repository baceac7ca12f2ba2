"""Values that a column's type cannot have are null with an error, and null in every step that a database takes.

Each table is introspected and asked as a company's is; the same rows in memory, where the engine takes every step, say
what is right.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import RunningServers, address
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.errors import ErrorCode
from onedoor.query.context import QueryEngine
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.codegen.conftest import snowflake_url, source_of
from tests.codegen.generated_company import build_engine, introspect
from tests.servers.mariadb import MariadbServer
from tests.servers.snowflake import Before, run_front, run_script

Values = Mapping[str, Sequence[Any]]
"""By declared type, what the rows hold, as SQL; the first values are the odd ones."""

POSTGRESQL: Values = {
    "date": ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'10000-01-01'", "'9999-12-31'", "'2026-01-01'", "NULL"),
    "timestamptz": ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'20000-01-01'", "'2026-01-01'", "NULL"),
    "timestamp": ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'20000-01-01'", "'2026-01-01'", "NULL"),
    "float8": ("'NaN'", "'infinity'", "'-infinity'", "1.5", "-2.5", "1e308", "NULL"),
    "real": ("'NaN'", "'infinity'", "'-infinity'", "0.1", "123.79", "3e38", "NULL"),
    "numeric": ("'NaN'", "'infinity'", "'-infinity'", "1.5", "1e200", "-0.00000000000000000001", "NULL"),
}
SQLITE: Values = {
    "INTEGER": ("2.5", "'n/a'", "x'ff'", "''", "9e999", "1", "4611686018427387904", "NULL"),
    "TEXT": ("x'ff00'", "CAST(x'ff00' AS TEXT)", "'b'", "'a'", "NULL"),
    "REAL": ("9e999", "-9e999", "'n/a'", "''", "x'ff'", "1.5", "2", "NULL"),
    "BOOLEAN": ("'t'", "'f'", "'true'", "'false'", "2", "0.5", "x'01'", "1", "0", "NULL"),
    "DATE": ("''", "'2026-01-06 00:00:00'", "20260101", "'0000-00-00'", "'2026-02-30'", "'20260101'",
             "CAST(x'ff00' AS TEXT)", "'2026-01-01'", "'9999-12-31'", "NULL"),
    "DATETIME": ("''", "1793404800000", "'n/a'", "x'ff'", "'0000-00-00 00:00:00'", "CAST(x'ff00' AS TEXT)",
                 "'2026-01-01 10:00:00'", "NULL"),
    "UUID": ("x'ff'", "CAST(x'ff00' AS TEXT)", "'b'", "'a'", "7", "NULL"),
    "NUMERIC": ("''", "'n/a'", "9e999", "x'ff'", "3.14159", "0.004", "2", "NULL"),
    "DECIMAL(10,2)": ("'n/a'", "''", "1.999", "1", "NULL"),
}  # fmt: skip
MARIADB: Values = {
    "date": ("'0000-00-00'", "'2020-00-00'", "'2020-02-30'", "'2020-02-00'", "'0000-01-01'", "'2026-01-01'", "NULL"),
    "datetime(6)": ("'0000-00-00'", "'2020-00-00'", "'2020-02-30 01:02:03'", "'2026-01-01 01:02:03'", "NULL"),
    "timestamp NULL": ("'0000-00-00'", "'2026-01-01 01:02:03'", "'2026-02-01 01:02:03'", "NULL"),
}
SNOWFLAKE: Values = {
    "FLOAT": ("'NaN'::FLOAT", "'inf'::FLOAT", "'-inf'::FLOAT", "1.5", "NULL"),
    "DATE": ("DATEADD(YEAR, 8000, DATE '2026-01-01')", "DATEADD(YEAR, -3000, DATE '2026-01-01')", "'2026-01-01'",
             "NULL"),
    "TIMESTAMP_NTZ": ("DATEADD(YEAR, 8000, '2026-01-01 01:02:03'::TIMESTAMP_NTZ)", "'2026-01-01 01:02:03'", "NULL"),
}  # fmt: skip
ODD_COUNTS = {"date": 4, "timestamptz": 4, "timestamp": 4, "float8": 3, "real": 3, "numeric": 3, "INTEGER": 5,
    "TEXT": 2, "REAL": 5, "BOOLEAN": 7, "DATE": 7, "DATETIME": 6, "UUID": 2,
    "NUMERIC": 4, "DECIMAL(10,2)": 2}  # fmt: skip
MARIADB_ODD_COUNTS = {"date": 5, "datetime(6)": 3, "timestamp NULL": 1}
SNOWFLAKE_ODD_COUNTS = {"FLOAT": 3, "DATE": 2, "TIMESTAMP_NTZ": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class OddTable:
    url: str
    odd_count: int
    row_count: int


def write_rows(values: Sequence[Any]) -> str:
    """Each value twice, so that they tie."""
    return ", ".join(f"({number}, {value})" for number, value in enumerate((*values, *values), 1))


CASES = [
    *(pytest.param(("postgresql", declared), id=f"PostgreSQL {declared}") for declared in POSTGRESQL),
    *(pytest.param(("sqlite", declared), id=f"SQLite {declared}") for declared in SQLITE),
    *(pytest.param(("mariadb", declared), id=f"MariaDB {declared}") for declared in MARIADB),
    pytest.param(("snowflake", "FLOAT"), id="Snowflake FLOAT"),
    pytest.param(("snowflake", "DATE"), id="Snowflake DATE"),
    pytest.param(("snowflake", "TIMESTAMP_NTZ"), id="Snowflake TIMESTAMP_NTZ", marks=pytest.mark.long),
]


@pytest.fixture(scope="module")
def snowflake_front(acme_servers: RunningServers) -> Iterator[tuple[tuple[str, int], int]]:
    """Where Snowflake is, and the port before it that lists keys, too."""
    place = address(acme_servers, "snowflake")
    with run_front(Before(place)) as port:
        yield place, port


@pytest.fixture(params=CASES)
def table(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql_started: PostgresqlServer, mariadb_started: MariadbServer
) -> OddTable:
    database, declared = request.param
    create = f"CREATE TABLE odd (odd_id INTEGER PRIMARY KEY, v {declared})"
    if database == "postgresql":
        url, values, odd_counts = postgresql_started.emptied("odd_values"), POSTGRESQL, ODD_COUNTS
        with psycopg.connect(url) as connection:
            connection.execute(f"{create}; INSERT INTO odd VALUES {write_rows(values[declared])}")
    elif database == "mariadb":
        url, values, odd_counts = mariadb_started.emptied("odd_values"), MARIADB, MARIADB_ODD_COUNTS
        insert = f"INSERT INTO odd VALUES {write_rows(values[declared])}"
        mariadb_started.run("SET sql_mode = 'ALLOW_INVALID_DATES'", create, insert, database="odd_values")
    elif database == "snowflake":
        place, port = request.getfixturevalue("snowflake_front")
        url, values, odd_counts = snowflake_url(port, "odd_values"), SNOWFLAKE, SNOWFLAKE_ODD_COUNTS
        insert = f"INSERT INTO odd VALUES {write_rows(values[declared])}"
        run_script(place, "odd_values", f"{create.replace('TABLE', 'OR REPLACE TABLE')};\n{insert};\n")
    else:
        url, values, odd_counts = f"sqlite:///{tmp_path / 'odd.sqlite'}", SQLITE, ODD_COUNTS
        with closing(sqlite3.connect(tmp_path / "odd.sqlite")) as connection:
            connection.executescript(f"{create}; INSERT INTO odd VALUES {write_rows(values[declared])}")
    return OddTable(url=url, odd_count=2 * odd_counts[declared], row_count=2 * len(values[declared]))


async def read_all(source: Connector) -> list[Row]:
    columns = tuple(source.capabilities("odd").columns)
    batches = source.scan(ScanRequest(collection="odd", columns=columns))
    return [row for batch in [batch async for batch in batches] for row in batch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    pushing: QueryEngine
    """Has the database take every step that it takes."""
    reference: QueryEngine
    """Has the same rows, and takes every step itself."""


@pytest.fixture
async def engines(table: OddTable, tmp_path: Path) -> AsyncIterator[Engines]:
    folder = tmp_path / "company"
    introspect(table.url, folder, "--allow", "sales")
    source = await source_of(table.url)
    assert isinstance(source, SqlConnector)
    other = await source_of(table.url)
    rows = await read_all(other)
    capabilities = acme.nothing(source.capabilities("odd"))
    memory = MemoryConnector({"odd": MemoryCollection(capabilities=capabilities, rows=rows)})
    yield Engines(pushing=build_engine(folder, source), reference=build_engine(folder, memory))
    await source.close()
    await other.close()


async def ask(engine: QueryEngine, text: str) -> tuple[Any, list[Any]]:
    result = await acme.ask(engine, text, "sales")
    return result.data, [(error.code, error.message, error.path) for error in result.errors]


async def test_odd_values_are_null_with_an_error_and_null_in_every_step(table: OddTable, engines: Engines) -> None:
    await check_cells(table, engines)
    for question in await list_questions(engines):
        data, errors = await ask(engines.pushing, question)
        expected, expected_errors = await ask(engines.reference, question)
        assert (in_any_order(data), errors) == (in_any_order(expected), expected_errors), question
    for direction in ("ASC", "DESC"):
        for size in (1, 3):
            await check_pages(table, engines, f"orderBy: [{{ v: {direction} }}]", size)


async def check_cells(table: OddTable, engines: Engines) -> None:
    data, errors = await ask(engines.pushing, ALL)
    shown = [node["v"] for node in data["odds"]["nodes"]]
    values_count, odd_count = table.row_count // 2, table.odd_count // 2
    expected = [number for number in range(table.row_count) if number % values_count < odd_count]
    assert ([path[2] for _, _, path in errors], {code for code, _, _ in errors}) == (
        expected,
        {ErrorCode.SOURCE_INVALID},
    )
    assert all(shown[number] is None for number in expected)
    assert all(message.endswith("in the column `v`") and "`Odd.v` holds" in message for _, message, _ in errors)
    assert (data, errors) == await ask(engines.reference, ALL)


async def check_pages(table: OddTable, engines: Engines, order: str, size: int) -> None:
    """Pages forwards are pages backwards and the whole list."""
    whole, _ = await ask(engines.reference, f"{{ odds(first: 100, {order}) {{ nodes {{ id }} }} }}")
    expected = [node["id"] for node in whole["odds"]["nodes"]]
    forwards = await read_pages(engines.pushing, f"{order}, first: {size}", "after", "endCursor", table.row_count)
    backwards = await read_pages(engines.pushing, f"{order}, last: {size}", "before", "startCursor", table.row_count)
    assert (forwards, backwards[::-1]) == (expected, expected), (order, size)


ALL = "{ odds(first: 100) { nodes { id v } } }"
PAGE = "{ odds(%s) { nodes { id } pageInfo { %s } } }"


async def list_questions(engines: Engines) -> list[str]:
    """Questions about the values that the table shows."""
    data, _ = await ask(engines.pushing, "{ odds(first: 100) { nodes { v } } }")
    schema: Any = engines.pushing.catalog.schema
    operators = schema.type_map[schema.type_map["OddWhere"].fields["v"].type.name].fields
    named = str(schema.type_map["Odd"].fields["v"].type)
    shown = list(dict.fromkeys(node["v"] for node in data["odds"]["nodes"] if node["v"] is not None))
    written = [value if named in ("Int", "Float") else str(value).lower() if named == "Boolean" else f'"{value}"'
               for value in shown]  # fmt: skip
    tests = [f"{op}: {value}" for op in ("eq", "ne", "lt", "lte", "gt", "gte", "contains", "iContains", "startsWith")
             if op in operators for value in written]  # fmt: skip
    tests += [f"{op}: [{', '.join(map(str, written))}]" for op in ("in", "notIn") if op in operators]
    tests += ["isNull: true", "isNull: false"]
    wheres = [f"{{ v: {{ {test} }} }}" for test in tests]
    wheres += [f"{{ not: {{ v: {{ {test} }} }} }}" for test in tests]
    questions = [f"{{ odds(first: 100, where: {where}) {{ totalCount nodes {{ id }} }} }}" for where in wheres]
    orders = [f"orderBy: [{{ v: {direction} }}], {end}: {size}" for direction in ("ASC", "DESC")
              for end in ("first", "last") for size in (1, 2, 3, 100)]  # fmt: skip
    questions += [f"{{ odds({order}) {{ nodes {{ id }} }} }}" for order in orders]
    aggregates = schema.type_map["OddAggregate"].fields
    functions = " ".join(
        f"{name} {{ v }}" for name in ("countDistinct", "min", "max", "sum", "avg", "countValues")
        if name in aggregates and "v" in schema.type_map[aggregates[name].type.name].fields
    )  # fmt: skip
    questions.append(f"{{ odds {{ aggregate {{ count {functions} }} }} }}")
    units = ("VALUE", "DAY", "WEEK", "MONTH", "YEAR") if named in ("Date", "DateTime") else ("VALUE",)
    for unit in units:
        group = f"key {{ v }} aggregate {{ count {functions} }}"
        questions.append(f"{{ odds {{ groups(by: [{{ v: {unit} }}]) {{ {group} }} }} }}")
        largest = "first: 1, orderBy: [{ aggregate: { count: DESC } }]"
        questions.append(f"{{ odds {{ groups(by: [{{ v: {unit} }}], {largest}) {{ {group} }} }} }}")
    return questions


def in_any_order(data: Any) -> Any:
    """Groups without an order come in any."""
    if data and "groups" in data["odds"]:
        return sorted(map(repr, data["odds"]["groups"]))
    return data


async def read_pages(engine: QueryEngine, arguments: str, argument: str, end: str, count: int) -> list[str]:
    """The ids in the order in which they are read; no more pages than there are rows."""
    ids: list[str] = []
    cursor = ""
    for _ in range(count):
        data, errors = await ask(engine, PAGE % (arguments + cursor, end))
        assert not errors
        page = data["odds"]
        ids += [node["id"] for node in (page["nodes"] if argument == "after" else page["nodes"][::-1])]
        if page["pageInfo"][end] is None:
            break
        cursor = f', {argument}: "{page["pageInfo"][end]}"'
    return ids
