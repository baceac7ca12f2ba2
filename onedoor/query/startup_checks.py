"""Schema, bindings and sources in, the first thing that does not fit out: found at the start, not by a request."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any

from graphql import GraphQLInterfaceType, get_named_type, is_input_object_type, is_leaf_type

from auth.policy import GroupRequirement
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
"""What the column of a scalar may hold; an id's may hold anything."""

TEXT_COLUMN_TYPES = frozenset({ColumnType.TEXT})
"""And that of text, or of an enum."""

LIST_COLUMN_TYPES = frozenset({ColumnType.LIST})


def validate_catalog(catalog: Catalog) -> None:
    """Raises Mistake, naming the field and what would do."""
    for rule in (_check_collection, _check_fields):
        for binding in catalog.mappings.values():
            for complaint in rule(catalog, binding):
                raise ConfigurationError(complaint)
    for complaint in chain(_check_root_fields(catalog), _check_subscriptions(catalog)):
        raise ConfigurationError(complaint)


def validate_mutations(catalog: Catalog) -> None:
    """Raises Mistake where a mutation does nothing, or something is done that no mutation asks for."""
    for complaint in _check_actions(catalog):
        raise ConfigurationError(complaint)


def _check_collection(catalog: Catalog, mapping: TypeMapping) -> Iterator[str]:
    if mapping.type not in catalog.schema.type_map:
        yield f"there is a binding of `{mapping.type}`, but no such type in schema/"
    if mapping.source not in catalog.connectors:
        name = mapping.source
        yield f"`{mapping.type}` is bound to the source `{name}`, which no setting names: add `[sources.{name}]`"
    try:
        catalog.connectors[mapping.source].capabilities(mapping.collection)
    except KeyError:
        yield f"`{mapping.type}` is bound to `{mapping.collection}`, which the source `{mapping.source}` does not have"


def _check_fields(catalog: Catalog, mapping: TypeMapping) -> Iterator[str]:
    can = get_capabilities(catalog, mapping)
    yield from _check_key(mapping, can)
    output: Any = catalog.schema.type_map[mapping.type]
    for name, field in output.fields.items():
        if name in mapping.relationships:
            yield from _check_relationship(catalog, mapping, can, name)
        elif name in mapping.computed_fields:
            yield from _check_computed_field_access(catalog, mapping, name)
        elif name in mapping.lookups or field.args:
            yield from _check_lookup(catalog, mapping, name, field)
        elif is_leaf_type(get_named_type(field.type)):
            yield from _check_column(mapping, can, name, field.type)
        else:
            yield f"`{mapping.type}.{name}` leads to other rows, give its binding a link of that name"


def _check_root_fields(catalog: Catalog) -> Iterator[str]:
    schema = catalog.schema
    for root in (each for each in (schema.query_type, schema.mutation_type, schema.subscription_type) if each):
        for name, field in root.fields.items():
            if name not in selection.FEDERATION_FIELDS:
                yield from _check_target_mapped(catalog, f"`{root.name}.{name}`", get_row_type(field.type).name)


def _check_actions(catalog: Catalog) -> Iterator[str]:
    """A mutation does something, and what is done has a mutation that its caller is judged by."""
    declared = catalog.schema.mutation_type.fields.keys() if catalog.schema.mutation_type else set[str]()
    for name in sorted(declared - catalog.actions.keys()):
        yield f"`Mutation.{name}` does nothing, give it an action in resolvers/"
    for name in sorted(catalog.actions.keys() - declared):
        yield f"there is an action `{name}`, but no such field of `Mutation` in schema/"


def _check_subscriptions(catalog: Catalog) -> Iterator[str]:
    """What can be listened to is listened for, and what is listened for can be asked."""
    declared = catalog.schema.subscription_type.fields.keys() if catalog.schema.subscription_type else set[str]()
    for name in sorted(declared - catalog.subscriptions.keys()):
        yield f"`Subscription.{name}` listens for nothing, give it a feed in resolvers/"
    for name in sorted(catalog.subscriptions.keys() - declared):
        yield f"there is a feed `{name}`, but no such field of `Subscription` in schema/"


def _check_target_mapped(catalog: Catalog, what: str, to: str) -> Iterator[str]:
    """Of an interface, every concrete type must have a binding."""
    named = catalog.schema.type_map[to]
    for each in list_concrete_types(catalog.schema, named) or (to,):
        if each not in catalog.mappings:
            yield f"{what} leads to `{each}`, which has no binding: give it one in resolvers/"
    if isinstance(named, GraphQLInterfaceType):
        yield from _check_interface_members(catalog, to)


def _check_interface_members(catalog: Catalog, to: str) -> Iterator[str]:
    """Rows of an interface are merged by columns: those of its fields, and a key that begins with what tells them
    apart."""
    known: dict[str, tuple[ColumnType, ...]] = {}
    told: set[str | None] = set()
    for each in list_member_mappings(catalog, to):
        told_by = each.constants.get(each.key[0])
        if told_by is None or told_by in told:
            yield f"the key of `{each.type}` begins with `{each.key[0]}`, which tells it from no other `{to}`"
        told.add(told_by)
        for name, kinds in _map_field_column_types(catalog, to, each).items():
            if known.setdefault(name, kinds) != kinds:
                yield f"`{each.type}.{name}` holds {', '.join(kinds)}, but other `{to}` rows {', '.join(known[name])}"
        columns = [
            column
            for name in _map_field_column_types(catalog, to, each)
            for column in map_field_to_columns(each, name)
            if name != ID_FIELD
        ]
        for column in (column for column in columns if columns.count(column) > 1 or column in each.key[1:]):
            yield f"two fields that `{each.type}` has as a `{to}` are the column `{column}`, give each its own"


def _map_field_column_types(catalog: Catalog, to: str, mapping: TypeMapping) -> Mapping[str, tuple[ColumnType, ...]]:
    """What the columns of the interface's fields hold, links and computed ones aside."""
    output: Any = catalog.schema.type_map[to]
    columns = get_capabilities(catalog, mapping).columns
    names = (
        name
        for name in output.fields
        if name not in {*mapping.relationships, *mapping.computed_fields, *mapping.lookups}
    )
    return {name: tuple(columns[each].type for each in map_field_to_columns(mapping, name)) for name in names}


def _check_key(mapping: TypeMapping, capabilities: Capabilities) -> Iterator[str]:
    for each in mapping.key:
        if each not in capabilities.columns:
            yield f"the key of `{mapping.type}` names the column `{each}`, which `{mapping.collection}` does not have"


def _check_column(mapping: TypeMapping, capabilities: Capabilities, field: str, return_type: Any) -> Iterator[str]:
    for column in map_field_to_columns(mapping, field):
        if column not in capabilities.columns:
            near = get_close_matches(column, capabilities.columns, 1)
            hint = f", did you mean `{near[0]}`" if near else ", say where it is in the binding's `columns`"
            yield f"`{mapping.type}.{field}` has no column `{column}` in `{mapping.collection}`{hint}"
        else:
            yield from _check_column_type(f"`{mapping.type}.{field}`", return_type, column, capabilities)


def _check_column_type(what: str, of: Any, column: str, capabilities: Capabilities) -> Iterator[str]:
    """What is shown of a column, or compared with it, must be what the column holds; an id may be anything."""
    scalar, held = get_named_type(of).name, capabilities.columns[column].type
    many = is_list(of) and not is_input_object_type(get_named_type(of))
    if scalar != "ID" and held not in (
        LIST_COLUMN_TYPES if many else SCALAR_COLUMN_TYPES.get(scalar, TEXT_COLUMN_TYPES)
    ):
        wanted = f"list of `{scalar}`" if is_list(of) else f"`{scalar}`"
        yield f"{what} is a {wanted}, but its column `{column}` holds {held}"


def _check_relationship(catalog: Catalog, mapping: TypeMapping, capabilities: Capabilities, name: str) -> Iterator[str]:
    link = mapping.relationships[name]
    output: Any = catalog.schema.type_map[mapping.type]
    shown = get_row_type(output.fields[name].type).name
    if link.to != shown:
        yield f"the link `{mapping.type}.{name}` leads to `{link.to}`, but its field to `{shown}`: name that"
    yield from _check_target_mapped(catalog, f"the link `{mapping.type}.{name}`", link.to)
    for target in list_member_mappings(catalog, link.to):
        yield from _check_relationship_columns(catalog, mapping, capabilities, name, target)


def _check_relationship_columns(
    catalog: Catalog, mapping: TypeMapping, capabilities: Capabilities, name: str, target: TypeMapping
) -> Iterator[str]:
    here, there = get_relationship_columns(mapping.relationships[name])
    far = get_capabilities(catalog, target)
    if len(here) != len(there):
        yield f"the link `{mapping.type}.{name}` compares {len(here)} columns with {len(there)}, give as many there"
    for columns, of, known in ((here, mapping, capabilities), (there, target, far)):
        for each in columns:
            if each in of.constants:
                yield f"the link `{mapping.type}.{name}` names `{each}`, which is the same in all rows: leave it out"
            if each not in known.columns:
                yield f"the link `{mapping.type}.{name}` names `{each}`, which `{of.collection}` does not have"
    for one, other in zip(here, there, strict=True):
        if capabilities.columns[one].type is not far.columns[other].type:
            yield f"the link `{mapping.type}.{name}` compares `{one}` with `{other}`, which hold different kinds"


def _check_lookup(catalog: Catalog, mapping: TypeMapping, name: str, field: Any) -> Iterator[str]:
    """What a field that is looked up names must be there, and be of its kind."""
    named, lookup = f"{mapping.type}.{name}", mapping.lookups.get(name)
    if lookup is None:
        yield f"`{named}` takes arguments, give its binding a lookup of that name"
        return
    if lookup.source not in catalog.connectors:
        yield f"the lookup `{named}` reads the source `{lookup.source}`: add `[sources.{lookup.source}]`"
    try:
        far = catalog.connectors[lookup.source].capabilities(lookup.collection)
    except KeyError:
        yield f"the lookup `{named}` reads `{lookup.collection}`, which the source `{lookup.source}` does not have"
        return
    yield from _check_lookup_columns(mapping, get_capabilities(catalog, mapping), named, (lookup, far))
    yield from _check_column_type(f"`{named}`", field.type, lookup.column, far)
    yield from _check_lookup_arguments(named, lookup, far, field.args)
    yield from _check_lookup_access(catalog, named, lookup, catalog.policy.requirements[mapping.type, name])


def _check_lookup_columns(
    mapping: TypeMapping, capabilities: Capabilities, named: str, beside: tuple[Lookup, Capabilities]
) -> Iterator[str]:
    lookup, far = beside
    here, there = get_relationship_columns(lookup)
    if len(here) != len(there):
        yield f"the lookup `{named}` compares {len(here)} columns with {len(there)}, give as many there"
    own, theirs = (mapping.collection, capabilities), (lookup.collection, far)
    for column, (collection, known) in (
        *((each, own) for each in here),
        *((each, theirs) for each in (*there, lookup.column, *lookup.arguments.values())),
    ):
        if column not in known.columns:
            yield f"the lookup `{named}` names `{column}`, which `{collection}` does not have"
    for one, other in zip(here, there, strict=True):
        if capabilities.columns[one].type is not far.columns[other].type:
            yield f"the lookup `{named}` compares `{one}` with `{other}`, which hold different kinds"


def _check_lookup_arguments(
    named: str, lookup: Lookup, far: Capabilities, arguments: Mapping[str, Any]
) -> Iterator[str]:
    for argument in sorted(arguments.keys() ^ lookup.arguments.keys()):
        side = "its field does not take" if argument in lookup.arguments else "no column is compared with"
        yield f"the lookup `{named}` has the argument `{argument}`, which {side}"
    for argument, column in lookup.arguments.items():
        yield from _check_column_type(f"`{named}({argument}:)`", arguments[argument].type, column, far)


def _check_lookup_access(
    catalog: Catalog, named: str, lookup: Lookup, own: Sequence[GroupRequirement]
) -> Iterator[str]:
    """A column that is shown elsewhere, too, is no more open here than there: a lookup is no way around a rule."""
    for other in catalog.mappings.values():
        if (other.source, other.collection) != (lookup.source, lookup.collection):
            continue
        output: Any = catalog.schema.type_map[other.type]
        for field in output.fields:
            if lookup.column in map_field_to_columns(other, field):
                for each in catalog.policy.requirements[other.type, field]:
                    if not any(mine <= each for mine in own):
                        shown = f"{other.type}.{field}"
                        yield f"`{named}` shows `{shown}` but is open to more groups, narrow it to {sorted(each)}"


def _check_computed_field_access(catalog: Catalog, mapping: TypeMapping, name: str) -> Iterator[str]:
    """A computed field shows what it is made of, so it must ask for all that those fields ask for."""
    own = catalog.policy.requirements[mapping.type, name]
    for need in mapping.computed_fields[name].needs:
        if (mapping.type, need) not in catalog.policy.requirements:
            yield f"`{mapping.type}.{name}` is made of `{need}`, which `{mapping.type}` does not have"
        for each in catalog.policy.requirements[mapping.type, need]:
            if not any(mine <= each for mine in own):
                field = f"{mapping.type}.{name}"
                yield f"`{field}` is made of `{need}` but open to more groups, narrow it to {sorted(each)}"
