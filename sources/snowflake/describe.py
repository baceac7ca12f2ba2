"""The URL of a Snowflake schema in, its tables as they are described out.

Snowflake declares keys and references without seeing to them; they are taken at their word.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from auth.mistake import Mistake
from engine.errors import SourceFailed
from engine.words import Kind, Row
from introspect.words import Column, Reference, Table
from sources.snowflake.options import Options
from sources.snowflake.sessions import Sessions
from sources.snowflake.sql import Sql, quoted
from sources.snowflake.tables import COLUMNS_SQL, tables

HOST = "snowflakecomputing.com"
TOLD_SQL = "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE, COMMENT FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ?"
TABLES_SQL = "SELECT TABLE_NAME, TABLE_TYPE, COMMENT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"
KEYS_SQL = "SHOW PRIMARY KEYS IN SCHEMA {}"
REFERENCES_SQL = "SHOW IMPORTED KEYS IN SCHEMA {}"
INT_DIGITS = 9
"""Whole numbers of so many digits surely take 32 bits."""


def settings(url: str) -> Mapping[str, str]:
    """`snowflake://user:password@account/database/schema?warehouse=...&role=...` as it stands in the settings."""
    parts = urlsplit(url)
    database, _, schema = parts.path.strip("/").partition("/")
    if not (parts.username and parts.hostname and database and schema):
        raise Mistake("a Snowflake URL is `snowflake://user:password@account/database/schema`")
    host = parts.hostname
    far = host if host.endswith(HOST) or parts.port else f"{host}.{HOST}"
    known = {each.name for each in fields(Options)}
    more = {name: value for name, value in parse_qsl(parts.query) if name in known}
    return {
        "kind": "snowflake",
        "host": far,
        "account": host.partition(".")[0],
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": database,
        "schema": schema,
        **({"port": str(parts.port)} if parts.port else {}),
        **more,
    }


async def described(url: str) -> tuple[Table, ...]:
    """Tables and views of the one schema. Raises Mistake where the warehouse does not answer."""
    said: dict[str, Any] = dict(settings(url))
    said.pop("kind")
    sessions = Sessions(Options(**{**said, "port": int(said.get("port", 443))}))
    try:
        return await _read(sessions, said["database"], said["schema"])
    except SourceFailed as reason:
        raise Mistake(f"the database cannot be read: {reason.reason}") from None
    finally:
        await sessions.close()


async def _read(sessions: Sessions, database: str, schema: str) -> tuple[Table, ...]:
    held = tables(await sessions.run(Sql(COLUMNS_SQL, (schema,))))
    told = {(table, name): more for table, name, *more in await sessions.run(Sql(TOLD_SQL, (schema,)))}
    of_tables = {name: more for name, *more in await sessions.run(Sql(TABLES_SQL, (schema,)))}
    place = f"{quoted(database)}.{quoted(schema)}"
    keys = await sessions.run(Sql(KEYS_SQL.format(place)))
    leads = references(await sessions.run(Sql(REFERENCES_SQL.format(place))))
    return tuple(
        Table(
            name=name,
            columns=tuple(
                Column(
                    name=called,
                    kind=stored.kind,
                    nullable=told[each.name, stored.name][0] != "NO",
                    large=stored.kind is Kind.INTEGER and stored.precision > INT_DIGITS,
                    comment=told[each.name, stored.name][1] or "",
                )
                for called, stored in each.columns.items()
            ),
            key=key_of(each.name, keys),
            references=leads.get(each.name, ()),
            comment=of_tables[each.name][1] or "",
            view="VIEW" in of_tables[each.name][0],
        )
        for name, each in held.items()
    )


def key_of(table: str, rows: Iterable[Row]) -> tuple[str, ...]:
    """Of the rows of SHOW PRIMARY KEYS: created, database, schema, table, column, place in the key, ..."""
    return tuple(name.lower() for _, name in sorted((row[5], row[4]) for row in rows if row[3] == table))


def references(rows: Iterable[Row]) -> Mapping[str, tuple[Reference, ...]]:
    """By table, of the rows of SHOW IMPORTED KEYS.

    Created, then database, schema, table, column of what is led to, the same of what leads, the place in the key,
    rules for updates and for deletes, the name of the reference.
    """
    found: dict[tuple[str, str, str], list[tuple[int, str, str]]] = defaultdict(list)
    for _, _, to_schema, to, there, _, from_schema, table, here, place, _, _, name, *_ in rows:
        if to_schema == from_schema:
            found[table, name, to].append((place, here.lower(), there.lower()))
    made: dict[str, list[Reference]] = defaultdict(list)
    for (table, _, to), parts in sorted(found.items()):
        columns, there = tuple(here for _, here, _ in sorted(parts)), tuple(far for _, _, far in sorted(parts))
        made[table].append(Reference(columns=columns, to=to.lower(), there=there))
    return {table: tuple(each) for table, each in made.items()}
