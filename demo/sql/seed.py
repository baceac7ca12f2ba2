"""A database url and a scale to Acme's internal tables, whole or not at all."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    Index,
    Integer,
    MetaData,
    Table,
    create_engine,
    inspect,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from demo.sql.tables import METADATA, Money, Time, minor_units, utc_micros
from demo.world import tables as world

SMALL = Fraction(1, 100)
MADE_HERE = 0x41434D45
"""`ACME`: SQLite's application_id of a file that seeding made."""
LEFTOVERS = ("-journal", "-wal", "-shm")
"""What SQLite would read into the new file, as if it were the old one's."""
STAMP = Table("demo_seed", MetaData(), Column("stamp", Integer, primary_key=True, autoincrement=False))
"""PostgreSQL's mark of a whole seeding; SQLite keeps the same number in its user_version."""


NUMBERED = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), coalesce(max(id), 0) + 1, false) FROM {0}"
"""So that the next row has a number of its own."""


class Refused(Exception):
    """The database cannot be seeded; the message says why, and what would do."""


def seed(url: str, scale: Fraction | float = 1) -> bool:
    """Fills the database unless it already holds exactly this; says whether it did. Raises Refused, OSError."""
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        return seed_file(Path(place.database or ""), scale)
    return seed_postgresql(place, scale)


def stamp(scale: Fraction | float) -> int:
    """A number that changes with the tables, the rows and the scale; never 0, SQLite's number of an empty file.

    A change of the rows is taken to show in the small company, which is made in no time.
    """
    shape = [str(CreateTable(table).compile(dialect=sqlite.dialect())) for table in METADATA.sorted_tables]
    return crc32(repr((float(scale), shape, world.tables(SMALL))).encode()) >> 1 | 1


def seed_file(path: Path, scale: Fraction | float) -> bool:
    """Written under another name and renamed when whole: a seeding that was killed leaves nothing to be read."""
    if path.exists() and path.stat().st_size and stamp_of_file(path) == stamp(scale):
        return False
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        fill_file(connection, scale)
    with part.open("rb") as written:
        os.fsync(written.fileno())
    for leftover in LEFTOVERS:
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    os.replace(part, path)
    return True


def stamp_of_file(path: Path) -> int:
    """The stamp of a file that seeding made. Raises Refused for any other file: it is not ours to replace."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            made_here = connection.execute("PRAGMA application_id").fetchone()[0] == MADE_HERE
            found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError:
        made_here = False
    if not made_here:
        raise Refused(f"`{path}` is not a database that the demo made; remove it or choose another folder")
    return found


def fill_file(connection: sqlite3.Connection, scale: Fraction | float) -> None:
    """Indexes come last: filling them row by row takes twice as long."""
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    rows = world.tables(scale)
    for table in METADATA.sorted_tables:
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", stored(table, rows[table.name].rows))
    for index in indexes():
        connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.execute(f"PRAGMA application_id = {MADE_HERE}")
    connection.execute(f"PRAGMA user_version = {stamp(scale)}")


def indexes() -> Iterator[Index]:
    for table in METADATA.sorted_tables:
        yield from sorted(table.indexes, key=lambda index: str(index.name))


def stored(table: Table, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The rows as SQLite keeps them, converted a column at a time."""
    return zip(*map(stored_column, table.columns, zip(*rows, strict=True)), strict=True)


def stored_column(column: Column[Any], values: Iterable[Any]) -> Iterable[Any]:
    convert = next((convert for kind, convert in STORED.items() if isinstance(column.type, kind)), None)
    return values if convert is None else [None if value is None else convert(value) for value in values]


STORED: Mapping[type[TypeEngine[Any]], Callable[[Any], Any]] = {
    Money: minor_units,
    Time: utc_micros,
    Date: date.isoformat,
    Boolean: int,
}


def seed_postgresql(url: URL, scale: Fraction | float) -> bool:
    """One transaction: tables, rows and the stamp are there together or not at all."""
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    try:
        with engine.begin() as connection:
            if not cleared(connection, stamp(scale)):
                return False
            fill_postgresql(connection, scale)
    finally:
        engine.dispose()
    return True


def cleared(connection: Connection, wanted: int) -> bool:
    """Whether there is seeding to do; an older seeding is removed. Raises Refused when the tables are not ours."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (MADE_HERE,))
    names = set(inspect(connection).get_table_names())
    if STAMP.name not in names and (foreign := sorted(names & set(METADATA.tables))):
        raise Refused(f"the database holds a table `{foreign[0]}` that the demo did not make; choose an empty database")
    if STAMP.name in names and connection.scalar(select(STAMP.c.stamp)) == wanted:
        return False
    METADATA.drop_all(connection)
    STAMP.drop(connection, checkfirst=True)
    return True


def fill_postgresql(connection: Connection, scale: Fraction | float) -> None:
    rows = world.tables(scale)
    METADATA.create_all(connection)
    STAMP.create(connection)
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    for table in METADATA.sorted_tables:
        with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} FROM STDIN") as copy:
            for row in rows[table.name].rows:
                copy.write_row(row)
        if table.columns[0].identity is not None:
            connection.exec_driver_sql(NUMBERED.format(table.name))
    connection.execute(STAMP.insert().values(stamp=stamp(scale)))
