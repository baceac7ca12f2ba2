"""Marketing reads customers without their e-mail addresses; salaries are for two groups."""

from typing import Any

import pytest

from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult, QueryEngine
from tests.acme import ask
from tests.query.pushdown.strict import Strict
from tests.security.permission.conftest import list_requests

CURIOUS = ("sales", "marketing", "support", "engineering", "audit")
"""Every group but the two that may see salaries."""
WOULD_DO = [["finance", "people"]]


def forbidden(answer: ExecutionResult) -> list[tuple[Any, ...]]:
    return [
        (error.path, error.extensions["position"], error.extensions["groups"], error.extensions.get("nulls"))
        for error in answer.errors
        if error.code == ErrorCode.FORBIDDEN and error.extensions
    ]


async def test_marketing_reads_customers_but_not_their_addresses(
    engine: QueryEngine, recorded_sources: dict[str, Strict]
) -> None:
    answer = await ask(engine, "{ customers(first: 2) { nodes { id name email } } }", "marketing")
    assert answer.data == {
        "customers": {
            "nodes": [
                {"id": "1", "name": "Tramontana Interiors Inc.", "email": None},
                {"id": "2", "name": "Harbour Foods Inc.", "email": None},
            ]
        }
    }
    path = ("customers", "nodes", 0, "email")
    assert forbidden(answer) == [(path, "Customer.email", [["finance", "sales", "support"]], 2)]
    assert [request.columns for request in list_requests(recorded_sources)] == [("id", "name")]


@pytest.mark.parametrize("group", ["finance", "people"])
async def test_salary_is_shown_to_finance_and_to_people(engine: QueryEngine, group: str) -> None:
    answer = await ask(engine, '{ employee(id: "1") { salary } }', group)
    assert (answer.data, answer.errors) == ({"employee": {"salary": "243000.00"}}, [])


@pytest.mark.parametrize("group", CURIOUS)
async def test_salary_is_withheld_from_every_other_group(
    engine: QueryEngine, recorded_sources: dict[str, Strict], group: str
) -> None:
    answer = await ask(engine, '{ employee(id: "1") { id salary } }', group)
    assert answer.data == {"employee": {"id": "1", "salary": None}}
    assert forbidden(answer) == [(("employee", "salary"), "Employee.salary", WOULD_DO, 1)]
    assert "salary" not in repr(list_requests(recorded_sources))


SALARY = '{salary: {gt: "1"}}'
USES = [
    pytest.param(f"employees(where: {SALARY})", "EmployeeWhere.salary", id="a filter"),
    pytest.param("employees(where: {salary: {isNull: true}})", "EmployeeWhere.salary", id="a filter for null"),
    pytest.param(f"employees(where: {{and: [{SALARY}]}})", "EmployeeWhere.salary", id="a filter in and"),
    pytest.param(f"employees(where: {{or: [{{}}, {SALARY}]}})", "EmployeeWhere.salary", id="a filter in or"),
    pytest.param(f"employees(where: {{not: {SALARY}}})", "EmployeeWhere.salary", id="a filter in not"),
    pytest.param(
        f"employees(where: {{not: {{or: [{{and: [{SALARY}]}}]}}}})", "EmployeeWhere.salary", id="a filter deep in logic"
    ),
    pytest.param(f"employees(where: {{manager: {SALARY}}})", "EmployeeWhere.salary", id="a filter through a link"),
    pytest.param(f"customers(where: {{accountManager: {SALARY}}})", "EmployeeWhere.salary", id="from another type"),
    pytest.param(f"employees(where: {{reports: {{some: {SALARY}}}}})", "EmployeeWhere.salary", id="some of a list"),
    pytest.param(f"employees(where: {{reports: {{every: {SALARY}}}}})", "EmployeeWhere.salary", id="every of a list"),
    pytest.param(f"employees(where: {{reports: {{none: {SALARY}}}}})", "EmployeeWhere.salary", id="none of a list"),
    pytest.param(
        f"orders(where: {{customer: {{not: {{accountManager: {{reports: {{none: {SALARY}}}}}}}}}}})",
        "EmployeeWhere.salary",
        id="a filter through three links",
    ),
    pytest.param(
        f"slackUsers(where: {{employee: {SALARY}}})", "EmployeeWhere.salary", id="a filter across two sources"
    ),
    pytest.param("employees(orderBy: [{salary: ASC}])", "EmployeeOrder.salary", id="an order"),
    pytest.param(
        "employees(orderBy: [{id: ASC}, {salary: DESC}])", "EmployeeOrder.salary", id="an order that breaks ties"
    ),
]


@pytest.mark.parametrize(("field", "position"), USES)
@pytest.mark.parametrize("wanted", ["nodes { id }", "totalCount", "pageInfo { hasNextPage }", "edges { cursor }"])
async def test_a_field_whose_arguments_name_salary_is_withheld_and_never_fetched(
    engine: QueryEngine, recorded_sources: dict[str, Strict], field: str, position: str, wanted: str
) -> None:
    answer = await ask(engine, f"{{ found: {field} {{ {wanted} }} }}", *CURIOUS)
    assert answer.data == {"found": None}
    assert forbidden(answer) == [(("found",), position, WOULD_DO, 1)]
    assert list_requests(recorded_sources) == []


@pytest.mark.parametrize(("field", "position"), USES)
async def test_the_same_field_is_answered_for_who_may_see_salaries(
    engine: QueryEngine, field: str, position: str
) -> None:
    answer = await ask(engine, f"{{ found: {field} {{ totalCount }} }}", *CURIOUS, "people")
    assert answer.errors == []
    assert answer.data != {"found": None}


async def test_a_filter_in_the_variables_is_judged_as_if_it_were_written(
    engine: QueryEngine, recorded_sources: dict[str, Strict]
) -> None:
    text = "query ($where: EmployeeWhere) { employees(where: $where) { totalCount } }"
    answer = await ask(engine, text, *CURIOUS, variables={"where": {"not": {"salary": {"gt": "1"}}}})
    assert answer.data == {"employees": None}
    assert list_requests(recorded_sources) == []


async def test_a_withheld_filter_does_not_withhold_its_siblings(engine: QueryEngine) -> None:
    text = f'{{ employees(where: {SALARY}) {{ totalCount }} employee(id: "1") {{ firstName }} }}'
    answer = await ask(engine, text, *CURIOUS)
    assert answer.data == {"employees": None, "employee": {"firstName": "Quentin"}}


async def test_a_cursor_over_salaries_is_judged_anew_for_whoever_brings_it(
    engine: QueryEngine, recorded_sources: dict[str, Strict]
) -> None:
    listed = "employees(first: 3, orderBy: [{salary: DESC}]%s) { nodes { id } pageInfo { endCursor } }"
    result = await ask(engine, f"{{ {listed % ''} }}", "finance")
    assert result.data
    cursor = result.data["employees"]["pageInfo"]["endCursor"]
    for source in recorded_sources.values():
        source.requests.clear()
    replayed = listed % f', after: "{cursor}"'
    answer = await ask(engine, f"{{ {replayed} }}", *CURIOUS)
    assert answer.data == {"employees": None}
    assert forbidden(answer) == [(("employees",), "EmployeeOrder.salary", WOULD_DO, 1)]
    assert list_requests(recorded_sources) == []


async def test_a_cursor_over_salaries_is_no_cursor_of_another_order(
    engine: QueryEngine, recorded_sources: dict[str, Strict]
) -> None:
    result = await ask(
        engine, "{ employees(first: 3, orderBy: [{salary: DESC}]) { pageInfo { endCursor } } }", "finance"
    )
    assert result.data
    cursor = result.data["employees"]["pageInfo"]["endCursor"]
    for source in recorded_sources.values():
        source.requests.clear()
    answer = await ask(engine, f'{{ employees(after: "{cursor}") {{ totalCount }} }}', *CURIOUS)
    assert (answer.rejected, [error.code for error in answer.errors]) == (True, [ErrorCode.BAD_CURSOR])
    assert list_requests(recorded_sources) == []


async def test_one_error_stands_for_all_the_nulls_of_a_withheld_field(engine: QueryEngine) -> None:
    answer = await ask(
        engine, "{ employees { nodes { salary } } again: employees(first: 2) { nodes { salary } } }", "sales"
    )
    assert forbidden(answer) == [
        (("employees", "nodes", 0, "salary"), "Employee.salary", WOULD_DO, 20),
        (("again", "nodes", 0, "salary"), "Employee.salary", WOULD_DO, 2),
    ]


async def test_a_withheld_field_that_showed_no_null_is_no_error(engine: QueryEngine) -> None:
    answer = await ask(engine, '{ employee(id: "nobody") { salary } }', "sales")
    assert (answer.data, answer.errors) == ({"employee": None}, [])


async def test_all_or_nothing_fetches_nothing_where_anything_is_withheld(
    engine: QueryEngine, recorded_sources: dict[str, Strict]
) -> None:
    text = "{ products { totalCount } employees { nodes { id salary } } }"
    answer = await ask(engine, text, *CURIOUS, allOrNothing=True)
    assert (answer.rejected, answer.data) == (True, None)
    assert forbidden(answer) == [(None, "Employee.salary", WOULD_DO, None)]
    assert list_requests(recorded_sources) == []


async def test_all_or_nothing_answers_where_nothing_is_withheld(engine: QueryEngine) -> None:
    text = '{ employee(id: "1") { salary } }'
    assert (await ask(engine, text, "people", allOrNothing=True)).data == {"employee": {"salary": "243000.00"}}


async def test_a_plan_for_permitted_groups_is_not_used_for_others(engine: QueryEngine) -> None:
    text = '{ employee(id: "1") { salary } }'
    replies = [(await ask(engine, text, *groups)).data for groups in (["people"], CURIOUS, ["finance"], ["sales"])]
    shown, hidden = {"employee": {"salary": "243000.00"}}, {"employee": {"salary": None}}
    assert replies == [shown, hidden, shown, hidden]


async def test_nothing_is_read_of_a_source_that_only_withheld_fields_lead_to(
    engine: QueryEngine, recorded_sources: dict[str, Strict]
) -> None:
    answer = await ask(engine, "{ customers(first: 2) { nodes { channel { name } } } }", "marketing")
    assert answer.data == {"customers": {"nodes": [{"channel": None}, {"channel": None}]}}
    assert recorded_sources["slack"].requests == []
