"""Rows of one read in a scratch table in, the steps its source did not take out, each asked of the scratch database.

They are those of `read`, in the same order; what lies elsewhere is read as there, and joined to the rows there. Groups
that are put together by us go into a table of their own where they are too many, too.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.bind import fill
from engine.fetch import ours
from engine.fetch.words import Fetching, too_many_keys
from engine.overflow import Inflow, Overflow, closing
from engine.plan.push import average
from engine.plan.words import Carried, Reach, Read, Step, Wanted
from engine.reckon import named
from engine.source import Beyond, Scratch
from engine.together import together
from engine.weight import weight
from engine.words import COUNT, EVERY_ROW, Aggregate, All, Among, Ask, Can, Keys, Kind, Measure, Op, Row, Test

Meeting = Callable[[Carried, Sequence[Row]], Awaitable[frozenset[Row]]]
"""Which of these keys lead to a row that is wanted there."""
Leading = Callable[[Reach, Sequence[Row]], Awaitable[Mapping[Row, Row]]]
"""By key, what lies there."""
COUNTS = frozenset({Aggregate.COUNT, Aggregate.COUNT_DISTINCT})


def overflow(run: Fetching, planned: Read, keys: Sequence[Row] | None) -> Overflow | None:
    """Where the rows of a read go when they are many; None where nothing is done with them, or nothing is in them."""
    if run.scratch is None or not left(planned) or (planned.wanted.keyed and keys is None):
        return None
    found = kinds(run, planned)
    held = {name: found[name] for name in named(planned.asked, planned.measures)}
    weigh = None if run.seen is None else weight
    return Overflow(run.scratch, held, run.limits.rows_in_memory, weigh) if held else None


def left(planned: Read) -> bool:
    """Whether any step is left to us that looks at more than one row, or at other rows than are given."""
    wanted = planned.wanted
    return (
        bool(wanted.keyed and not planned.batch)
        or planned.rest != EVERY_ROW
        or bool(wanted.reaches)
        or planned.last != EVERY_ROW
        or (bool(wanted.measures) and (planned.partial or not planned.measures))
        or (wanted.having != EVERY_ROW and Step.HAVING not in planned.takes)
        or (bool(wanted.order) and Step.ORDER not in planned.takes)
        or (wanted.limit is not None and Step.LIMIT not in planned.takes)
    )


def kinds(run: Fetching, planned: Read) -> Mapping[str, Kind]:
    """Of all that rows of the read can hold on their way."""
    wanted = planned.wanted
    can = run.source(wanted.source).can(wanted.collection)
    averages = {average(each): _divided(can.columns[each].kind) for each in wanted.averages}
    measures = {each.name: _measured(can, each) for each in (*wanted.measures, *planned.measures)}
    reached = {name: kind for each in wanted.reaches for name, kind in zip(each.names, each.kinds, strict=True)}
    return {**{name: column.kind for name, column in can.columns.items()}, **measures, **averages, **reached}


def _measured(can: Can, measure: Measure) -> Kind:
    return Kind.INTEGER if measure.column is None or measure.aggregate in COUNTS else can.columns[measure.column].kind


def _divided(kind: Kind) -> Kind:
    return Kind.DECIMAL if kind is Kind.DECIMAL else Kind.FLOAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgrown:
    """One read under way whose rows are in a table."""

    run: Fetching
    planned: Read
    """Which source takes no step after the filter any more: what it did with its rows, their order, is lost."""
    keys: Sequence[Row] | None
    limit: int | None
    meeting: Meeting
    leading: Leading

    async def finished(self, table: Scratch) -> list[Row]:
        where = await self.kept(table)
        reaches = self.planned.wanted.reaches
        found = await together(self.led(table, where, each) for each in reaches)
        for each, there in zip(reaches, found, strict=True):
            kinds = dict(zip(each.names, each.kinds, strict=True))
            await table.join(each.here, Beyond(kinds=kinds, rows=there, absent=each.absent))
        return await self.ended(table, where)

    def room(self, names: Sequence[str]) -> Overflow:
        """For rows made of the table's."""
        assert self.run.scratch is not None
        found = kinds(self.run, self.planned)
        return Overflow(self.run.scratch, {each: found[each] for each in names}, self.run.limits.rows_in_memory)

    async def kept(self, table: Scratch) -> Any:
        """The filter that is left to us, the keys we pick by among it."""
        keyed = self.planned.wanted.keyed
        picked = Among(keyed, frozenset(self.keys or ())) if keyed and not self.planned.batch else EVERY_ROW
        late = list(ours.late(self.planned.rest))
        found = await together(self.met(table, picked, each) for each in late)
        return All((picked, fill(self.planned.rest, self.run.values, dict(zip(late, found, strict=True)))))

    async def met(self, table: Scratch, where: Any, carried: Carried) -> frozenset[Row]:
        return await self.meeting(carried, await self.told_apart(table, where, carried.here, carried.wanted))

    async def led(self, table: Scratch, where: Any, reach: Reach) -> Mapping[Row, Row]:
        return await self.leading(reach, await self.told_apart(table, where, reach.here, reach.wanted))

    async def told_apart(self, table: Scratch, where: Any, columns: tuple[str, ...], wanted: Wanted) -> tuple[Row, ...]:
        """The keys that rows name, each once, without nulls."""
        most = self.run.limits.keys_carried
        filled = (Test(each, Op.IS_NULL, False) for each in columns)
        ask = Ask(
            collection=self.planned.wanted.collection,
            columns=columns,
            where=All((where, *filled)),
            measures=(COUNT,),
            limit=most + 1,
        )
        found = await collected(table, ask)
        if len(found) > most:
            raise too_many_keys(self.run, wanted.source)
        return tuple(row[:-1] for row in found)

    async def ended(self, table: Scratch, where: Any) -> list[Row]:
        """The rows once all is reached: the last filter, then measures, having, order and limit."""
        planned, values = self.planned, self.run.values
        where = All((where, fill(planned.last, values)))
        if not planned.wanted.measures:
            return await collected(table, self.arranged(where))
        groups, having = self.groups(where), fill(planned.wanted.having, values)
        if groups.measures and not planned.partial and not planned.wanted.averages:
            last = self.arranged(where)
            ask = replace(groups, keys=last.keys, having=having, order=last.order, limit=last.limit)
            return await collected(table, ask)
        async with self.room(planned.names) as room:
            rows = await gathered(room, table.read(groups), lambda batch: ours.completed(planned, list(batch)))
            if room.table is None:
                return ours.arranged(planned, rows, self.limit, having)
            return await collected(room.table, self.arranged(having))

    def arranged(self, where: Any) -> Ask:
        """Finished rows that meet the filter, in order, no more than the limit for each key."""
        wanted, keys = self.planned.wanted, None
        if wanted.keyed and self.limit is not None:
            keys = Keys(wanted.keyed, tuple(self.keys or ()))
        return Ask(
            collection=wanted.collection,
            columns=self.planned.names,
            keys=keys,
            where=where,
            order=wanted.order,
            limit=self.limit,
        )

    def groups(self, where: Any) -> Ask:
        """The groups, or what of them the source left to put together."""
        wanted, left = self.planned.wanted, ours.measuring(self.planned)
        columns = wanted.columns if left else named(self.planned.asked, self.planned.measures)
        measures, cuts = left or ((), ())
        return Ask(collection=wanted.collection, columns=columns, where=where, measures=measures, cuts=cuts)


async def gathered(
    room: Overflow, batches: AsyncIterator[Sequence[Row]], made: Callable[[Sequence[Row]], list[Row]]
) -> list[Row]:
    """What is made of them; nothing is held where the room took it."""
    held: list[Row] = []
    inflow = Inflow(room)
    async with closing(batches):
        async for batch in batches:
            held.extend(made(batch))
            await inflow.take(held)
    await room.end(held)
    return held


async def collected(table: Scratch, ask: Ask) -> list[Row]:
    async with closing(table.read(ask)) as batches:
        return [row async for batch in batches for row in batch]
