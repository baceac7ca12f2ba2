"""Every position of the schema says what it is, who answers for it and who may see it, and no way in is wider."""

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
def built() -> tuple[GraphQLSchema, AccessPolicy]:
    return load_schema_and_policy()


def types() -> list[Any]:
    schema, _ = built()
    return [each for name, each in schema.type_map.items() if isinstance(each, HOLDERS) and not name.startswith("__")]


def positions() -> Iterator[tuple[SchemaCoordinate, Any]]:
    """Every field of every type, inputs included."""
    for of in types():
        yield from (((of.name, name), field) for name, field in of.fields.items())


def structural(name: str) -> bool:
    """Of no subject, so nobody's in particular."""
    return name == "PageInfo" or name.endswith("Filter")


def test_every_position_has_a_description() -> None:
    assert [at for at, field in positions() if not field.description] == []


def test_every_type_enum_and_scalar_has_a_description() -> None:
    schema, _ = built()
    ours = {name: each for name, each in schema.type_map.items() if not name.startswith("__")}
    standard = {"ID", "String", "Int", "Float", "Boolean"}
    assert [name for name, each in ours.items() if not each.description and name not in standard] == []


def test_every_argument_has_a_description() -> None:
    arguments = (((*at, name), each) for at, field in positions() for name, each in getattr(field, "args", {}).items())
    assert [at for at, each in arguments if not each.description] == []


def test_every_position_has_an_audience_of_registered_groups() -> None:
    _, rules = built()
    shut = [at for at, _ in positions() if not rules.requirements.get(at) or not all(rules.requirements[at])]
    unknown = [at for at, demand in rules.requirements.items() if not frozenset().union(*demand) <= GROUP_NAMES]
    assert (shut, unknown) == ([], [])


def test_every_position_of_a_subject_has_an_owner() -> None:
    _, rules = built()
    assert [at for at, _ in positions() if at not in rules.owners and not structural(at[0])] == []


def test_every_argument_asks_for_all_that_its_field_does() -> None:
    _, rules = built()
    weaker = [
        (*at, name)
        for at, field in positions()
        for name in getattr(field, "args", {})
        if not narrows(rules, (*at, name), at)  # type: ignore[arg-type]
    ]
    assert weaker == []


def looking() -> list[tuple[SchemaCoordinate, SchemaCoordinate]]:
    """Each position that looks at a field, and that field."""
    made = ((at, parse_derived_name(at[0], KNOWN)) for at, _ in positions())
    return [(at, (of.base, at[1])) for at, of in made if of and of.by_field and at[1] not in LOGIC]


def test_no_field_can_be_looked_at_by_those_who_may_not_see_it() -> None:
    _, rules = built()
    assert [at for at, shown in looking() if not narrows(rules, at, shown)] == []
    assert len(looking()) > 1000


def test_what_looks_at_a_field_is_answered_for_by_its_owner() -> None:
    _, rules = built()
    assert [at for at, shown in looking() if rules.owners[at] != rules.owners[shown]] == []


def test_what_is_made_of_rows_asks_for_what_the_rows_do() -> None:
    _, rules = built()
    made = ((at, parse_derived_name(at[0], KNOWN)) for at, _ in positions())
    rows = [(at, (f"{of.base}Connection", "nodes")) for at, of in made if of and not of.by_field]
    assert ([at for at, shown in rows if not narrows(rules, at, shown)], len(rows) > 300) == ([], True)


def test_every_input_tests_a_value_or_is_made_for_a_known_type() -> None:
    named = {each.name for each in types() if isinstance(each, GraphQLInputObjectType)}
    written = {each.name for each in read_shapes(load_schema_modules()).inputs}
    assert {
        each for each in named - written if not each.endswith("Filter") and parse_derived_name(each, KNOWN) is None
    } == set()


def narrows(rules: AccessPolicy, at: SchemaCoordinate, shown: SchemaCoordinate) -> bool:
    """Whether whoever may use the one may see the other."""
    own = rules.requirements.get(at, ())
    return bool(own) and all(any(mine <= each for mine in own) for each in rules.requirements[shown])


def test_a_page_and_an_edge_ask_for_what_their_rows_do() -> None:
    _, rules = built()
    schema, _ = built()
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
    bound = [(each.source, each.collection) for each in load_mappings().values()]
    assert len(set(bound)) == len(bound)


def test_every_type_with_rows_has_a_binding_and_every_binding_a_type() -> None:
    outputs = {each.name for each in types() if isinstance(each, GraphQLObjectType)}
    subjects = {
        each for each in outputs if (each in KNOWN or parse_derived_name(each, KNOWN) is None) and not structural(each)
    }
    assert (set(load_mappings()), {name for name, each in load_mappings().items() if each.type != name}) == (
        subjects - ROOTS,
        set(),
    )
