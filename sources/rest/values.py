"""JSON objects in, rows out, a column at a time: what is already right passes as it came."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from engine.errors import Code, SourceFailed
from engine.words import Kind, Row, Value
from sources.rest.collection import At, Collection, Held

Item: TypeAlias = Any
"""An object, or, where a collection has no more, a text or a number."""
NULL = type(None)


def rows(
    items: Sequence[Item], columns: Sequence[str], collection: Collection, given: Mapping[str, Value]
) -> list[Row]:
    """Raises SourceFailed at the first value that is not what was declared."""
    if not columns:
        return [()] * len(items)
    found = (
        [given[name]] * len(items) if name in given else column(items, name, collection.columns[name])
        for name in columns
    )
    return list(zip(*found, strict=True))


def column(items: Sequence[Item], name: str, held: Held) -> Sequence[Value]:
    found = [each.get(held.at[0]) for each in items] if len(held.at) == 1 else [inside(each, held.at) for each in items]
    if set(map(type, found)) <= PLAIN[held.kind]:
        return found
    try:
        return [None if value is None else READ[held.kind](value) for value in found]
    except (TypeError, ValueError, ArithmeticError):
        raise SourceFailed(f"the API gave a `{name}` that is no {held.kind}", Code.SOURCE_INVALID) from None


def inside(value: Any, at: At) -> Any:
    """What lies there, in a list by its place from 0 on; None where a step is missing."""
    for step in at:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and step.isascii():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    return str(expected(value, str))


def integer(value: Any) -> int:
    """A number past what JavaScript counts often comes as text."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    return int(expected(value, int))


def number(value: Any) -> float:
    return float(value) if type(value) is int else expected(value, float)


def decimal(value: Any) -> Decimal:
    """Money in text is exact; a number is what it shows, up to 15 digits."""
    found = Decimal(value if isinstance(value, str) else str(number(value) if type(value) is float else integer(value)))
    if not found.is_finite():
        raise ValueError
    return found


def boolean(value: Any) -> bool:
    return bool(expected(value, bool))


def day(value: Any) -> date:
    return date.fromisoformat(expected(value, str))


def moment(value: Any) -> datetime:
    """A time without a zone is refused: nobody knows when it was."""
    found = datetime.fromisoformat(expected(value, str))
    if found.tzinfo is None:
        raise ValueError
    return found.astimezone(UTC)


def texts(value: Any) -> tuple[str, ...]:
    return tuple(text(each) for each in expected(value, list))


def expected(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


PLAIN: Mapping[Kind, frozenset[type[Any]]] = {
    Kind.TEXT: frozenset({str, NULL}),
    Kind.INTEGER: frozenset({int, NULL}),
    Kind.FLOAT: frozenset({float, NULL}),
    Kind.DECIMAL: frozenset({NULL}),
    Kind.BOOLEAN: frozenset({bool, NULL}),
    Kind.DATE: frozenset({NULL}),
    Kind.TIME: frozenset({NULL}),
    Kind.LIST: frozenset({NULL}),
}
"""By kind, the types JSON has for it."""
READ: Mapping[Kind, Callable[[Any], Value]] = {
    Kind.TEXT: text,
    Kind.INTEGER: integer,
    Kind.FLOAT: number,
    Kind.DECIMAL: decimal,
    Kind.BOOLEAN: boolean,
    Kind.DATE: day,
    Kind.TIME: moment,
    Kind.LIST: texts,
}


def sent(values: Iterable[Value]) -> list[str] | None:
    """Values as they stand in a url; None where one cannot stand there and mean itself."""
    written = [_written(each) for each in values]
    return None if any(not each or not _utf8(each) for each in written) else written


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
