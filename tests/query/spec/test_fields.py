"""Order, merge and alias the fields of a reply, and expand fragments (specification, section 6.3)."""

import json

import pytest

from tests.query.spec.conftest import Ask

MESSAGE = 'message(id: "C06G8FCPKZ2:1777940255.000100")'

FIELDS = [
    pytest.param(
        "{ customer(id: 3) { segment id country } }",
        '{"customer":{"segment":"SMALL_BUSINESS","id":"3","country":"DE"}}',
        id="keys come in the order asked",
    ),
    pytest.param(
        "{ customer(id: 3) { id country id } }",
        '{"customer":{"id":"3","country":"DE"}}',
        id="a field asked twice is answered once, where it was asked first",
    ),
    pytest.param(
        "{ customer(id: 3) { id } me { id } customer(id: 3) { country } }",
        '{"customer":{"id":"3","country":"DE"},"me":{"id":"P1"}}',
        id="what is wanted of equal root fields is merged",
    ),
    pytest.param(
        "{ customer(id: 3) { accountManager { id } accountManager { lastName manager { id } } "
        "accountManager { manager { lastName } } } }",
        '{"customer":{"accountManager":{"id":"2","lastName":"Schäfer","manager":{"id":"1","lastName":"Usman"}}}}',
        id="and of equal links, at any depth",
    ),
    pytest.param(
        "{ customers(first: 1) { nodes { id } edges { node { id } } nodes { country } edges { node { country } } } }",
        '{"customers":{"nodes":[{"id":"1","country":"US"}],"edges":[{"node":{"id":"1","country":"US"}}]}}',
        id="and within a page",
    ),
    pytest.param(
        "{ customer(id: 3) { name: country country: id id: segment } }",
        '{"customer":{"name":"DE","country":"3","id":"SMALL_BUSINESS"}}',
        id="an alias may be the name of another field",
    ),
    pytest.param(
        "{ a: customer(id: 3) { id } b: customer(id: 4) { id } c: customer(id: 3) { country } }",
        '{"a":{"id":"3"},"b":{"id":"4"},"c":{"country":"DE"}}',
        id="aliases of one field with different arguments stay apart",
    ),
    pytest.param(
        "{ customer(id: 3) { id ...F segment } } fragment F on Customer { country id }",
        '{"customer":{"id":"3","country":"DE","segment":"SMALL_BUSINESS"}}',
        id="a fragment's fields stand where it is spread",
    ),
    pytest.param(
        "{ ...Q me { id } } fragment Q on Query { customer(id: 3) { ...C } } "
        "fragment C on Customer { ...D country } fragment D on Customer { id }",
        '{"customer":{"id":"3","country":"DE"},"me":{"id":"P1"}}',
        id="fragments nest",
    ),
    pytest.param(
        "{ customer(id: 3) { ...A ...B ...A } } fragment A on Customer { id ...B } fragment B on Customer { country }",
        '{"customer":{"id":"3","country":"DE"}}',
        id="a fragment spread twice is applied once",
    ),
    pytest.param(
        "{ customer(id: 3) { ... { id } ... on Customer { country } } }",
        '{"customer":{"id":"3","country":"DE"}}',
        id="inline fragments apply, with a type or without",
    ),
    pytest.param(
        f"{{ {MESSAGE} {{ ... on Post {{ __typename ... on Message {{ channel {{ name }} }} "
        "... on Reply { id } } ... on Message { author { name } } } }",
        '{"message":{"__typename":"Message","channel":{"name":"deployments"},"author":{"name":"deploybot"}}}',
        id="a fragment on an interface applies, one on another type does not",
    ),
    pytest.param(
        f"{{ {MESSAGE} {{ ...P }} customer(id: 3) {{ ...C }} }} "
        "fragment P on Post { sentAt } fragment C on Customer { id }",
        '{"message":{"sentAt":"2026-05-05T00:17:35.000100Z"},"customer":{"id":"3"}}',
        id="a named fragment on an interface applies to what implements it",
    ),
    pytest.param(
        "{ __typename kind: __typename me { __typename key { __typename } } }",
        '{"__typename":"Query","kind":"Query","me":{"__typename":"Me","key":{"__typename":"Key"}}}',
        id="__typename at the root and of objects",
    ),
    pytest.param(
        "{ customers(first: 1) { __typename nodes { __typename } edges { __typename node { __typename } } "
        "pageInfo { __typename } } }",
        '{"customers":{"__typename":"CustomerConnection","nodes":[{"__typename":"Customer"}],'
        '"edges":[{"__typename":"CustomerEdge","node":{"__typename":"Customer"}}],'
        '"pageInfo":{"__typename":"PageInfo"}}}',
        id="__typename of pages, edges and rows",
    ),
    pytest.param(
        "{ customers(first: 0) { __typename } orders { __typename totalCount } }",
        '{"customers":{"__typename":"CustomerConnection"},"orders":{"__typename":"OrderConnection","totalCount":2000}}',
        id="__typename of a page without rows",
    ),
    pytest.param(
        '{ customer(id: "nobody") { __typename orders { totalCount } } }',
        '{"customer":null}',
        id="what is not there has no fields",
    ),
]


@pytest.mark.parametrize(("text", "data"), FIELDS)
async def test_fields_are_answered_in_the_order_of_the_selection(ask: Ask, text: str, data: str) -> None:
    answer = await ask(text)
    result = json.dumps(answer.data, ensure_ascii=False, separators=(",", ":"))
    assert (result, list(answer.errors)) == (data, [])
