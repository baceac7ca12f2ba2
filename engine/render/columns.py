"""A scalar in, how a whole column of it is shown in a reply out: as `engine.leaves` does, many values at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from operator import attrgetter
from typing import Any, TypeAlias

from graphql import GraphQLEnumType, GraphQLNonNull, GraphQLOutputType, get_named_type

from engine.leaves import BadValue, json, leaf

NONE = type(None)
Values: TypeAlias = Sequence[Any]
Shows: TypeAlias = Callable[[Values], Values]
"""Raises Unusual for a value the field cannot show."""


class Unusual(Exception):
    """Something that only the row by row rendering can tell: a value its field cannot show, a failed read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """What its values are, null aside, and what is left to do with them."""

    types: frozenset[type]
    shows: Shows | None = None
    """Of values without nulls; None: they are shown as they are. Days and times become text in the reply's JSON."""


def shows(returns: GraphQLOutputType) -> Shows:
    """For a column of a field that returns this."""
    scalar, never_null = _scalar(returns), isinstance(returns, GraphQLNonNull)

    def shown(values: Values) -> Values:
        types = set(map(type, values))
        empty = NONE in types
        if (empty and never_null) or not types - {NONE} <= scalar.types:
            raise Unusual
        if scalar.shows is None:
            return values
        if not empty:
            return scalar.shows(values)
        made = iter(scalar.shows([each for each in values if each is not None]))
        return [None if each is None else next(made) for each in values]

    return shown


def shows_each(returns: GraphQLOutputType) -> Shows:
    """The same for values of any kind, one after another."""
    convert, never_null = leaf(returns), isinstance(returns, GraphQLNonNull)

    def shown(values: Values) -> Values:
        if never_null and None in values:
            raise Unusual
        try:
            return [None if each is None else convert(each) for each in values]
        except BadValue as bad:
            raise Unusual from bad

    return shown


def _scalar(returns: GraphQLOutputType) -> Scalar:
    named: Any = get_named_type(returns)
    if isinstance(named, GraphQLEnumType):
        known = {member.value: name for name, member in named.values.items()}
        return Scalar(types=frozenset({str}), shows=_members(known))
    return SCALARS[named.name]


def _members(names: Mapping[Any, str]) -> Shows:
    """Most enums are kept by their names, and shown as they are."""
    known, alike = frozenset(names), all(stored == name for stored, name in names.items())

    def shown(values: Values) -> Values:
        _met(values, known.issuperset(values))
        return values if alike else [names[each] for each in values]

    return shown


def _met(values: Values, met: bool) -> Values:
    if not met:
        raise Unusual
    return values


def _whole(values: Values) -> Values:
    return _met(values, not values or (min(values) >= -(2**31) and max(values) < 2**31))


def _money(values: Values) -> Values:
    """`str` of a Decimal is a third of `format(value, "f")`, and the same where it has no exponent."""
    texts = list(map(str, values))
    _met(values, all(map(Decimal.is_finite, values)))
    return [format(each, "f") for each in values] if "E" in "".join(texts) else texts


def _texts(values: Values) -> Values:
    return list(map(str, values))


def _parsed(values: Values) -> Values:
    """One value at a time: a text may be of any shape."""
    try:
        return list(map(json, values))
    except BadValue as bad:
        raise Unusual from bad


SCALARS: Mapping[str, Scalar] = {
    "ID": Scalar(types=frozenset({str, int}), shows=_texts),
    "String": Scalar(types=frozenset({str})),
    "Boolean": Scalar(types=frozenset({bool})),
    "Int": Scalar(types=frozenset({int}), shows=_whole),
    "Float": Scalar(types=frozenset({float}), shows=lambda values: _met(values, all(map(isfinite, values)))),
    "BigInt": Scalar(types=frozenset({int}), shows=_texts),
    "Decimal": Scalar(types=frozenset({Decimal}), shows=_money),
    "JSON": Scalar(types=frozenset({str}), shows=_parsed),
    "Date": Scalar(types=frozenset({date})),
    "DateTime": Scalar(
        types=frozenset({datetime}),
        shows=lambda values: _met(values, {UTC}.issuperset(map(attrgetter("tzinfo"), values))),
    ),
}
