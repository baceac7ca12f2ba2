"""An ask in, the calls it takes out: what the API can be sent is sent, the rest is done to what it answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from engine.words import All, Ask, Keys, Order, Test
from sources.rest.collection import At, ByKey, Collection, Held, Ordered
from sources.rest.values import sent

STEPS = (".", "..")
"""What a path would take for a step of its own."""
SLASHES = frozenset("/\\")
"""What some servers unpack before they take a path apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, or one page after the other. `limit`: as many rows are enough, as all that was asked was sent.

    `single`: a path of its own, which may be none, with one row and no pages.
    """

    path: str
    parameters: tuple[tuple[str, str], ...] = ()
    rows: At
    limit: int | None = None
    single: bool = False


def requests(ask: Ask, collection: Collection) -> list[Request]:
    """None of them where no row can meet the ask."""
    tests = tuple(tests_of(ask.where))
    wanted = {each.column: each.value for each in tests}
    if any(wanted[each.column] != each.value for each in tests) or (ask.keys is not None and not ask.keys.values):
        return []
    keyed = None if ask.keys is None else by_keys(ask.keys, collection)
    calls = keyed or [Request(path=collection.path, rows=collection.rows)]
    complete = ask.keys is None or keyed is not None
    return [call if call.single else asked(call, ask, wanted, collection, complete) for call in calls]


def tests_of(where: Any) -> Iterator[Test]:
    """All that is promised: equalities, all of which must hold."""
    if isinstance(where, All):
        for part in where.parts:
            yield from tests_of(part)
    else:
        assert isinstance(where, Test)
        yield where


def by_keys(keys: Keys, collection: Collection) -> list[Request] | None:
    """None: some key cannot be sent and mean itself, so that all rows must be read."""
    (column,), values = keys.columns, sent(each for (each,) in keys.values)
    way = collection.keys[column]
    if values is None or not all(sendable(each, way) for each in values):
        return None
    if way.path:
        paths = (way.path.replace(f"{{{column}}}", quote(each, safe="")) for each in values)
        return [Request(path=path, rows=way.rows, single=True) for path in paths]
    chunks = (values[start : start + way.most] for start in range(0, len(values), way.most))
    return [Request(path=collection.path, rows=collection.rows, parameters=listed(way, each)) for each in chunks]


def sendable(value: str, way: ByKey) -> bool:
    if way.path:
        return value not in STEPS and SLASHES.isdisjoint(value)
    return not way.separator or way.separator not in value


def listed(way: ByKey, values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if way.separator:
        return ((way.parameter, way.separator.join(values)),)
    return tuple((way.parameter, each) for each in values)


def asked(call: Request, ask: Ask, wanted: Mapping[str, Any], collection: Collection, complete: bool) -> Request:
    """The call with its filters, its order and its limit; a limit goes along only with all that comes before it."""
    taken = {name for name, _ in call.parameters}
    parameters, whole = list(call.parameters), complete
    for column, value in wanted.items():
        parameter, written = collection.filters[column], sent((value,))
        if written is None or parameter in taken:
            whole = False
        else:
            taken.add(parameter)
            parameters.append((parameter, written[0]))
    if ask.order:
        assert collection.order is not None  # INVARIANT: only a promised order is asked
        parameters.append(ordered(collection.order, ask.order, collection.columns))
    limit = ask.limit if whole and ask.limit else None
    if limit is not None and collection.limit is not None and limit <= collection.limit.most:
        parameters.append((collection.limit.parameter, str(limit)))
    return Request(path=call.path, rows=call.rows, parameters=tuple(parameters), limit=limit)


def ordered(way: Ordered, order: Sequence[Order], columns: Mapping[str, Held]) -> tuple[str, str]:
    """A column is called what it is called in the API's answers. Of several, an order has its separator."""
    names = [
        f"{way.descending if each.descending else way.ascending}{'.'.join(columns[each.column].at)}" for each in order
    ]
    return way.parameter, way.separator.join(names)
