"""A filter, an order and a source's promise in, one read out: what the source takes and what is left for us.

The law of push-down: of keys, where, measures, order and limit, a source takes a step only if it takes every step
before it. A filter may be split: the parts it takes go down, the rest is ours, and then so is all that follows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine.errors import Code, Fault, Refused
from engine.plan.words import Carried, Read, Seek
from engine.words import EVERY_ROW, All, Among, Can, Exists, Measure, Not, Op, Order, Some, Source, Test

SEEKING = frozenset({Op.EQ, Op.LT, Op.GT, Op.IS_NULL})
"""What a column must take for a cursor over it to be pushed down."""


def read(
    name: str,
    source: Source,
    collection: str,
    columns: Sequence[str],
    *,
    keyed: tuple[str, ...] = (),
    where: Any = EVERY_ROW,
    measures: tuple[Measure, ...] = (),
    order: tuple[Order, ...] = (),
    limit: Any = None,
) -> Read:
    """The read of one collection, as much of it pushed down as the source promises and the law allows."""
    can = source.can(collection)
    batch = can.keys if keyed and (not can.key_columns or keyed in can.key_columns) else 0
    _answerable(can, keyed if batch else (), collection)
    pushed, rest = split(where, can, source.can)
    carries: list[Read] = []
    rest = carried(rest, name, source, carries)
    filtered = rest == EVERY_ROW and bool(batch or not keyed)
    counts = filtered and (can.measures or not measures)
    orders = filtered and not measures and all(can.columns[each.column].orders for each in order)
    limits = orders and (can.limit_per_key if keyed else can.limit)
    wanted = [*columns, *keyed]
    if not (measures and counts):
        wanted += [*named_columns(rest), *(() if orders else (each.column for each in order))]
    return Read(
        source=name,
        collection=collection,
        columns=tuple(columns),
        asked=tuple(dict.fromkeys(wanted)),
        keyed=keyed,
        batch=batch,
        pushed=pushed,
        rest=rest,
        measures=measures,
        order=order,
        limit=limit,
        pushes_measures=bool(measures) and counts,
        pushes_order=bool(order) and orders,
        pushes_limit=limit is not None and limits,
        carries=tuple(carries),
    )


def split(where: Any, can: Can, cans: Callable[[str], Can]) -> tuple[Any, Any]:
    """The conjuncts the source takes, and those it does not."""
    taken: list[Any] = []
    rest: list[Any] = []
    for each in conjuncts(where):
        (taken if pushable(each, can, cans) else rest).append(each)
    return joined(taken), joined(rest)


def conjuncts(where: Any) -> Iterator[Any]:
    if isinstance(where, All):
        for each in where.parts:
            yield from conjuncts(each)
    else:
        yield where


def joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def pushable(where: Any, can: Can, cans: Callable[[str], Can]) -> bool:
    """Whether the source evaluates all of it."""
    match where:
        case Test():
            return where.op in can.columns[where.column].filters
        case All() | Some():
            return can.logic and all(pushable(each, can, cans) for each in where.parts)
        case Not():
            return can.logic and pushable(where.part, can, cans)
        case Exists():
            return can.related and pushable(where.where, cans(where.collection), cans)
        case Seek():
            return can.logic and all(can.columns[each.column].filters >= SEEKING for each in where.page.order)
        case _:
            return False


def carried(where: Any, name: str, source: Source, carries: list[Read]) -> Any:
    """The filter with each `Exists` the source does not take turned into keys that are read first."""
    match where:
        case All() | Some():
            return type(where)(tuple(carried(each, name, source, carries) for each in where.parts))
        case Not():
            return Not(carried(where.part, name, source, carries))
        case Exists():
            return carry(read(name, source, where.collection, where.there, where=where.where), where.here, carries)
        case Carried():
            return carry(where.read, where.here, carries)
        case _:
            return where


def carry(keys: Read, here: tuple[str, ...], carries: list[Read]) -> Carried:
    carries.append(keys)
    return Carried(here, keys, len(carries) - 1)


def named_columns(where: Any) -> Iterator[str]:
    """The columns a filter looks at."""
    match where:
        case Test():
            yield where.column
        case All() | Some():
            for each in where.parts:
                yield from named_columns(each)
        case Not():
            yield from named_columns(where.part)
        case Carried():
            yield from where.here
        case Among():
            yield from where.columns
        case Seek():
            yield from (each.column for each in where.page.order)


def _answerable(can: Can, keyed: tuple[str, ...], collection: str) -> None:
    missing = sorted(set(can.requires) - set(keyed))
    if missing:
        message = (
            f"`{collection.rpartition('.')[2]}` can only be read through a link that names its {', '.join(missing)}"
        )
        raise Refused(Fault(code=Code.CANNOT_ANSWER, message=message))
