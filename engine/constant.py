"""A source and columns that are the same in all rows of a collection in, the source with those columns out.

Then a filter, an order, a key or a cursor may name where a row is kept, and a read that no row there can meet asks
nothing of the source.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.binding import Binding
from engine.finish import predicate
from engine.overflow import closing
from engine.slots import Slot, filled
from engine.source import Source
from engine.words import (
    COUNT,
    EVERY_ROW,
    NO_ROW,
    Aggregate,
    All,
    Among,
    Ask,
    Can,
    Column,
    Exists,
    Keys,
    Kind,
    Not,
    Op,
    Row,
    Some,
    Test,
)

Fixed = Mapping[str, str]
"""By column, its value in every row."""
NONE: Fixed = {}
TAKES = Column(kind=Kind.TEXT, filters=frozenset(Op), orders=True)
COUNTS = (Aggregate.COUNT, Aggregate.COUNT_DISTINCT)


def constant(sources: Mapping[str, Source], bindings: Mapping[str, Binding]) -> Mapping[str, Source]:
    """The sources, those of bindings with constants in their new dress; dressed once, however often this is called."""
    fixed: dict[str, dict[str, Fixed]] = {}
    for each in bindings.values():
        if each.constants and not isinstance(sources.get(each.source), Constant):
            fixed.setdefault(each.source, {})[each.collection] = each.constants
    dressed = {name: Constant(sources[name], of) for name, of in fixed.items() if name in sources}
    return {**sources, **dressed} if dressed else sources


class Constant:
    """All else of the source, such as its files' content, is its own."""

    def __init__(self, source: Source, fixed: Mapping[str, Fixed]) -> None:
        """`fixed` by collection."""
        self.source = source
        self.fixed = fixed
        self.cans = {name: promise(source.can(name), of) for name, of in fixed.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def can(self, collection: str) -> Can:
        return self.cans[collection] if collection in self.cans else self.source.can(collection)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        fixed = self.fixed.get(ask.collection, NONE)
        asked = self.narrowed(ask, fixed)
        if asked is None:
            if ask.measures and not ask.columns:
                yield [tuple(0 if each.aggregate in COUNTS else None for each in ask.measures)]
            return
        widen = widening(ask, asked, fixed)
        async with closing(self.source.read(asked)) as batches:
            async for rows in batches:
                yield widen(rows)

    async def ping(self) -> None:
        await self.source.ping()

    async def close(self) -> None:
        await self.source.close()

    @property
    def text(self) -> Callable[[Ask], str]:
        """AttributeError where the source cannot say how it is asked; then this cannot, either."""
        said = self.source.text  # type: ignore[attr-defined]
        return lambda ask: said(self.narrowed(ask, self.fixed.get(ask.collection, NONE)) or ask)

    def narrowed(self, ask: Ask, fixed: Fixed) -> Ask | None:
        """What is left to ask; None where no row can meet it."""
        where, having, keys = self.folded(ask.where, fixed), self.folded(ask.having, fixed), kept(ask.keys, fixed)
        if where == NO_ROW or having == NO_ROW or (keys is not None and not keys.values):
            return None
        columns = tuple(each for each in ask.columns if each not in fixed)
        return replace(
            ask,
            columns=columns,
            keys=keys if keys is None or keys.columns else None,
            where=where,
            having=having,
            measures=(*ask.measures, COUNT) if _counted(ask, columns) else ask.measures,
            order=tuple(each for each in ask.order if each.column not in fixed),
        )

    def folded(self, where: Any, fixed: Fixed) -> Any:
        """The filter without tests of what is known, which may come to `EVERY_ROW` or `NO_ROW`."""
        match where:
            case Test() if where.column in fixed:
                return EVERY_ROW if met(where, fixed) else NO_ROW
            case All() | Some():
                return joined(type(where), [self.folded(each, fixed) for each in where.parts])
            case Not():
                return turned(self.folded(where.part, fixed))
            case Among():
                return among(kept(Keys(where.columns, tuple(where.keys)), fixed))
            case Exists():
                return replace(where, where=self.folded(where.where, self.fixed.get(where.collection, NONE)))
            case _:
                return where


def promise(can: Can, fixed: Fixed) -> Can:
    """That of the source, and all there is of the columns that it does not have."""
    named = frozenset((*fixed, *each) for each in can.key_columns)
    return replace(can, columns={**can.columns, **dict.fromkeys(fixed, TAKES)}, key_columns=can.key_columns | named)


def met(test: Test, fixed: Fixed) -> bool:
    return predicate(test, tuple(fixed))(tuple(fixed.values()))


def turned(part: Any) -> Any:
    if part == EVERY_ROW:
        return NO_ROW
    return EVERY_ROW if part == NO_ROW else Not(part)


def joined(kind: type[All] | type[Some], parts: Sequence[Any]) -> Any:
    """Without parts that change nothing; one that decides all stands for all."""
    idle, deciding = (EVERY_ROW, NO_ROW) if kind is All else (NO_ROW, EVERY_ROW)
    if deciding in parts:
        return deciding
    left = [each for each in parts if each != idle]
    return left[0] if len(left) == 1 else kind(tuple(left))


def among(found: Keys | None) -> Any:
    if found is None or not found.values:
        return NO_ROW
    return Among(found.columns, frozenset(found.values)) if found.columns else EVERY_ROW


def kept(keys: Keys | None, fixed: Fixed) -> Keys | None:
    """The keys that rows can have, without what is known of them."""
    if keys is None or not any(each in fixed for each in keys.columns):
        return keys
    known = [(at, fixed[each]) for at, each in enumerate(keys.columns) if each in fixed]
    left = [at for at, each in enumerate(keys.columns) if each not in fixed]
    values = (key for key in keys.values if all(key[at] == value for at, value in known))
    return Keys(tuple(keys.columns[at] for at in left), tuple(tuple(key[at] for at in left) for key in values))


def widening(ask: Ask, asked: Ask, fixed: Fixed) -> Callable[[Sequence[Row]], Sequence[Row]]:
    """From rows as they come to rows as they are wanted."""
    if asked.columns == ask.columns:
        return lambda rows: rows
    wanted = (*ask.columns, *(each.name for each in ask.measures))
    come = (*asked.columns, *(each.name for each in ask.measures))
    counted = come.index(COUNT.name) if COUNT in ask.measures else -1
    told_apart = bool(ask.measures and not asked.columns)
    places = [(come.index(each), None) if each in come else (None, fixed[each]) for each in wanted]
    return lambda rows: [
        tuple(value if at is None else row[at] for at, value in places)
        for row in rows
        if not told_apart or row[counted]
    ]


def _counted(ask: Ask, columns: Sequence[str]) -> bool:
    """Grouped by nothing there is a row even of no rows, which is none of ours."""
    return bool(ask.measures and ask.columns and not columns and COUNT not in ask.measures)


def could(where: Any, fixed: Fixed, variables: Mapping[str, Any] | None) -> bool | None:
    """Whether rows with these constants meet a planned filter; None: it depends on the rest of the row.

    Without `variables`, what they say is not known, either.
    """
    match where:
        case Test() if where.column in fixed and (variables is not None or not _open(where.value)):
            value = filled(where.value, variables or {})
            return met(Test(where.column, where.op, tuple(value) if isinstance(value, list) else value), fixed)
        case Among() if variables is not None or not _open(where.keys):
            found = among(kept(Keys(where.columns, tuple(filled(where.keys, variables or {}))), fixed))
            return {EVERY_ROW: True, NO_ROW: False}.get(found)
        case All():
            return _all([could(each, fixed, variables) for each in where.parts])
        case Some():
            return _not(_all([_not(could(each, fixed, variables)) for each in where.parts]))
        case Not():
            return _not(could(where.part, fixed, variables))
        case _:
            return None


def _open(value: Any) -> bool:
    """Whether a variable says any of it."""
    return isinstance(value, Slot) or (isinstance(value, list | tuple) and any(map(_open, value)))


def _all(parts: Sequence[bool | None]) -> bool | None:
    if False in parts:
        return False
    return None if None in parts else True


def _not(part: bool | None) -> bool | None:
    return None if part is None else not part
