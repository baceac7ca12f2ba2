"""Introspect the schema alone, beside data, and whole as tools do (specification, section 4)."""

import json

from graphql import build_client_schema, get_introspection_query, lexicographic_sort_schema, print_schema

from onedoor.query.context import QueryEngine
from tests.query.spec.conftest import Ask


async def test_the_standard_question_gives_a_schema_that_tools_can_build(ask: Ask, engine: QueryEngine) -> None:
    answer = await ask(get_introspection_query(input_value_deprecation=True, one_of=True), "sales")
    assert answer.data is not None
    built = build_client_schema(json.loads(json.dumps(answer.data)))
    assert (print_schema(lexicographic_sort_schema(built)), answer.scan_stats) == (
        print_schema(lexicographic_sort_schema(engine.catalog.schema)),
        [],
    )


async def test_the_schema_beside_data_keeps_the_order_of_the_selection(ask: Ask) -> None:
    text = """
      query Beside($since: DateTime!, $name: String = "Direction") {
        kinds: __type(name: $name) { ...T }
        orders(where: { placedAt: { gte: $since } }) { totalCount }
        __schema { queryType { name } }
        __typename
        ... { order(id: 1) { total } }
      }
      fragment T on __Type { __typename enumValues { name } }
    """
    answer = await ask(text, variables={"since": "2026-10-01T00:00:00Z"})
    assert (json.dumps(answer.data), answer.errors) == (
        json.dumps(
            {
                "kinds": {"__typename": "__Type", "enumValues": [{"name": "ASC"}, {"name": "DESC"}]},
                "orders": {"totalCount": 186},
                "__schema": {"queryType": {"name": "Query"}},
                "__typename": "Query",
                "order": {"total": "29.97"},
            }
        ),
        [],
    )


async def test_a_type_that_is_not_there_is_null(ask: Ask) -> None:
    answer = await ask('{ __type(name: "Nothing") { name } }')
    assert (answer.data, answer.errors) == ({"__type": None}, [])


async def test_the_schema_is_shown_beside_what_is_withheld(ask: Ask) -> None:
    answer = await ask("{ requests { totalCount } __schema { queryType { name } } }", "sales")
    assert (answer.data, [error.path for error in answer.errors]) == (
        {"requests": None, "__schema": {"queryType": {"name": "Query"}}},
        [("requests",)],
    )


async def test_what_is_left_out_of_the_schema_is_left_out(ask: Ask) -> None:
    text = "query($with: Boolean!) { me { id } __schema @include(if: $with) { queryType { name } } }"
    answer = await ask(text, variables={"with": False})
    assert answer.data == {"me": {"id": "P1"}}


async def test_a_text_that_only_speaks_of_the_schema_asks_nothing_of_it(ask: Ask) -> None:
    answer = await ask('{ customers(where: { name: { eq: "__schema" } }) { totalCount } }')
    assert answer.data == {"customers": {"totalCount": 0}}
