"""Every change that was made, as a source: of each type that is changed, its changes, and the rows before and after."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engine.binding import Binding
from engine.change import kept
from engine.change.bindings import VALUES, VALUES_ID, changed_types
from engine.change.row_key import RowKey
from engine.constant import constant
from engine.errors import SourceFailed
from engine.names import ID, columns_of
from engine.source import Source
from engine.words import All, Ask, Can, Column, Kind, Not, Op, Row, Some, Test
from records.intents import Left
from records.ledger import Ledger, LedgerUnavailable
from records.past import TESTED, Wanted

SIDES: Mapping[str, Callable[[Left], str | None]] = {
    "before": lambda left: left.before,
    "after": lambda left: left.after,
}
KEYS = 1000
BATCH = 1000
FINDS = Column(Kind.TEXT, filters=frozenset({Op.EQ, Op.IN}))
SEEKS = frozenset({Op.EQ, Op.IN, Op.LT, Op.GT, Op.IS_NULL})
TEXT = Column(Kind.TEXT)
JOINED: Mapping[type, str] = {All: "all", Some: "some"}


def side_id(left: Left, side: str) -> str | None:
    return None if SIDES[side](left) is None else f"{left.id}.{side}"


TAKES: Mapping[str, Any] = {
    "id": lambda left: left.id,
    "at": lambda left: left.at,
    "person": lambda left: left.person,
    "verb": lambda left: left.verb,
    "mutation": lambda left: left.mutation,
    "state": lambda left: str(left.state),
    "reason": lambda left: left.reason,
    "record": lambda left: left.record,
    "version_before": lambda left: left.version_before,
    "version_after": lambda left: left.version_after,
    "row": lambda left: left.row,
    "before_id": lambda left: side_id(left, "before"),
    "after_id": lambda left: side_id(left, "after"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of one type: how its rows are named, and what they hold."""

    key: RowKey
    kinds: Mapping[str, Kind]

    @property
    def changes(self) -> Can:
        linked = {name: Column(kind) for name, kind in self.key.linked.items()}
        sought = Column(Kind.TEXT, filters=SEEKS, orders=True)
        columns = {name: sought if name in TESTED else TEXT for name in TAKES} | {"at": replace(sought, kind=Kind.TIME)}
        by = frozenset({("id",), ("row",), tuple(linked)})
        return Can(columns=columns | linked, keys=KEYS, key_columns=by, logic=True, limit=True, measures=True)

    @property
    def values(self) -> Can:
        columns = {name: Column(kind) for name, kind in self.kinds.items()}
        return Can(columns={**columns, VALUES_ID: FINDS}, keys=KEYS, key_columns=frozenset({(VALUES_ID,)}))


def kept_of(bindings: Mapping[str, Binding], sources: Mapping[str, Source]) -> Mapping[str, Kept]:
    """By type whose changes are kept; `bindings` as a house has them."""
    seen = constant(sources, bindings)
    return {each: _kept(bindings[each], seen) for each in changed_types(bindings) if bindings[each].source in seen}


def _kept(binding: Binding, sources: Mapping[str, Source]) -> Kept:
    can = sources[binding.source].can(binding.collection)
    key = RowKey(can=can, columns=columns_of(binding, ID), fixed=binding.constants)
    return Kept(key=key, kinds={name: of.kind for name, of in can.columns.items()})


class History:
    """The source `changes`. Of each type, the collections `<Type>` and `<Type>.values`; read by ids or by their row."""

    def __init__(self, ledger: Ledger, types: Mapping[str, Kept]) -> None:
        self.ledger, self.types = ledger, types
        self.cans = {name: of.changes for name, of in types.items()}
        self.cans |= {name + VALUES: of.values for name, of in types.items()}

    def can(self, collection: str) -> Can:
        return self.cans[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        of, left = self.types[_type(ask)], ask.limit
        among = _among(ask, of)
        wanted = Wanted(type=_type(ask), among=_of_changes(among), where=_where(ask), order=_order(ask))
        if ask.measures:
            yield await self._counted(ask, wanted)
            return
        while left is None or left > 0:
            most = BATCH if left is None else min(BATCH, left)
            try:
                found = await self.ledger.left(replace(wanted, most=most))
            except LedgerUnavailable:
                raise SourceFailed("the history of changes cannot be read") from None
            yield rows(ask, among, found, of)
            if len(found) < most:
                return
            left = None if left is None else left - most
            wanted = replace(wanted, after=tuple(TAKES[name](found[-1]) for name, _ in wanted.order))

    async def _counted(self, ask: Ask, wanted: Wanted) -> Sequence[Row]:
        """All that is promised to be measured is how many there are; by columns that are worked out, we count."""
        if not TESTED.issuperset(ask.columns):
            many = Counter[Row]()
            async for batch in self.read(replace(ask, measures=())):
                many.update(batch)
            return [(*by, *[count] * len(ask.measures)) for by, count in many.items()]
        try:
            found = await self.ledger.counted(wanted, ask.columns)
        except LedgerUnavailable:
            raise SourceFailed("the history of changes cannot be read") from None
        return [(*by, *[count] * len(ask.measures)) for *by, count in found]

    async def ping(self) -> None:
        try:
            await self.ledger.ping()
        except LedgerUnavailable:
            raise SourceFailed("the history of changes cannot be read") from None

    async def close(self) -> None:
        return None


class Overlay:
    """The history, and rows of it that are nowhere else: read by their id alone, so that no list ever shows them."""

    def __init__(self, base: History, left: Mapping[str, Left]) -> None:
        """`left` by id."""
        self.base, self.left = base, left

    def can(self, collection: str) -> Can:
        return self.base.can(collection)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        of = self.base.types[_type(ask)]
        among = _among(ask, of)
        asked = _of_changes(among)
        if "id" in asked:
            yield rows(ask, among, [each for each in self.left.values() if _meets(each, _type(ask), asked)], of)
        async for batch in self.base.read(ask):
            yield batch

    async def ping(self) -> None:
        await self.base.ping()

    async def close(self) -> None:
        return None


def rows(ask: Ask, among: Mapping[str, frozenset[Any]], found: Sequence[Left], of: Kept) -> list[Row]:
    """The columns that are asked for, of changes or of the rows before and after them."""
    if not ask.collection.endswith(VALUES):
        takes = [TAKES.get(each) or partial(_linked, of.key, each) for each in ask.columns]
        return [tuple(take(each) for take in takes) for each in found]
    sides = [(side_id(each, side), takes(each)) for each in found for side, takes in SIDES.items()]
    wanted = among.get(VALUES_ID)
    shown = [(name, kept.row(text) or {}) for name, text in sides if name and (wanted is None or name in wanted)]
    return [tuple({**row, VALUES_ID: name}.get(each) for each in ask.columns) for name, row in shown]


def _linked(key: RowKey, column: str, left: Left) -> Any:
    return key.values(left.row)[column]


def _type(ask: Ask) -> str:
    return ask.collection.removesuffix(VALUES)


def _order(ask: Ask) -> tuple[tuple[str, bool], ...]:
    """Ends in what no two changes share."""
    asked = tuple((each.column, each.descending) for each in ask.order)
    names = [name for name, _ in asked]
    return asked[: names.index("id") + 1] if "id" in names else (*asked, ("id", False))


def _where(ask: Ask) -> tuple[Any, ...]:
    """What is tested of changes; of their values, `_among` says all."""
    return ("all", ()) if ask.collection.endswith(VALUES) else _said(ask.where)


def _said(where: Any) -> tuple[Any, ...]:
    if isinstance(where, Test):
        return (str(where.op), where.column, where.value)
    if isinstance(where, Not):
        return ("not", _said(where.part))
    return (JOINED[type(where)], tuple(_said(each) for each in where.parts))


def _among(ask: Ask, of: Kept) -> Mapping[str, frozenset[Any]]:
    """By column, the values that rows must have one of, as keys and tests together say, as far as all must be met."""
    known = [each for each in _tests(ask.where) if each.op in (Op.EQ, Op.IN)]
    said = [(each.column, each.value if each.op is Op.IN else (each.value,)) for each in known]
    if ask.keys is not None and ask.keys.columns == tuple(of.key.linked):
        said.append(("row", tuple(of.key.id(key) for key in ask.keys.values)))
    elif ask.keys is not None:
        said.append((ask.keys.columns[0], tuple(key[0] for key in ask.keys.values)))
    found: dict[str, frozenset[Any]] = {}
    for column, values in said:
        found[column] = found.get(column, frozenset(values)) & frozenset(values)
    return found


def _tests(where: Any) -> Iterator[Test]:
    """Those that all must be met."""
    if isinstance(where, All):
        yield from (test for each in where.parts for test in _tests(each))
    elif isinstance(where, Test):
        yield where


def _of_changes(among: Mapping[str, frozenset[Any]]) -> Mapping[str, Sequence[str]]:
    """The same of the changes that rows of values belong to."""
    found = {name: tuple(values) for name, values in among.items() if name in TESTED}
    if VALUES_ID in among:
        found["id"] = tuple({each.rpartition(".")[0] for each in among[VALUES_ID]})
    return found


def _meets(left: Left, type_name: str, asked: Mapping[str, Sequence[str]]) -> bool:
    return left.type == type_name and all(TAKES[name](left) in values for name, values in asked.items())
