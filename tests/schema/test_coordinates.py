"""Every coordinate of the schema has a description, an owner and groups, and no path to it is wider."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema

from auth.policy import AccessPolicy, SchemaCoordinate
from onedoor.schema.reader import parse_derived_name, read_shapes
from tests.acme import GROUP_NAMES, load_mappings, load_schema_and_policy, load_schema_modules

HOLDERS = (GraphQLObjectType, GraphQLInterfaceType, GraphQLInputObjectType)
LOGIC = frozenset({"and", "or", "not"})
ROOTS = {"Query", "Mutation", "Subscription"}
KNOWN = {*load_mappings(), "File"}
"""The types that others are made for: those with rows, and the interface that is listed."""


@cache
def build_acme_schema() -> tuple[GraphQLSchema, AccessPolicy]:
    return load_schema_and_policy()


def types() -> list[Any]:
    schema, _ = build_acme_schema()
    return [item for name, item in schema.type_map.items() if isinstance(item, HOLDERS) and not name.startswith("__")]


def positions() -> Iterator[tuple[SchemaCoordinate, Any]]:
    """Every field of every type, inputs included."""
    for of in types():
        yield from (((of.name, name), field) for name, field in of.fields.items())


def structural(name: str) -> bool:
    """Of no subject, so nobody's in particular."""
    return name == "PageInfo" or name.endswith("Filter")


def test_every_position_has_a_description() -> None:
    assert [coordinate for coordinate, field in positions() if not field.description] == []


def test_every_type_enum_and_scalar_has_a_description() -> None:
    schema, _ = build_acme_schema()
    ours = {name: item for name, item in schema.type_map.items() if not name.startswith("__")}
    standard = {"ID", "String", "Int", "Float", "Boolean"}
    assert [name for name, item in ours.items() if not item.description and name not in standard] == []


def test_every_argument_has_a_description() -> None:
    arguments = (
        ((*coordinate, name), item)
        for coordinate, field in positions()
        for name, item in getattr(field, "args", {}).items()
    )
    assert [coordinate for coordinate, item in arguments if not item.description] == []


def test_every_position_has_an_audience_of_registered_groups() -> None:
    _, rules = build_acme_schema()
    shut = [
        coordinate
        for coordinate, _ in positions()
        if not rules.requirements.get(coordinate) or not all(rules.requirements[coordinate])
    ]
    unknown = [name for name, demand in rules.requirements.items() if not frozenset().union(*demand) <= GROUP_NAMES]
    assert (shut, unknown) == ([], [])


def test_every_position_of_a_subject_has_an_owner() -> None:
    _, rules = build_acme_schema()
    assert [
        coordinate for coordinate, _ in positions() if coordinate not in rules.owners and not structural(coordinate[0])
    ] == []


def test_every_argument_asks_for_all_that_its_field_does() -> None:
    _, rules = build_acme_schema()
    weaker = [
        (*coordinate, name)
        for coordinate, field in positions()
        for name in getattr(field, "args", {})
        if not narrows(rules, (*coordinate, name), coordinate)  # type: ignore[arg-type]
    ]
    assert weaker == []


def looking() -> list[tuple[SchemaCoordinate, SchemaCoordinate]]:
    """Each position that looks at a field, and that field."""
    derived = ((coordinate, parse_derived_name(coordinate[0], KNOWN)) for coordinate, _ in positions())
    return [
        (coordinate, (of.base, coordinate[1]))
        for coordinate, of in derived
        if of and of.by_field and coordinate[1] not in LOGIC
    ]


def test_no_field_can_be_looked_at_by_those_who_may_not_see_it() -> None:
    _, rules = build_acme_schema()
    assert [coordinate for coordinate, shown in looking() if not narrows(rules, coordinate, shown)] == []
    assert len(looking()) > 1000


def test_what_looks_at_a_field_is_answered_for_by_its_owner() -> None:
    _, rules = build_acme_schema()
    assert [coordinate for coordinate, shown in looking() if rules.owners[coordinate] != rules.owners[shown]] == []


def test_what_is_made_of_rows_asks_for_what_the_rows_do() -> None:
    _, rules = build_acme_schema()
    derived = ((coordinate, parse_derived_name(coordinate[0], KNOWN)) for coordinate, _ in positions())
    rows = [(coordinate, (f"{of.base}Connection", "nodes")) for coordinate, of in derived if of and not of.by_field]
    assert ([coordinate for coordinate, shown in rows if not narrows(rules, coordinate, shown)], len(rows) > 300) == (
        [],
        True,
    )


def test_every_input_tests_a_value_or_is_generated_for_a_known_type() -> None:
    named = {type_.name for type_ in types() if isinstance(type_, GraphQLInputObjectType)}
    names = {input_.name for input_ in read_shapes(load_schema_modules()).inputs}
    assert {
        name for name in named - names if not name.endswith("Filter") and parse_derived_name(name, KNOWN) is None
    } == set()


def narrows(rules: AccessPolicy, coordinate: SchemaCoordinate, shown: SchemaCoordinate) -> bool:
    """Whether whoever may use the one may see the other."""
    own = rules.requirements.get(coordinate, ())
    return bool(own) and all(any(mine <= requirement for mine in own) for requirement in rules.requirements[shown])


def test_a_page_and_an_edge_ask_for_what_their_rows_do() -> None:
    _, rules = build_acme_schema()
    schema, _ = build_acme_schema()
    pages = [name for name in schema.type_map if name.endswith("Connection")]
    weaker = [
        (name, field)
        for page in pages
        for name in (page, page.replace("Connection", "Edge"))
        for field in schema.type_map[name].fields  # type: ignore[attr-defined]
        if not narrows(rules, (name, field), (page, "nodes"))
    ]
    assert (weaker, len(pages) > 5) == ([], True)


def test_no_two_types_are_bound_to_the_same_rows() -> None:
    bound = [(mapping.source, mapping.collection) for mapping in load_mappings().values()]
    assert len(set(bound)) == len(bound)


def test_every_type_with_rows_has_a_binding_and_every_binding_a_type() -> None:
    outputs = {type_.name for type_ in types() if isinstance(type_, GraphQLObjectType)}
    subjects = {
        output
        for output in outputs
        if (output in KNOWN or parse_derived_name(output, KNOWN) is None) and not structural(output)
    }
    assert (set(load_mappings()), {name for name, mapping in load_mappings().items() if mapping.type != name}) == (
        subjects - ROOTS,
        set(),
    )
