"""Acme's internal tables as SQLAlchemy knows them, with column types that lose nothing in SQLite either."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
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
    text,
)
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine, UserDefinedType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Declared(UserDefinedType[Any]):
    """A column type that exists by its name alone; SQLite keeps integers wherever the name holds INT."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


class Money(TypeDecorator[Decimal]):
    """Decimal with two places; in SQLite, where NUMERIC is a float, a whole number of minor units."""

    impl = Numeric(12, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Declared("MINOR_UNITS_INT") if dialect.name == "sqlite" else Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return minor_units(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return Decimal(value).scaleb(-2) if value is not None and dialect.name == "sqlite" else value


class Time(TypeDecorator[datetime]):
    """An aware time; in SQLite, which has none, a whole number of microseconds of UTC since 1970."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = Declared("UTC_MICROS_INT") if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return utc_micros(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        time: datetime | None = value
        return EPOCH + value * MICROSECOND if value is not None and dialect.name == "sqlite" else time


def minor_units(value: Decimal) -> int:
    return int(value.scaleb(2))


def utc_micros(value: datetime) -> int:
    return (value - EPOCH) // MICROSECOND


METADATA = MetaData()


def needed(name: str, kind: Any, *args: Any, **kwargs: Any) -> Column[Any]:
    return Column(name, kind, *args, nullable=False, **kwargs)


def number() -> Column[Any]:
    """Of a row that people create: the next one, and never that of a row that was deleted."""
    return Column("id", Integer, Identity(), primary_key=True)


def counted(name: str = "version") -> Column[Any]:
    return needed(name, Integer, server_default=text("1"), comment="counts the changes")


def link(name: str, target: str, *, nullable: bool = False, comment: str | None = None) -> Column[Any]:
    return Column(name, Integer, ForeignKey(target), nullable=nullable, index=True, comment=comment)


EMPLOYEE = Table(
    "employee",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    needed("first_name", Text),
    needed("last_name", Text),
    needed("email", Text, unique=True),
    needed("title", Text),
    needed("department", Text),
    link("manager_id", "employee.id", nullable=True, comment="null for the head of the company"),
    needed("hired_on", Date),
    needed("salary", Money, comment="a year, in euros"),
)
CUSTOMER = Table(
    "customer",
    METADATA,
    number(),
    needed("name", Text),
    needed("email", Text),
    Column("phone", Text),
    needed("country", Text, comment="ISO 3166-1, two letters"),
    needed("segment", Text, comment="ENTERPRISE, MID_MARKET or SMALL_BUSINESS"),
    needed("created_at", Time),
    link("account_manager_id", "employee.id", nullable=True),
    Column("credit_limit", Money, comment="in euros; null: none agreed"),
    counted(),
    sqlite_autoincrement=True,
)
PRODUCT = Table(
    "product",
    METADATA,
    number(),
    needed("sku", Text, unique=True),
    needed("name", Text),
    needed("category", Text, comment="HARDWARE, SOFTWARE, SERVICE or ACCESSORY"),
    needed("price", Money),
    needed("discontinued", Boolean),
    counted(),
    sqlite_autoincrement=True,
)
ORDERS = Table(
    "orders",
    METADATA,
    number(),
    link("customer_id", "customer.id"),
    needed("status", Text, comment="PENDING, PAID, SHIPPED, CANCELLED or REFUNDED"),
    needed("placed_at", Time),
    needed("total", Money, comment="the sum of its items"),
    Column("note", Text),
    counted(),
    Index("ix_orders_customer_id_placed_at", "customer_id", "placed_at"),
    sqlite_autoincrement=True,
)
ORDER_ITEM = Table(
    "order_item",
    METADATA,
    Column("order_id", Integer, ForeignKey("orders.id"), primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    link("product_id", "product.id"),
    needed("quantity", Integer),
    needed("unit_price", Money, comment="after discount"),
    counted(),
    sqlite_with_rowid=False,
)
DEPLOYMENT = Table(
    "deployment",
    METADATA,
    number(),
    needed("service", Text),
    needed("version", Text),
    needed("environment", Text, comment="PRODUCTION or STAGING"),
    needed("status", Text, comment="WAITING, RUNNING, SUCCEEDED, FAILED, ROLLED_BACK or CANCELLED"),
    link("author_id", "employee.id", nullable=True, comment="null: started by nobody in particular"),
    needed("started_at", Time),
    Column("finished_at", Time, comment="null: it goes on, or it crashed"),
    needed("commit_sha", Text),
    Column("slack_channel_id", Text, comment="where it was announced"),
    Column("slack_ts", Text, comment="the announcement itself"),
    counted("revision"),
    sqlite_autoincrement=True,
)
