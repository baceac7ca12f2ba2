"""One table of the scratch database: rows are poured in, an ask is answered as the words mean it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from itertools import count

from engine.finish import predicate
from engine.house import Limits
from engine.source import Beyond
from engine.words import Aggregate, Ask, Kind, Measure, Row
from sources.scratch import database
from sources.scratch.joins import joining
from sources.scratch.render import statement
from sources.scratch.session import Session
from sources.scratch.sums import of_floats, summed
from sources.scratch.values import MOST, Field, declared, decoded, places
from sources.scratch.words import Given, Matched
from sources.threads import shut, threads

CALLS = 2
"""Statements at once; who comes later waits."""
PAGE = 20_000


class Home:
    """The database while it stands, and the threads it works in."""

    def __init__(self, made: database.Database, limits: Limits) -> None:
        self.made = made
        self.limits = limits
        self.pool: ThreadPoolExecutor = threads(CALLS, "scratch")
        self.numbers = count()

    def session(self) -> Session:
        return Session(self.made.connection.cursor(), self.pool, self.limits)

    async def table(self, kinds: Mapping[str, Kind]) -> "Table":
        made = Table(self, f"r{next(self.numbers)}", kinds)
        await made.session.execute(f"CREATE TABLE {made.name} ({declared([*made.fields.values()])})")
        return made

    def close(self) -> None:
        shut(self.pool)
        self.made.close()


def opened(limits: Limits) -> Home:
    """Raises SourceFailed."""
    return Home(database.opened(limits), limits)


class Table:
    """Rows are poured one batch after the other; then it may be read, several times at once."""

    def __init__(self, home: Home, name: str, kinds: Mapping[str, Kind]) -> None:
        self.home = home
        self.name = name
        self.session = home.session()
        self.fields = {column: Field(kind=kind, at=at) for at, (column, kind) in enumerate(kinds.items())}

    async def pour(self, rows: Sequence[Row]) -> None:
        await self._widened(rows)
        await self.session.fill(self.name, rows, [*self.fields.values()])

    async def _widened(self, rows: Sequence[Row]) -> None:
        """Money is kept in units as small as the smallest seen."""
        money = {column: field for column, field in self.fields.items() if field.kind is Kind.DECIMAL}
        for column, needed in (await self.session.run(partial(_needed, rows, money)) if money else {}).items():
            field = money[column]
            if needed > field.places:
                await self._rescaled(field, 10 ** (needed - field.places))
                self.fields[column] = replace(field, places=needed)

    async def _rescaled(self, field: Field, by: int) -> None:
        if by >= MOST:
            raise database.failure(OverflowError(), self.home.limits)
        using = f"CAST({field.value} * CAST({by} AS HUGEINT) AS HUGEINT)"
        await self.session.execute(f"ALTER TABLE {self.name} ALTER {field.value} TYPE HUGEINT USING {using}")

    async def join(self, here: Sequence[str], beyond: Beyond) -> None:
        made = await self.session.run(partial(joining, self.name, self.fields, here, beyond))
        longer = f"r{next(self.home.numbers)}"
        await self.session.create("k", made.fields)
        await self.session.fill("k", made.rows, made.fields)
        await self.session.execute(f"CREATE TABLE {longer} AS {made.sql.text}", made.sql.binds)
        shorter, self.name = self.name, longer
        self.fields |= made.added
        await self.session.execute(f"DROP TABLE {shorter}")
        await self.session.execute("DROP TABLE k")

    async def read(self, ask: Ask) -> AsyncGenerator[Sequence[Row], None]:
        kinds = {column: field.kind for column, field in self.fields.items()}
        sums = of_floats(ask, kinds) if ask.measures else ()
        async with aclosing(self._summed(ask, sums, kinds) if sums else self._read(ask)) as batches:
            async for batch in batches:
                yield batch

    async def _read(self, ask: Ask) -> AsyncGenerator[Sequence[Row], None]:
        session = self.home.session()
        try:
            asked = await session.run(partial(statement, ask, self.name, self.fields))
            for number, each in enumerate(asked.beside):
                await self._beside(session, f"k{number}", each)
            await session.execute(asked.sql.text, asked.sql.binds)
            while rows := await session.fetched():
                yield decoded(rows, asked.fields)
        finally:
            session.close()

    async def _beside(self, session: Session, name: str, keys: Given | Matched) -> None:
        await session.create(name, keys.fields)
        if isinstance(keys, Matched):
            await self._matched(session, name, keys)
        else:
            await session.fill(name, keys.rows, keys.fields)

    async def _matched(self, session: Session, name: str, matched: Matched) -> None:
        """Each distinct text is looked at once, by Python's own measure."""
        listed = f"CREATE TEMP TABLE found AS SELECT *, row_number() OVER () AS place FROM ({matched.found.text})"
        await session.execute(listed, matched.found.binds)
        meets = predicate(matched.test, (matched.test.column,))
        for start in count(1, PAGE):
            page = f"SELECT v FROM found WHERE place BETWEEN {start} AND {start + PAGE - 1}"
            await session.execute(page)
            texts = decoded(await session.run(session.connection.fetchall), matched.fields)
            if not texts:
                break
            await session.fill(name, [*filter(meets, texts)], matched.fields)
        await session.execute("DROP TABLE found")

    async def _summed(
        self, ask: Ask, sums: Sequence[Measure], kinds: Mapping[str, Kind]
    ) -> AsyncGenerator[Sequence[Row], None]:
        """What is left to do with the groups is asked of a table of them."""
        names = [*ask.columns, *(each.name for each in ask.measures)]
        held = [*(kinds[each] for each in ask.columns), *(_measured(each, kinds) for each in ask.measures)]
        groups = await self.home.table(dict(zip(names, held, strict=True)))
        try:
            async with aclosing(summed(self._read, ask, sums)) as batches:
                async for batch in batches:
                    await groups.pour(batch)
            rest = Ask(collection=ask.collection, columns=tuple(names), where=ask.having)
            rest = replace(rest, keys=ask.keys, order=ask.order, limit=ask.limit)
            async with aclosing(groups._read(rest)) as answers:
                async for answer in answers:
                    yield answer
        except (ArithmeticError, ValueError) as error:
            raise database.failure(error, self.home.limits) from None
        finally:
            await groups.close()

    async def close(self) -> None:
        await self.session.execute(f"DROP TABLE {self.name}")
        self.session.close()


def _needed(rows: Sequence[Row], money: Mapping[str, Field]) -> Mapping[str, int]:
    return {column: places([row[field.at] for row in rows]) for column, field in money.items()}


def _measured(measure: Measure, kinds: Mapping[str, Kind]) -> Kind:
    if measure.column is None or measure.aggregate in (Aggregate.COUNT, Aggregate.COUNT_DISTINCT):
        return Kind.INTEGER
    return kinds[measure.column]
