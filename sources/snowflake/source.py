"""Options go in, a source that answers from one Snowflake schema comes out."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from engine.words import Ask, Can, Row
from sources.snowflake.groups import results
from sources.snowflake.options import Options
from sources.snowflake.render import render
from sources.snowflake.sessions import Sessions
from sources.snowflake.sql import Sql, kept
from sources.snowflake.tables import COLUMNS_SQL, ROWS_SQL, Table, tables
from sources.snowflake.values import SHOWN

BATCH = 5000


async def connect(options: Options) -> "Snowflake":
    """Reads the schema's tables once; what is added later is seen after a restart. Raises SourceFailed."""
    sessions = Sessions(options)
    try:
        columns, sizes = [await sessions.run(Sql(each, (kept(options.schema),))) for each in (COLUMNS_SQL, ROWS_SQL)]
    except BaseException:
        await sessions.close()
        raise
    return Snowflake(sessions, tables(columns, sizes))


class Snowflake:
    """The tables of one schema, by lower-case name."""

    def __init__(self, sessions: Sessions, tables: Mapping[str, Table]) -> None:
        self.sessions = sessions
        self.tables = tables

    def can(self, collection: str) -> Can:
        return self.tables[collection].can

    def text(self, ask: Ask) -> str:
        return render(ask, self.tables).text

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        if ask.keys is not None and not ask.keys.values:
            return
        rows = await self.sessions.run(render(ask, self.tables))
        shows = [SHOWN.get(each.kind) for _, each in results(ask, self.tables[ask.collection].columns)]
        for start in range(0, len(rows), BATCH):
            yield shown(rows[start : start + BATCH], shows)

    async def ping(self) -> None:
        await self.sessions.run(Sql("SELECT 1"))

    async def close(self) -> None:
        await self.sessions.close()


def shown(rows: Sequence[Row], shows: Sequence[Callable[[Any], Any] | None]) -> list[Row]:
    """The rows with their values as the words mean them; of an ask without columns and measures, empty rows."""
    if not shows:
        return [()] * len(rows)
    if not any(shows):
        return [tuple(row) for row in rows]
    return [
        tuple(
            show(value) if show is not None and value is not None else value
            for show, value in zip(shows, row, strict=True)
        )
        for row in rows
    ]
