"""An ask in, the documents it takes out, each a few fields: what can be sent is sent, the rest is done to the rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from engine.words import Ask, Keys, Value
from sources.graphql.collection import Argument, ByKey, Collection, Paging
from sources.rest.collection import At
from sources.rest.requests import tests_of

INT = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One argument. Its value travels as a variable and is never printed."""

    argument: str
    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of a document, page by page where it has any; its rows lie at `rows`.

    `limit`: as many rows are enough, as all that was asked was sent. `absent`: it may be null, which is no row.
    """

    field: At
    rows: At
    sent: tuple[Sent, ...] = ()
    paging: Paging | None = None
    limit: int | None = None
    absent: bool = False


Together: TypeAlias = tuple[Part, ...]
"""The parts of one document."""


def parts(ask: Ask, collection: Collection) -> list[Together]:
    """None of them where no row can meet the ask."""
    tests = tuple(tests_of(ask.where))
    wanted = {each.column: each.value for each in tests}
    if any(wanted[each.column] != each.value for each in tests) or (ask.keys is not None and not ask.keys.values):
        return []
    keyed = None if ask.keys is None else by_keys(ask.keys, collection, wanted)
    return keyed or [(whole(ask, collection, wanted),)]


def whole(ask: Ask, collection: Collection, wanted: Mapping[str, Any]) -> Part:
    """With the limit, if all that comes before it goes along."""
    sent = own(collection, wanted)
    complete = ask.keys is None and len(sent) == len(collection.arguments) + len(wanted)
    limit = ask.limit if complete else None
    cut = collection.limit
    if limit is not None and cut is not None and limit <= cut.most:
        sent = (*sent, Sent(argument=cut.argument, type=cut.type, value=limit))
    return Part(field=collection.field, rows=collection.rows, sent=sent, paging=collection.paging, limit=limit)


def own(collection: Collection, wanted: Mapping[str, Any], taken: str = "") -> tuple[Sent, ...]:
    """What a call of the collection's own field carries; one argument is `taken` by its keys."""
    fixed = (Sent(argument=name, type=each.type, value=each.value) for name, each in collection.arguments.items())
    return (*fixed, *(each for each in _filters(collection, wanted) if each.argument != taken))


def _filters(collection: Collection, wanted: Mapping[str, Any]) -> Iterator[Sent]:
    for column, value in wanted.items():
        way = collection.filters[column]
        if sendable(value, way):
            yield Sent(argument=way.argument, type=way.type, value=told(value, way.type))


def by_keys(keys: Keys, collection: Collection, wanted: Mapping[str, Any]) -> list[Together] | None:
    """None: some key cannot be sent and mean itself, so that all rows must be read."""
    (column,) = keys.columns
    way = collection.keys[column]
    values = [value for (value,) in keys.values]
    if not all(sendable(each, way) for each in values):
        return None
    sent = [told(each, way.type) for each in values]
    chunks = [sent[start : start + way.most] for start in range(0, len(sent), way.most)]
    if way.type.startswith("["):
        return [(part(way, collection, wanted, each),) for each in chunks]
    return [tuple(part(way, collection, wanted, each) for each in chunk) for chunk in chunks]


def part(way: ByKey, collection: Collection, wanted: Mapping[str, Any], value: Any) -> Part:
    """Filters go along only where rows are asked of the collection's own field."""
    key = Sent(argument=way.argument, type=way.type, value=value)
    if way.field:
        paging = collection.paging if way.paged else None
        return Part(field=way.field, rows=way.rows, sent=(key,), paging=paging, absent=True)
    sent = (*own(collection, wanted, way.argument), key)
    return Part(field=collection.field, rows=collection.rows, sent=sent, paging=collection.paging)


def sendable(value: Value, way: Argument | ByKey) -> bool:
    """Whether a value can be sent and mean itself."""
    if way.values:
        return value in way.values
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)
    return not isinstance(value, int) or _named(way.type) != "Int" or value in INT


def told(value: Value, type: str) -> Any:
    """As JSON holds it: an id is text, a day is written as ISO 8601 says."""
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if _named(type) in ("ID", "String") else value


def _named(type: str) -> str:
    return type.strip("[]!")


def columns(ask: Ask) -> Sequence[str]:
    """What the rows must hold, for us to tell which of them are meant."""
    keys = ask.keys.columns if ask.keys else ()
    return tuple(dict.fromkeys((*ask.columns, *keys, *(each.column for each in tests_of(ask.where)))))
