"""The URL of a Snowflake schema in, its tables as they are described out.

Snowflake declares keys and references without seeing to them; they are taken at their word.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snowflake.connector import ProgrammingError

from auth.mistake import Mistake
from engine.errors import SourceFailed
from engine.words import Kind, Row
from introspect.words import Column, Described, Reference, Table
from sources.snowflake.keys import Keys, keys, references
from sources.snowflake.sessions import Sessions
from sources.snowflake.sql import Sql, kept, quoted
from sources.snowflake.tables import Stored, stored_column, tables
from sources.snowflake.tables import Table as Held
from sources.snowflake.url import options, settings

COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE, COMMENT "
    "FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION"
)
HELD = 5
"""So many of these are what the source reads of itself."""
TABLES_SQL = "SELECT TABLE_NAME, TABLE_TYPE, COMMENT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"
VIEW = ("VIEW", "")
"""What has columns and is not among the tables can be nothing else."""
SHOWN = ("PRIMARY KEYS", "UNIQUE KEYS", "IMPORTED KEYS")
INT_DIGITS = 9
"""Whole numbers of so many digits surely take 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """All that was read of a schema, by the names Snowflake has: `columns` by table and column, `tables` by table."""

    columns: Mapping[tuple[str, str], Sequence[Any]]
    tables: Mapping[str, Sequence[Any]]
    primary: Keys
    unique: Keys
    references: Mapping[str, tuple[Reference, ...]]


async def described(url: str) -> Described:
    """Tables and views of the one schema. Raises Mistake where the warehouse does not answer, or shows none."""
    said = settings(url)
    place = f"`{said['database']}.{said['schema']}` at `{said['host']}`"
    sessions = Sessions(options(said))
    try:
        found = await _read(sessions, kept(said["database"]), kept(said["schema"]))
    except SourceFailed as reason:
        raise Mistake(f"{place} cannot be read: {reason.reason}") from None
    finally:
        await sessions.close()
    if not found.tables:
        raise Mistake(f"{place} shows no tables: see to both names, and to what the user's role may see")
    return found


async def _read(sessions: Sessions, database: str, schema: str) -> Described:
    columns = await sessions.run(Sql(COLUMNS_SQL, (schema,)))
    types = await sessions.run(Sql(TABLES_SQL, (schema,)))
    shown = [await _shown(sessions, each, f"{quoted(database)}.{quoted(schema)}") for each in SHOWN]
    (primary, unique), leads = [keys(rows or ()) for rows in shown[:2]], shown[2] or ()
    said = Said(
        columns={(table, name): more for table, name, *more in columns},
        tables={name: more for name, *more in types},
        primary=primary,
        unique=unique,
        references=references(leads, primary, unique),
    )
    held = tables(row[:HELD] for row in columns)
    refused = [name for name, rows in zip(SHOWN, shown, strict=True) if rows is None]
    return Described(
        tables=tuple(_table(name, each, said) for name, each in held.items()),
        told=(*_refused(refused), *_left_out(columns)),
    )


async def _shown(sessions: Sessions, what: str, place: str) -> list[Row] | None:
    """None where the statement is refused, as to a role that may not run it; raises SourceFailed for all else."""
    try:
        return await sessions.run(Sql(f"SHOW {what} IN SCHEMA {place}"))
    except SourceFailed as reason:
        if isinstance(reason.__cause__, ProgrammingError):
            return None
        raise


def _refused(names: Sequence[str]) -> Iterator[str]:
    for each in names:
        yield f"`SHOW {each}` was refused: what it would have shown is missing"


def _left_out(columns: Sequence[Row]) -> Iterator[str]:
    """Named once, with what they hold."""
    found = [f"`{row[0]}.{row[1]}` ({row[2]})".lower() for row in columns if stored_column(*row[1:HELD]) is None]
    if found:
        yield f"left out, no field can show them: {', '.join(found)}"


def _table(name: str, held: Held, said: Said) -> Table:
    columns = tuple(_column(called, each, said.columns[held.name, each.name]) for called, each in held.columns.items())
    sort, comment = said.tables.get(held.name, VIEW)
    primary, unique = said.primary.get(held.name, ()), said.unique.get(held.name, ())
    required = {each.name for each in columns if not each.nullable}
    return Table(
        name=name,
        columns=columns,
        key=next(iter((*primary, *(each for each in unique if set(each) <= required))), ()),
        references=said.references.get(held.name, ()),
        comment=comment or "",
        view="VIEW" in sort,
    )


def _column(name: str, stored: Stored, more: Sequence[Any]) -> Column:
    *_, nullable, comment = more
    return Column(
        name=name,
        kind=stored.kind,
        nullable=nullable != "NO",
        large=stored.kind is Kind.INTEGER and stored.precision > INT_DIGITS,
        comment=comment or "",
    )
