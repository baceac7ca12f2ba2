"""Under `introspection = "own"` a hidden name answers exactly as one that does not exist."""

import json
import re
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from graphql import DocumentNode, GraphQLSchema, get_introspection_query, parse, validate_schema

from onedoor.query.context import QueryEngine, build_view
from onedoor.schema.builder import build_from_document, derive_policy
from onedoor.schema.generate.types import build_definitions
from onedoor.schema.reader import SchemaShape, parse_derived_name
from onedoor.schema.visibility import build_visible_schema
from tests.acme import (
    GROUP_NAMES,
    ask,
    build_catalog,
    caller,
    load_document,
    load_mappings,
    load_schema_and_policy,
    open_engine,
)
from tests.schema.shapes import FINANCE, NOTHING, column, kind, link

DOCUMENT = load_document()
RULES = load_schema_and_policy()[1]
GROUPS = tuple(sorted(GROUP_NAMES))

HIDDEN = {
    "field": ("{ employees { nodes { HERE } } }", "salary"),
    "root field": ("{ HERE { nodes { __typename } } }", "requests"),
    "filter": ("{ employees(where: {HERE: {isNull: false}}) { totalCount } }", "salary"),
    "order": ("{ employees(orderBy: [{HERE: ASC}]) { totalCount } }", "salary"),
    "sum": ("{ employees { aggregate { sum { HERE } } } }", "salary"),
    "measure": ("{ employees { aggregate { HERE { salary } } } }", "sum"),
    "made type": ("query ($w: HERE) { employees { totalCount } }", "EmployeeSumOrder"),
    "group": ("{ employees { groups(by: [{HERE: YEAR}]) { aggregate { count } } } }", "hiredOn"),
    "key": ("{ employees { groups(by: [{title: VALUE}]) { key { HERE } } } }", "salary"),
    "having": ("{ employees { groups(by: [{title: VALUE}], having: {HERE: {}}) { key { title } } } }", "avg"),
    "linked order": ("{ customers(orderBy: [{accountManager: {HERE: ASC}}]) { totalCount } }", "salary"),
    "linked list": ("{ customers(orderBy: [{HERE: {count: ASC}}]) { totalCount } }", "orders"),
    "type": ("{ employees { nodes { ... on HERE { __typename } } } }", "Request"),
    "input type": ("query ($w: HERE) { employees { totalCount } }", "RequestWhere"),
    "subscription": ("subscription { HERE { id } }", "orderChanged"),
    "history": ("{ customers { nodes { history { nodes { before { HERE } } } } } }", "creditLimit"),
    "filter of history": (
        "{ customerChanges(where: {before: {HERE: {isNull: false}}}) { totalCount } }",
        "creditLimit",
    ),
}
CHANGES = {
    "mutation": ("mutation { HERE(input: {sku: 1}) { id } }", {}, "createProduct"),
    "input": ("mutation ($i: HERE!) { updateCustomer(input: $i) { id } }", {"i": {}}, "CreateProductInput"),
    "input field": ("mutation { updateCustomer(input: {id: 1, HERE: null}) { id } }", {}, "phone"),
    "input field in variables": (
        "mutation ($i: UpdateCustomerInput!) { updateCustomer(input: $i) { id } }",
        {"i": {"id": "1", "HERE": None}},
        "phone",
    ),
}


@pytest.fixture(scope="module")
def own_view_engine() -> QueryEngine:
    return open_engine(replace(build_catalog(), schema_for_groups=partial(build_visible_schema, DOCUMENT, RULES)))


@pytest.mark.parametrize(("text", "name"), HIDDEN.values(), ids=HIDDEN)
async def test_a_hidden_name_answers_as_an_unknown_one(own_view_engine: QueryEngine, text: str, name: str) -> None:
    unknown = "z" * len(name)
    hidden = await ask(own_view_engine, text.replace("HERE", name), "marketing")
    nothing = await ask(own_view_engine, text.replace("HERE", unknown), "marketing")
    errors_of_hidden = [
        (error.code, without_suggestions(error.message).replace(name, unknown)) for error in hidden.errors
    ]
    assert errors_of_hidden == [(error.code, without_suggestions(error.message)) for error in nothing.errors]
    assert hidden.rejected


def without_suggestions(message: str) -> str:
    """Cut the names that are suggested, which depend on how the unknown name is spelled."""
    return message.partition("; ")[0]


def list_names(schema: GraphQLSchema) -> set[str]:
    """Every name that introspection of a schema shows."""
    names = set(schema.type_map)
    for type in schema.type_map.values():
        members = {**getattr(type, "fields", {}), **getattr(type, "values", {})}
        names |= members.keys() | {argument for member in members.values() for argument in getattr(member, "args", ())}
    return names


def misspell(name: str, random: Random) -> str:
    """Drop, double or swap a letter."""
    place = random.randrange(len(name) - 1)
    changed = random.choice((name[place + 1], name[place] * 2 + name[place + 1], name[place + 1] + name[place]))
    return name[:place] + changed + name[place + 2 :]


def show_schema(engine: QueryEngine, *groups: str) -> GraphQLSchema:
    """Return the view that the engine builds once for all with these groups."""
    return build_view(engine, caller(*groups)).schema


@pytest.mark.parametrize("group", ["marketing", "support"])
async def test_no_typo_brings_out_a_name_that_the_caller_may_not_know(own_view_engine: QueryEngine, group: str) -> None:
    random = Random(11)
    shown = list_names(show_schema(own_view_engine, group))
    hidden = sorted(list_names(load_schema_and_policy()[0]) - shown)
    assert hidden
    for text, _ in HIDDEN.values():
        for name in random.sample(hidden, 12):
            for typo in (misspell(name, random), name):
                answer = await ask(own_view_engine, text.replace("HERE", typo), group)
                suggested = set(re.findall(r"\w+", " ".join(error.message for error in answer.errors)))
                assert suggested.isdisjoint({*hidden} - {typo}), (text, typo)


async def test_a_typo_of_a_name_that_the_caller_may_know_brings_it_out(own_view_engine: QueryEngine) -> None:
    answer = await ask(own_view_engine, "{ employees { nodes { fulName } } }", "marketing")
    assert [error.message for error in answer.errors] == ["`Employee` has no field `fulName`; did you mean `fullName`"]


@pytest.mark.parametrize(("text", "given", "name"), CHANGES.values(), ids=CHANGES)
async def test_a_hidden_change_answers_as_an_unknown_one(
    own_view_engine: QueryEngine, text: str, given: dict[str, Any], name: str
) -> None:
    errors_of_hidden = []
    for item in (name, "z" * len(name)):
        variables = json.loads(json.dumps(given).replace("HERE", item))
        result = await ask(own_view_engine, text.replace("HERE", item), "finance", variables=variables)
        assert result.rejected
        errors_of_hidden.append(
            [(error.code, without_suggestions(error.message).replace(item, "HERE")) for error in result.errors]
        )
    assert errors_of_hidden[0] == errors_of_hidden[1]


@pytest.mark.parametrize("name", ["salary", "Request", "RequestOutcome", "hiredOn", "commitSha", "creditLimit"])
async def test_introspection_shows_only_what_the_caller_may_see(own_view_engine: QueryEngine, name: str) -> None:
    result = await ask(own_view_engine, get_introspection_query(), "marketing")
    assert f"'{name}'" not in str(result.data)


async def test_what_a_caller_may_see_is_answered_as_ever(own_view_engine: QueryEngine) -> None:
    text = "{ employees(first: 2) { nodes { fullName } } }"
    assert (await ask(own_view_engine, text)).data == (await ask(open_engine(build_catalog()), text)).data


@pytest.mark.parametrize("group", GROUPS)
def test_every_view_is_a_valid_schema(own_view_engine: QueryEngine, group: str) -> None:
    assert validate_schema(show_schema(own_view_engine, group)) == []


def test_all_groups_together_see_the_whole_schema(own_view_engine: QueryEngine) -> None:
    everything = show_schema(own_view_engine, *GROUPS, "user-administration", "access-review")
    assert set(load_schema_and_policy()[0].type_map) == set(everything.type_map)


@pytest.mark.parametrize("group", GROUPS)
def test_a_hidden_column_is_in_no_generated_type_and_a_visible_one_in_all(
    own_view_engine: QueryEngine, group: str
) -> None:
    visible_schema, whole = show_schema(own_view_engine, group), load_schema_and_policy()[0]
    shown = {(name, item) for name, of in visible_schema.type_map.items() for item in getattr(of, "fields", ())}
    generated = {
        name: of for name in whole.type_map if (of := parse_derived_name(name, load_mappings())) and of.by_field
    }
    looking = {
        (name, field): (of.base, field)
        for name, of in generated.items()
        for field in whole.type_map[name].fields  # type: ignore[attr-defined]
    }  # type: ignore[attr-defined]
    columns = {coordinate: of for coordinate, of in looking.items() if coordinate[1] not in ("and", "or", "not")}
    masked = load_schema_and_policy()[1].unmasked_requirements
    assert {column for column in columns if column in shown} == {
        coordinate
        for coordinate, of in columns.items()
        if of in shown and all(group in requirement for requirement in masked.get(of, ()))
    }


def test_rows_of_which_no_column_is_shown_are_not_grouped() -> None:
    """`by` takes a type that is gone; `groups` without it would be another question."""
    order = kind("Order", column("id", "ID", guards=FINANCE), column("total", "Int", guards=FINANCE))
    root = kind("Query", link("orders", "Order"), guards=NOTHING)
    node = DocumentNode(definitions=build_definitions(SchemaShape(types=(root, order), enums=())))
    visible_schema = build_visible_schema(node, build_from_document(node)[1], frozenset({"everyone", "sales"}))
    assert validate_schema(visible_schema) == []
    assert list(visible_schema.type_map["OrderConnection"].fields) == ["edges", "pageInfo", "totalCount", "aggregate"]  # type: ignore[attr-defined]
    assert list(visible_schema.type_map["OrderAggregate"].fields) == ["count"]  # type: ignore[attr-defined]


def test_what_cannot_be_given_whole_cannot_be_asked() -> None:
    """An input without a field that must be given would be refused in words that name the field."""
    text = """
        directive @allow(groups: [String!]!) on OBJECT | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | ARGUMENT_DEFINITION
        type Query @allow(groups: ["everyone"]) {
            open: Int
            asked(salary: Int! @allow(groups: ["finance"])): Int
            chosen(salary: Int @allow(groups: ["finance"])): Int
            found(where: Outer!): Int
        }
        input Outer @allow(groups: ["everyone"]) { name: String, inner: Inner! }
        input Inner @allow(groups: ["everyone"]) { name: String, salary: Int! @allow(groups: ["finance"]) }
    """
    document = parse(text)
    result, whole = (
        build_visible_schema(document, derive_policy(document), frozenset({"everyone", *more}))
        for more in ([], ["finance"])
    )
    assert result.query_type
    assert list(result.query_type.fields) == ["open", "chosen"]
    assert "Outer" not in result.type_map
    assert whole.query_type
    assert len(whole.query_type.fields) == 4
