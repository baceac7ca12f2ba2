"""List a query for each way to look at a field, by walking the types of a schema."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
)

from auth.policy import SchemaCoordinate

BY_ID = "[{id: VALUE}]"
LOGIC = frozenset({"and", "or", "not"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One field on the way, of the type before it."""

    type: str
    field: str
    to: Any

    @property
    def many(self) -> bool:
        return isinstance(get_nullable_type(self.to), GraphQLList)


Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A question that looks at a field: by what an argument names, or by what it shows."""

    text: str
    position: SchemaCoordinate
    named_in: str = ""
    """The argument, of a list or of its groups, that names the field; none where it is shown."""
    meant: bool = True
    """Whether it can be answered at all."""

    @property
    def named(self) -> bool:
        return bool(self.named_in)


def looking(schema: GraphQLSchema, field: SchemaCoordinate) -> set[SchemaCoordinate]:
    """The field, and all that bear its name in types made for its type."""
    kinds = (GraphQLObjectType, GraphQLInputObjectType)
    named = ((name, item) for name, item in schema.type_map.items() if isinstance(item, kinds))
    return {(name, field[1]) for name, item in named if name.startswith(field[0]) and field[1] in item.fields}


def list_ways(schema: GraphQLSchema, field: SchemaCoordinate) -> Iterator[Way]:
    """From every list of the root: through each argument to each position, and to each position that shows it."""
    assert schema.query_type
    for name, item in schema.query_type.fields.items():
        of = get_named_type(item.type)
        if isinstance(of, GraphQLObjectType) and of.name.endswith("Connection"):
            wanted = looking(schema, field)
            for argument in ("where", "orderBy"):
                yield from _of_rows(name, argument, item.args[argument], wanted)
            for argument in ("by", "having", "orderBy") if "groups" in of.fields else ():
                yield from _of_groups(name, argument, of.fields["groups"].args[argument], wanted)
            yield from _showing(name, of, wanted)


def paths(start: Any, wanted: set[SchemaCoordinate]) -> Iterator[Path]:
    """The shortest path from a type to each position that can be reached."""
    waiting: deque[tuple[Any, Path]] = deque([(start, ())])
    known = {start.name}
    while waiting:
        of, before = waiting.popleft()
        for name, field in of.fields.items():
            path = (*before, Step(type=of.name, field=name, to=field.type))
            if (of.name, name) in wanted:
                yield path
            target = get_named_type(field.type)
            if hasattr(target, "fields") and target.name not in known and name not in LOGIC:
                known.add(target.name)
                waiting.append((target, path))


def _of_rows(root: str, argument: str, of: Any, wanted: set[SchemaCoordinate]) -> Iterator[Way]:
    for path in paths(get_named_type(of.type), wanted):
        for value in _values(path):
            given = f"[{value}]" if argument == "orderBy" else value
            text = f"{{ {root}({argument}: {given}, first: 2) {{ nodes {{ id }} }} }}"
            yield Way(text=text, position=_end(path), named_in=argument)


def _of_groups(root: str, argument: str, of: Any, wanted: set[SchemaCoordinate]) -> Iterator[Way]:
    for path in paths(get_named_type(of.type), wanted):
        for value in _values(path):
            given = value if argument == "having" else f"[{value}]"
            keyed = argument == "orderBy" and path[0].field == "key"
            inner = [item.field for item in path[1:]]
            by = f"[{_nested(inner, 'VALUE')}]" if keyed and _single(path) else BY_ID
            arguments = f"by: {given}" if argument == "by" else f"by: {by}, {argument}: {given}"
            text = _build_groups_query(root, arguments, "aggregate { count }")
            meant = not keyed or _single(path)
            way = Way(text=text, position=_end(path), named_in=f"groups.{argument}", meant=meant)
            yield way
            if keyed and _single(path):
                by_id = _build_groups_query(root, f"by: {BY_ID}, orderBy: {given}", "aggregate { count }")
                yield replace(way, text=by_id, meant=False)


def _single(path: Path) -> bool:
    """Whether no step leads to what many rows come to, which is no key."""
    return not any(item.type.endswith("AggregateOrder") for item in path)


def _showing(root: str, of: GraphQLObjectType, wanted: set[SchemaCoordinate]) -> Iterator[Way]:
    for path in paths(of, wanted):
        yield Way(text=f"{{ {root} {_build_selection(path)} }}", position=_end(path))


def _build_selection(path: Path) -> str:
    """A selection that goes down the path; groups are by id, or by the key that is shown of them."""
    if not path:
        return ""
    step, below = path[0], path[1:]
    given = ""
    if step.field == "groups":
        keyed = [child.field for child in below[1:]] if below[0].field == "key" else ["id"]
        given = f"(by: [{_nested(keyed, 'VALUE')}], first: 2)"
    return f"{{ {step.field}{given} {_build_selection(below)} }}"


def _build_groups_query(root: str, arguments: str, shown: str) -> str:
    return f"{{ {root} {{ groups({arguments}, first: 2) {{ {shown} }} }} }}"


def _end(path: Path) -> SchemaCoordinate:
    return path[-1].type, path[-1].field


def _values(path: Path) -> Iterator[str]:
    """What an argument says that goes down the path; of a filter, also what its `and`, `or` and `not` say."""
    value = _leaf(path[-1].to)
    for step in reversed(path):
        value = f"{{{step.field}: {f'[{value}]' if step.many else value}}}"
    yield value
    if path[0].type.endswith(("Where", "Having")):
        yield from (f"{{and: [{value}]}}", f"{{or: [{value}, {value}]}}", f"{{not: {value}}}")


def _leaf(of: Any) -> str:
    named = get_named_type(of)
    if isinstance(named, GraphQLInputObjectType):
        return "{isNull: false}"
    assert isinstance(named, GraphQLEnumType)
    return next(iter(named.values))


def _nested(fields: list[str], leaf: str) -> str:
    for field in reversed(fields):
        leaf = f"{{{field}: {leaf}}}"
    return leaf
