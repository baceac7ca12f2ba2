"""Under `introspection = "own"` a hidden name answers exactly as one that does not exist."""

import json
import re
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from graphql import DocumentNode, GraphQLSchema, get_introspection_query, parse, validate_schema

from onedoor.query.context import QueryEngine
from onedoor.schema.builder import build_document, build_from_document, derive_policy
from onedoor.schema.generate.types import build_definitions
from onedoor.schema.reader import SchemaShape, parse_derived_name
from onedoor.schema.visibility import build_visible_schema
from tests.acme import ask, house, load_mappings, load_schema_and_policy, load_schema_modules, opened
from tests.schema.shapes import FINANCE, NOTHING, column, kind, link

DOCUMENT = build_document(load_schema_modules())
RULES = load_schema_and_policy()[1]
GROUPS = ("sales", "marketing", "finance", "people", "engineering", "support", "audit")

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
def own() -> QueryEngine:
    return opened(replace(house(), schema_for_groups=partial(build_visible_schema, DOCUMENT, RULES)))


@pytest.mark.parametrize(("text", "name"), HIDDEN.values(), ids=HIDDEN)
async def test_a_hidden_name_answers_as_an_unknown_one(own: QueryEngine, text: str, name: str) -> None:
    unknown = "z" * len(name)
    hidden = await ask(own, text.replace("HERE", name), "marketing")
    nothing = await ask(own, text.replace("HERE", unknown), "marketing")
    said = [(each.code, without_suggestions(each.message).replace(name, unknown)) for each in hidden.errors]
    assert said == [(each.code, without_suggestions(each.message)) for each in nothing.errors]
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


@pytest.mark.parametrize("group", ["marketing", "support"])
async def test_no_typo_brings_out_a_name_that_the_caller_may_not_know(own: QueryEngine, group: str) -> None:
    random = Random(11)
    shown = list_names(build_visible_schema(DOCUMENT, RULES, frozenset({"everyone", group})))
    hidden = sorted(list_names(load_schema_and_policy()[0]) - shown)
    assert hidden
    for text, _ in HIDDEN.values():
        for name in random.sample(hidden, 12):
            for typo in (misspell(name, random), name):
                answer = await ask(own, text.replace("HERE", typo), group)
                suggested = set(re.findall(r"\w+", " ".join(error.message for error in answer.errors)))
                assert suggested.isdisjoint({*hidden} - {typo}), (text, typo)


async def test_a_typo_of_a_name_that_the_caller_may_know_brings_it_out(own: QueryEngine) -> None:
    answer = await ask(own, "{ employees { nodes { fulName } } }", "marketing")
    assert [error.message for error in answer.errors] == ["`Employee` has no field `fulName`; did you mean `fullName`"]


@pytest.mark.parametrize(("text", "given", "name"), CHANGES.values(), ids=CHANGES)
async def test_a_hidden_change_answers_as_an_unknown_one(
    own: QueryEngine, text: str, given: dict[str, Any], name: str
) -> None:
    said = []
    for each in (name, "z" * len(name)):
        variables = json.loads(json.dumps(given).replace("HERE", each))
        told = await ask(own, text.replace("HERE", each), "finance", variables=variables)
        assert told.rejected
        said.append([(one.code, without_suggestions(one.message).replace(each, "HERE")) for one in told.errors])
    assert said[0] == said[1]


@pytest.mark.parametrize("name", ["salary", "Request", "RequestOutcome", "hiredOn", "commitSha", "creditLimit"])
async def test_introspection_shows_only_what_the_caller_may_see(own: QueryEngine, name: str) -> None:
    told = await ask(own, get_introspection_query(), "marketing")
    assert f"'{name}'" not in str(told.data)


async def test_what_a_caller_may_see_is_answered_as_ever(own: QueryEngine) -> None:
    text = "{ employees(first: 2) { nodes { fullName } } }"
    assert (await ask(own, text)).data == (await ask(opened(house()), text)).data


@pytest.mark.parametrize("group", GROUPS)
def test_every_view_is_a_valid_schema(group: str) -> None:
    assert validate_schema(build_visible_schema(DOCUMENT, RULES, frozenset({"everyone", group}))) == []


def test_all_groups_together_see_the_whole_schema() -> None:
    everything = build_visible_schema(DOCUMENT, RULES, frozenset({"everyone", *GROUPS}))
    assert set(load_schema_and_policy()[0].type_map) == set(everything.type_map)


@pytest.mark.parametrize("group", GROUPS)
def test_a_column_that_is_hidden_is_in_no_made_type_and_one_that_is_shown_in_all(group: str) -> None:
    told, whole = (
        build_visible_schema(DOCUMENT, RULES, frozenset({"everyone", group})),
        load_schema_and_policy()[0],
    )
    shown = {(name, each) for name, of in told.type_map.items() for each in getattr(of, "fields", ())}
    made = {name: of for name in whole.type_map if (of := parse_derived_name(name, load_mappings())) and of.by_field}
    looking = {(name, each): (of.base, each) for name, of in made.items() for each in whole.type_map[name].fields}  # type: ignore[attr-defined]
    columns = {at: of for at, of in looking.items() if at[1] not in ("and", "or", "not")}
    assert {at for at in columns if at in shown} == {at for at, of in columns.items() if of in shown}


def test_rows_of_which_no_column_is_shown_are_not_grouped() -> None:
    """`by` takes a type that is gone; `groups` without it would be another question."""
    order = kind("Order", column("id", "ID", guards=FINANCE), column("total", "Int", guards=FINANCE))
    root = kind("Query", link("orders", "Order"), guards=NOTHING)
    made = DocumentNode(definitions=build_definitions(SchemaShape(types=(root, order), enums=())))
    told = build_visible_schema(made, build_from_document(made)[1], frozenset({"everyone", "sales"}))
    assert validate_schema(told) == []
    assert list(told.type_map["OrderConnection"].fields) == ["edges", "pageInfo", "totalCount", "aggregate"]  # type: ignore[attr-defined]
    assert list(told.type_map["OrderAggregate"].fields) == ["count"]  # type: ignore[attr-defined]


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
    written = parse(text)
    told, whole = (
        build_visible_schema(written, derive_policy(written), frozenset({"everyone", *more}))
        for more in ([], ["finance"])
    )
    assert told.query_type
    assert list(told.query_type.fields) == ["open", "chosen"]
    assert "Outer" not in told.type_map
    assert whole.query_type
    assert len(whole.query_type.fields) == 4
