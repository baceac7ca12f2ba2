"""What means more than a database compares, or less, is compared in one way everywhere."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.sql import mysql, postgresql, sqlite
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.spi.predicates import Comparison, Exists, Op
from onedoor.spi.scan import ScanRequest
from tests.connectors.sql.both_ways import draw_requests, find_differences, read_reference
from tests.servers.mariadb import MariadbServer

WORDS = ("a", "A", "b", "B", "a ", "é", "É", "e\u0301", "ß", "ss", "ΟΔΟΣ", "οδος", "", "%", "Straße")
UUIDS = (
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "00000000-0000-0000-0000-000000000000",
    "9fffffff-ffff-ffff-ffff-ffffffffffff",
)
ADDRESSES = (
    "10.0.0.10",
    "10.0.0.9",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "192.168.1.5/24",
    "::1",
    "2001:db8::/32",
    "::ffff:1.2.3.4",
)
MOODS = ("zen", "glad", "", "Glad", "it's")
RATIOS = (0.1, 1.5, 123.79, -3e38, 16777216)
AMOUNTS = (0.1, 2, 3.14159, -7, 9007199254740993, 2**63 - 1, 1e300)
MOMENTS = (
    "2026-01-01 10:00:00",
    "2026-01-01T10:00:00Z",
    "2026-01-01T11:00:00.5+01:00",
    "2025-12-31",
    "1969-12-31 23:59:59",
)
"""The first two are the same."""
LINKS = """
    CREATE TABLE visit (id INTEGER PRIMARY KEY, word {type});
    INSERT INTO visit VALUES (1, 'a'), (2, 'A'), (3, 'É'), (4, NULL), (5, 'a ');
"""
POSTGRESQL = f"""
    CREATE TYPE mood AS ENUM ('zen', 'glad', '', 'Glad', 'it''s');
    CREATE DOMAIN ticket AS uuid;
    CREATE TABLE thing (
        id integer PRIMARY KEY, word text, padded char(8), uid uuid, ticket ticket, ip inet, net cidr, mac macaddr,
        mac8 macaddr8, mood mood, doc jsonb, plain json, name name, ratio real
    );
    {LINKS.format(type="text")}
"""
DEBIAN = f"""
    CREATE EXTENSION citext;
    CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE thing (
        id integer PRIMARY KEY, word text COLLATE caseless, folded citext, swedish text COLLATE "sv-x-icu",
        padded char(8) COLLATE caseless
    );
    {LINKS.format(type="text COLLATE caseless")}
"""
MYSQL = f"""
    CREATE TABLE thing (
        id integer PRIMARY KEY, word varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
        latin varchar(20) CHARACTER SET latin1, mood enum('zen', 'glad', '', 'it''s') CHARACTER SET utf8mb4,
        padded char(8) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, uid uuid, ip inet4, ip6 inet6,
        ratio float, huge bigint unsigned
    ) CHARACTER SET utf8mb4;
    {LINKS.format(type="varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")}
"""
SQLITE = f"""
    CREATE TABLE thing (
        id INTEGER PRIMARY KEY, word TEXT, folded TEXT COLLATE NOCASE, trimmed VARCHAR(20) COLLATE RTRIM,
        uid UUID, loose, amount NUMERIC, moment DATETIME
    );
    CREATE INDEX by_folded ON thing (folded);
    {LINKS.format(type="TEXT COLLATE NOCASE")}
"""


@pytest.fixture(scope="module")
def postgresql_url(postgresql_started: PostgresqlServer) -> str:
    url = postgresql_started.emptied("meaning")
    with psycopg.connect(url) as connection:
        connection.execute(POSTGRESQL)
        for number, word in enumerate(WORDS):
            values = {
                "id": number, "word": word, "padded": word, "name": word,
                "uid": UUIDS[number % 3], "ticket": UUIDS[number % 2].upper(), "ip": ADDRESSES[number % 8],
                "net": ADDRESSES[number % 4], "mac": f"08-00-2B-01-02-{number % 4:02}",
                "mac8": f"0800.2b01.02{number % 4:02}", "mood": MOODS[number % 5],
                "doc": ['{"b": 1, "a": [1.0, null]}', '{"a":[1,null],"b":1.00}', '"x"', "1e2"][number % 4],
                "plain": '{"b":1 , "b": 2}', "ratio": RATIOS[number % 5],
            }  # fmt: skip
            connection.execute(
                f"INSERT INTO thing ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",  # type: ignore[arg-type]
                list(values.values()),
            )
        connection.execute("INSERT INTO thing (id) VALUES (100)")
    return url


@pytest.fixture(scope="module")
def debian_url(debian_postgresql_started: PostgresqlServer) -> str:
    url = debian_postgresql_started.emptied("meaning")
    with psycopg.connect(url) as connection:
        connection.execute(DEBIAN)
        for number, word in enumerate(WORDS):
            connection.execute("INSERT INTO thing VALUES (%s, %s, %s, %s, %s)", (number, word, word, word, word))
        connection.execute("INSERT INTO thing (id) VALUES (100)")
    return url


@pytest.fixture(scope="module")
def mysql_url(mariadb_started: MariadbServer) -> str:
    url = mariadb_started.emptied("meaning")
    mariadb_started.run(*filter(str.strip, MYSQL.split(";")), database="meaning")
    parts = urlsplit(url)
    with (
        closing(
            pymysql.connect(
                host=parts.hostname,
                port=parts.port or 0,
                user="acme",
                password="acme",
                database="meaning",
                charset="utf8mb4",
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        for number, word in enumerate(WORDS):
            latin = word if word.encode("latin-1", "ignore").decode("latin-1") == word else None
            cursor.execute(
                "INSERT INTO thing VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (number, word, latin, ("zen", "glad", "", "it's")[number % 4], word, UUIDS[number % 3],
                 ADDRESSES[number % 2], ("::1", "2001:db8::", "::ffff:1.2.3.4")[number % 3],
                 RATIOS[number % 5], (2**64 - 1, 2**63, 0)[number % 3]),
            )  # fmt: skip
        cursor.execute("INSERT INTO thing (id) VALUES (100)")
        connection.commit()
    return url


@pytest.fixture(scope="module")
def sqlite_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("meaning") / "meaning.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SQLITE)
        connection.executemany(
            "INSERT INTO thing VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (i, w, w, w, ("7", "07", 2.5, *UUIDS)[i % 6], (7, "7", 2.5, w)[i % 4], AMOUNTS[i % 7], MOMENTS[i % 5])
                for i, w in enumerate(WORDS)
            ],
        )
        connection.execute("INSERT INTO thing (id) VALUES (100)")
        connection.commit()
    return path


@pytest.fixture(params=["postgresql", "debian", "mysql", "sqlite"])
async def source(request: pytest.FixtureRequest) -> AsyncIterator[SqlConnector]:
    match request.param:
        case "postgresql" | "debian":
            url = request.getfixturevalue(f"{request.param}_url")
            connector = await postgresql.connect(postgresql.PostgresqlOptions(url=url))
        case "mysql":
            connector = await mysql.connect(mysql.MysqlOptions(url=request.getfixturevalue("mysql_url")))
        case _:
            path = request.getfixturevalue("sqlite_path")
            connector = await sqlite.connect(sqlite.SqliteOptions(path=str(path)))
    yield connector
    await connector.close()


async def test_what_is_pushed_down_means_what_the_engine_means(source: SqlConnector) -> None:
    reference = await read_reference(source, ["thing"])
    columns = source.capabilities("thing").columns
    requests = []
    for place, (name, column) in enumerate(columns.items()):
        values = list(dict.fromkeys(row[place] for row in reference["thing"].rows if row[place] is not None))
        if name != "id":
            requests.extend(draw_requests("thing", name, column, values))
    assert await find_differences(source, reference, requests) == []


async def test_a_link_compares_by_code_point(source: SqlConnector) -> None:
    reference = await read_reference(source, ["thing", "visit"])
    requests = [
        ScanRequest(collection="visit", columns=("id",), filter=Exists("thing", ("word",), (name,), some))
        for name in source.capabilities("thing").columns
        if name in ("word", "folded", "padded", "trimmed")
        for some in (Comparison("id", Op.GTE, 0), Comparison(name, Op.EQ, "A"))
    ]
    assert await find_differences(source, reference, requests) == []


BETWEEN = {
    "ratio": (0.1, 0.1000000001, 0.0999999999, 123.79, 16777217.0, 3e38, 1e300, -1e300, 0.0),
    "huge": (2**64 - 1, 2**63, -1, 2**70),
    "amount": tuple(
        map(Decimal, ("0.1", "0.1000000000000000001", "2.0", "9007199254740993.5", "1152921504606846977.5", "-7.5"))
    )
    + (Decimal(2**63 - 1), Decimal(2**63), Decimal("1e300"), Decimal("1e400"), Decimal("-1e400")),
}
"""By column, numbers of which it cannot hold each."""


async def test_a_number_between_those_that_a_column_holds_divides_them(source: SqlConnector) -> None:
    columns = source.capabilities("thing").columns
    reference = await read_reference(source, ["thing"])
    requests = [
        ScanRequest(collection="thing", columns=("id",), filter=Comparison(name, op, value))
        for name in columns.keys() & BETWEEN.keys()
        for value in BETWEEN[name]
        for op in (Op.EQ, Op.NE, Op.LT, Op.LTE, Op.GT, Op.GTE)
    ]
    assert await find_differences(source, reference, requests) == []
