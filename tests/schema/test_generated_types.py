"""Types generated for a written one have the right members, and no two types have one name."""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_enum_type,
    is_non_null_type,
    is_scalar_type,
    validate_schema,
)

from onedoor.schema.builder import build_from_document
from onedoor.schema.generate import aggregates
from onedoor.schema.reader import (
    AGGREGATE_SUFFIXES,
    FIELD_SUFFIXES,
    ROW_SUFFIXES,
    FieldKind,
    FieldShape,
    SchemaError,
    parse_derived_name,
)
from tests.acme import load_mappings, load_schema_and_policy
from tests.schema.shapes import column, documented, link

EXACT = {name: name for name in ("Int", "BigInt", "Float", "Decimal", "Date", "DateTime", "String")}
BECOMES: Mapping[str, Mapping[str, str]] = {
    "CountDistinct": dict.fromkeys((*EXACT, "ID", "Boolean", "Enum"), "Int"),
    "Sum": {"Int": "BigInt", "BigInt": "Decimal", "Float": "Float", "Decimal": "Decimal"},
    "Average": {"Int": "Float", "BigInt": "Float", "Float": "Float", "Decimal": "Decimal"},
    "Minimum": EXACT,
    "Maximum": EXACT,
}
UNITS = {"DateTime": "TimeGroupBy", "Date": "DateGroupBy"}
UNLISTED = {
    "Me",
    "Key",
    "WorkflowLog",
    "DriveSearch",
    "FileUpload",
    "IssuedApiKey",
    "UserImport",
    "AccessReport",
    "Simulation",
    "PolicyDiff",
    "Receipt",
}
LISTED = sorted(mapping for mapping in load_mappings() if mapping not in UNLISTED and not mapping.endswith("Values"))
INTERFACES = {"File"}
"""Those that are listed: their rows are filtered and ordered, not measured or grouped."""
KNOWN = {*load_mappings(), *INTERFACES}
PAGES = {f"{interface}Connection" for interface in INTERFACES}
ONE_OF = tuple(item for item in (*FIELD_SUFFIXES, *ROW_SUFFIXES) if item.endswith(("Order", "GroupBy")))


@cache
def schema() -> GraphQLSchema:
    return load_schema_and_policy()[0]


def fields(name: str) -> dict[str, str]:
    """By field, the name of its type; empty where there is no such type."""
    of: Any = schema().type_map.get(name)
    return {item: str(field.type) for item, field in of.fields.items()} if of else {}


def columns(name: str) -> dict[str, str]:
    """By column, its scalar, or `Enum`; computed fields, lists and JSON are none."""
    of: Any = schema().type_map[name]
    results = {}
    for item, field in of.fields.items():
        to = get_named_type(field.type)
        generated = {*load_mappings()[name].computed_fields, *load_mappings()[name].lookups}
        if item in generated or "[" in str(field.type) or not (is_scalar_type(to) or is_enum_type(to)):
            continue
        if to.name == "JSON":
            continue
        results[item] = "Enum" if is_enum_type(to) else to.name
    return results


def singles(name: str) -> dict[str, str]:
    """By link to one row, the type of that row."""
    links = {item: to for item, to in fields(name).items() if item in load_mappings()[name].relationships}
    return {item: to for item, to in links.items() if not to.endswith("Connection")}


@pytest.mark.parametrize("measure", BECOMES)
@pytest.mark.parametrize("name", LISTED)
def test_a_measure_holds_every_column_it_can_be_taken_of_and_no_other(name: str, measure: str) -> None:
    wanted = {item: BECOMES[measure][of] for item, of in columns(name).items() if of in BECOMES[measure]}
    text = f"{name}{measure}"
    assert (fields(text), fields(f"{text}Having"), fields(f"{text}Order")) == (
        wanted,
        {item: f"{to}Filter" for item, to in wanted.items()},
        dict.fromkeys(wanted, "Direction"),
    )


@pytest.mark.parametrize("name", LISTED)
def test_an_aggregate_has_the_measures_that_the_type_has_columns_for(name: str) -> None:
    names = {aggregate_field.suffix: aggregate_field.name for aggregate_field in aggregates.AGGREGATE_FIELDS}
    measures = {names[become]: f"{name}{become}" for become in BECOMES if fields(f"{name}{become}")}
    logic = {"and": f"[{name}Having!]", "or": f"[{name}Having!]", "not": f"{name}Having"}
    orders = {"count": "Direction", **{item: f"{to}Order" for item, to in measures.items()}}
    assert fields(f"{name}Aggregate") == {"count": "Int", **measures}
    assert fields(f"{name}Having") == {
        "count": "IntFilter",
        **{item: f"{to}Having" for item, to in measures.items()},
        **logic,
    }
    assert fields(f"{name}GroupOrder") == {"key": f"{name}Order", **orders}
    assert fields(f"{name}AggregateOrder") in ({}, orders)


@pytest.mark.parametrize("name", LISTED)
def test_rows_are_grouped_by_every_column_and_through_every_link_to_one(name: str) -> None:
    of: Any = schema().type_map[name]
    links = singles(name)
    assert fields(f"{name}GroupBy") == {
        **{item: UNITS.get(to, "GroupBy") for item, to in columns(name).items()},
        **{item: f"{to}GroupBy" for item, to in links.items()},
    }
    assert fields(f"{name}GroupKey") == {
        **{column: get_named_type(of.fields[column].type).name for column in columns(name)},
        **{item: f"{to}GroupKey" for item, to in links.items()},
    }


@pytest.mark.parametrize("name", LISTED)
def test_rows_are_ordered_by_every_column_and_through_every_link(name: str) -> None:
    lists = {item: to for item, to in fields(name).items() if to.endswith("Connection") and to not in PAGES}
    assert fields(f"{name}Order") == {
        **dict.fromkeys(columns(name), "Direction"),
        **{item: f"{to}Order" for item, to in singles(name).items()},
        **{item: f"{to.removesuffix('Connection')}AggregateOrder" for item, to in lists.items()},
    }


def test_a_type_without_numbers_has_no_sum() -> None:
    assert [name for name in LISTED if f"{name}Sum" not in schema().type_map] == [
        name for name in LISTED if not {"Int", "BigInt", "Float", "Decimal"} & set(columns(name).values())
    ]
    assert "sum" not in fields("MessageAggregate")


def test_one_of_many_is_given_where_the_order_of_what_is_given_decides() -> None:
    inputs = [item for item in schema().type_map.values() if isinstance(item, GraphQLInputObjectType)]
    generated = {input_.name: parse_derived_name(input_.name, KNOWN) for input_ in inputs}
    wanted = {name for name, of in generated.items() if of and name.removeprefix(of.base) in ONE_OF}
    assert ({input_.name for input_ in inputs if input_.is_one_of}, len(wanted) > 100) == (wanted, True)


def test_aggregates_over_rows_may_be_null() -> None:
    of = {name: parse_derived_name(name, KNOWN) for name in schema().type_map}
    generated = [schema().type_map[name] for name, item in of.items() if item and not name.endswith("Edge")]
    never = [
        (item.name, name)
        for item in generated
        if isinstance(item, GraphQLObjectType)
        for name, field in item.fields.items()
        if is_non_null_type(field.type) and name != "pageInfo"
    ]
    assert never == []


def test_every_measure_has_its_names_known() -> None:
    assert tuple(aggregate_field.suffix for aggregate_field in aggregates.AGGREGATE_FIELDS) == AGGREGATE_SUFFIXES


def test_the_schema_is_valid() -> None:
    assert validate_schema(schema()) == []


TWINS = [
    pytest.param("OrderGroup", "`OrderGroup`, which is made for `Order`: name yours otherwise", id="a group"),
    pytest.param("OrderSum", "`OrderSum`, which is made for `Order`: name yours otherwise", id="a sum"),
    pytest.param("OrderOrder", "`OrderOrder`, which is made for `Order`: name yours otherwise", id="an order"),
    pytest.param("Time", "`TimeGroupBy`, which is made for `Time`: name yours otherwise", id="what would be made"),
    pytest.param("OrderSumOrder", "`OrderSumOrder`, which is made for `Order`: name yours otherwise", id="of a sum"),
    pytest.param("PageInfo", "`PageInfo`, name one of them otherwise", id="what every schema has"),
    pytest.param("Decimal", "`Decimal`, name one of them otherwise", id="a scalar"),
]


@pytest.mark.parametrize(("name", "message"), TWINS)
def test_a_type_with_the_name_of_a_generated_one_does_not_build(name: str, message: str) -> None:
    order = (column("id", "ID"), column("total", "Int"))
    with pytest.raises(SchemaError) as refused:
        documented({"Order": order, name: (column("id", "ID"),)})
    assert str(refused.value) == f"two types would be called {message}"


def test_a_type_may_have_a_name_that_is_not_generated() -> None:
    """Orders without a number have no sums, so the name is free."""
    named, _ = build_from_document(documented({"Order": (column("id", "ID"),), "OrderSum": (column("id", "ID"),)}))
    assert validate_schema(named) == []


def test_a_type_that_only_looks_generated_has_its_own_owner() -> None:
    _, rules = build_from_document(documented({"Order": (column("id", "ID"),), "OrderSum": (column("id", "ID"),)}))
    assert rules.owners["OrderSum", "id"] == rules.owners["OrderSumWhere", "id"] == "sales operations"


def ring(size: int) -> Mapping[str, tuple[FieldShape, ...]]:
    """As many types, each with a list of the next and a link to it."""
    names = [f"T{index}" for index in range(size)]
    return {
        name: (
            column("id", "ID"),
            column("size", "Int"),
            column("at", "DateTime"),
            link("next", names[(index + 1) % size], FieldKind.ONE),
            link("many", names[(index + 1) % size]),
        )
        for index, name in enumerate(names)
    }


def calls(of: Callable[[], object]) -> int:
    """How many functions are called in Python, however long each takes."""
    counted = 0

    def seen(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal counted
        counted += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        of()
    finally:
        sys.setprofile(before)
    return counted


def test_the_work_of_a_build_grows_as_the_number_of_types_and_no_faster() -> None:
    build_from_document(documented(ring(2)))
    took = [calls(lambda size=size: build_from_document(documented(ring(size)))) for size in (20, 40, 60)]  # type: ignore[misc]
    first, second = (later - earlier for earlier, later in pairwise(took))
    assert second < first * 1.02
