"""Compute the reply a query must get with graphql-core, data loaders and the plainest form of every rule."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from aiodataloader import DataLoader
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLEnumType,
    GraphQLError,
    GraphQLList,
    GraphQLResolveInfo,
    execute,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    print_ast,
)

from auth.authentication import Principal
from onedoor.connectors.principal import build_principal_connector
from onedoor.model.mapping import Lookup
from tests.acme import load_document
from tests.properties.reference.pages import judge, page
from tests.properties.reference.permission import Declarations
from tests.properties.reference.visible import narrow
from tests.properties.reference.world import ID, INTERFACES, TYPE, Dict, World, names, value

Error = tuple[str, tuple[str | int, ...] | None, int | None]
"""The code, the path and the number of nulls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`refused` holds codes, and then nothing was looked at; `rows` is how many rows were shown."""

    data: dict[str, Any] | None
    errors: frozenset[Error]
    refused: frozenset[str] = frozenset()
    rows: int = 0


async def compute_reply(world: World, caller: Principal, document: DocumentNode, variables: Mapping[str, Any]) -> Reply:
    visible = narrow(world, caller)
    refused = refusals(visible, caller, document, variables)
    if refused:
        return Reply(data=None, errors=frozenset(), refused=refused)
    run = Run(visible, caller)
    awaited: Any = execute(world.schema, document, variable_values=dict(variables), field_resolver=run.resolve)
    result: ExecutionResult = awaited if isinstance(awaited, ExecutionResult) else await awaited
    return Reply(data=result.data, errors=run.errors(result), rows=run.rows)


@cache
def declarations() -> Declarations:
    return Declarations(print_ast(load_document()))


def refusals(world: World, caller: Principal, document: DocumentNode, variables: Mapping[str, Any]) -> frozenset[str]:
    """The codes of all that is wrong with the arguments, wherever a row could lead: each link gives one ghost."""
    interfaces: set[str] = set()

    def judged(turn: int) -> Iterator[str]:
        def resolve(source: object, info: GraphQLResolveInfo, **arguments: Any) -> Any:
            if not allowed(caller, info, arguments):
                return None
            returns = get_named_type(info.return_type).name
            if returns.endswith("Connection"):
                judge(world, returns.removesuffix("Connection"), coordinate(info), arguments)
            interfaces.update({returns} & INTERFACES.keys())
            return ghost(info.return_type, turn)

        result = execute(world.schema, document, variable_values=dict(variables), field_resolver=resolve)
        assert isinstance(result, ExecutionResult)
        yield from map(code, result.errors or ())

    found = frozenset(judged(0))
    if not interfaces:
        return found
    return found.union(*(judged(turn) for turn in range(1, TYPES_MOST)))


def code(error: GraphQLError) -> str:
    if error.original_error and not isinstance(error.original_error, GraphQLError):
        raise error.original_error
    return (error.extensions or {}).get("code", "BAD_USER_INPUT")


TYPES_MOST = max(map(len, INTERFACES.values()))
GHOSTS = {
    "ID": "", "String": "", "Int": 0, "Float": 0.0, "Boolean": False,
    "BigInt": 0, "JSON": "0", "Decimal": Decimal(0), "Date": date.min, "DateTime": datetime.min,
}  # fmt: skip


def ghost(of: Any, turn: int) -> Any:
    """A value of a type, one of each list, so that all that is asked below it is come to; of an interface, in turn."""
    kind = get_nullable_type(of)
    if isinstance(kind, GraphQLList):
        return [ghost(kind.of_type, turn)]
    if kind.name in INTERFACES:
        return {TYPE: INTERFACES[kind.name][turn]}
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values.values())).value
    return GHOSTS[kind.name] if is_leaf_type(kind) else {}


class Loader(DataLoader[tuple[Any, ...], Sequence[Dict]]):
    """Shielded: a sibling's cancellation must not cancel the future that others wait for."""

    def load(self, key: tuple[Any, ...]) -> Any:
        return asyncio.shield(super().load(key))


class Run:
    """Hold the loaders of one query, and the places where denied fields are null."""

    def __init__(self, world: World, caller: Principal) -> None:
        self.world = world
        self.caller = caller
        self.loaders: dict[tuple[str, tuple[str, ...]], Loader] = {}
        self.nulls: dict[tuple[Any, ...], list[tuple[str | int, ...]]] = defaultdict(list)
        self.rows = 0

    def resolve(self, source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        kind, name = info.parent_type.name, info.field_name
        if not allowed(self.caller, info, arguments):
            self.nulls[pick(info)].append(tuple(info.path.as_list()))
            return None
        if kind == "Query":
            return self.root(info, arguments)
        if kind not in self.world.catalog.mappings:
            return source[name]
        binding = self.world.binding(kind)
        if name in binding.relationships:
            return self.linked(source, info, arguments)
        if name in binding.lookups:
            return looked_up(self.world, binding.lookups[name], source, arguments)
        if name in binding.computed_fields:
            needs = tuple(value(binding, item, source) for item in binding.computed_fields[name].needs)
            return binding.computed_fields[name].compute([needs])[0]
        shown = value(binding, name, source)
        return mask(shown) if declarations().is_masked(self.caller.groups, kind, name) else shown

    def root(self, info: GraphQLResolveInfo, arguments: Mapping[str, Any]) -> Any:
        returns = get_named_type(info.return_type).name
        if returns == "Me":
            return self.own("person")[0]
        if returns.endswith("Connection"):
            kind = returns.removesuffix("Connection")
            return self.shown(page(self.world, kind, coordinate(info), arguments, self.world.rows[kind]))
        return self.one(returns, [row for row in self.world.rows[returns] if row[ID] == arguments["id"]])

    async def linked(self, row: Dict, info: GraphQLResolveInfo, arguments: Mapping[str, Any]) -> Any:
        link = self.world.binding(info.parent_type.name).relationships[info.field_name]
        if link.to == "Key":
            return self.own("key")[0]
        key = tuple(row[name] for name in names(link.local))
        result = () if None in key else await self.loader(link.to, names(link.remote)).load(key)
        if not self.world.many(info.parent_type.name, info.field_name):
            return self.one(link.to, result)
        return self.shown(page(self.world, link.to, coordinate(info), arguments, result))

    def loader(self, kind: str, there: tuple[str, ...]) -> Loader:
        async def load(keys: list[tuple[Any, ...]]) -> list[Sequence[Dict]]:
            index = self.world.keyed(kind, there)
            return [index.get(key, ()) for key in keys]

        if (kind, there) not in self.loaders:
            self.loaders[kind, there] = Loader(load)
        return self.loaders[kind, there]

    def one(self, kind: str, rows: Sequence[Dict]) -> Dict | None:
        """Where several match, the one whose key comes first."""
        key = self.world.binding(kind).key
        self.rows += bool(rows)
        return min(rows, key=lambda row: tuple(row[column] for column in key)) if rows else None

    def shown(self, connection: Dict) -> Dict:
        self.rows += len(connection["nodes"])
        return connection

    def own(self, collection: str) -> list[Dict]:
        held = build_principal_connector(self.caller).collections[collection]
        return [dict(zip((*held.capabilities.columns, ID), (*row, row[0]), strict=True)) for row in held.rows]

    def errors(self, result: ExecutionResult) -> frozenset[Error]:
        """Return an error for each denied field, at its first null, and for each null in a non-null place."""
        withheld = [("FORBIDDEN", min(paths, key=places), len(paths)) for paths in self.nulls.values()]
        return frozenset([*withheld, *map(broken, result.errors or ())])


def mask(text: str | None) -> str | None:
    """The only mask in Acme: the last four of a text that is longer than eight."""
    return None if text is None else "••••" + (text[-4:] if len(text) >= 8 else "")


def looked_up(world: World, lookup: Lookup, row: Dict, arguments: Mapping[str, Any]) -> Any:
    """Of the rows elsewhere that equal this one and what was given, the least value; null of none."""
    wanted = dict(zip(names(lookup.remote), (row[item] for item in names(lookup.local)), strict=True))
    if None in wanted.values():
        return None
    wanted |= {lookup.arguments[name]: as_held(given) for name, given in arguments.items() if given is not None}
    results = [item[lookup.column] for item in elsewhere(world, lookup) if wanted.items() <= item.items()]
    return min((result for result in results if result is not None), default=None)


def elsewhere(world: World, lookup: Lookup) -> Sequence[Dict]:
    source: Any = world.catalog.connectors[lookup.source]
    collection = source.collections[lookup.collection]
    return [dict(zip(collection.capabilities.columns, row, strict=True)) for row in collection.rows]


def as_held(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


def allowed(caller: Principal, info: GraphQLResolveInfo, arguments: Mapping[str, Any]) -> bool:
    return declarations().is_shown(caller.groups, info.parent_type.name, info.field_name, arguments)


def coordinate(info: GraphQLResolveInfo) -> str:
    return f"{info.parent_type.name}.{info.field_name}"


def pick(info: GraphQLResolveInfo) -> tuple[Any, ...]:
    """A field of a type, wherever its rows stand: its path without the places in lists."""
    steps = []
    path: Any = info.path
    while path is not None:
        steps.append((path.typename, path.key))
        path = path.prev
    return tuple(step for step in reversed(steps) if not isinstance(step[1], int))


def places(path: Sequence[str | int]) -> tuple[int, ...]:
    return tuple(step for step in path if isinstance(step, int))


def broken(error: GraphQLError) -> Error:
    if not error.message.startswith("Cannot return null for non-nullable"):
        raise error
    return ("NULL_VALUE", tuple(error.path or ()), None)
