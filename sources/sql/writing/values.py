"""The values of a change in, as they can be stored out; what a column cannot hold is refused before it is tried."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.change.words import Change, Unmade, Verb
from sources.sql.columns import Stored
from sources.sql.values import holdable
from sources.sql.writing.words import Target
from sources.typed import IS, same

NUMBERS = {"smallint": 2**15, "integer": 2**31}
LENGTH = re.compile(r"(?:character varying|varchar|character|char)\((\d+)\)")
DIGITS = re.compile(r"(?:numeric|decimal)\((\d+),\s*(\d+)\)")


def taken(change: Change, target: Target) -> dict[str, Any]:
    """By column, the values that the change gives; with those of its key where a row is created. Raises Unmade."""
    if not set(change.key) <= set(target.key):
        raise _misnamed(target)
    given = {**change.key, **change.values} if change.verb in (Verb.CREATE, Verb.PUT) else dict(change.values)
    for name in change.values:
        if name not in target.writes.verbs[change.verb]:
            raise Unmade(f"`{name}` of `{target.name}` is not to be set by a change")
    for name, value in given.items():
        fitting(name, value, target)
    return given


def key_of(change: Change, target: Target) -> tuple[Any, ...]:
    """The values of the whole key. Raises Unmade where it is another key, or not whole."""
    if set(change.key) != set(target.key) or None in change.key.values():
        raise _misnamed(target)
    for name in target.key:
        typed(name, change.key[name], target)
    return tuple(change.key[each] for each in target.key)


def _misnamed(target: Target) -> Unmade:
    return Unmade(f"a row of `{target.name}` is named by " + ", ".join(f"`{each}`" for each in target.key))


def fitting(name: str, value: Any, target: Target) -> None:
    """Raises Unmade unless the column can hold the value."""
    stored = target.stock.columns[name]
    if value is None:
        if not stored.nullable:
            raise Unmade(f"`{name}` must have a value")
        return
    typed(name, value, target)
    if not _holds(value, stored) or not _within(value, target.types.get(name, "")):
        raise Unmade(f"`{name}` cannot hold the value given")


def typed(name: str, value: Any, target: Target) -> None:
    kind = target.stock.columns[name].kind
    if not IS[kind](value):
        raise Unmade(f"`{name}` takes values of the kind {kind}")


def _holds(value: Any, stored: Stored) -> bool:
    try:
        return holdable(value, stored)
    except ArithmeticError:
        return False


def _within(value: Any, declared: str) -> bool:
    if declared in NUMBERS:
        return bool(-NUMBERS[declared] <= value < NUMBERS[declared])
    if (letters := LENGTH.fullmatch(declared)) is not None:
        return len(value) <= int(letters[1])
    if (digits := DIGITS.fullmatch(declared)) is not None:
        whole, places = int(digits[1]) - int(digits[2]), int(digits[2])
        shape = Decimal(value).normalize().as_tuple()
        return abs(value) < 10**whole and -int(shape.exponent) <= places
    return True


def kept(given: Mapping[str, Any], after: Mapping[str, Any], target: Target) -> None:
    """Raises Unmade unless a read gives back what was given: no value is rounded, cut or spelled otherwise."""
    for name, value in given.items():
        stored = target.stock.columns[name]
        if not stored.as_text and not same(value, after[name], stored.kind):
            raise Unmade(f"`{name}` cannot hold the value given without making it another")
