"""Explain what groups may see: each coordinate with its decision, the groups that would do, and whom to ask."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNamedType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
)

from auth.policy import (
    AccessPolicy,
    Decision,
    GroupRequirement,
    SchemaCoordinate,
    decide,
    is_masked,
    minimize_requirements,
)
from onedoor.model.catalog import Catalog
from onedoor.model.names import get_row_type, list_concrete_types
from onedoor.query.errors import describe_remedy, join_alternatives


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinateAccess:
    """Whether groups may use a coordinate, and what would do where they may not."""

    coordinate: SchemaCoordinate
    allowed: bool
    masked: bool
    """Whether it is allowed, but shows a part of each value."""
    requirements: tuple[str, ...]
    """One group of each is needed, such as `finance or sales`."""
    missing: tuple[str, ...]
    owner: str | None
    contact: str | None
    remedy: str | None
    """How to get access; None where there is access, or nobody to ask."""

    @property
    def name(self) -> str:
        return ".".join(self.coordinate)


def explain_access(catalog: Catalog, coordinate: SchemaCoordinate, groups: frozenset[str]) -> CoordinateAccess:
    """Decide one coordinate and say why."""
    return explain_decision(catalog, decide(catalog.policy, coordinate, groups), groups)


def explain_decision(catalog: Catalog, decision: Decision, groups: frozenset[str]) -> CoordinateAccess:
    """Say what a decision was made of, and what would change it."""
    policy, coordinate = catalog.policy, decision.coordinate
    owner = policy.owners.get(coordinate)
    return CoordinateAccess(
        coordinate=coordinate,
        allowed=decision.allowed,
        masked=decision.allowed and is_masked(policy, coordinate, groups),
        requirements=format_requirements(policy.requirements.get(coordinate, ())),
        missing=format_requirements(decision.unmet or ()),
        owner=owner,
        contact=catalog.groups.contacts.get(owner or ""),
        remedy=None if decision.allowed else describe_remedy(catalog, decision.unmet or (), owner) or None,
    )


@lru_cache(maxsize=4096)
def format_requirements(requirements: tuple[GroupRequirement, ...] | frozenset[GroupRequirement]) -> tuple[str, ...]:
    """Write each requirement that is not met by meeting another as a choice, such as `finance or sales`."""
    return tuple(map(join_alternatives, minimize_requirements(requirements)))


def list_known_coordinates(schema: GraphQLSchema, policy: AccessPolicy) -> Sequence[SchemaCoordinate]:
    """List the coordinates of a schema that have rules, by name; it may be the view that a principal has of it."""
    return [coordinate for coordinate in _iterate_coordinates(schema) if coordinate in policy.requirements]


def list_written_coordinates(schema: GraphQLSchema, policy: AccessPolicy) -> Sequence[SchemaCoordinate]:
    """List those that somebody wrote a rule for: types and their fields, without what is made for filters or pages."""
    written = find_written_types(schema)
    known = list_known_coordinates(schema, policy)
    return [coordinate for coordinate in known if coordinate[0] in written and len(coordinate) < 3]


def find_written_types(schema: GraphQLSchema) -> frozenset[str]:
    """Return the roots, the types of rows and the inputs of mutations: all but what is made for filters or pages."""
    roots = [root for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root is not None]
    arguments = schema.mutation_type.fields.values() if schema.mutation_type else ()
    inputs = _collect_inputs([argument.type for field in arguments for argument in field.args.values()])
    return _collect_row_types(schema, roots) | inputs


def _collect_row_types(schema: GraphQLSchema, roots: Sequence[GraphQLNamedType]) -> frozenset[str]:
    """Return the types whose rows these lead to, themselves among them."""
    found: set[str] = set()
    pending = list(roots)
    while pending:
        type = pending.pop()
        if is_leaf_type(type) or type.name in found:
            continue
        found.add(type.name)
        pending.extend(get_row_type(field.type) for field in getattr(type, "fields", {}).values())
        pending.extend(schema.type_map[name] for name in list_concrete_types(schema, type))
    return frozenset(found)


def _collect_inputs(types: Iterable[GraphQLInputType]) -> frozenset[str]:
    """Return the input types that these lead to, themselves among them."""
    found: set[str] = set()
    pending = [get_named_type(type) for type in types]
    while pending:
        type = pending.pop()
        if isinstance(type, GraphQLInputObjectType) and type.name not in found:
            found.add(type.name)
            pending.extend(get_named_type(field.type) for field in type.fields.values())
    return frozenset(found)


def is_known(schema: GraphQLSchema, coordinate: SchemaCoordinate) -> bool:
    """Say whether a schema has a type, a field or an argument."""
    type = schema.type_map.get(coordinate[0])
    fields = getattr(type, "fields", {})
    if type is None or coordinate[0].startswith("__"):
        return False
    if len(coordinate) == 1:
        return True
    field = fields.get(coordinate[1])
    return field is not None and (len(coordinate) == 2 or coordinate[2] in getattr(field, "args", {}))


def _iterate_coordinates(schema: GraphQLSchema) -> Iterator[SchemaCoordinate]:
    for type in sorted(schema.type_map.values(), key=lambda type: type.name):
        if is_leaf_type(type) or type.name.startswith("__"):
            continue
        yield (type.name,)
        yield from _iterate_field_coordinates(type)


def _iterate_field_coordinates(type: GraphQLNamedType) -> Iterator[SchemaCoordinate]:
    for name, field in sorted(getattr(type, "fields", {}).items()):
        yield type.name, name
        yield from ((type.name, name, argument) for argument in sorted(getattr(field, "args", {})))


def parse_coordinate(text: str) -> SchemaCoordinate | None:
    """Read `Type`, `Type.field` or `Type.field.argument`; None: it is none of these."""
    match text.split("."):
        case [type]:
            return (type,)
        case [type, field]:
            return type, field
        case [type, field, argument]:
            return type, field, argument
    return None
