"""The types of columns that databases really have, and of each the values that it really holds.

Types are written as the database names them, values as literals of its SQL. Beside each literal stands what is to be
shown: a JSON value, None for null, BAD for a null with an error, or ANYTHING where more than one answer is right; what
is shown must then still be what is filtered, ordered and counted by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any


class Shown(Enum):
    """What is to be shown where it is no JSON value."""

    BAD = "null with an error"
    ANYTHING = "whatever is right"


BAD, ANYTHING = Shown.BAD, Shown.ANYTHING

Value = tuple[str, Any]
"""A literal of SQL, and what is to be shown for it."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """One type of columns of a database."""

    sql: str
    values: Sequence[Value]
    is_key: bool = True
    """Whether a primary key may have the type."""


def _quote(*texts: str) -> list[Value]:
    return [(f"'{text}'", text) for text in texts]


def _whatever(*texts: str) -> list[Value]:
    return [(f"'{text}'", ANYTHING) for text in texts]


def _number(*numbers: str) -> list[Value]:
    return [(number, Decimal(number)) for number in numbers]


LETTERS = _quote(
    "a", "A", "b", "B", "ab", "Ab", "é", "É", "ΟΔΟΣ", "ΟΔΟΣΑ", "straße", "STRASSE", "%", "_", "10%", "x\ny"
)
"""Texts that collations take for equal or order otherwise than code points do."""
BLANKS = _quote("", " ", "a ", "a  ", " a")
WHOLE = _number("0", "1", "-1", "2", "2147483647", "-2147483648")
LONG = _number("0", "1", "-1", "9007199254740993", "9223372036854775807", "1793404800000")
UUIDS = _quote(
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0f000000-0000-0000-0000-000000000001",
)
DAYS = _quote("2026-01-01", "2026-06-01", "1969-12-31", "0001-01-01", "9999-12-31", "2024-02-29")
FLOATS = [(text, float(text)) for text in ("0.1", "1.5", "-2.25", "1e308", "0", "3", "1e-300")]

POSTGRESQL: Sequence[ColumnType] = (
    ColumnType("smallint", _number("0", "1", "-32768", "32767")),
    ColumnType("integer", WHOLE),
    ColumnType("bigint", LONG),
    ColumnType("numeric", [*_number("0.004", "3.14159", "1.50", "1e25", "0.10000000000000000001"), ("'NaN'", BAD)]),
    ColumnType("numeric(10,2)", _number("0.00", "1.50", "-3.25", "99999999.99")),
    ColumnType("real", [("0.1", 0.1), ("1.5", 1.5), ("123.79", 123.79), ("'NaN'", BAD), ("'-Infinity'", BAD)]),
    ColumnType("double precision", [*FLOATS, ("'NaN'", BAD), ("'Infinity'", BAD), ("'-Infinity'", BAD)]),
    ColumnType("boolean", [("true", True), ("false", False)], is_key=False),
    ColumnType("date", [*DAYS, ("'infinity'", BAD), ("'-infinity'", BAD), ("'0044-03-15 BC'", BAD)]),
    ColumnType(
        "timestamp with time zone",
        [
            ("'2026-01-01T00:00:00Z'", "2026-01-01T00:00:00Z"),
            ("'2026-01-01T00:00:00.000001Z'", "2026-01-01T00:00:00.000001Z"),
            ("'1969-12-31T23:59:59.5Z'", "1969-12-31T23:59:59.500000Z"),
            ("'infinity'", BAD),
            ("'-infinity'", BAD),
            ("'0044-03-15 BC'", BAD),
        ],
    ),
    ColumnType(
        "timestamp without time zone",
        [
            ("'2026-01-01T00:00:00'", "2026-01-01T00:00:00Z"),
            ("'2026-03-29T02:30:00'", "2026-03-29T02:30:00Z"),
            ("'infinity'", BAD),
        ],
    ),
    ColumnType("text", [*LETTERS, *BLANKS]),
    ColumnType("character varying(20)", [*LETTERS, *BLANKS]),
    ColumnType("character(8)", [(f"'{text}'", text) for text in ("a", "A", "b", "ab", "Ab", "é")]),
    ColumnType("uuid", UUIDS),
    ColumnType("mood", [("'ok'", "OK"), ("''", "EMPTY"), ("'Bad'", "BAD"), ("'10%'", ANYTHING)]),
    ColumnType("inet", [(f"'{text}'", ANYTHING) for text in ("10.0.0.1", "9.0.0.1", "10.0.0.1/8", "::1", "100.0.0.1")]),
    ColumnType("cidr", [(f"'{text}'", text) for text in ("10.0.0.0/8", "9.0.0.0/24", "::/0")]),
    ColumnType("macaddr", _quote("08:00:2b:01:02:03", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")),
    ColumnType("name", _quote("a", "A", "Ab", "é")),
    ColumnType("time without time zone", _whatever("00:00", "24:00:00", "12:30:00.5", "23:59:59.999999")),
    ColumnType("time with time zone", _whatever("12:00+02", "10:00+00", "12:00:00.5-03")),
    ColumnType("money", [(f"'{text}'::numeric::money", ANYTHING) for text in ("1.50", "-3", "10", "9")]),
    ColumnType("oid", [(number, ANYTHING) for number in ("0", "10", "9", "4294967295")]),
    ColumnType("bit(4)", [(f"B'{bits}'", bits) for bits in ("0000", "0101", "1111")]),
    ColumnType("bit varying", [(f"B'{bits}'", bits) for bits in ("", "0", "0101", "11")]),
    ColumnType("int4range", _whatever("[1,5)", "[1,4]", "empty", "(,3]", "[10,20)")),
    ColumnType(
        "timestamp(0) with time zone", [("'2026-01-01T00:00:00Z'", "2026-01-01T00:00:00Z"), ("'infinity'", BAD)]
    ),
    ColumnType("integer[]", [("'{1,2}'", [1, 2]), ("'{}'", []), ("'{NULL,3}'", [None, 3])], is_key=False),
    ColumnType("point", _whatever("(1,2)", "(NaN,0)"), is_key=False),
    ColumnType("json", _whatever('{"b": 1}', "1", "null", "[1.0]"), is_key=False),
    ColumnType("jsonb", [(f"'{text}'", ANYTHING) for text in ('{"b":[1,2]}', "1", '"1"', "null", "{}")], is_key=False),
    ColumnType(
        "interval", [(f"'{text}'", ANYTHING) for text in ("1 day", "24:00:00", "1 month", "-3 days")], is_key=False
    ),
)

POSTGRESQL_ICU: Sequence[ColumnType] = (
    ColumnType('text collate "en-US-x-icu"', [*LETTERS, *BLANKS]),
    ColumnType("text collate any_case", [*LETTERS, *BLANKS]),
)
"""Types of a PostgreSQL that is built with ICU."""

MARIADB: Sequence[ColumnType] = (
    ColumnType("tinyint", _number("0", "1", "-128", "127")),
    ColumnType("int", WHOLE),
    ColumnType("int unsigned", _number("0", "1", "4294967295")),
    ColumnType("bigint", LONG),
    ColumnType("bigint unsigned", _number("0", "1", "18446744073709551615")),
    ColumnType("decimal(10,2)", _number("0.00", "1.50", "-3.25", "99999999.99")),
    ColumnType("decimal(38,20)", _number("0.10000000000000000001", "1", "-3.25")),
    ColumnType("float", [("0.1", 0.1), ("1.5", 1.5), ("123.79", 123.79)], is_key=False),
    ColumnType("double", FLOATS),
    ColumnType("boolean", [("true", True), ("false", False)], is_key=False),
    ColumnType("date", [*DAYS[1:], ("'0000-00-00'", ANYTHING), ("'2026-00-00'", ANYTHING), ("'2026-02-30'", ANYTHING)]),
    ColumnType(
        "datetime(6)",
        [
            ("'2026-01-01 00:00:00'", "2026-01-01T00:00:00Z"),
            ("'2026-01-01 00:00:00.000001'", "2026-01-01T00:00:00.000001Z"),
            ("'0000-00-00 00:00:00'", ANYTHING),
            ("'2026-02-30 00:00:00'", ANYTHING),
        ],
    ),
    ColumnType("varchar(20)", [*LETTERS, *BLANKS]),
    ColumnType("varchar(20) collate utf8mb4_bin", [*LETTERS, *BLANKS]),
    ColumnType("varchar(20) collate utf8mb4_unicode_ci", [*LETTERS, *BLANKS]),
    ColumnType("text", [*LETTERS, *BLANKS], is_key=False),
    ColumnType("char(8)", [(f"'{text}'", text) for text in ("a", "A", "b", "ab", "Ab", "é")]),
    ColumnType("year", _number("2026", "1901", "0")),
    ColumnType("mediumint unsigned", _number("0", "16777215", "1")),
    ColumnType("time(3)", _whatever("-838:59:59", "00:00:00", "12:30:00.5", "838:59:59")),
    ColumnType(
        "timestamp NULL", [("'2026-01-01 00:00:00'", "2026-01-01T00:00:00Z"), ("'0000-00-00'", ANYTHING)], is_key=False
    ),
    ColumnType("bit(8)", [(f"b'{bits}'", bits.zfill(8)) for bits in ("0", "101", "11111111")]),
    ColumnType("set('a','b','c')", [("''", ""), ("'a'", "a"), ("'a,c'", "a,c"), ("'b'", "b")]),
    ColumnType("json", _whatever('{"b": 1}', "1", "null"), is_key=False),
    ColumnType("varchar(20) character set latin1", _quote("a", "A", "é", "É", "", " ")),
    ColumnType("inet4", _quote("10.0.0.1", "9.0.0.1", "100.0.0.1")),
    ColumnType("uuid", UUIDS),
    ColumnType("inet6", _quote("::1", "2001:db8::1", "fe80::1")),
    ColumnType("enum('ok','','Bad')", [("'ok'", "OK"), ("''", "EMPTY"), ("'Bad'", "BAD")]),
)

SQLITE_ODD: Sequence[Value] = (
    ("1", ANYTHING),
    ("2.5", ANYTHING),
    ("'n/a'", ANYTHING),
    ("''", ANYTHING),
    ("x'ff00'", ANYTHING),
    ("9e999", ANYTHING),
    ("9223372036854775807", ANYTHING),
)
"""What a column of SQLite may hold whatever its type is declared to be."""

SQLITE: Sequence[ColumnType] = (
    ColumnType("INTEGER", [*LONG, ("2.5", BAD), ("2.2", BAD), ("'n/a'", BAD), ("x'00'", BAD), ("9e999", BAD)]),
    ColumnType("BIGINT", [*LONG, *SQLITE_ODD]),
    ColumnType("REAL", [*FLOATS, ("'n/a'", BAD), ("''", BAD), ("x'00'", BAD), ("9e999", BAD), ("-9e999", BAD)]),
    ColumnType("NUMERIC", [*_number("3.14159", "0.004", "1"), ("''", BAD), ("'n/a'", BAD), ("9e999", BAD)]),
    ColumnType("DECIMAL(10,2)", [*_number("1.999", "1", "-2.5"), *SQLITE_ODD]),
    ColumnType(
        "BOOLEAN",
        [
            ("1", True),
            ("0", False),
            *((f"'{text}'", ANYTHING) for text in ("t", "f", "true", "false")),
            ("2", ANYTHING),
        ],
        is_key=False,
    ),
    ColumnType("TEXT", [*LETTERS, *BLANKS, ("x'ff00'", BAD)]),
    ColumnType("TEXT COLLATE NOCASE", [*LETTERS, *BLANKS]),
    ColumnType("TEXT COLLATE RTRIM", [*LETTERS, *BLANKS]),
    ColumnType("VARCHAR(20)", [*LETTERS, *SQLITE_ODD]),
    ColumnType("UUID", [*UUIDS, ("1", "1"), ("'01'", ANYTHING), ("2.5", "2.5"), ("1e300", ANYTHING), ("x'00'", BAD)]),
    ColumnType("", [*LETTERS, *BLANKS, ("1", "1"), ("'2'", "2"), ("2.5", "2.5"), ("x'00'", BAD)]),
    ColumnType(
        "TIMESTAMP", [("'2026-01-01'", ANYTHING), ("'2026-01-01 10:00:00.123'", ANYTHING), ("'n/a'", BAD), ("5", BAD)]
    ),
    ColumnType("TINYINT(1)", [("0", ANYTHING), ("1", ANYTHING), ("2", ANYTHING), ("'x'", BAD)]),
    ColumnType("FLOAT", [("0.1", 0.1), ("3", 3.0), ("'n/a'", BAD)]),
    ColumnType("JSON", _whatever('{"b": 1}', "1", "null", "nothing"), is_key=False),
    ColumnType("DATE", [*DAYS, ("''", BAD), ("'2026-01-06 00:00:00'", ANYTHING), ("5", BAD), ("x'00'", BAD)]),
    ColumnType(
        "DATETIME",
        [
            ("'2026-01-01T00:00:00Z'", "2026-01-01T00:00:00Z"),
            ("'2026-01-01 00:00:00'", ANYTHING),
            ("'2026-01-01T00:00:00.5Z'", ANYTHING),
            ("''", BAD),
            ("1793404800000", ANYTHING),
            ("x'00'", BAD),
        ],
    ),
    ColumnType(
        "TEXT CHECK ({column} IN ('10%','','é'))",
        [("'10%'", ANYTHING), ("''", "EMPTY"), ("'é'", ANYTHING)],
        is_key=False,
    ),
)

TYPES: Mapping[str, Sequence[ColumnType]] = {
    "postgresql": POSTGRESQL,
    "postgresql-icu": (*POSTGRESQL, *POSTGRESQL_ICU),
    "mariadb": MARIADB,
    "sqlite": SQLITE,
}

MOOD = "CREATE TYPE mood AS ENUM ('ok', '', 'Bad', '10%')"

SETUP: Mapping[str, Sequence[str]] = {
    "postgresql": (MOOD,),
    "postgresql-icu": (
        MOOD,
        "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    ),
    "mariadb": ("SET sql_mode = 'ALLOW_INVALID_DATES'",),
    "sqlite": (),
}
"""What must be said before the tables are made and filled."""
