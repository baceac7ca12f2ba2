"""A scalar in, how a whole column of it is checked and written: as `engine.leaves` does, many values at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from operator import attrgetter
from typing import Any

from graphql import GraphQLEnumType, GraphQLNonNull, GraphQLOutputType, get_named_type

from engine.leaves import leaf
from engine.names import is_list

NONE = type(None)


class Unusual(Exception):
    """Something that only the row by row rendering can tell: a value its field cannot show, a failed read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How the values of a column become those of a reply."""

    types: frozenset[type]
    """What they must be, null aside."""
    nullable: bool
    code: str
    """An expression over `{0}`, which is no null unless `plain`."""
    plain: bool = False
    within: Callable[[Sequence[Any]], bool] | None = None
    """Whether all values that are not null can be shown."""
    known: Mapping[Any, Any] | None = None
    """The members of an enum, which the code looks up as `{1}`."""
    convert: Callable[[Any], Any] | None = None
    """What the code calls as `{1}`."""


def written(returns: GraphQLOutputType) -> Written:
    named: Any = get_named_type(returns)
    nullable = not isinstance(returns, GraphQLNonNull)
    if is_list(returns) or named.name not in SCALARS:
        if isinstance(named, GraphQLEnumType) and not is_list(returns):
            known = {name: name for name in named.values}
            return Written(types=frozenset({str}), nullable=nullable, code="{1}[{0}]", known=known)
        return Written(types=frozenset(), nullable=nullable, code="{1}({0})", convert=leaf(returns))
    types, code, within = SCALARS[named.name]
    return Written(types=types, nullable=nullable, code=code, plain=code == "{0}", within=within)


def checked(written: Written, values: Sequence[Any]) -> bool:
    """Raises Unusual for values the code cannot write; tells whether nulls are among them."""
    types = set(map(type, values))
    empty = NONE in types
    types.discard(NONE)
    if (empty and not written.nullable) or (written.types and not types <= written.types):
        raise Unusual
    if (
        written.within
        and types
        and not written.within([each for each in values if each is not None] if empty else values)
    ):
        raise Unusual
    return empty


def _in_32_bits(values: Sequence[int]) -> bool:
    return min(values) >= -(2**31) and max(values) < 2**31


def _finite(values: Sequence[float]) -> bool:
    return all(map(isfinite, values))


def _exact(values: Sequence[Decimal]) -> bool:
    return all(map(Decimal.is_finite, values))


def _in_utc(values: Sequence[datetime]) -> bool:
    return set(map(attrgetter("tzinfo"), values)) == {UTC}


SCALARS: Mapping[str, tuple[frozenset[type], str, Callable[[Any], bool] | None]] = {
    "ID": (frozenset({str, int}), "str({0})", None),
    "String": (frozenset({str}), "{0}", None),
    "Boolean": (frozenset({bool}), "{0}", None),
    "Int": (frozenset({int}), "{0}", _in_32_bits),
    "Float": (frozenset({float}), "{0}", _finite),
    "BigInt": (frozenset({int}), "str({0})", None),
    "Decimal": (frozenset({Decimal}), 'format({0}, "f")', _exact),
    "Date": (frozenset({date}), "{0}", None),
    "DateTime": (frozenset({datetime}), "{0}", _in_utc),
}
"""(types, code, within). Days and times stay as they are: in JSON they become what `engine.leaves` writes."""
