"""Make and fill drawn tables in a real database."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from tests.properties.foreign.columns import SETUP
from tests.properties.foreign.tables import Table

Execute = Callable[[str], Any]

REFUSALS = (sqlite3.IntegrityError, psycopg.IntegrityError, pymysql.err.IntegrityError)
"""What a driver raises for a key that its collation takes for one that is there."""


def fill(database: str, execute: Execute, tables: Sequence[Table]) -> Mapping[str, list[int]]:
    """Return the numbers of the rows that the database took, by table."""
    for statement in SETUP[database]:
        execute(statement)
    return {table.name: list(_fill_table(execute, table)) for table in tables}


def _fill_table(execute: Execute, table: Table) -> Iterator[int]:
    create, *inserts = table.write_statements()
    execute(create)
    for number, insert in enumerate(inserts):
        try:
            execute(insert)
        except REFUSALS:
            continue
        yield number


@contextmanager
def connect_sqlite(path: Path) -> Iterator[Execute]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection.execute


@contextmanager
def connect_postgresql(url: str) -> Iterator[Execute]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield lambda statement: connection.execute(statement.encode())


@contextmanager
def connect_mariadb(socket: Path, database: str) -> Iterator[Execute]:
    with (
        closing(
            pymysql.connect(unix_socket=str(socket), user="root", database=database, autocommit=True, charset="utf8mb4")
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor.execute
