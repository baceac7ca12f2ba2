"""Picks and verdicts in, the columns of the files out, and what is left out of them.

Columns stand in the order asked. An object's fields are columns of their own, named by the response keys that lead to
them, joined by `.`; a list is one column, and its rows are made by the same rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLEnumType, get_named_type

from engine.errors import Code, Fault, Refused
from engine.names import is_list
from engine.permit import Verdicts, withheld
from engine.select import Pick
from exports.paged import ONE_LIST, PAGE
from exports.words import Column, LeftOut, fault

ASIDE = frozenset({"pageInfo", "__typename"})
"""What a client pages by, which is no row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Where the rows of an answer are, and what their columns are."""

    path: tuple[str, ...]
    """The response keys that lead to the list."""
    node: str | None
    """In each of its items, the key of the row; None: the item is the row."""
    columns: tuple[Column, ...]
    denied: Mapping[str, Pick]
    """By name of the column, or of the objects it would be in, what is withheld."""


def rows(picks: Sequence[Pick], verdicts: Verdicts) -> Rows:
    """Raises Refused where what is asked of the list beside its rows has no place in a file."""
    if len(picks) != 1:
        raise Refused(fault(Code.BAD_USER_INPUT, f"nothing is asked for at the root: {ONE_LIST}"))
    (pick,) = picks
    listed, held = _holder(pick)
    if shut := next((each for each in (pick, listed, held) if withheld(each, verdicts)), None):
        return Rows(path=(pick.key, listed.key), node=None, columns=(), denied={pick.key: shut})
    walk = _Walk(verdicts=verdicts)
    columns = tuple(walk.columns(list(held.picks.values()), ()))
    if not columns and not walk.denied:
        raise Refused(fault(Code.BAD_USER_INPUT, f"nothing is asked of the rows of `{pick.key}`, ask for fields"))
    node = held.key if held is not listed else None
    return Rows(path=(pick.key, listed.key), node=node, columns=columns, denied=walk.denied)


def left_out(denied: Mapping[str, Pick], verdicts: Verdicts, faults: Sequence[Fault]) -> tuple[LeftOut, ...]:
    """Each with what the FORBIDDEN of its position says; and the rows of a type that may not be asked."""
    said = {str((each.extensions or {}).get("position")): each.message for each in faults}
    columns = [(name, ".".join(verdicts[pick.number].position)) for name, pick in denied.items()]
    named = {position for _, position in columns}
    found = [*columns, *((position, position) for position in said if position not in named)]
    return tuple(LeftOut(name=name, reason=said.get(of, f"`{of}` is withheld"), position=of) for name, of in found)


def lost(stated: Sequence[Column], now: Sequence[Column]) -> str | None:
    """The first of the columns as they were stated that an answer has no longer."""
    held = {each.name: each for each in now}
    for each in stated:
        if each.name not in held:
            return each.name
        gone = lost(each.inner, held[each.name].inner)
        if gone is not None:
            return f"{each.name}.{gone}"
    return None


def _holder(pick: Pick) -> tuple[Pick, Pick]:
    """The pick of the list, and that of its rows: the same for `nodes`, `node` in `edges`."""
    asked = [each for each in pick.below if each.key != PAGE]
    lists = [each for each in asked if each.field in ("nodes", "edges")]
    beside = [each.key for each in asked if each.field not in ("nodes", "edges", *ASIDE)]
    if beside:
        message = f"`{beside[0]}` of `{pick.key}` is no row, so it has no place in a file: leave it out"
        raise Refused(fault(Code.BAD_USER_INPUT, message))
    if len(lists) != 1:
        message = f"`{pick.key}` is exported by its `nodes` or by its `edges`, ask for one"
        raise Refused(fault(Code.BAD_USER_INPUT, message))
    if lists[0].field == "nodes":
        return lists[0], lists[0]
    nodes = [each for each in lists[0].below if each.field == "node"]
    if len(nodes) != 1:
        raise Refused(fault(Code.BAD_USER_INPUT, f"`edges` of `{pick.key}` is exported by its `node`, ask for one"))
    return lists[0], nodes[0]


@dataclass(slots=True, kw_only=True)
class _Walk:
    """The fields below a row under way, and what of them is withheld."""

    verdicts: Verdicts
    denied: dict[str, Pick] = field(default_factory=dict)

    def columns(self, kinds: Sequence[Sequence[Pick]], above: tuple[str, ...], name: str = "") -> Iterator[Column]:
        """`kinds`: what is asked of each concrete type that a row may be of."""
        keys = dict.fromkeys(pick.key for picks in kinds for pick in picks)
        for key in keys:
            alike = [pick for picks in kinds for pick in picks if pick.key == key]
            yield from self.column(alike, (*above, key), name)

    def column(self, alike: Sequence[Pick], path: tuple[str, ...], within: str) -> Iterator[Column]:
        name = within + ".".join(path)
        allowed = [each for each in alike if not withheld(each, self.verdicts)]
        if len(allowed) < len(alike):
            self.denied[name] = next(each for each in alike if each not in allowed)
        if not allowed:
            return
        one, below = allowed[0], [picks for each in allowed for picks in each.picks.values()]
        many = is_list(one.returns)
        if not below:
            yield _leaf(one, path, many)
        elif many:
            inner = tuple(self.columns(below, (), f"{name}."))
            if inner:
                yield Column(name=".".join(path), path=path, scalar="", inner=inner)
        else:
            yield from self.columns(below, path, within)


def _leaf(pick: Pick, path: tuple[str, ...], many: bool) -> Column:
    named: Any = get_named_type(pick.returns)
    members = tuple(named.values) if isinstance(named, GraphQLEnumType) else ()
    return Column(name=".".join(path), path=path, scalar=named.name, many=many, members=members)
