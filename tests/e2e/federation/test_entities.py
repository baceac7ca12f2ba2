"""Entities are rows by id: the same engine, one read for all of a type, nothing that `customer(id:)` would not show."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.audited import RequestFacts, build_audit_record, classify_outcome
from onedoor.query.context import ExecutionResult, GraphQLRequest
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.e2e.federation.conftest import house

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
    return [{"__typename": type, "id": each} for each in ids]


async def asked(
    these: list[Any], *groups: str, text: str = ASK, of: Catalog | None = None, **options: Any
) -> ExecutionResult:
    return await acme.ask(acme.opened(of or house()), text, *groups, variables={"these": these}, **options)


async def test_rows_come_in_the_order_of_their_representations_whatever_their_types() -> None:
    told = await asked([*named("Customer", 3), *named("Employee", "2"), *named("Customer", "1", "3")], "sales")
    assert told.data is not None
    found = [(each["__typename"], each["id"]) for each in told.data["_entities"]]
    assert found == [("Customer", "3"), ("Employee", "2"), ("Customer", "1"), ("Customer", "3")]


async def test_an_entity_is_the_row_that_is_found_by_its_id() -> None:
    text = "{ customer(id: 3) { __typename id name phone accountManager { id } } }"
    row = await acme.ask(acme.opened(house()), text, "sales")
    told = await asked(named("Customer", 3), "sales")
    assert told.data == {"_entities": [row.data and row.data["customer"]]}


@pytest.mark.parametrize("many", [1, 8, 64])
async def test_all_representations_of_a_type_take_one_read(many: int) -> None:
    told = await asked([*named("Customer", *range(1, many + 1)), *named("Employee", *range(1, many + 1))], "sales")
    assert sorted((each.collection, each.call_count) for each in told.scan_stats) == [
        ("customer", 1), ("employee", 1), ("employee", 1),
    ]  # fmt: skip


async def test_an_id_that_names_nothing_is_null_without_a_fault() -> None:
    told = await asked(named("Customer", "999999", "no id", 3, "003", ""), "sales", text=NAMES)
    assert (told.data, told.errors) == ({"_entities": [None, None, {"id": "3"}, None, None]}, [])


@pytest.mark.parametrize(
    ("odd", "said"),
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
async def test_what_names_nothing_is_null_and_a_fault_and_the_others_are_served(odd: Any, said: str) -> None:
    told = await asked([*named("Customer", 3), odd], "sales", text=NAMES)
    assert told.data == {"_entities": [{"id": "3"}, None]}
    assert [(each.code, each.message, each.path) for each in told.errors] == [
        (ErrorCode.BAD_USER_INPUT, said, ("_entities", 1))
    ]


async def test_a_type_that_is_withheld_is_never_read_and_its_entities_are_null() -> None:
    told = await asked([*named("Employee", 2), *named("Customer", 3, 1)])
    assert told.data is not None
    assert [each and each["id"] for each in told.data["_entities"]] == ["2", None, None]
    assert {each.collection for each in told.scan_stats} == {"employee"}
    (denied,) = [each for each in told.errors if each.path == ("_entities", 1)]
    assert (denied.code, (denied.extensions or {})["nulls"]) == (ErrorCode.FORBIDDEN, 2)


async def test_a_field_that_is_withheld_is_null_and_the_rest_of_its_entity_is_served() -> None:
    told = await asked(named("Employee", 2, 3))
    assert told.data is not None
    assert [each["salary"] for each in told.data["_entities"]] == [None, None]
    assert [(each.code, each.path) for each in told.errors] == [(ErrorCode.FORBIDDEN, ("_entities", 0, "salary"))]


async def test_all_or_nothing_asks_for_no_more_than_is_named() -> None:
    told = await asked(named("Employee", 2), text=TYPES, allOrNothing=True)
    assert told.data == {"_entities": [{"__typename": "Employee"}]}


async def test_a_plan_is_kept_for_the_types_that_are_named_and_no_other() -> None:
    at = acme.opened(house())
    for these in (named("Employee", 2), named("Employee", 3, 4), named("Customer", 2), named("Nobody", 2)):
        await acme.ask(at, TYPES, "sales", variables={"these": these})
    assert len(at.plan_cache) == 3
    told = await acme.ask(at, TYPES, "sales", variables={"these": named("Customer", 2)})
    assert told.data == {"_entities": [{"__typename": "Customer"}]}


async def test_all_or_nothing_holds_for_entities_too() -> None:
    told = await asked(named("Employee", 2), allOrNothing=True)
    assert (told.rejected, told.data) == (True, None)


async def test_entities_cost_what_as_many_rows_cost() -> None:
    told = await asked(named("Customer", *range(1, 11)), "sales", text=NAMES, cost=True)
    assert told.extensions["cost"] == 10
    dear = replace(house(), limits=Limits(cost_max=9))
    refused = await asked(named("Customer", *range(1, 11)), "sales", text=NAMES, of=dear)
    assert [each.code for each in refused.errors] == [ErrorCode.LIMIT_EXCEEDED]


async def test_more_representations_than_a_list_may_have_are_refused() -> None:
    told = await asked(named("Customer", *range(1001)), "sales", text=NAMES)
    assert [(each.code, "in_max" in each.message) for each in told.errors] == [(ErrorCode.LIMIT_EXCEEDED, True)]


async def test_sources_that_promise_nothing_give_the_same_entities() -> None:
    nothing = {name: acme.promising_nothing(each) for name, each in acme.sources().items()}
    bare = replace(house(), connectors={**house().connectors, **nothing})
    these = [*named("Customer", 3, "none", 1), *named("Employee", 2)]
    assert (await asked(these, "sales", of=bare)).data == (await asked(these, "sales")).data


async def test_a_source_that_fails_takes_along_no_entity_of_another() -> None:
    made = house()
    slack = made.connectors["slack"]
    assert isinstance(slack, MemoryConnector)
    down = replace(made, connectors={**made.connectors, "slack": Down(slack.collections)})
    told = await asked([*named("SlackUser", "U1", "U2"), *named("Customer", 3)], "sales", text=TYPES, of=down)
    assert told.data == {"_entities": [None, None, {"__typename": "Customer"}]}
    assert [(each.code, each.path) for each in told.errors] == [(ErrorCode.SOURCE_UNAVAILABLE, ("_entities", 0))]


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
    head = f"({', '.join(declared[each] for each in variables)})" if variables else ""
    question = f"query {head} {{ _entities(representations: {text}) {{ ... on Customer {{ id }} }} }}"
    told = await acme.ask(acme.opened(house()), question, "sales", variables=variables)
    assert (told.data, told.errors) == ({"_entities": shown}, [])


@pytest.mark.parametrize("deep", ["[" * 150 + "1" + "]" * 150, "{a: " * 150 + "1" + "}" * 150])
async def test_what_nests_without_end_is_refused_or_names_nothing(deep: str) -> None:
    told = await acme.ask(acme.opened(house()), f"{{ _entities(representations: [{deep}]) {{ __typename }} }}", "sales")
    assert told.rejected or [each.code for each in told.errors] == [ErrorCode.BAD_USER_INPUT]


async def test_nothing_wanted_of_a_type_is_nothing_read() -> None:
    text = "query ($these: [_Any!]!) { _entities(representations: $these) { ... on Employee { id } } }"
    told = await asked([*named("Customer", 3), *named("Employee", 2)], "sales", text=text)
    assert told.data == {"_entities": [{}, {"id": "2"}]}
    assert [each.collection for each in told.scan_stats] == ["employee"]


async def test_the_record_tells_what_was_seen_and_what_was_withheld() -> None:
    at = acme.opened(house())
    these = {"these": [*named("Employee", 2), *named("Order", 1)]}
    told = await acme.ask(at, ASK.replace("... on Customer", "... on Order { total } ... on Customer"), variables=these)
    visit = RequestFacts(
        id="1", received_at=acme.NOW, principal=acme.caller(), request=GraphQLRequest(query=ASK, variables=these),
        client_request_id=None, status=200, bytes=0, ms=0.0,
    )  # fmt: skip
    kept = build_audit_record(at, b"a key", visit, told, classify_outcome(told))
    assert set(kept.fields) == {"Query._entities", "Query.employee", "Employee.id", "Employee.fullName"}
    assert {each.field for each in kept.withheld} == {"Query.order", "Employee.salary"}
    assert [each.collection for each in kept.sources] == ["employee"]


async def test_a_plan_names_the_type_of_each_read() -> None:
    told = await asked([*named("Customer", 3)], "sales", text=NAMES, plan=True)
    assert told.extensions["plan"]["text"][0] == "Query._entities: Customer by id = id"


async def test_the_root_of_the_schema_is_asked_beside_entities() -> None:
    text = "query ($these: [_Any!]!) { me { id } a: _entities(representations: $these) { ... on Customer { id } } "
    text += "__schema { queryType { name } } _service { __typename } }"
    told = await asked(named("Customer", 3), "sales", text=text)
    assert told.data == {
        "me": {"id": "P1"},
        "a": [{"id": "3"}],
        "__schema": {"queryType": {"name": "Query"}},
        "_service": {"__typename": "_Service"},
    }


async def test_a_door_that_is_no_subgraph_has_neither_field() -> None:
    told = await acme.ask(acme.opened(acme.house()), "{ _service { sdl } }", "sales")
    assert [each.code for each in told.errors] == [ErrorCode.GRAPHQL_VALIDATION_FAILED]
