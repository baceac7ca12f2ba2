"""Every position of the schema says what it is, who answers for it and who may see it, and no way in is wider."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema

from auth.groups import NAMES
from auth.rules import Position, Rules
from resolvers import bindings, modules
from schema.build import build

HOLDERS = (GraphQLObjectType, GraphQLInterfaceType, GraphQLInputObjectType)
LOGIC = frozenset({"and", "or", "not"})
ROOT = "Query"


@cache
def built() -> tuple[GraphQLSchema, Rules]:
    return build(modules())


def types() -> list[Any]:
    schema, _ = built()
    return [each for name, each in schema.type_map.items() if isinstance(each, HOLDERS) and not name.startswith("__")]


def positions() -> Iterator[tuple[Position, Any]]:
    """Every field of every type, inputs included."""
    for of in types():
        yield from (((of.name, name), field) for name, field in of.fields.items())


def structural(name: str) -> bool:
    """Of no subject, so nobody's in particular."""
    return name == "PageInfo" or name.endswith(("Filter", "ListWhere"))


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
    unknown = [at for at, demand in rules.requirements.items() if not frozenset().union(*demand) <= NAMES]
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


def inputs(use: str) -> list[tuple[Position, Position | None]]:
    """Each field of a filter or an order, and the field it looks at."""
    schema, _ = built()
    found: list[tuple[Position, Position | None]] = []
    for name in bindings():
        of = schema.type_map.get(f"{name}{use}")
        output: Any = schema.type_map[name]
        for field in of.fields if isinstance(of, GraphQLInputObjectType) else ():
            if field not in LOGIC:
                found.append(((of.name, field), (name, field) if field in output.fields else None))
    return found


@pytest.mark.parametrize("use", ["Where", "Order"])
def test_no_field_can_be_looked_at_by_those_who_may_not_see_it(use: str) -> None:
    _, rules = built()
    assert [at for at, shown in inputs(use) if shown is None or not narrows(rules, at, shown)] == []
    assert len(inputs(use)) > 50


def test_every_input_is_a_filter_or_an_order_of_a_known_type() -> None:
    known = {f"{name}{use}" for name in bindings() for use in ("Where", "ListWhere", "Order")}
    named = {each.name for each in types() if isinstance(each, GraphQLInputObjectType)}
    assert {each for each in named - known if not each.endswith("Filter")} == set()


def narrows(rules: Rules, at: Position, shown: Position) -> bool:
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
    bound = [(each.source, each.collection) for each in bindings().values()]
    assert len(set(bound)) == len(bound)


def test_every_type_with_rows_has_a_binding_and_every_binding_a_type() -> None:
    outputs = {each.name for each in types() if isinstance(each, GraphQLObjectType)}
    subjects = {each for each in outputs if not each.endswith(("Connection", "Edge")) and not structural(each)}
    assert (set(bindings()), {name for name, each in bindings().items() if each.type != name}) == (
        subjects - {ROOT},
        set(),
    )
