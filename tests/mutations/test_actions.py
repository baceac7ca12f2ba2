"""Root fields of a mutation run one after another, are authorized like any field, and return what then stands."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from auth.authentication import Principal
from onedoor.errors import ConfigurationError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, build_query_engine
from onedoor.query.engine import execute
from onedoor.query.startup_checks import validate_catalog, validate_mutations
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from onedoor.schema.builder import build_document
from onedoor.schema.generate.mutations import add_change_types
from onedoor.schema.reader import SchemaError, read_shapes
from onedoor.schema.visibility import build_visible_schema
from tests import acme
from tests.mutations import lamp_schema
from tests.mutations.lamps import LIT, LIT_ONE, Lamps, build_catalog, build_engine, build_schema


async def run(
    engine: QueryEngine, principal: Principal, text: str, event: str | None = None, **variables: Any
) -> ExecutionResult:
    options = variables.pop("options", {})
    request = GraphQLRequest(query=text, variables=variables, extensions=options)
    return await execute(engine, principal, request, event=event, record=acme.RECORD)


def codes(result: ExecutionResult) -> list[ErrorCode]:
    return [error.code for error in result.errors]


async def test_a_mutation_returns_what_then_stands() -> None:
    lamps = Lamps()
    result = await run(build_engine(lamps), acme.caller("sales"), LIT, id="2", lit=True)
    assert result.data == {"light": {"id": "2", "lit": True}}
    assert lamps.rows[2] == (2, True, 20)
    (act,) = lamps.acts
    assert (act.field, act.record_id, act.arguments) == ("light", "R1", {"input": {"id": "2", "lit": True}})
    assert result.changes == [LIT_ONE]


async def test_root_fields_run_one_after_another_and_each_is_read_at_once() -> None:
    text = """mutation { a: light(input: {id: 1, lit: true}) { lit } b: light(input: {id: 1, lit: false}) { lit }
        c: light(input: {id: 1, lit: true}) { lit } }"""
    result = await run(build_engine(Lamps()), acme.caller("sales"), text)
    assert result.data == {"a": {"lit": True}, "b": {"lit": False}, "c": {"lit": True}}


async def test_a_failed_mutation_is_null_with_its_error_and_the_next_one_runs() -> None:
    text = "mutation { a: light(input: {id: 0, lit: true}) { lit } b: light(input: {id: 1, lit: true}) { lit } }"
    result = await run(build_engine(Lamps()), acme.caller("sales"), text)
    assert result.data == {"a": None, "b": {"lit": True}}
    assert codes(result) == [ErrorCode.NOT_FOUND]
    assert result.errors[0].path == ("a",)


async def test_an_action_that_leads_to_no_row_is_null_without_an_error() -> None:
    result = await run(build_engine(Lamps()), acme.caller("sales"), LIT, id="9", lit=True)
    assert (result.data, list(result.errors)) == ({"light": None}, [])


async def test_rows_that_only_an_action_holds_are_read_from_it_alone() -> None:
    lamps = Lamps()
    text = 'mutation { light(input: {id: 1, lit: true, note: "only try"}) { lit } }'
    assert (await run(build_engine(lamps), acme.caller("sales"), text)).data == {"light": {"lit": True}}
    assert lamps.rows[1] == (1, False, 10)


@pytest.mark.parametrize("who", ["support", "marketing"])
async def test_a_denied_mutation_is_forbidden_and_changes_nothing(who: str) -> None:
    lamps = Lamps()
    result = await run(build_engine(lamps), acme.caller(who), LIT, id="1", lit=True)
    assert (result.data, codes(result), lamps.acts) == ({"light": None}, [ErrorCode.FORBIDDEN], [])


@pytest.mark.parametrize(
    "text",
    [
        "mutation { light(input: {id: 1, lit: true, price: 3}) { id } }",
        "mutation ($price: Int) { light(input: {id: 1, lit: true, price: $price}) { id } }",
        "mutation ($input: LightInput!) { light(input: $input) { id } }",
    ],
)
async def test_a_value_for_a_denied_input_field_denies_the_whole_mutation(text: str) -> None:
    lamps = Lamps()
    given = {"input": {"id": "1", "lit": True, "price": 3}} if "$input" in text else {"price": 3}
    given = given if "$" in text else {}
    result = await run(build_engine(lamps), acme.caller("sales"), text, **given)
    assert (result.data, codes(result), lamps.acts) == ({"light": None}, [ErrorCode.FORBIDDEN], [])
    assert (await run(build_engine(lamps), acme.caller("finance"), text, **given)).data == {"light": {"id": "1"}}
    assert lamps.rows[1] == (1, True, 3)


async def test_a_denied_output_field_is_null_and_the_change_is_applied() -> None:
    lamps = Lamps()
    text = "mutation { light(input: {id: 1, lit: true}) { lit price } }"
    result = await run(build_engine(lamps), acme.caller("sales"), text)
    assert (result.data, codes(result)) == ({"light": {"lit": True, "price": None}}, [ErrorCode.FORBIDDEN])
    assert lamps.rows[1][1]


async def test_all_or_nothing_changes_nothing_where_a_field_is_denied() -> None:
    lamps = Lamps()
    text = "mutation { light(input: {id: 1, lit: true}) { lit price } }"
    result = await run(build_engine(lamps), acme.caller("sales"), text, options={"allOrNothing": True})
    assert (result.rejected, lamps.acts) == (True, [])


async def test_a_variable_that_is_not_given_leaves_its_field_out() -> None:
    lamps = Lamps()
    text = "mutation ($note: String) { light(input: {id: 1, lit: true, note: $note}) { id } }"
    await run(build_engine(lamps), acme.caller("sales"), text)
    assert lamps.acts[0].arguments["input"] == {"id": "1", "lit": True}
    await run(build_engine(lamps), acme.caller("sales"), text, note=None)
    assert lamps.acts[1].arguments["input"] == {"id": "1", "lit": True, "note": None}


async def test_planning_alone_changes_nothing() -> None:
    lamps = Lamps()
    result = await run(build_engine(lamps), acme.caller("sales"), LIT, id="1", lit=True, options={"plan": "ONLY"})
    assert result.plan_only
    assert not lamps.acts


async def test_more_mutations_than_the_limit_are_refused_and_none_is_applied() -> None:
    lamps, text = Lamps(), "".join(f"a{n}: light(input: {{id: 1, lit: true}}) {{ id }} " for n in range(4))
    engine = build_engine(lamps, limits=Limits(mutations_max=3))
    result = await run(engine, acme.caller("sales"), f"mutation {{ {text} }}")
    assert "`mutations_max` of 3" in result.errors[0].message
    assert not lamps.acts


async def test_a_mutation_that_takes_too_long_is_reported_as_unsettled() -> None:
    text = """mutation { a: light(input: {id: 1, lit: true}) { lit }
        b: light(input: {id: 1, lit: true, note: "for ever"}) { lit } }"""
    result = await run(build_engine(Lamps(), limits=Limits(request_seconds=0.2)), acme.caller("sales"), text)
    assert result.data == {"a": {"lit": True}, "b": None}
    assert codes(result) == [ErrorCode.CHANGE_UNSETTLED]


async def test_a_mutation_is_answered_past_the_row_cache() -> None:
    lamps, clock = Lamps(), asyncio.get_running_loop().time
    cache = RowCache(
        store=InMemoryCacheStore(max_entries=10, max_bytes=10_000, clock=clock),
        max_ages={"lamps": {"lamp": 60.0}},
        secret=b"s",
    )
    engine = build_query_engine(build_catalog(lamps), lambda _: {}, clock, cache)
    for _ in range(2):
        assert (await run(engine, acme.caller("sales"), "{ lamp(id: 1) { lit } }")).data == {"lamp": {"lit": False}}
    assert (await run(engine, acme.caller("sales"), LIT, id="1", lit=True)).data == {"light": {"id": "1", "lit": True}}


async def test_an_event_leads_to_its_row_and_is_authorized_anew() -> None:
    engine, text = build_engine(Lamps()), "subscription { lit { id price } }"
    assert (await run(engine, acme.caller("finance"), text, event="2")).data == {"lit": {"id": "2", "price": 20}}
    result = await run(engine, acme.caller("sales"), text, event="2")
    assert (result.data, codes(result)) == ({"lit": {"id": "2", "price": None}}, [ErrorCode.FORBIDDEN])
    assert (await run(engine, acme.caller("marketing"), text, event="2")).data == {"lit": None}


@pytest.mark.parametrize(("text", "event"), [("subscription { lit { id } }", None), ("{ lamp(id: 1) { id } }", "1")])
async def test_an_operation_of_the_wrong_kind_is_refused(text: str, event: str | None) -> None:
    engine = build_engine(Lamps())
    for _ in range(2):
        assert codes(await run(engine, acme.caller("sales"), text, event=event)) == [ErrorCode.BAD_REQUEST]


async def test_a_denied_mutation_is_not_in_the_schema_that_its_caller_sees() -> None:
    rules = build_schema()[1]
    engine = build_engine(
        Lamps(), schema_for_groups=lambda groups: build_visible_schema(build_document([lamp_schema]), rules, groups)
    )
    result = await run(engine, acme.caller("support"), LIT, id="1", lit=True)
    assert codes(result) in ([ErrorCode.GRAPHQL_VALIDATION_FAILED], [ErrorCode.BAD_REQUEST])
    assert "light" not in result.errors[0].message or "has no field `light`" in result.errors[0].message
    assert (await run(engine, acme.caller("sales"), LIT, id="1", lit=True)).data == {"light": {"id": "1", "lit": True}}


def test_a_mutation_without_an_action_is_refused_at_the_start_and_so_is_an_action_without_a_mutation() -> None:
    lamps = Lamps()
    validate_catalog(build_catalog(lamps))
    validate_mutations(build_catalog(lamps))
    with pytest.raises(ConfigurationError, match=r"`Mutation\.light` does nothing"):
        validate_mutations(build_catalog(lamps, {}))
    with pytest.raises(ConfigurationError, match="an action `dim`"):
        validate_mutations(build_catalog(lamps, {"light": lamps.light, "dim": lamps.light}))


def test_an_input_belongs_to_one_mutation() -> None:
    shapes = read_shapes([lamp_schema])
    (mutation,) = (type_ for type_ in shapes.types if type_.name == "Mutation")
    twice = replace(mutation, fields=(*mutation.fields, replace(mutation.fields[0], name="again")))
    with pytest.raises(SchemaError, match="both take a `LightInput`"):
        add_change_types(replace(shapes, types=tuple(twice if type_ is mutation else type_ for type_ in shapes.types)))
