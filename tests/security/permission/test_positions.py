"""At every position a field is shown to who may see it, once, and denied to who may not, once.

The positions of a query are cases with their answers; what is no query (a record, an export) is shown by other tests.
"""

from typing import Any

import pytest

from auth.policy import SchemaCoordinate
from onedoor.audit.record import Surface
from onedoor.errors import ErrorCode
from onedoor.query.context import QueryEngine
from tests.acme import ask
from tests.query.pushdown.strict import Strict
from tests.security.permission.access_paths import looking
from tests.security.permission.conftest import cached_catalog, list_requests
from tests.tests_by_name import list_missing

SALARY = ("Employee", "salary")


def by_department(arguments: str) -> str:
    return f"employees {{ groups(by: [{{department: VALUE}}], {arguments}) {{ key {{ department }} }} }}"


def show_departments(*names: str) -> Any:
    return {"groups": [{"key": {"department": name}} for name in names]}


def show_first(id: str) -> Any:
    return {"nodes": [{"id": id}]}


CASES: dict[str, tuple[str, str, Any]] = {
    "a field": ('employee(id: "1") { salary }', "Employee.salary", {"salary": "243000.00"}),
    "a field of a page": (
        "employees(first: 1) { edges { node { salary } } }",
        "Employee.salary",
        {"edges": [{"node": {"salary": "243000.00"}}]},
    ),
    "a field through a link": (
        'employee(id: "2") { manager { salary } }',
        "Employee.salary",
        {"manager": {"salary": "243000.00"}},
    ),
    "a filter": (
        'employees(where: {salary: {gt: "200000"}}) { totalCount }',
        "EmployeeWhere.salary",
        {"totalCount": 1},
    ),
    "a filter for null": (
        "employees(where: {salary: {isNull: true}}) { totalCount }",
        "EmployeeWhere.salary",
        {"totalCount": 0},
    ),
    "a filter in logic": (
        'employees(where: {or: [{not: {salary: {lt: "200000"}}}]}) { totalCount }',
        "EmployeeWhere.salary",
        {"totalCount": 1},
    ),
    "a filter through a link": (
        'employees(where: {manager: {salary: {gt: "200000"}}}) { totalCount }',
        "EmployeeWhere.salary",
        {"totalCount": 8},
    ),
    "a filter through a list": (
        'employees(where: {reports: {some: {salary: {gt: "130000"}}}}) { totalCount }',
        "EmployeeWhere.salary",
        {"totalCount": 1},
    ),
    "a filter across sources": (
        'slackUsers(where: {employee: {salary: {gt: "200000"}}}) { totalCount }',
        "EmployeeWhere.salary",
        {"totalCount": 1},
    ),
    "an order": (
        "employees(orderBy: [{salary: DESC}], first: 1) { nodes { id } }",
        "EmployeeOrder.salary",
        show_first("1"),
    ),
    "an order through a link": (
        "employees(orderBy: [{manager: {salary: DESC}}, {id: ASC}], first: 1) { nodes { id } }",
        "EmployeeOrder.salary",
        show_first("2"),
    ),
    "an order by a sum of a list": (
        "employees(orderBy: [{reports: {sum: {salary: DESC}}}], first: 1) { nodes { id } }",
        "EmployeeSumOrder.salary",
        show_first("1"),
    ),
    "an order by an average of a list": (
        "employees(orderBy: [{reports: {avg: {salary: DESC}}}], first: 1) { nodes { id } }",
        "EmployeeAverageOrder.salary",
        show_first("1"),
    ),
    "an order by a minimum of a list": (
        "employees(orderBy: [{reports: {min: {salary: DESC}}}], first: 1) { nodes { id } }",
        "EmployeeMinimumOrder.salary",
        show_first("1"),
    ),
    "an order by a maximum of a list": (
        "employees(orderBy: [{reports: {max: {salary: DESC}}}], first: 1) { nodes { id } }",
        "EmployeeMaximumOrder.salary",
        show_first("1"),
    ),
    "an order by a count of a list": (
        "employees(orderBy: [{reports: {countDistinct: {salary: DESC}}}], first: 1) { nodes { id } }",
        "EmployeeCountDistinctOrder.salary",
        show_first("1"),
    ),
    "a sum": (
        "employees { aggregate { sum { salary } } }",
        "EmployeeSum.salary",
        {"aggregate": {"sum": {"salary": "2446200.00"}}},
    ),
    "an average": (
        'employees(where: {id: {in: ["1", "2"]}}) { aggregate { avg { salary } } }',
        "EmployeeAverage.salary",
        {"aggregate": {"avg": {"salary": "190650"}}},
    ),
    "a minimum": (
        "employees { aggregate { min { salary } } }",
        "EmployeeMinimum.salary",
        {"aggregate": {"min": {"salary": "81200.00"}}},
    ),
    "a maximum": (
        "employees { aggregate { max { salary } } }",
        "EmployeeMaximum.salary",
        {"aggregate": {"max": {"salary": "243000.00"}}},
    ),
    "a count": (
        "employees { aggregate { countDistinct { salary } } }",
        "EmployeeCountDistinct.salary",
        {"aggregate": {"countDistinct": {"salary": 20}}},
    ),
    "a group": (
        "employees { groups(by: [{salary: VALUE}], first: 1) { key { salary } aggregate { count } } }",
        "EmployeeGroupBy.salary",
        {"groups": [{"key": {"salary": "81200.00"}, "aggregate": {"count": 1}}]},
    ),
    "a group through a link": (
        "employees { groups(by: [{manager: {salary: VALUE}}], first: 1) { key { manager { salary } } } }",
        "EmployeeGroupBy.salary",
        {"groups": [{"key": {"manager": {"salary": "134700.00"}}}]},
    ),
    "an aggregate of groups": (
        "employees { groups(by: [{department: VALUE}], first: 1) { aggregate { sum { salary } } } }",
        "EmployeeSum.salary",
        {"groups": [{"aggregate": {"sum": {"salary": "244900.00"}}}]},
    ),
    "a filter of groups by a sum": (
        by_department('having: {sum: {salary: {gt: "400000"}}}'),
        "EmployeeSumHaving.salary",
        show_departments("Operations"),
    ),
    "a filter of groups by an average": (
        by_department('having: {avg: {salary: {gt: "110000"}}}'),
        "EmployeeAverageHaving.salary",
        show_departments("Engineering", "Legal", "Operations", "People", "Sales", "Support"),
    ),
    "a filter of groups by a minimum": (
        by_department('having: {min: {salary: {gt: "90000"}}}'),
        "EmployeeMinimumHaving.salary",
        show_departments("Engineering", "Legal", "Operations", "People", "Sales", "Support"),
    ),
    "a filter of groups by a maximum": (
        by_department('having: {max: {salary: {gt: "200000"}}}'),
        "EmployeeMaximumHaving.salary",
        show_departments("Operations"),
    ),
    "a filter of groups by a count": (
        by_department("having: {countDistinct: {salary: {gt: 2}}}"),
        "EmployeeCountDistinctHaving.salary",
        show_departments("Finance", "Marketing", "Operations", "Sales"),
    ),
    "an order of groups": (
        by_department("orderBy: [{max: {salary: DESC}}], first: 1"),
        "EmployeeMaximumOrder.salary",
        show_departments("Operations"),
    ),
}
"""By position, a query, the coordinate by which it is denied, and what it shows to whoever may see salaries."""

PEOPLE, SALES = "people", "sales"


@pytest.mark.parametrize("position", CASES)
async def test_a_position_is_denied_to_who_may_not_see_the_field_and_nothing_is_read_for_it(
    engine: QueryEngine, recorded_sources: dict[str, Strict], position: str
) -> None:
    text, coordinate, _ = CASES[position]
    answer = await ask(engine, f"{{ {text} }}", SALES)
    denials = {(error.code, (error.extensions or {})["position"]) for error in answer.errors}
    assert denials == {(ErrorCode.FORBIDDEN, coordinate)}
    assert "salary" not in repr(list_requests(recorded_sources))


@pytest.mark.parametrize("position", CASES)
async def test_a_position_is_answered_to_who_may_see_the_field(engine: QueryEngine, position: str) -> None:
    text, _, shown = CASES[position]
    answer = await ask(engine, f"{{ {text} }}", PEOPLE)
    assert (answer.errors, list((answer.data or {}).values())) == ([], [shown])


def test_no_position_is_left_out() -> None:
    """A key is shown only of groups by it, which are denied before it."""
    named = {tuple(coordinate.split(".")) for _, coordinate, _ in CASES.values()}
    wanted: set[SchemaCoordinate] = {*looking(cached_catalog().schema, SALARY), SALARY}
    assert {item for item in wanted - named if not item[0].endswith("GroupKey")} == set()


ELSEWHERE: dict[Surface | str, tuple[str, str]] = {
    "cursor": (
        "security/permission/test_acme.py::test_a_cursor_over_salaries_is_judged_anew_for_whoever_brings_it",
        "query/spec/test_cursors.py::test_a_cursor_shows_nothing_that_its_bearer_may_not_see",
    ),
    "look-up": (
        "query/lookups/test_lookups.py::test_a_denied_lookup_is_never_read",
        "query/lookups/test_lookups.py::test_a_value_is_found_by_key_and_arguments",
    ),
    "interface": (
        "query/interfaces/test_guarded.py::test_no_query_reads_a_denied_field",
        "query/interfaces/test_guarded.py::test_every_coordinate_of_a_denied_field_is_forbidden",
    ),
    "entity of a federation": (
        "e2e/federation/test_entities.py::test_a_field_that_is_withheld_is_null_and_the_rest_of_its_entity_is_served",
        "e2e/federation/test_entities.py::test_an_entity_is_the_row_that_is_found_by_its_id",
    ),
    "masked value": (
        "query/rules/test_masks.py::test_a_masked_field_cannot_be_used",
        "query/rules/test_masks.py::test_a_masked_field_shows_what_its_reader_may_see",
    ),
    "row": (
        "query/rules/test_rows.py::test_a_row_out_of_rule_does_not_exist",
        "query/rules/test_rows.py::test_a_person_sees_the_rows_of_all_their_groups",
    ),
    "mutation and its input": (
        "security/permission/test_changes.py::test_a_change_is_applied_for_those_the_model_allows_and_nobody_else",
        "security/permission/test_changes.py::test_no_group_alone_may_change_everything_and_each_change_is_some_groups",
    ),
    "changed row": (
        "query/rules/test_changes.py::test_a_change_that_is_refused_changes_nothing",
        "query/rules/test_changes.py::test_a_change_stays_within_the_rows_that_are_seen",
    ),
    "history": (
        "query/rules/test_masks.py::test_a_masked_field_cannot_be_used",
        "query/rules/test_changes.py::test_the_history_of_a_hidden_row_is_hidden",
    ),
    "error": (
        "security/threats/test_leaks.py::test_no_error_of_a_fuzzed_query_shows_internals",
        "query/test_denials.py::test_a_client_reads_the_same_beside_the_message",
    ),
    "suggestion": (
        "schema/test_own_view.py::test_no_typo_brings_out_a_name_that_the_caller_may_not_know",
        "schema/test_own_view.py::test_a_typo_of_a_name_that_the_caller_may_know_brings_it_out",
    ),
    "plan": (
        "query/explain/test_plan.py::test_a_denied_field_leaves_no_trace_in_a_plan",
        "query/explain/test_plan.py::test_a_step_says_who_takes_it_and_why_the_connector_does_not",
    ),
    "statement of a plan": (
        "query/explain/test_sql.py::test_statements_are_shown_to_nobody_else",
        "query/explain/test_sql.py::test_statements_are_shown_to_the_groups_in_the_settings",
    ),
    "cached plan": (
        "security/permission/test_acme.py::test_a_plan_for_permitted_groups_is_not_used_for_others",
        "query/spec/test_plan_cache.py::test_callers_with_the_same_permissions_share_a_plan",
    ),
    "cached row": (
        "runtime/cache/test_http.py::test_who_left_a_group_is_not_served_what_it_read",
        "runtime/cache/test_http.py::test_callers_with_the_same_permissions_share_and_others_never",
    ),
    "introspection": (
        "schema/test_own_view.py::test_introspection_shows_only_what_the_caller_may_see",
        "schema/test_own_view.py::test_all_groups_together_see_the_whole_schema",
    ),
    "SDL of a subgraph": (
        "e2e/federation/test_hidden_names.py::test_the_sdl_names_only_what_the_caller_may_see",
        "e2e/federation/test_hidden_names.py::test_all_groups_together_see_what_everyone_sees_of_an_open_schema",
    ),
    "docs of GraphiQL": (
        "e2e/browser/test_permissions.py::test_under_own_views_nothing_is_named_that_the_view_does_not_have",
        "e2e/browser/test_graphiql.py::test_the_docs_say_who_may_see_a_field_and_who_owns_it",
    ),
    Surface.PERMISSIONS: (
        "e2e/browser/test_permissions.py::test_under_own_views_a_hidden_field_is_not_named",
        "e2e/browser/test_permissions.py::test_a_key_is_shown_the_groups_of_every_field",
    ),
    "my access": (
        "query/access/test_access.py::test_under_own_views_a_hidden_coordinate_is_none",
        "query/access/test_access.py::test_my_access_says_of_every_coordinate_what_is_decided",
    ),
    "simulation": (
        "query/access/test_access.py::test_only_reviewers_simulate_and_compare",
        "query/access/test_access.py::test_a_simulation_says_what_would_be_denied_and_why",
    ),
    "persisted document": (
        "http/test_persisted_documents.py::test_permission_holds_for_what_is_trusted",
        "http/test_persisted_documents.py::test_a_trusted_document_runs_by_its_digest",
    ),
    Surface.GRAPHQL: (
        "http/test_audit_records.py::test_a_record_says_who_what_of_where_and_what_was_withheld",
        "http/test_keys.py::test_people_see_what_they_may_and_know_who_they_are",
    ),
    Surface.WEBSOCKET: (
        "http/live/test_ws.py::test_groups_are_those_of_each_event",
        "http/live/test_ws.py::test_a_query_over_a_socket_gets_the_reply_of_http",
    ),
    Surface.SUBSCRIPTION: (
        "http/live/test_events.py::test_a_row_that_is_denied_cannot_be_subscribed_to",
        "http/live/test_events.py::test_subscribers_to_a_row_get_its_changes_as_each_may_see_them",
    ),
    "event about a hidden row": (
        "query/rules/test_changes.py::test_an_event_of_a_hidden_row_is_not_delivered",
        "http/live/test_events.py::test_a_vendor_hears_of_the_vendors_customers_alone",
    ),
    Surface.EXPORT: (
        "exports/test_rules.py::test_a_denied_field_is_omitted_and_named",
        "exports/test_rules.py::test_columns_are_response_keys_in_the_order_of_the_selection",
    ),
    "download": (
        "exports/test_download.py::test_a_file_is_closed_once_one_of_its_columns_is_denied",
        "exports/test_download.py::test_whoever_started_an_export_downloads_its_file",
    ),
    Surface.JOB: (
        "jobs/test_running.py::test_a_job_cannot_read_a_field_that_is_denied_to_whoever_started_it",
        "jobs/test_reads.py::test_a_copy_is_shown_to_whoever_may_read_what_it_was_made_of",
    ),
    "result of a job": (
        "jobs/test_reads.py::test_who_started_a_job_sees_no_more_of_it_once_they_may_not_read_what_it_read",
        "jobs/test_reads.py::test_a_copy_is_shown_to_whoever_may_read_what_it_was_made_of",
    ),
    "what a job keeps of limited rows": (
        "query/rules/test_kept.py::test_what_a_query_reads_says_who_may_see_what_came_of_it",
        "query/rules/test_kept.py::test_all_rows_are_allowed_to_the_groups_that_see_them",
    ),
    "audit record": (
        "http/test_audit_records.py::test_no_key_and_no_value_stands_in_the_audit_log_in_clear",
        "http/test_audit_records.py::test_those_who_audit_may_ask_for_the_records_and_nobody_else",
    ),
    "line of a log": (
        "security/threats/test_huge.py::test_fields_that_are_withheld_are_not_logged",
        "security/threats/test_leaks.py::test_internal_errors_look_alike_and_are_logged_once",
    ),
    "user or grant": (
        "administration/test_mutations.py::test_nobody_else_sees_users",
        "administration/test_grants.py::test_everybody_sees_their_own_grants_and_reviewers_see_all",
    ),
    Surface.SCIM: (
        "http/scim/test_people.py::test_nothing_is_served_without_the_credential",
        "http/scim/test_people.py::test_a_user_with_an_address_is_a_person",
    ),
    Surface.SIGN_IN: (
        "http/test_sign_in.py::test_the_attempt_of_another_browser_lets_nobody_in",
        "http/test_sign_in.py::test_signing_in_gives_a_code_for_a_key_and_groups_from_claims",
    ),
}
"""By position, the test that denies it, and the one that allows it."""

SHOW_NOBODY = {
    Surface.SETTLING: "a server settles what another left, and answers nobody",
    Surface.LDAP: "a server reads a directory, and answers nobody",
    Surface.CLI: "whoever runs commands on the server may read its files",
}


@pytest.mark.parametrize("position", ELSEWHERE)
def test_what_is_shown_elsewhere_is_denied_once_and_allowed_once(position: Surface | str) -> None:
    assert list_missing(ELSEWHERE[position]) == []


def test_no_surface_is_left_out() -> None:
    assert {*ELSEWHERE, *SHOW_NOBODY} >= set(Surface)
