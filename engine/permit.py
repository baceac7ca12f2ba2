"""Picks and a caller's groups in, a verdict for every pick out; nothing is refused here, only withheld."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from graphql import GraphQLArgument, GraphQLInputObjectType, GraphQLInputType, GraphQLSchema, get_named_type

from auth.decide import Verdict, decide
from auth.rules import Position, Rules
from engine.names import concrete, rows_of
from engine.select import Pick

Verdicts: TypeAlias = Mapping[int | tuple[int, str], Verdict]
"""By pick number; what lies below a withheld pick is not judged, as it is never planned.

Of a pick that leads to an interface, by its number and each concrete type too: whether rows of that may be asked.
"""
NONE: frozenset[str] = frozenset()
LOGIC = frozenset({"and", "or", "not"})


def permit(schema: GraphQLSchema, rules: Rules, picks: Sequence[Pick], groups: frozenset[str]) -> Verdicts:
    """The verdict of each pick: that of the first position it touches and may not, else that of its field."""
    verdicts: dict[int | tuple[int, str], Verdict] = {}
    # INVARIANT: of a pick inside a page, the last is what concrete types are shut on that page; of any other, None.
    waiting: list[tuple[Pick, frozenset[str] | None]] = [(pick, None) for pick in picks]
    while waiting:
        pick, page = waiting.pop()
        if pick.field == "__typename":
            continue
        verdicts[pick.number] = judged(schema, rules, pick, groups)
        if not verdicts[pick.number].allowed:
            continue
        rows = rows_of(pick.returns)
        of = {} if page is not None else _of_rows(schema, rules, pick, groups)
        verdicts |= {(pick.number, kind): verdict for kind, verdict in of.items()}
        shut = frozenset(kind for kind, each in of.items() if not each.allowed) if page is None else page
        inside = pick.field == "edges" if page is not None else rows is not get_named_type(pick.returns)
        kept = (each for kind, below in pick.picks.items() if kind not in shut for each in below)
        waiting.extend((each, shut if inside else None) for each in kept)
    return verdicts


def judged(schema: GraphQLSchema, rules: Rules, pick: Pick, groups: frozenset[str]) -> Verdict:
    """The denial that withholds a pick: its own, or that of a position its arguments name.

    Dropping only the argument would answer a wider question than was asked.
    """
    own = decide(rules, (pick.type, pick.field), groups)
    if not own.allowed:
        return own
    named = (decide(rules, each, groups) for each in _named(schema, rules, pick))
    return next((verdict for verdict in named if not verdict.allowed), own)


def _of_rows(schema: GraphQLSchema, rules: Rules, pick: Pick, groups: frozenset[str]) -> Mapping[str, Verdict]:
    """For each concrete type of an interface, whether its rows may be asked what the pick asks of all."""
    rows, found = rows_of(pick.returns), dict[str, Verdict]()
    shown = (rules.looks_at.get(position) for position, mine in _looks(schema, pick) if mine)
    named = [each[1] for each in shown if each is not None and each[0] == rows.name]
    for kind in concrete(schema, rows):
        positions: list[Position] = [(kind,), *((kind, name) for name in dict.fromkeys(named))]
        verdicts = [decide(rules, each, groups) for each in positions]
        found[kind] = next((each for each in verdicts if not each.allowed), verdicts[0])
    return found


def named_positions(schema: GraphQLSchema, pick: Pick) -> Iterator[Position]:
    """Every position the pick's arguments touch: the arguments, and each input field at any depth."""
    yield from ((pick.type, pick.field, name) for name in pick.arguments)
    yield from (position for position, _ in _looks(schema, pick))


def _named(schema: GraphQLSchema, rules: Rules, pick: Pick) -> Iterator[Position]:
    """Those, and through a link to an interface the same of each concrete type: which of them met it would show."""
    yield from named_positions(schema, pick)
    for position, mine in _looks(schema, pick):
        shown = rules.looks_at.get(position)
        if shown is None:
            continue
        of: Any = schema.type_map[shown[0]]
        yield from ((kind,) for kind in concrete(schema, rows_of(of.fields[shown[1]].type)))
        if not mine:
            yield from ((kind, shown[1]) for kind in concrete(schema, of))


def _looks(schema: GraphQLSchema, pick: Pick) -> Iterator[tuple[tuple[str, str], bool]]:
    """Each field of an input that is named, and whether it is of the rows the pick leads to, not of linked ones."""
    arguments: Mapping[str, GraphQLArgument] = schema.type_map[pick.type].fields[pick.field].args  # type: ignore[attr-defined]
    for name, value in pick.arguments.items():
        yield from _touched(arguments[name].type, value, True)


def _touched(of: GraphQLInputType, value: Any, mine: bool) -> Iterator[tuple[tuple[str, str], bool]]:
    kind = get_named_type(of)
    if not isinstance(kind, GraphQLInputObjectType):
        return
    for each in value if isinstance(value, list) else (value,):
        for name, inner in (each or {}).items():
            yield (kind.name, name), mine
            yield from _touched(kind.fields[name].type, inner, mine and name in LOGIC)


def withheld(pick: Pick, verdicts: Verdicts) -> bool:
    return pick.number in verdicts and not verdicts[pick.number].allowed
