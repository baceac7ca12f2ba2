"""An ask in, the calls it takes out: what the API can be sent is sent, the rest is done to what it answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from engine.words import All, Ask, Keys, Order, Row, Test, Value
from sources.rest.collection import PLACE, At, ByKey, Collection, Held, Ordered
from sources.rest.values import sent

STEPS = (".", "..")
"""What a path would take for a step of its own."""
SLASHES = frozenset("/\\")
"""What some servers unpack before they take a path apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, or one page after the other. `limit`: as many rows are enough, as all that was asked was sent.

    `single`: one row and no pages. `given`: what the columns hold that stand in its path, which may lead nowhere.
    `whole`: of its keys, none was left for us to look for.
    """

    path: str
    parameters: tuple[tuple[str, str], ...] = ()
    rows: At
    limit: int | None = None
    single: bool = False
    given: Mapping[str, Value] = field(default_factory=dict)
    whole: bool = True


def requests(ask: Ask, collection: Collection) -> list[Request]:
    """None of them where no row can meet the ask."""
    tests = tuple(tests_of(ask.where))
    wanted = {each.column: each.value for each in tests}
    if any(wanted[each.column] != each.value for each in tests) or (ask.keys is not None and not ask.keys.values):
        return []
    calls = [listing(collection, {})] if ask.keys is None else list(by_keys(ask.keys, collection))
    return [call if call.single else asked(call, ask, wanted, collection) for call in calls]


def tests_of(where: Any) -> Iterator[Test]:
    """All that is promised: equalities, all of which must hold."""
    if isinstance(where, All):
        for part in where.parts:
            yield from tests_of(part)
    else:
        assert isinstance(where, Test)
        yield where


def by_keys(keys: Keys, collection: Collection) -> Iterator[Request]:
    """For each set of values that the collection's path takes, the calls of the keys with these values.

    Where a path cannot hold a value, no row has it. Where some other key cannot be sent and mean itself, all rows of
    the path are read.
    """
    beside = [each for each in keys.columns if each not in collection.given]
    for given, rows in grouped(keys, collection.given).items():
        values = dict(zip(collection.given, given, strict=True))
        if collection.given and in_path(given) is None:
            continue
        if not beside:
            yield listing(collection, values)
            continue
        (column,) = beside
        place = keys.columns.index(column)
        yield from by_key(column, [row[place] for row in rows], values, collection)


def grouped(keys: Keys, given: Sequence[str]) -> dict[Row, list[Row]]:
    at = [keys.columns.index(each) for each in given]
    found: dict[Row, list[Row]] = {}
    for row in keys.values:
        found.setdefault(tuple(row[place] for place in at), []).append(row)
    return found


def by_key(
    column: str, wanted: Sequence[Value], given: Mapping[str, Value], collection: Collection
) -> Iterator[Request]:
    way = collection.keys[column]
    values = in_path(wanted) if way.path else sent(wanted)
    listed_whole = values is None or any(not sendable(each, way) for each in values)
    if listed_whole or not (way.path or way.parameter):
        yield listing(collection, given, whole=False)
    elif way.path:
        for value in wanted:
            path = filled(way.path, {**given, column: value})
            yield Request(path=path, rows=way.rows, single=True, given=given)
    else:
        for start in range(0, len(values or ()), way.most):
            yield listing(collection, given, listed(way, (values or ())[start : start + way.most]))


def listing(
    collection: Collection,
    given: Mapping[str, Value],
    parameters: tuple[tuple[str, str], ...] = (),
    *,
    whole: bool = True,
) -> Request:
    return Request(
        path=filled(collection.path, given), rows=collection.rows, parameters=parameters, given=given,
        single=collection.single, whole=whole,
    )  # fmt: skip


def filled(path: str, values: Mapping[str, Value]) -> str:
    written = {name: (sent((value,)) or [""])[0] for name, value in values.items()}
    return PLACE.sub(lambda found: quote(written[found[1]], safe=""), path)


def in_path(values: Sequence[Value]) -> list[str] | None:
    """As they stand in a path; None where one of them would lead elsewhere."""
    written = sent(values)
    return written if written is not None and all(map(stays, written)) else None


def stays(value: str) -> bool:
    return value not in STEPS and SLASHES.isdisjoint(value)


def sendable(value: str, way: ByKey) -> bool:
    return not way.separator or way.separator not in value


def listed(way: ByKey, values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if way.separator:
        return ((way.parameter, way.separator.join(values)),)
    return tuple((way.parameter, each) for each in values)


def asked(call: Request, ask: Ask, wanted: Mapping[str, Any], collection: Collection) -> Request:
    """The call with its filters, its order and its limit; a limit goes along only with all that comes before it."""
    taken = {name for name, _ in call.parameters}
    parameters, whole = list(call.parameters), call.whole
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
    return Request(path=call.path, rows=call.rows, parameters=tuple(parameters), limit=limit, given=call.given)


def ordered(way: Ordered, order: Sequence[Order], columns: Mapping[str, Held]) -> tuple[str, str]:
    """A column is called what it is called in the API's answers. Of several, an order has its separator."""
    names = [
        f"{way.descending if each.descending else way.ascending}{'.'.join(columns[each.column].at)}" for each in order
    ]
    return way.parameter, way.separator.join(names)
