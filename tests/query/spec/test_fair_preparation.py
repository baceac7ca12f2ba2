"""Preparing a document holds up nobody, is made once, and its caches are bounded by bytes."""

import asyncio
from dataclasses import replace
from threading import get_ident

import pytest
from graphql import get_introspection_query

from onedoor.model.catalog import Limits
from onedoor.query import engine as query_engine
from onedoor.query import selection
from onedoor.query.context import GraphQLRequest, QueryEngine
from tests import acme

LEAF = "fragment L on Employee { id firstName lastName fullName email title department }"
SAME_NAME = "{ employees { nodes { " + "id " * 4_900 + "} } }"
SPREADS = (
    "{ employees(first: 1) { nodes { "
    + " ".join(f"...F{number}" for number in range(300))
    + "} } }"
    + "".join(f"fragment F{number} on Employee {{ manager {{ id title }} }} " for number in range(300))
)


def build_doubling(name: str) -> str:
    """Nine fragments that double: 748 bytes, 4,348 fields when expanded."""
    fragments = "".join(
        f"fragment F{k} on Employee {{ ...L manager {{ ...F{k - 1} }} reports(first: 1) "
        f"{{ nodes {{ ...F{k - 1} }} }} }}"
        for k in range(1, 9)
    )
    operation = f"query {name} {{ employees(first: 1) {{ nodes {{ ...F8 }} }} }}"
    return f"{LEAF} fragment F0 on Employee {{ ...L }} {fragments} {operation}"


@pytest.fixture
def engine() -> QueryEngine:
    return acme.open_engine(acme.build_catalog())


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The thread of each document that is parsed and each schema that is introspected."""
    idents = list[int]()
    for name in ("parse_document", "introspect"):
        original = getattr(query_engine, name)

        def noted(*arguments, original=original):  # type: ignore[no-untyped-def]
            idents.append(get_ident())
            return original(*arguments)

        monkeypatch.setattr(query_engine, name, noted)
    return idents


@pytest.mark.parametrize("text", [SAME_NAME, SPREADS], ids=["one name", "spreads"])
async def test_a_document_with_too_many_comparisons_is_refused_once_and_names_the_limit(
    engine: QueryEngine, threads: list[int], text: str
) -> None:
    answers = [await acme.ask(engine, text, "finance") for _ in range(3)]
    limit = Limits().field_comparisons_max
    messages = {error.message for answer in answers for error in answer.errors}
    assert [message.endswith(f"`field_comparisons_max` of {limit}: ask in parts") for message in messages] == [True]
    assert (len(threads), get_ident() in threads) == (1, False)


async def test_introspection_is_executed_once_however_it_is_written(engine: QueryEngine, threads: list[int]) -> None:
    text = get_introspection_query()
    texts = (text, text.replace("\n", " "), text.replace("query IntrospectionQuery", "query Other"), text)
    answers = [await acme.ask(engine, written, "finance") for written in texts]
    assert all(answer.data == answers[0].data for answer in answers)
    assert (len(threads), len(engine.introspection_cache)) == (3 + 1, 1)
    assert get_ident() not in threads


async def test_introspection_beside_rows_keeps_the_order_asked(engine: QueryEngine) -> None:
    answer = await acme.ask(engine, "{ __schema { queryType { name } } me { id } b: __typename }", "finance")
    assert (list(answer.data), answer.data["__schema"]) == (["__schema", "me", "b"], {"queryType": {"name": "Query"}})


async def test_who_asks_for_the_same_at_once_shares_its_preparation(engine: QueryEngine, threads: list[int]) -> None:
    ada = replace(acme.caller("finance"), person_id="ada")
    request = GraphQLRequest(query=build_doubling("Q"))
    await asyncio.gather(*(query_engine.execute(engine, ada, request) for _ in range(5)))
    assert len(threads) == 1


async def test_what_is_kept_of_documents_and_plans_is_bounded_by_bytes(engine: QueryEngine) -> None:
    for number in range(20):
        await acme.ask(engine, build_doubling(f"Q{number}"), "finance")
    sizes = {
        name: cache.bytes_by_owner.total() <= cache.max_bytes
        for name, cache in (("documents", engine.document_cache), ("plans", engine.plan_cache))
    }
    assert (sizes, len(engine.plan_cache) < 10) == ({"documents": True, "plans": True}, True)


async def test_an_operation_that_is_refused_under_its_permissions_is_planned_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = replace(acme.build_catalog(), limits=Limits(tests_max=1))
    engine, collected = acme.open_engine(catalog), list[int]()
    original = selection.collect_fields

    def counted(*arguments):  # type: ignore[no-untyped-def]
        collected.append(1)
        return original(*arguments)

    monkeypatch.setattr(query_engine, "collect_fields", counted)
    text = '{ customers(where: {name: {eq: "a"}, email: {eq: "b"}}) { totalCount } }'
    answers = [await acme.ask(engine, text, "finance") for _ in range(3)]
    assert {answer.errors[0].code for answer in answers} == {"LIMIT_EXCEEDED"}
    assert len(collected) == 1
