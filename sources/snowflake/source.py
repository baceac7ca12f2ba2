"""Options go in, a source that answers from one Snowflake schema comes out."""

from collections.abc import AsyncIterator, Mapping, Sequence

from engine.change.words import Change, Made, Writes
from engine.words import Ask, Can, Row
from sources.snowflake.options import Options
from sources.snowflake.render import render
from sources.snowflake.rows import shown, shown_by
from sources.snowflake.sessions import Sessions
from sources.snowflake.sql import Sql, kept
from sources.snowflake.tables import COLUMNS_SQL, ROWS_SQL, Table, tables
from sources.snowflake.writing import Writer, writer
from sources.unchanging import Unchanging

BATCH = 5000


async def connect(options: Options) -> "Snowflake":
    """Reads the schema's tables once; what is added later is seen after a restart. Raises SourceFailed."""
    sessions = Sessions(options)
    try:
        columns, sizes = [await sessions.run(Sql(each, (kept(options.schema),))) for each in (COLUMNS_SQL, ROWS_SQL)]
    except BaseException:
        await sessions.close()
        raise
    source = Snowflake(sessions, tables(columns, sizes))
    if options.writable:
        try:
            source.writer = await writer(sessions, options, source.tables)
        except BaseException:
            await sessions.close()
            raise
    return source


class Snowflake:
    """The tables of one schema, by lower-case name."""

    def __init__(self, sessions: Sessions, tables: Mapping[str, Table]) -> None:
        self.sessions = sessions
        self.tables = tables
        self.writer: Writer | Unchanging = Unchanging()

    def can(self, collection: str) -> Can:
        return self.tables[collection].can

    def text(self, ask: Ask) -> str:
        return render(ask, self.tables).text

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        if ask.keys is not None and not ask.keys.values:
            return
        rows = await self.sessions.run(render(ask, self.tables))
        shows = shown_by(ask, self.tables)
        for start in range(0, len(rows), BATCH):
            yield shown(rows[start : start + BATCH], shows)

    def writes(self, collection: str) -> Writes | None:
        return self.writer.writes(collection)

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        return await self.writer.write(changes, dry=dry)

    async def made(self, change: Change) -> Made | None:
        return await self.writer.made(change)

    async def ping(self) -> None:
        await self.sessions.run(Sql("SELECT 1"))

    async def close(self) -> None:
        await self.writer.close()
        await self.sessions.close()
