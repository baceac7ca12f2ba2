"""Check at start-up that schema, mappings and connectors fit together."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any

from graphql import GraphQLInterfaceType, get_named_type, is_input_object_type, is_leaf_type

from auth.policy import GroupRequirement, get_value_requirements
from onedoor.errors import ConfigurationError
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import Lookup, TypeMapping
from onedoor.model.names import (
    ID_FIELD,
    get_capabilities,
    get_relationship_columns,
    get_row_type,
    is_list,
    list_concrete_types,
    list_member_mappings,
    map_field_to_columns,
)
from onedoor.query import selection
from onedoor.query.rule_checks import check_masks, check_row_rules
from onedoor.spi.capabilities import Capabilities, ColumnType

SCALAR_COLUMN_TYPES: Mapping[str, frozenset[ColumnType]] = {
    "Int": frozenset({ColumnType.INTEGER}),
    "BigInt": frozenset({ColumnType.INTEGER}),
    "JSON": frozenset({ColumnType.TEXT}),
    "Float": frozenset({ColumnType.FLOAT}),
    "Decimal": frozenset({ColumnType.DECIMAL}),
    "Boolean": frozenset({ColumnType.BOOLEAN}),
    "Date": frozenset({ColumnType.DATE}),
    "DateTime": frozenset({ColumnType.TIME}),
}
"""What the column of a scalar may hold; that of an ID may hold anything."""

TEXT_COLUMN_TYPES = frozenset({ColumnType.TEXT})
"""What the column of a String or an enum may hold."""

LIST_COLUMN_TYPES = frozenset({ColumnType.LIST})


def validate_catalog(catalog: Catalog) -> None:
    """Raise ConfigurationError for the first thing that does not fit, naming it and what would do."""
    for check in (_check_collection, check_masks, _check_fields, check_row_rules):
        for mapping in catalog.mappings.values():
            for message in check(catalog, mapping):
                raise ConfigurationError(message)
    for message in chain(_check_root_fields(catalog), _check_subscriptions(catalog)):
        raise ConfigurationError(message)


def validate_mutations(catalog: Catalog) -> None:
    """Raise ConfigurationError where a field of `Mutation` has no action, or an action no field."""
    for message in _check_actions(catalog):
        raise ConfigurationError(message)


def _check_collection(catalog: Catalog, mapping: TypeMapping) -> Iterator[str]:
    if mapping.type not in catalog.schema.type_map:
        yield f"there is a binding of `{mapping.type}`, but no such type in schema/"
    if mapping.source not in catalog.connectors:
        name = mapping.source
        yield (
            f"`{mapping.type}` is bound to the source `{name}`, which no setting names: add `[sources.{name}]`, "
            "or take the mapping out of resolvers/"
        )
    try:
        catalog.connectors[mapping.source].capabilities(mapping.collection)
    except KeyError:
        yield f"`{mapping.type}` is bound to `{mapping.collection}`, which the source `{mapping.source}` does not have"


def _check_fields(catalog: Catalog, mapping: TypeMapping) -> Iterator[str]:
    capabilities = get_capabilities(catalog, mapping)
    yield from _check_key(mapping, capabilities)
    output: Any = catalog.schema.type_map[mapping.type]
    for name, field in output.fields.items():
        if name in mapping.relationships:
            yield from _check_relationship(catalog, mapping, capabilities, name)
        elif name in mapping.computed_fields:
            yield from _check_computed_field_access(catalog, mapping, name)
        elif name in mapping.lookups or field.args:
            yield from _check_lookup(catalog, mapping, name, field)
        elif name in mapping.mask:
            yield from _check_column_exists(mapping, capabilities, name)
        elif is_leaf_type(get_named_type(field.type)):
            yield from _check_column(mapping, capabilities, name, field.type)
        else:
            yield f"`{mapping.type}.{name}` leads to other rows, give its binding a link of that name"


def _check_root_fields(catalog: Catalog) -> Iterator[str]:
    schema = catalog.schema
    for root in filter(None, (schema.query_type, schema.mutation_type, schema.subscription_type)):
        for name, field in root.fields.items():
            if name not in selection.FEDERATION_FIELDS:
                yield from _check_target_mapped(catalog, f"`{root.name}.{name}`", get_row_type(field.type).name)
                if root is schema.query_type and get_row_type(field.type) is get_named_type(field.type):
                    yield from _check_root_arguments(catalog, name, field)


def _check_root_arguments(catalog: Catalog, name: str, field: Any) -> Iterator[str]:
    """Check that each argument of a field that shows one row, but the id, is a column of the row."""
    mapping = catalog.mappings.get(get_named_type(field.type).name)
    if mapping is None:
        return
    capabilities = get_capabilities(catalog, mapping)
    for argument, declared in field.args.items():
        if argument == ID_FIELD:
            continue
        what, column = f"`Query.{name}({argument}:)`", map_field_to_columns(mapping, argument)[0]
        if column in capabilities.columns:
            yield from _check_column_type(what, declared.type, column, capabilities)
        else:
            yield f"{what} is compared with the column `{column}`, which `{mapping.collection}` does not have"


def _check_actions(catalog: Catalog) -> Iterator[str]:
    """Check that fields of `Mutation`, by which principals are authorized, and actions belong together."""
    declared = catalog.schema.mutation_type.fields.keys() if catalog.schema.mutation_type else set[str]()
    for name in sorted(declared - catalog.actions.keys()):
        yield f"`Mutation.{name}` does nothing, give it an action in resolvers/"
    for name in sorted(catalog.actions.keys() - declared):
        yield f"there is an action `{name}`, but no such field of `Mutation` in schema/"


def _check_subscriptions(catalog: Catalog) -> Iterator[str]:
    """Check that fields of `Subscription` and sources of events belong together."""
    declared = catalog.schema.subscription_type.fields.keys() if catalog.schema.subscription_type else set[str]()
    for name in sorted(declared - catalog.subscriptions.keys()):
        yield f"`Subscription.{name}` listens for nothing, give it a feed in resolvers/"
    for name in sorted(catalog.subscriptions.keys() - declared):
        yield f"there is a feed `{name}`, but no such field of `Subscription` in schema/"


def _check_target_mapped(catalog: Catalog, what: str, to: str) -> Iterator[str]:
    """Check that a type, or every concrete type of an interface, has a mapping."""
    named = catalog.schema.type_map[to]
    for type in list_concrete_types(catalog.schema, named) or (to,):
        if type not in catalog.mappings:
            yield f"{what} leads to `{type}`, which has no binding: give it one in resolvers/"
    if isinstance(named, GraphQLInterfaceType):
        yield from _check_interface_members(catalog, to)


def _check_interface_members(catalog: Catalog, to: str) -> Iterator[str]:
    """Check that rows of an interface can be merged by the columns of its fields.

    Their keys must begin with a constant that tells the types apart.
    """
    known_types: dict[str, tuple[ColumnType, ...]] = {}
    constants: set[str | None] = set()
    for member in list_member_mappings(catalog, to):
        constant = member.constants.get(member.key[0])
        if constant is None or constant in constants:
            yield f"the key of `{member.type}` begins with `{member.key[0]}`, which tells it from no other `{to}`"
        constants.add(constant)
        column_types = _map_field_column_types(catalog, to, member)
        for name, types in column_types.items():
            known = known_types.setdefault(name, types)
            if known != types:
                yield f"`{member.type}.{name}` holds {', '.join(types)}, but other `{to}` rows {', '.join(known)}"
        columns = [column for name in column_types for column in map_field_to_columns(member, name) if name != ID_FIELD]
        for column in (column for column in columns if columns.count(column) > 1 or column in member.key[1:]):
            yield f"two fields that `{member.type}` has as a `{to}` are the column `{column}`, give each its own"


def _map_field_column_types(catalog: Catalog, to: str, mapping: TypeMapping) -> Mapping[str, tuple[ColumnType, ...]]:
    """Return what the columns of an interface's fields hold, except relationships and computed fields."""
    output: Any = catalog.schema.type_map[to]
    columns = get_capabilities(catalog, mapping).columns
    names = (
        name
        for name in output.fields
        if name not in {*mapping.relationships, *mapping.computed_fields, *mapping.lookups}
    )
    return {name: tuple(columns[column].type for column in map_field_to_columns(mapping, name)) for name in names}


def _check_key(mapping: TypeMapping, capabilities: Capabilities) -> Iterator[str]:
    for column in mapping.key:
        if column not in capabilities.columns:
            yield f"the key of `{mapping.type}` names the column `{column}`, which `{mapping.collection}` does not have"


def _check_column(mapping: TypeMapping, capabilities: Capabilities, field: str, return_type: Any) -> Iterator[str]:
    yield from _check_column_exists(mapping, capabilities, field)
    for column in map_field_to_columns(mapping, field):
        yield from _check_column_type(f"`{mapping.type}.{field}`", return_type, column, capabilities)


def _check_column_exists(mapping: TypeMapping, capabilities: Capabilities, field: str) -> Iterator[str]:
    for column in map_field_to_columns(mapping, field):
        if column not in capabilities.columns:
            near = get_close_matches(column, capabilities.columns, 1)
            hint = f", did you mean `{near[0]}`" if near else ", say where it is in the binding's `columns`"
            yield f"`{mapping.type}.{field}` has no column `{column}` in `{mapping.collection}`{hint}"


def _check_column_type(what: str, graphql_type: Any, column: str, capabilities: Capabilities) -> Iterator[str]:
    """Check that a column holds what is shown of it, or compared with it; an id may be anything."""
    named, column_type = get_named_type(graphql_type), capabilities.columns[column].type
    holds_list = is_list(graphql_type) and not is_input_object_type(named)
    column_types = LIST_COLUMN_TYPES if holds_list else SCALAR_COLUMN_TYPES.get(named.name, TEXT_COLUMN_TYPES)
    if named.name != "ID" and column_type not in column_types:
        expected = f"list of `{named.name}`" if is_list(graphql_type) else f"`{named.name}`"
        yield f"{what} is a {expected}, but its column `{column}` holds {column_type}"


def _check_relationship(catalog: Catalog, mapping: TypeMapping, capabilities: Capabilities, name: str) -> Iterator[str]:
    relationship = mapping.relationships[name]
    output: Any = catalog.schema.type_map[mapping.type]
    target_type = get_row_type(output.fields[name].type).name
    if relationship.to != target_type:
        message = f"leads to `{relationship.to}`, but its field to `{target_type}`: name that"
        yield f"the link `{mapping.type}.{name}` {message}"
    yield from _check_target_mapped(catalog, f"the link `{mapping.type}.{name}`", relationship.to)
    for target in list_member_mappings(catalog, relationship.to):
        yield from _check_relationship_columns(catalog, mapping, capabilities, name, target)


def _check_relationship_columns(
    catalog: Catalog, mapping: TypeMapping, capabilities: Capabilities, name: str, target: TypeMapping
) -> Iterator[str]:
    link = f"the link `{mapping.type}.{name}`"
    local, remote = get_relationship_columns(mapping.relationships[name])
    target_capabilities = get_capabilities(catalog, target)
    if len(local) != len(remote):
        yield f"{link} compares {len(local)} columns with {len(remote)}, give as many there"
    for columns, owner, known in ((local, mapping, capabilities), (remote, target, target_capabilities)):
        for column in columns:
            if column in owner.constants:
                yield f"{link} names `{column}`, which is the same in all rows: leave it out"
            if column not in known.columns:
                yield f"{link} names `{column}`, which `{owner.collection}` does not have"
    yield from _check_compared_columns(
        link, local, remote, local_capabilities=capabilities, remote_capabilities=target_capabilities
    )


def _check_lookup(catalog: Catalog, mapping: TypeMapping, name: str, field: Any) -> Iterator[str]:
    """Check that what a lookup names exists and has its type."""
    coordinate, lookup = f"{mapping.type}.{name}", mapping.lookups.get(name)
    if lookup is None:
        yield f"`{coordinate}` takes arguments, give its binding a lookup of that name"
        return
    if lookup.source not in catalog.connectors:
        yield f"the lookup `{coordinate}` reads the source `{lookup.source}`: add `[sources.{lookup.source}]`"
    try:
        remote_capabilities = catalog.connectors[lookup.source].capabilities(lookup.collection)
    except KeyError:
        missing = f"`{lookup.collection}`, which the source `{lookup.source}` does not have"
        yield f"the lookup `{coordinate}` reads {missing}"
        return
    yield from _check_lookup_columns(
        mapping, lookup, coordinate, capabilities=get_capabilities(catalog, mapping), remote=remote_capabilities
    )
    yield from _check_column_type(f"`{coordinate}`", field.type, lookup.column, remote_capabilities)
    yield from _check_lookup_arguments(coordinate, lookup, remote_capabilities, field.args)
    yield from _check_lookup_access(catalog, coordinate, lookup, catalog.policy.requirements[mapping.type, name])


def _check_lookup_columns(
    mapping: TypeMapping, lookup: Lookup, coordinate: str, *, capabilities: Capabilities, remote: Capabilities
) -> Iterator[str]:
    local_columns, remote_columns = get_relationship_columns(lookup)
    if len(local_columns) != len(remote_columns):
        counts = f"{len(local_columns)} columns with {len(remote_columns)}"
        yield f"the lookup `{coordinate}` compares {counts}, give as many there"
    for column in local_columns:
        if column not in capabilities.columns:
            yield f"the lookup `{coordinate}` names `{column}`, which `{mapping.collection}` does not have"
    for column in (*remote_columns, lookup.column, *lookup.arguments.values()):
        if column not in remote.columns:
            yield f"the lookup `{coordinate}` names `{column}`, which `{lookup.collection}` does not have"
    yield from _check_compared_columns(
        f"the lookup `{coordinate}`",
        local_columns,
        remote_columns,
        local_capabilities=capabilities,
        remote_capabilities=remote,
    )


def _check_compared_columns(
    what: str,
    local_columns: Sequence[str],
    remote_columns: Sequence[str],
    *,
    local_capabilities: Capabilities,
    remote_capabilities: Capabilities,
) -> Iterator[str]:
    """Check that columns compared with each other hold the same."""
    for local, remote in zip(local_columns, remote_columns, strict=True):
        if local_capabilities.columns[local].type is not remote_capabilities.columns[remote].type:
            yield f"{what} compares `{local}` with `{remote}`, which hold different kinds"


def _check_lookup_arguments(
    coordinate: str, lookup: Lookup, remote: Capabilities, arguments: Mapping[str, Any]
) -> Iterator[str]:
    for argument in sorted(arguments.keys() ^ lookup.arguments.keys()):
        side = "its field does not take" if argument in lookup.arguments else "no column is compared with"
        yield f"the lookup `{coordinate}` has the argument `{argument}`, which {side}"
    for argument, column in lookup.arguments.items():
        yield from _check_column_type(f"`{coordinate}({argument}:)`", arguments[argument].type, column, remote)


def _check_lookup_access(
    catalog: Catalog, coordinate: str, lookup: Lookup, requirements: Sequence[GroupRequirement]
) -> Iterator[str]:
    """Check that a column that other fields show too is no more open through a lookup than through them."""
    for other in catalog.mappings.values():
        if (other.source, other.collection) != (lookup.source, lookup.collection):
            continue
        output: Any = catalog.schema.type_map[other.type]
        for field in output.fields:
            if lookup.column in map_field_to_columns(other, field):
                for unmet in _find_wider_requirements(catalog, other.type, field, requirements):
                    shown = f"{other.type}.{field}"
                    yield f"`{coordinate}` shows `{shown}` but is open to more groups, narrow it to {sorted(unmet)}"


def _check_computed_field_access(catalog: Catalog, mapping: TypeMapping, name: str) -> Iterator[str]:
    """Check that a computed field requires all that the fields it is computed from require."""
    coordinate = f"{mapping.type}.{name}"
    requirements = catalog.policy.requirements[mapping.type, name]
    for need in mapping.computed_fields[name].needs:
        if (mapping.type, need) not in catalog.policy.requirements:
            yield f"`{coordinate}` is made of `{need}`, which `{mapping.type}` does not have"
        for unmet in _find_wider_requirements(catalog, mapping.type, need, requirements):
            yield f"`{coordinate}` is made of `{need}` but open to more groups, narrow it to {sorted(unmet)}"


def _find_wider_requirements(
    catalog: Catalog, type_name: str, field: str, requirements: Sequence[GroupRequirement]
) -> Iterator[GroupRequirement]:
    """Yield the requirements of a field that these do not imply."""
    for requirement in get_value_requirements(catalog.policy, (type_name, field)):
        if not any(own <= requirement for own in requirements):
            yield requirement
