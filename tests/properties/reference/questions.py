"""Draw random queries: selections from hypothesis-graphql with arguments of our own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from graphql import DocumentNode, FieldNode, GraphQLField, OperationDefinitionNode, build_ast_schema
from graphql import print_ast as printed
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis_graphql import queries

from onedoor.connectors.access import ACCESS_SOURCE
from onedoor.model.names import get_row_type
from tests.acme import GROUPS
from tests.properties.reference.draw import AHEAD, Draw, subset
from tests.properties.reference.weave import MISSING, Variable, Weaving
from tests.properties.reference.world import (
    World,
    build_full_world,
    build_invalid_world,
    build_sparse_world,
    printed_schema,
)

SEEN = 0.75
"""How often a principal is in a group when the groups are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnQuestion:
    """One random question: who asks it of which world, twice, with different variables."""

    seed: str
    world: World
    document: DocumentNode
    variables: Sequence[Variable]
    groups: Sequence[str]
    others: Sequence[str]
    """The groups of another caller, who asks the same in between."""

    @property
    def text(self) -> str:
        return printed(self.document)

    def given(self, time: int) -> Mapping[str, Any]:
        return {
            variable.name: variable.values[time] for variable in self.variables if variable.values[time] is not MISSING
        }


@cache
def questions(count: int, seed_number: int) -> Sequence[DrawnQuestion]:
    """The same for the same seed."""
    return [
        weave_question(bare, f"{seed_number}:{number}") for number, bare in enumerate(selections(count, seed_number))
    ]


def weave_question(bare: Sequence[FieldNode], named: str) -> DrawnQuestion:
    random = Random(named)
    world = random.choice(
        [build_full_world, build_sparse_world, build_sparse_world, build_sparse_world, build_invalid_world]
    )()
    weaving = Weaving(Draw(world, named))
    document = weaving.document(bare)
    return DrawnQuestion(
        seed=named,
        world=world,
        document=document,
        variables=tuple(weaving.variables),
        groups=callers(random),
        others=callers(random),
    )


def callers(random: Random) -> list[str]:
    names = [group.name for group in GROUPS if group.name != "everyone"]
    return names if random.random() < 0.4 else subset(random, names, SEEN if random.random() < 0.7 else 0.3)


def selections(count: int, seed_number: int) -> list[Sequence[FieldNode]]:
    """What hypothesis-graphql asks of the schema without its arguments, which are all drawn anew."""
    results: list[Sequence[FieldNode]] = []

    @seed(seed_number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=HEALTH)
    @given(queries(bare_schema(), print_ast=roots))
    def collect(bare: Sequence[FieldNode]) -> None:
        results.append(bare)

    collect()
    return [results[number % len(results)] for number in range(count)]


HEALTH = list(HealthCheck)


def roots(document: DocumentNode) -> Sequence[FieldNode]:
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return [selection for selection in operation.selection_set.selections if isinstance(selection, FieldNode)]


def is_made_for_each_request(item: GraphQLField) -> bool:
    """Whether a field leads to rows that no world holds, such as what a principal may see."""
    mapping = build_full_world().catalog.mappings.get(get_row_type(item.type).name)
    return mapping is not None and mapping.source == ACCESS_SOURCE


@cache
def bare_schema() -> Any:
    schema = build_ast_schema(printed_schema(), assume_valid_sdl=True)
    ours = (kind for name, kind in schema.type_map.items() if not name.startswith("__"))  # GraphQL's own are shared
    roots: Any = schema.query_type
    for name in [name for name, item in roots.fields.items() if is_made_for_each_request(item)]:
        del roots.fields[name]
    for kind in ours:
        for name in AHEAD if kind.name.endswith("Connection") else ():
            kind.fields.pop(name, None)  # type: ignore[attr-defined]
        for item in getattr(kind, "fields", {}).values():
            if isinstance(item, GraphQLField):
                item.args = {}
    return schema
