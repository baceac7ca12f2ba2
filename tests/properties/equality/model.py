"""Describe the chain of shops as tables: each type with its columns, their values and its relationships."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from onedoor.spi.capabilities import ColumnType

WEST = timezone(timedelta(hours=-5))
EAST = timezone(timedelta(hours=5, minutes=45))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A scalar or enum, and the name of the pool its values are drawn of; links join columns of one pool.

    `filled`: never null.
    """

    scalar: str
    pool: str
    filled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leads:
    """A link: to rows whose `there` are this row's `here`."""

    to: str
    here: tuple[str, ...]
    there: tuple[str, ...]
    many: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """`columns` by name, those of links included; `fields` names the column of each field but `id`, the key."""

    one: str
    all: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    fields: Mapping[str, str]
    links: Mapping[str, Leads]


def column(scalar: str, pool: str = "") -> Column:
    return Column(scalar=scalar, pool=pool or scalar)


def single_link(to: str, here: str, there: str) -> Leads:
    return Leads(to=to, here=tuple(here.split()), there=tuple(there.split()))


def many(to: str, here: str, there: str) -> Leads:
    return Leads(to=to, here=tuple(here.split()), there=tuple(there.split()), many=True)


MODEL: Mapping[str, Type] = {
    "Region": Type(
        one="region", all="regions", key=("code",),
        columns={
            "code": column("String", "code"), "name": column("String"), "area": column("Float"),
            "founded": column("Date"), "parent_code": column("String", "code"),
        },
        fields={"name": "name", "area": "area", "founded": "founded"},
        links={
            "parent": single_link("Region", "parent_code", "code"), "parts": many("Region", "code", "parent_code"),
            "shops": many("Shop", "code", "region_code"), "namesake": single_link("Region", "name", "name"),
        },
    ),
    "Shop": Type(
        one="shop", all="shops", key=("id",),
        columns={
            "id": column("Int", "number of a shop"), "title": column("String"), "kind": column("ShopKind"),
            "rating": column("Float"), "open": column("Boolean"), "opened": column("Date"),
            "region_code": column("String", "code"),
        },
        fields={"name": "title", "kind": "kind", "rating": "rating", "open": "open", "opened": "opened"},
        links={
            "region": single_link("Region", "region_code", "code"), "sales": many("Sale", "id", "shop_id"),
            "staff": many("Person", "id", "shop_id"),
        },
    ),
    "Sale": Type(
        one="sale", all="sales", key=("shop_id", "number"),
        columns={
            "shop_id": column("Int", "number of a shop"), "number": column("String", "number of a sale"),
            "total": column("Decimal"), "pieces": column("Int"),
            "stamp": Column(scalar="BigInt", pool="BigInt", filled=True), "sold_at": column("DateTime"),
            "paid": column("Boolean"), "sku": column("String", "sku"),
        },
        fields={
            "number": "number", "total": "total", "pieces": "pieces", "stamp": "stamp", "soldAt": "sold_at",
            "paid": "paid",
        },
        links={
            "shop": single_link("Shop", "shop_id", "id"), "item": single_link("Item", "sku", "sku"),
            "returns": many("Return", "shop_id number", "shop_id sale"),
        },
    ),
    "Item": Type(
        one="item", all="items", key=("code",),
        columns={
            "code": column("String", "code"), "sku": column("String", "sku"), "price": column("Decimal"),
            "weight": column("Float"), "sizes": column("Int"), "tags": column("[String]"),
        },
        fields={"sku": "sku", "price": "price", "weight": "weight", "sizes": "sizes", "tags": "tags"},
        links={"sales": many("Sale", "sku", "sku")},
    ),
    "Return": Type(
        one="return", all="returns", key=("id",),
        columns={
            "id": column("Int", "number"), "amount": column("Decimal"), "day": column("Date"),
            "reason": column("Reason"), "shop_id": column("Int", "number of a shop"),
            "sale": column("String", "number of a sale"), "person": column("Int", "number"),
        },
        fields={"amount": "amount", "day": "day", "reason": "reason"},
        links={"sale": single_link("Sale", "shop_id sale", "shop_id number"),
               "person": single_link("Person", "person", "id")},
    ),
    "Person": Type(
        one="person", all="people", key=("id",),
        columns={
            "id": column("Int", "number"), "name": column("String"), "salary": column("Decimal"),
            "grade": column("Int"), "hired_at": column("DateTime"), "boss_id": column("Int", "number"),
            "shop_id": column("Int", "number of a shop"),
        },
        fields={"name": "name", "salary": "salary", "grade": "grade", "hiredAt": "hired_at"},
        links={
            "boss": single_link("Person", "boss_id", "id"), "reports": many("Person", "id", "boss_id"),
            "shop": single_link("Shop", "shop_id", "id"), "returns": many("Return", "id", "person"),
        },
    ),
}  # fmt: skip

ROOTS = {item.all: name for name, item in MODEL.items()}
SINGLES = {item.one: name for name, item in MODEL.items()}

KINDS: Mapping[str, ColumnType] = {
    "String": ColumnType.TEXT,
    "Int": ColumnType.INTEGER,
    "BigInt": ColumnType.INTEGER,
    "Float": ColumnType.FLOAT,
    "Decimal": ColumnType.DECIMAL,
    "Boolean": ColumnType.BOOLEAN,
    "Date": ColumnType.DATE,
    "DateTime": ColumnType.TIME,
    "ShopKind": ColumnType.TEXT,
    "Reason": ColumnType.TEXT,
    "[String]": ColumnType.LIST,
}

POOLS: Mapping[str, tuple[Any, ...]] = {
    "code": ("N", "n", "Ö", "ö", "a:b", "%3A", "", "ß", "SS", "😀", "\uffff", "z", "10", "9"),
    "number of a shop": (3, 1, 0, -1, 12, 7, 100, 2, 20, 5, 2**40, 9),
    "number of a sale": ("1", "1:1", "10", "é", "e\u0301"),
    "number": (2, 1, 10, 0, 11, 3, -7, 2**33, 4, 5, 6, 99),
    "sku": ("A", "a", "É", "é", "10-x"),
    "String": ("Ada", "ada", "Émile", "émile", "İ", "i\u0307", "ß", "", "Zoe", "😀", "\uffff", "100%", "a_b"),
    "Int": (1, 2, 2, 3, 0, -5, 2**31 - 1, -(2**31)),
    "BigInt": (5, 0, 2**63 - 1, 2**63 - 1, -(2**63), 2**53 + 1, 7),
    "Float": (0.1, 0.2, 0.3, 1e16, -1e16, 3.0, 1e-9, -2.5),
    "Decimal": tuple(map(Decimal, ("0.10", "-0.10", "1.00", "12.50", "999999999.99", "0.01", "0.00", "33.33"))),
    "Boolean": (True, False),
    "Date": tuple(
        map(date.fromisoformat, ("2024-02-29", "2024-03-31", "2024-04-01", "2024-12-30", "2025-01-01", "2023-12-31"))
    ),
    "DateTime": (
        datetime(2024, 12, 31, 23, 30, tzinfo=WEST), datetime(2025, 1, 1, 4, 30, tzinfo=UTC),
        datetime(2025, 1, 1, 4, 30, 59, 999999, tzinfo=UTC), datetime(2024, 6, 30, 23, 59, 59, 5, tzinfo=UTC),
        datetime(2024, 7, 1, 2, 0, tzinfo=EAST), datetime(2024, 12, 29, 12, 0, tzinfo=UTC),
        datetime(2024, 12, 30, 0, 0, tzinfo=UTC), datetime(1969, 12, 31, 23, 0, tzinfo=UTC),
    ),
    "ShopKind": ("STREET", "MALL", "AIRPORT"),
    "Reason": ("BROKEN", "LATE", "UNLOVED"),
    "[String]": ((), ("a",), ("b", "a"), ("é", "")),
}  # fmt: skip
