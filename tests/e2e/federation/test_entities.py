"""Entities are rows by id: the same engine, one read for all of a type, nothing that `customer(id:)` would not show."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.audited import classify_outcome
from onedoor.query.context import ExecutionResult, GraphQLRequest
from onedoor.query.request_record import RequestFacts, build_audit_record
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.e2e.federation.conftest import build_catalog

ASK = """query ($these: [_Any!]!) { _entities(representations: $these) {
  __typename ... on Customer { id name phone accountManager { id } } ... on Employee { id fullName salary }
} }"""
TYPES = "query ($these: [_Any!]!) { _entities(representations: $these) { __typename } }"
NAMES = "query ($these: [_Any!]!) { _entities(representations: $these) { ... on Customer { id } } }"


class Down(MemoryConnector):
    """Answers no read."""

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        raise ConnectorError("nobody is there")
        yield


def named(type: str, *ids: object) -> list[Any]:
    return [{"__typename": type, "id": id} for id in ids]


async def fetch_entities(
    these: list[Any], *groups: str, text: str = ASK, of: Catalog | None = None, **options: Any
) -> ExecutionResult:
    return await acme.ask(acme.open_engine(of or build_catalog()), text, *groups, variables={"these": these}, **options)


async def test_rows_come_in_the_order_of_their_representations_whatever_their_types() -> None:
    result = await fetch_entities(
        [*named("Customer", 3), *named("Employee", "2"), *named("Customer", "1", "3")], "sales"
    )
    assert result.data is not None
    results = [(entity["__typename"], entity["id"]) for entity in result.data["_entities"]]
    assert results == [("Customer", "3"), ("Employee", "2"), ("Customer", "1"), ("Customer", "3")]


async def test_an_entity_is_the_row_that_is_found_by_its_id() -> None:
    text = "{ customer(id: 3) { __typename id name phone accountManager { id } } }"
    row = await acme.ask(acme.open_engine(build_catalog()), text, "sales")
    result = await fetch_entities(named("Customer", 3), "sales")
    assert result.data == {"_entities": [row.data and row.data["customer"]]}


@pytest.mark.parametrize("many", [1, 8, 64])
async def test_all_representations_of_a_type_take_one_read(many: int) -> None:
    result = await fetch_entities(
        [*named("Customer", *range(1, many + 1)), *named("Employee", *range(1, many + 1))], "sales"
    )
    assert sorted((scan_stat.collection, scan_stat.call_count) for scan_stat in result.scan_stats) == [
        ("customer", 1), ("employee", 1), ("employee", 1),
    ]  # fmt: skip


async def test_an_id_that_names_nothing_is_null_without_a_fault() -> None:
    result = await fetch_entities(named("Customer", "999999", "no id", 3, "003", ""), "sales", text=NAMES)
    assert (result.data, result.errors) == ({"_entities": [None, None, {"id": "3"}, None, None]}, [])


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        pytest.param({"__typename": "Nobody", "id": 1}, "there is no entity type `Nobody` here", id="an unknown type"),
        pytest.param({"__typename": "Me", "id": "P1"}, "there is no entity type `Me` here", id="a type without a key"),
        pytest.param({"__typename": "Customer"}, "a representation of `Customer` must have an `id`", id="no id"),
        pytest.param(
            {"__typename": "Customer", "id": True}, "a representation of `Customer` must have an `id`", id="no such id"
        ),
        pytest.param({"id": 1}, "a representation must be an object with a `__typename`", id="no type"),
        pytest.param({"__typename": 1}, "a representation must be an object with a `__typename`", id="no name"),
        pytest.param(7, "a representation must be an object with a `__typename`", id="no object"),
        pytest.param([], "a representation must be an object with a `__typename`", id="a list"),
    ],
)
async def test_what_names_nothing_is_null_and_a_fault_and_the_others_are_served(odd: Any, message: str) -> None:
    result = await fetch_entities([*named("Customer", 3), odd], "sales", text=NAMES)
    assert result.data == {"_entities": [{"id": "3"}, None]}
    assert [(error.code, error.message, error.path) for error in result.errors] == [
        (ErrorCode.BAD_USER_INPUT, message, ("_entities", 1))
    ]


async def test_a_type_that_is_withheld_is_never_read_and_its_entities_are_null() -> None:
    result = await fetch_entities([*named("Employee", 2), *named("Customer", 3, 1)])
    assert result.data is not None
    assert [entity and entity["id"] for entity in result.data["_entities"]] == ["2", None, None]
    assert {scan_stat.collection for scan_stat in result.scan_stats} == {"employee"}
    (denied,) = [error for error in result.errors if error.path == ("_entities", 1)]
    assert (denied.code, (denied.extensions or {})["nulls"]) == (ErrorCode.FORBIDDEN, 2)


async def test_a_field_that_is_withheld_is_null_and_the_rest_of_its_entity_is_served() -> None:
    result = await fetch_entities(named("Employee", 2, 3))
    assert result.data is not None
    assert [entity["salary"] for entity in result.data["_entities"]] == [None, None]
    assert [(error.code, error.path) for error in result.errors] == [(ErrorCode.FORBIDDEN, ("_entities", 0, "salary"))]


async def test_all_or_nothing_asks_for_no_more_than_is_named() -> None:
    result = await fetch_entities(named("Employee", 2), text=TYPES, allOrNothing=True)
    assert result.data == {"_entities": [{"__typename": "Employee"}]}


async def test_a_plan_is_kept_for_the_types_that_are_named_and_no_other() -> None:
    engine = acme.open_engine(build_catalog())
    for these in (named("Employee", 2), named("Employee", 3, 4), named("Customer", 2), named("Nobody", 2)):
        await acme.ask(engine, TYPES, "sales", variables={"these": these})
    assert len(engine.plan_cache) == 3
    result = await acme.ask(engine, TYPES, "sales", variables={"these": named("Customer", 2)})
    assert result.data == {"_entities": [{"__typename": "Customer"}]}


async def test_all_or_nothing_holds_for_entities_too() -> None:
    result = await fetch_entities(named("Employee", 2), allOrNothing=True)
    assert (result.rejected, result.data) == (True, None)


async def test_entities_cost_what_as_many_rows_cost() -> None:
    result = await fetch_entities(named("Customer", *range(1, 11)), "sales", text=NAMES, cost=True)
    assert result.extensions["cost"] == 10
    dear = replace(build_catalog(), limits=Limits(cost_max=9))
    refused = await fetch_entities(named("Customer", *range(1, 11)), "sales", text=NAMES, of=dear)
    assert [error.code for error in refused.errors] == [ErrorCode.LIMIT_EXCEEDED]


async def test_more_representations_than_a_list_may_have_are_refused() -> None:
    result = await fetch_entities(named("Customer", *range(1001)), "sales", text=NAMES)
    assert [(error.code, "in_max" in error.message) for error in result.errors] == [(ErrorCode.LIMIT_EXCEEDED, True)]


async def test_sources_that_promise_nothing_give_the_same_entities() -> None:
    nothing = {name: acme.promising_nothing(source) for name, source in acme.sources().items()}
    bare = replace(build_catalog(), connectors={**build_catalog().connectors, **nothing})
    these = [*named("Customer", 3, "none", 1), *named("Employee", 2)]
    assert (await fetch_entities(these, "sales", of=bare)).data == (await fetch_entities(these, "sales")).data


async def test_a_source_that_fails_takes_along_no_entity_of_another() -> None:
    catalog = build_catalog()
    slack = catalog.connectors["slack"]
    assert isinstance(slack, MemoryConnector)
    down = replace(catalog, connectors={**catalog.connectors, "slack": Down(slack.collections)})
    result = await fetch_entities(
        [*named("SlackUser", "U1", "U2"), *named("Customer", 3)], "sales", text=TYPES, of=down
    )
    assert result.data == {"_entities": [None, None, {"__typename": "Customer"}]}
    assert [(error.code, error.path) for error in result.errors] == [(ErrorCode.SOURCE_UNAVAILABLE, ("_entities", 0))]


@pytest.mark.parametrize(
    ("text", "variables", "shown"),
    [
        ('[{__typename: "Customer", id: $id}]', {"id": 3}, [{"id": "3"}]),
        ('[{__typename: $of, id: "3"}]', {"of": "Customer"}, [{"id": "3"}]),
        ("[$one, $one]", {"one": {"__typename": "Customer", "id": "3"}}, [{"id": "3"}, {"id": "3"}]),
        ('{__typename: "Customer", id: 3}', {}, [{"id": "3"}]),
        ("[]", {}, []),
    ],
    ids=["an id", "a type", "one of them", "a single one", "none"],
)
async def test_variables_may_stand_anywhere(text: str, variables: dict[str, Any], shown: list[Any]) -> None:
    declared = {"id": "$id: ID!", "of": "$of: String!", "one": "$one: _Any!"}
    head = f"({', '.join(declared[variable] for variable in variables)})" if variables else ""
    question = f"query {head} {{ _entities(representations: {text}) {{ ... on Customer {{ id }} }} }}"
    result = await acme.ask(acme.open_engine(build_catalog()), question, "sales", variables=variables)
    assert (result.data, result.errors) == ({"_entities": shown}, [])


@pytest.mark.parametrize("deep", ["[" * 150 + "1" + "]" * 150, "{a: " * 150 + "1" + "}" * 150])
async def test_what_nests_without_end_is_refused_or_names_nothing(deep: str) -> None:
    result = await acme.ask(
        acme.open_engine(build_catalog()), f"{{ _entities(representations: [{deep}]) {{ __typename }} }}", "sales"
    )
    assert result.rejected or [error.code for error in result.errors] == [ErrorCode.BAD_USER_INPUT]


async def test_nothing_wanted_of_a_type_is_nothing_read() -> None:
    text = "query ($these: [_Any!]!) { _entities(representations: $these) { ... on Employee { id } } }"
    result = await fetch_entities([*named("Customer", 3), *named("Employee", 2)], "sales", text=text)
    assert result.data == {"_entities": [{}, {"id": "2"}]}
    assert [scan_stat.collection for scan_stat in result.scan_stats] == ["employee"]


async def test_the_record_tells_what_was_seen_and_what_was_withheld() -> None:
    engine = acme.open_engine(build_catalog())
    these = {"these": [*named("Employee", 2), *named("Order", 1)]}
    result = await acme.ask(
        engine, ASK.replace("... on Customer", "... on Order { total } ... on Customer"), variables=these
    )
    visit = RequestFacts(
        id="1", received_at=acme.NOW, principal=acme.caller(), request=GraphQLRequest(query=ASK, variables=these),
        client_request_id=None, status=200, bytes=0, ms=0.0,
    )  # fmt: skip
    audit_record = build_audit_record(engine, b"a key", visit, result, classify_outcome(result))
    assert set(audit_record.fields) == {"Query._entities", "Query.employee", "Employee.id", "Employee.fullName"}
    assert {coordinate.field for coordinate in audit_record.withheld} == {"Query.order", "Employee.salary"}
    assert [source.collection for source in audit_record.sources] == ["employee"]


async def test_a_plan_names_the_type_of_each_read() -> None:
    result = await fetch_entities([*named("Customer", 3)], "sales", text=NAMES, plan=True)
    assert result.extensions["plan"]["text"][0] == "Query._entities: Customer by id = id"


async def test_the_root_of_the_schema_is_queried_beside_entities() -> None:
    text = "query ($these: [_Any!]!) { me { id } a: _entities(representations: $these) { ... on Customer { id } } "
    text += "__schema { queryType { name } } _service { __typename } }"
    result = await fetch_entities(named("Customer", 3), "sales", text=text)
    assert result.data == {
        "me": {"id": "P1"},
        "a": [{"id": "3"}],
        "__schema": {"queryType": {"name": "Query"}},
        "_service": {"__typename": "_Service"},
    }


async def test_a_schema_that_is_no_subgraph_has_neither_field() -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog()), "{ _service { sdl } }", "sales")
    assert [error.code for error in result.errors] == [ErrorCode.GRAPHQL_VALIDATION_FAILED]
