"""Create and fill the internal tables in SQLite or PostgreSQL."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
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
    Dialect,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    create_engine,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine, UserDefinedType

from demo.data import business

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MICROSECOND = timedelta(microseconds=1)


class NamedType(UserDefinedType[Any]):
    """A column type that is only a name; SQLite stores integers where the name holds INT."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


class Money(TypeDecorator[Decimal]):
    """A decimal of two places; in SQLite, where NUMERIC is a float, an integer of minor units."""

    impl = Numeric(12, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(NamedType("MINOR_UNITS_INT") if dialect.name == "sqlite" else Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return to_minor_units(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return Decimal(value).scaleb(-2) if value is not None and dialect.name == "sqlite" else value


class Time(TypeDecorator[datetime]):
    """An aware time; in SQLite, which has none, microseconds of UTC since 1970."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = NamedType("UTC_MICROS_INT") if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return to_utc_micros(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        time: datetime | None = value
        return EPOCH + value * MICROSECOND if value is not None and dialect.name == "sqlite" else time


def to_minor_units(value: Decimal) -> int:
    return int(value.scaleb(2))


def to_utc_micros(value: datetime) -> int:
    return (value - EPOCH) // MICROSECOND


METADATA = MetaData()


def required_column(name: str, kind: Any, *args: Any, **kwargs: Any) -> Column[Any]:
    return Column(name, kind, *args, nullable=False, **kwargs)


def number_column() -> Column[Any]:
    """Return the key of a row that people create: the next number, never that of a deleted row."""
    return Column("id", Integer, Identity(), primary_key=True)


def version_column(name: str = "version") -> Column[Any]:
    return required_column(name, Integer, server_default=text("1"), comment="counts the changes")


def reference_column(name: str, target: str, *, nullable: bool = False, comment: str | None = None) -> Column[Any]:
    return Column(name, Integer, ForeignKey(target), nullable=nullable, index=True, comment=comment)


EMPLOYEE = Table(
    "employee",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    required_column("first_name", Text),
    required_column("last_name", Text),
    required_column("email", Text, unique=True),
    required_column("title", Text),
    required_column("department", Text),
    reference_column("manager_id", "employee.id", nullable=True, comment="null for the head of the company"),
    required_column("hired_on", Date),
    required_column("salary", Money, comment="a year, in euros"),
)

CUSTOMER = Table(
    "customer",
    METADATA,
    number_column(),
    required_column("name", Text),
    required_column("email", Text),
    Column("phone", Text),
    required_column("country", Text, comment="ISO 3166-1, two letters"),
    required_column("segment", Text, comment="ENTERPRISE, MID_MARKET or SMALL_BUSINESS"),
    required_column("created_at", Time),
    reference_column("account_manager_id", "employee.id", nullable=True),
    Column("credit_limit", Money, comment="in euros; null: none agreed"),
    Column("vendor", Text, comment="who looks after the customer in our place"),
    version_column(),
    sqlite_autoincrement=True,
)

PRODUCT = Table(
    "product",
    METADATA,
    number_column(),
    required_column("sku", Text, unique=True),
    required_column("name", Text),
    required_column("category", Text, comment="HARDWARE, SOFTWARE, SERVICE or ACCESSORY"),
    required_column("price", Money),
    required_column("discontinued", Boolean),
    version_column(),
    sqlite_autoincrement=True,
)

ORDERS = Table(
    "orders",
    METADATA,
    number_column(),
    reference_column("customer_id", "customer.id"),
    required_column("status", Text, comment="PENDING, PAID, SHIPPED, CANCELLED or REFUNDED"),
    required_column("placed_at", Time),
    required_column("total", Money, comment="the sum of its items"),
    Column("note", Text),
    version_column(),
    Index("ix_orders_customer_id_placed_at", "customer_id", "placed_at"),
    sqlite_autoincrement=True,
)

ORDER_ITEM = Table(
    "order_item",
    METADATA,
    Column("order_id", Integer, ForeignKey("orders.id"), primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    reference_column("product_id", "product.id"),
    required_column("quantity", Integer),
    required_column("unit_price", Money, comment="after discount"),
    version_column(),
    sqlite_with_rowid=False,
)

DEPLOYMENT = Table(
    "deployment",
    METADATA,
    number_column(),
    required_column("service", Text),
    required_column("version", Text),
    required_column("environment", Text, comment="PRODUCTION or STAGING"),
    required_column("status", Text, comment="WAITING, RUNNING, SUCCEEDED, FAILED, ROLLED_BACK or CANCELLED"),
    reference_column("author_id", "employee.id", nullable=True, comment="null: started by nobody in particular"),
    required_column("started_at", Time),
    Column("finished_at", Time, comment="null: it goes on, or it crashed"),
    required_column("commit_sha", Text),
    Column("slack_channel_id", Text, comment="where it was announced"),
    Column("slack_ts", Text, comment="the announcement itself"),
    version_column("revision"),
    sqlite_autoincrement=True,
)

SMALL = Fraction(1, 100)

APPLICATION_ID = 0x41434D45
"""`ACME`: SQLite's application_id of a file that seeding made."""

SIDE_FILE_ENDINGS = ("-journal", "-wal", "-shm")
"""What SQLite would read into the new file, as if it were the old one's."""

STAMP = Table("demo_seed", MetaData(), Column("stamp", Integer, primary_key=True, autoincrement=False))
"""PostgreSQL's mark of a whole seeding; SQLite keeps the same number in its user_version."""

SET_SEQUENCE_SQL = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), coalesce(max(id), 0) + 1, false) FROM {0}"
"""So that the next row has a number of its own."""


class SeedRefused(Exception):
    """The database cannot be seeded; the message says why, and what would do."""


def seed(url: str, scale: Fraction | float = 1) -> bool:
    """Fill the database unless it already holds exactly this; return whether it did. Raises SeedRefused and OSError."""
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        return seed_file(Path(place.database or ""), scale)
    return seed_postgresql(place, scale)


def compute_stamp(scale: Fraction | float) -> int:
    """Return a number that changes with the tables, the rows and the scale, and is never 0, SQLite's default.

    The rows of the small company stand for all rows, as they are made in no time.
    """
    shape = [str(CreateTable(table).compile(dialect=sqlite.dialect())) for table in METADATA.sorted_tables]
    return crc32(repr((float(scale), shape, business.tables(SMALL))).encode()) >> 1 | 1


def seed_file(path: Path, scale: Fraction | float) -> bool:
    """Write a file under another name and rename it when it is whole, so that a killed seeding leaves nothing."""
    if path.exists() and path.stat().st_size and read_file_stamp(path) == compute_stamp(scale):
        return False
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        fill_file(connection, scale)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    for leftover in SIDE_FILE_ENDINGS:
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    os.replace(part, path)
    return True


def read_file_stamp(path: Path) -> int:
    """Return the stamp of a seeded file. Raises SeedRefused for any other file, which is not ours to replace."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            made_here = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError:
        made_here = False
    if not made_here:
        raise SeedRefused(f"`{path}` is not a database that the demo made; remove it or choose another folder")
    return number


def fill_file(connection: sqlite3.Connection, scale: Fraction | float) -> None:
    """Create indexes last, as filling them row by row takes twice as long."""
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    rows = business.tables(scale)
    for table in METADATA.sorted_tables:
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", convert_rows(table, rows[table.name].rows))
    for index in list_indexes():
        connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {compute_stamp(scale)}")


def list_indexes() -> Iterator[Index]:
    for table in METADATA.sorted_tables:
        yield from sorted(table.indexes, key=lambda index: str(index.name))


def convert_rows(table: Table, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Convert rows to SQLite's storage a column at a time."""
    return zip(*map(convert_column, table.columns, zip(*rows, strict=True)), strict=True)


def convert_column(column: Column[Any], values: Iterable[Any]) -> Iterable[Any]:
    convert = next((convert for kind, convert in SQLITE_CONVERTERS.items() if isinstance(column.type, kind)), None)
    return values if convert is None else [None if value is None else convert(value) for value in values]


SQLITE_CONVERTERS: Mapping[type[TypeEngine[Any]], Callable[[Any], Any]] = {
    Money: to_minor_units,
    Time: to_utc_micros,
    Date: date.isoformat,
    Boolean: int,
}


def seed_postgresql(url: URL, scale: Fraction | float) -> bool:
    """Write tables, rows and stamp in one transaction."""
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    try:
        with engine.begin() as connection:
            if not clear_for_seed(connection, compute_stamp(scale)):
                return False
            fill_postgresql(connection, scale)
    finally:
        engine.dispose()
    return True


def clear_for_seed(connection: Connection, wanted: int) -> bool:
    """Remove an older seeding; return whether there is seeding to do. Raises SeedRefused for foreign tables."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (APPLICATION_ID,))
    names = set(inspect(connection).get_table_names())
    if STAMP.name not in names and (foreign := sorted(names & set(METADATA.tables))):
        raise SeedRefused(
            f"the database holds a table `{foreign[0]}` that the demo did not make; choose an empty database"
        )
    if STAMP.name in names and connection.scalar(select(STAMP.c.stamp)) == wanted:
        return False
    METADATA.drop_all(connection)
    STAMP.drop(connection, checkfirst=True)
    return True


def fill_postgresql(connection: Connection, scale: Fraction | float) -> None:
    rows = business.tables(scale)
    METADATA.create_all(connection)
    STAMP.create(connection)
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    for table in METADATA.sorted_tables:
        with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} FROM STDIN") as copy:
            for row in rows[table.name].rows:
                copy.write_row(row)
        if table.columns[0].identity is not None:
            connection.exec_driver_sql(SET_SEQUENCE_SQL.format(table.name))
    connection.execute(STAMP.insert().values(stamp=compute_stamp(scale)))
