"""Picks and a caller's groups in, a verdict for every pick out; nothing is refused here, only withheld."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import GraphQLArgument, GraphQLInputObjectType, GraphQLInputType, GraphQLSchema, get_named_type

from auth.decide import Verdict, decide
from auth.rules import Position, Rules
from engine.select import Pick

Verdicts = Mapping[int, Verdict]
"""By pick number; what lies below a withheld pick is not judged, as it is never planned."""


def permit(schema: GraphQLSchema, rules: Rules, picks: Sequence[Pick], groups: frozenset[str]) -> Verdicts:
    """The verdict of each pick: that of the first position it touches and may not, else that of its field."""
    verdicts: dict[int, Verdict] = {}
    waiting = list(picks)
    while waiting:
        pick = waiting.pop()
        if pick.field == "__typename":
            continue
        verdicts[pick.number] = judged(schema, rules, pick, groups)
        if verdicts[pick.number].allowed:
            waiting.extend(each for below in pick.picks.values() for each in below)
    return verdicts


def judged(schema: GraphQLSchema, rules: Rules, pick: Pick, groups: frozenset[str]) -> Verdict:
    """The denial that withholds a pick: its own, or that of a position its arguments name.

    Dropping only the argument would answer a wider question than was asked.
    """
    own = decide(rules, (pick.type, pick.field), groups)
    if not own.allowed:
        return own
    named = (decide(rules, each, groups) for each in named_positions(schema, pick))
    return next((verdict for verdict in named if not verdict.allowed), own)


def named_positions(schema: GraphQLSchema, pick: Pick) -> Iterator[Position]:
    """Every position the pick's arguments touch: the arguments, and each input field at any depth."""
    arguments: Mapping[str, GraphQLArgument] = schema.type_map[pick.type].fields[pick.field].args  # type: ignore[attr-defined]
    for name, value in pick.arguments.items():
        yield pick.type, pick.field, name
        yield from _touched(arguments[name].type, value)


def _touched(of: GraphQLInputType, value: Any) -> Iterator[Position]:
    kind = get_named_type(of)
    if not isinstance(kind, GraphQLInputObjectType):
        return
    for each in value if isinstance(value, list) else (value,):
        for name, inner in (each or {}).items():
            yield kind.name, name
            yield from _touched(kind.fields[name].type, inner)


def withheld(pick: Pick, verdicts: Verdicts) -> bool:
    return pick.number in verdicts and not verdicts[pick.number].allowed
