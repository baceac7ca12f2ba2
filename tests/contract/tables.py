"""Define small, awkward tables, and load them into each kind of database."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql

from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Row
from tests.servers.snowflake import open_session

TEXT, INTEGER, FLOAT, DECIMAL, BOOLEAN, DATE, TIME = (
    ColumnType.TEXT, ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.DECIMAL, ColumnType.BOOLEAN, ColumnType.DATE,
    ColumnType.TIME,
)  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; no column of its `key`, and none of `filled`, holds a null."""

    columns: Mapping[str, ColumnType]
    key: tuple[str, ...]
    filled: tuple[str, ...] = ()
    rows: Sequence[Row]


THING = Table(
    columns={
        "id": INTEGER, "name": TEXT, "code": TEXT, "amount": DECIMAL, "big": INTEGER, "ratio": FLOAT, "day": DATE,
        "moment": TIME, "done": BOOLEAN, "parent_id": INTEGER,
    },
    key=("id",),
    filled=("code",),
    rows=(
        (1, "a", "x", Decimal("1.10"), 0, 0.1, date(2026, 1, 2), utc(2026, 1, 2, 3, 4, 5, 678901), True, None),
        (2, "A", "x", Decimal("1.10"), 7, 0.1, date(2026, 1, 2), utc(2026, 1, 2, 3, 4, 5, 678902), False, 1),
        (3, None, "X", None, None, None, None, None, None, None),
        (4, "", "y", Decimal("0.00"), -1, 0.0, date(1969, 12, 31), utc(1969, 12, 31, 23, 59, 59, 999999), True, 1),
        (5, "é", "ß", Decimal("-0.01"), 2**31, -2.5e300, date(1, 1, 1), utc(1, 1, 1), None, 3),
        (6, "É", "ss", Decimal("9999999999.99"), 2**63 - 1, 1e-300, date(9999, 12, 31), utc(9999, 12, 31, 23, 59, 59),
         False, 99),
        (7, "50%", "a%b", Decimal("-9999999999.99"), -(2**63), 3.0, date(2024, 2, 29), utc(2024, 2, 29, 12), True, 7),
        (8, "a_b", "a_b", Decimal("0.01"), 42, 0.30000000000000004, date(2026, 1, 3), utc(2026, 1, 2, 3, 4, 5),
         None, 1),
        (9, "a\\b", "a\\b", Decimal("10.00"), 42, 1.5, None, utc(2026, 1, 2, 3, 4, 5, 1), False, None),
        (10, "it's", "'", Decimal("2.00"), None, -1.5, date(2026, 1, 2), None, True, 1),
        (11, 'say "hi"', '"', None, 1, None, date(2025, 12, 31), utc(2025, 12, 31, 23), None, 10),
        (12, "İstanbul", "ﬁ", Decimal("100.00"), 10, 10.0, None, None, True, 2),
        (13, "straße", "STRASSE", Decimal("1000.00"), 9, 9.0, date(2026, 1, 4), utc(2026, 1, 4), False, 2),
        (14, "\uffee", "\uffee", Decimal("5.00"), 5, 5.0, date(2026, 1, 5), utc(2026, 1, 5), True, 2),
        (15, "\U0001f600", "\U0001f600", Decimal("5.00"), 5, 5.0, date(2026, 1, 5), utc(2026, 1, 5), False, 2),
        (16, " a ", "two\nlines", Decimal("5.50"), 6, 5.5, date(2026, 1, 6), utc(2026, 1, 6), True, 14),
        (17, "a", "x; DROP TABLE part --", Decimal("1.10"), 0, 0.1, date(2026, 1, 2), None, True, None),
        (18, "\ue000", "a", Decimal("4.99"), -42, -0.1, date(1970, 1, 1), EPOCH, False, 18),
    ),
)  # fmt: skip
PART = Table(
    columns={"thing_id": INTEGER, "line": INTEGER, "label": TEXT, "price": DECIMAL},
    key=("thing_id", "line"),
    filled=("price",),
    rows=(
        (1, 1, "a", Decimal("1.00")), (1, 2, None, Decimal("2.00")), (1, 3, "b", Decimal("-2.00")),
        (2, 1, "a", Decimal("1.00")), (2, 2, "50%", Decimal("0.10")), (5, 1, "é", Decimal("3.30")),
        (5, 2, None, Decimal("3.30")), (6, 1, "a", Decimal("1000000.00")), (7, 1, "A", Decimal("0.00")),
        (99, 1, "a", Decimal("1.00")), (99, 7, "it's", Decimal("7.00")), (-3, 1, "a", Decimal("1.00")),
    ),
)  # fmt: skip
EMPTY = Table(columns={"id": INTEGER, "name": TEXT}, key=("id",), rows=())
TABLES: Mapping[str, Table] = {"thing": THING, "part": PART, "empty": EMPTY}

SQLITE = {
    TEXT: "TEXT", INTEGER: "BIGINT", FLOAT: "REAL", DECIMAL: "MINOR_UNITS_INT", BOOLEAN: "BOOLEAN", DATE: "DATE",
    TIME: "UTC_MICROS_INT",
}  # fmt: skip
POSTGRESQL = {
    TEXT: "text", INTEGER: "bigint", FLOAT: "double precision", DECIMAL: "numeric(12, 2)", BOOLEAN: "boolean",
    DATE: "date", TIME: "timestamptz",
}  # fmt: skip
MYSQL = {
    TEXT: "varchar(200)", INTEGER: "bigint", FLOAT: "double", DECIMAL: "decimal(12, 2)", BOOLEAN: "boolean",
    DATE: "date", TIME: "datetime(6)",
}  # fmt: skip
SNOWFLAKE = {
    TEXT: "text", INTEGER: "number(38, 0)", FLOAT: "float", DECIMAL: "number(12, 2)", BOOLEAN: "boolean",
    DATE: "date", TIME: "timestamp_tz",
}  # fmt: skip
KEPT_IN_SQLITE = {
    DECIMAL: lambda value: int(value * 100),
    DATE: date.isoformat,
    TIME: lambda value: (value - EPOCH) // timedelta(microseconds=1),
}


def created(name: str, table: Table, types: Mapping[ColumnType, str]) -> str:
    filled = {*table.key, *table.filled}
    columns = [f"{item} {types[kind]}{' NOT NULL' if item in filled else ''}" for item, kind in table.columns.items()]
    return f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(table.key)}))"


def into_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for name, table in TABLES.items():
            connection.execute(created(name, table, SQLITE))
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", map(kept_in_sqlite, table_rows(table)))


def table_rows(table: Table) -> list[list[tuple[ColumnType, Any]]]:
    return [list(zip(table.columns.values(), row, strict=True)) for row in table.rows]


def kept_in_sqlite(row: list[tuple[ColumnType, Any]]) -> Row:
    return tuple(
        KEPT_IN_SQLITE[kind](value) if kind in KEPT_IN_SQLITE and value is not None else value for kind, value in row
    )


def into_postgresql(url: str) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for name, table in TABLES.items():
            cursor.execute(created(name, table, POSTGRESQL))
            marks = ", ".join(["%s"] * len(table.columns))
            if table.rows:
                cursor.executemany(f"INSERT INTO {name} VALUES ({marks})", table.rows)


def into_mysql(url: str) -> None:
    """Create the tables in a collation that ignores case and cannot tell characters past U+FFFF apart."""
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname, port=parts.port, user=parts.username, password=parts.password,
        database=parts.path.strip("/"), charset="utf8mb4", autocommit=True,
    )  # fmt: skip
    with closing(connection), connection.cursor() as cursor:
        for name, table in TABLES.items():
            cursor.execute(f"{created(name, table, MYSQL)} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
            marks = ", ".join(["%s"] * len(table.columns))
            if table.rows:
                cursor.executemany(f"INSERT INTO {name} VALUES ({marks})", list(map(kept_in_mysql, table_rows(table))))


def kept_in_mysql(row: list[tuple[ColumnType, Any]]) -> Row:
    return tuple(value.replace(tzinfo=None) if kind is TIME and value is not None else value for kind, value in row)


def into_snowflake(host: str, port: int, schema: str) -> None:
    with open_session((host, port), database="ACME") as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE SCHEMA {schema}")
        cursor.execute(f"USE SCHEMA {schema}")
        for name, table in TABLES.items():
            cursor.execute(created(name, table, SNOWFLAKE))
            for row in table_rows(table):
                marks = ", ".join(f"CAST(? AS {SNOWFLAKE[kind]})" for kind, _ in row)
                cursor.execute(f"INSERT INTO {name} SELECT {marks}", [kept_in_snowflake(*item) for item in row])


def kept_in_snowflake(kind: ColumnType, value: Any) -> Any:
    if kind is TIME and value is not None:
        return value.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
    return str(value) if kind in (DECIMAL, DATE, INTEGER) and value is not None else value
