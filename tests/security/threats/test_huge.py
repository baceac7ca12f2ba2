"""Input that is far too large, too deep or too odd is refused in few words, and never echoed."""

import json
import logging
from typing import Any

import pytest

from onedoor.model.catalog import Limits
from tests.http.conftest import OpenServer, RunningServer

DIGITS = "9" * 5000
MANY = 200_000
IN = "query($x: [ID!]) { customers(where: { id: { in: $x } }) { totalCount } }"
NUMBERS = "query($x: [Int!]) { requests(where: { status: { in: $x } }) { totalCount } }"
INT = "query($x: Int) { customers(first: $x) { totalCount } }"
ID = "query($x: ID!) { customer(id: $x) { name } }"
DECIMAL = "query($x: Decimal) { orders(where: { total: { gt: $x } }) { totalCount } }"
BIG = "query($x: BigInt) { requests(where: { bytes: { gt: $x } }) { totalCount } }"
WHERE = "query($x: CustomerWhere) { customers(where: $x) { totalCount } }"

SENT = {
    "many ids": (IN, json.dumps(["1"] * MANY)),
    "many numbers where ids belong": (IN, "[" + "1," * MANY + "1]"),
    "many nulls": (IN, "[" + "null," * (MANY // 2) + "null]"),
    "many numbers": (NUMBERS, "[" + "1," * MANY + "1]"),
    "many wrong numbers": (NUMBERS, "[" + '"a",' * MANY + "1]"),
    "a list where a number belongs": (INT, "[" + "1," * MANY + "1]"),
    "a list where a filter belongs": (WHERE, "[" + "1," * MANY + "1]"),
    "many unknown fields of a filter": (WHERE, json.dumps({f"f{number}": 1 for number in range(50_000)})),
    "5000 digits of Int": (INT, DIGITS),
    "5000 digits of ID": (ID, DIGITS),
    "5000 digits of Decimal": (DECIMAL, DIGITS),
    "5000 digits of Decimal, as text": (DECIMAL, f'"{DIGITS}"'),
    "5000 digits of BigInt": (BIG, DIGITS),
    "5000 digits of BigInt, as text": (BIG, f'"{DIGITS}"'),
    "5000 digits below zero": (INT, f"-{DIGITS}"),
    "an exponent": (DECIMAL, "1e308"),
    "an exponent, as text": (DECIMAL, '"1e999999999"'),
    "no number, as text": (DECIMAL, '"NaN"'),
    "infinity, as text": (DECIMAL, '"-Infinity"'),
    "a NUL": (ID, '"\\u0000"'),
    "a NUL in a filter": (WHERE, '{"name": {"contains": "\\u0000"}}'),
    "control characters": (ID, '"\\u001b[2J\\u202e"'),
    "a long text": (ID, json.dumps("x" * 900_000)),
    "no number": (INT, "NaN"),
    "half a surrogate pair": (ID, '"\\ud800"'),
    "half a surrogate pair in a name": (WHERE, '{"\\udfff": 1}'),
    "deep": (WHERE, '{"not":' * 50_000 + "{}" + "}" * 50_000),
    "deep, within the limit": (WHERE, '{"not":' * 60 + "{}" + "}" * 60),
    "past all floats": (DECIMAL, "1e999"),
}
WRITTEN = {
    "5000 digits of Int": f"{{ customers(first: {DIGITS}) {{ totalCount }} }}",
    "5000 digits below zero": f"{{ customers(first: -{DIGITS}) {{ totalCount }} }}",
    "5000 digits of ID": f"{{ customer(id: {DIGITS}) {{ name }} }}",
    "5000 digits of ID, as text": f'{{ customer(id: "{DIGITS}") {{ name }} }}',
    "5000 digits of Decimal": f"{{ orders(where: {{ total: {{ gt: {DIGITS} }} }}) {{ totalCount }} }}",
    "5000 digits of Decimal, as text": f'{{ orders(where: {{ total: {{ gt: "{DIGITS}" }} }}) {{ totalCount }} }}',
    "5000 digits of BigInt": f"{{ requests(where: {{ bytes: {{ gt: {DIGITS} }} }}) {{ totalCount }} }}",
    "an exponent of 5000 digits": f"{{ orders(where: {{ total: {{ gt: 1e{DIGITS} }} }}) {{ totalCount }} }}",
    "5000 digits as a default": f"query($x: Int = {DIGITS}) {{ customers(first: $x) {{ totalCount }} }}",
    "a list of 200000": "{ customers(where: { id: { in: [" + "1 " * MANY + "] } }) { totalCount } }",
    "a list of 4000": "{ customers(where: { id: { in: [" + "1 " * 4000 + "] } }) { totalCount } }",
    "a long text": '{ customer(id: "' + "x" * 900_000 + '") { name } }',
    "a long text where a number belongs": '{ customers(first: "' + "x" * 100_000 + '") { totalCount } }',
    "a long name": "{ " + "x" * 900_000 + " }",
    "a long alias": "{ " + "x" * 900_000 + ": nobody }",
    "a long type": "query($x: " + "X" * 900_000 + ") { __typename }",
    "a deep list": "{ customer(id: " + "[" * 2000 + "]" * 2000 + ") { name } }",
    "a deep object": "{ customers(where: " + "{ not: " * 1500 + "{}" + "}" * 1500 + ") { totalCount } }",
    "a deep type": "query($x: " + "[" * 2000 + "ID" + "]" * 2000 + ") { __typename }",
    "a deep document": "{ a " * 2400 + "}" * 2400,
    "a long comment": "# " + "x" * 900_000 + "\n{",
    "a NUL": "{ \0 }",
    "a NUL in a text": '{ customer(id: "\\u0000") { name } }',
    "half a surrogate pair": '{ customer(id: "\\ud800") { name } }',
    "half a surrogate pair, in braces": '{ customer(id: "\\u{d800}") { name } }',
    "past all characters": '{ customer(id: "\\u{110000}") { name } }',
    "a text that does not end": '{ customer(id: "' + "x" * 100_000,
    "a block that does not end": '{ customer(id: """' + "x" * 100_000,
}
FEW = 4096
"""Bytes that a reply to one of these takes at most, but for one of very many errors."""


def bodies() -> list[Any]:
    sent = [
        pytest.param(f'{{"query": {json.dumps(text)}, "variables": {{"x": {value}}}}}', id=f"{name}, in a variable")
        for name, (text, value) in SENT.items()
    ]
    return sent + [pytest.param(json.dumps({"query": text}), id=name) for name, text in WRITTEN.items()]


@pytest.mark.parametrize("body", bodies())
async def test_huge_or_odd_input_neither_crashes_nor_is_echoed(
    server: RunningServer, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = await server.send(
            data=body.encode(), headers={**server.bearer("audit"), "content-type": "application/json"}
        )
    errors = response.body.get("errors", [])
    assert (response.status in (200, 400, 413), len(errors) <= Limits().errors_max) == (True, True)
    assert max((len(error["message"]) for error in errors), default=0) <= 500
    assert len(response.raw) <= max(FEW, len(errors) * 700)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("onedoor")] == []
    assert [record["status"] for record in server.records()] == [response.status]


async def test_a_reply_holds_no_more_errors_than_the_limit(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(errors_max=3))
    withheld = "{ " + " ".join(f"a{number}: customer(id: {number}) {{ creditLimit }}" for number in range(1, 11)) + " }"
    unknown = "{ " + " ".join(f"nobody{number}" for number in range(10)) + " }"
    results = [await server.ask(text) for text in (withheld, unknown)]
    assert [len(result.body["errors"]) for result in results] == [3, 3]


async def test_fields_that_are_withheld_are_not_logged(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="onedoor"):
        await server.ask("{ customers(first: 1000) { nodes { creditLimit email phone } } }", "nobody")
        await server.ask("{ customers(first: 100) { nodes { a: creditLimit b: creditLimit } } }")
    assert [record for record in caplog.records if record.name.startswith("onedoor")] == []
