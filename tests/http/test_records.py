"""Exactly one record for each request, whatever came of it, and what stands in it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from onedoor.audit.reader import verify_folder
from onedoor.errors import ConnectorError
from onedoor.model.catalog import Limits
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.http.conftest import Door, Odd, Opening, hang, spoken, until

NAME = "Tramontana Interiors Inc."
SECRET = "secret detail in /srv/source.py"


async def fails(ask: ScanRequest) -> None:
    raise ConnectorError("`internal` is away")


async def crashes(ask: ScanRequest) -> None:
    raise ValueError(SECRET)


def internal(act: Callable[[ScanRequest], Awaitable[None]]) -> Odd:
    return Odd(acme.sources()["internal"], act)


async def nothing(ask: ScanRequest) -> None:
    return None


CUSTOMER = "{ customer(id: 1) { name } }"
OUTCOMES = [
    pytest.param(nothing, CUSTOMER, "sales", "answered", 200, id="an answer"),
    pytest.param(nothing, "{ customer(id: 1) { name creditLimit } }", "sales", "partial", 200, id="part of an answer"),
    pytest.param(nothing, CUSTOMER, "nobody", "partial", 200, id="all of it withheld"),
    pytest.param(nothing, "{", "sales", "refused", 400, id="no document"),
    pytest.param(nothing, "{ nobody }", "sales", "refused", 400, id="an unknown field"),
    pytest.param(nothing, "{ customers(first: -1) { totalCount } }", "sales", "refused", 400, id="a bad size"),
    pytest.param(nothing, CUSTOMER, None, "unauthenticated", 401, id="no key"),
    pytest.param(fails, CUSTOMER, "sales", "partial", 200, id="a source that fails"),
    pytest.param(crashes, CUSTOMER, "sales", "crashed", 500, id="a crash"),
    pytest.param(
        crashes, "{ a: customer(id: 1) { name } b: customers { totalCount } }", "sales", "crashed", 500, id="two"
    ),
]


@pytest.mark.parametrize(("act", "text", "who", "outcome", "status"), OUTCOMES)
async def test_a_request_leaves_one_record(
    opening: Opening, act: Any, text: str, who: str | None, outcome: str, status: int
) -> None:
    door: Door = await opening({"internal": internal(act)})
    told = await door.ask(text, who)
    assert (told.status, [(each["outcome"], each["status"], each["bytes"]) for each in door.records()]) == (
        status,
        [(outcome, status, len(told.raw))],
    )


async def test_all_or_nothing_leaves_a_refusal(door: Door) -> None:
    options = {"extensions": {"onedoor": {"allOrNothing": True}}}
    told = await door.ask("{ customer(id: 1) { name creditLimit } }", **options)
    (record,) = door.records()
    assert (told.status, record["outcome"], record["fields"], record["withheld"], record["sources"]) == (
        400,
        "refused",
        [],
        [{"field": "Customer.creditLimit", "reason": "Customer.creditLimit"}],
        [],
    )


async def test_an_answer_that_takes_too_long_leaves_a_failure(opening: Opening) -> None:
    door: Door = await opening({"internal": internal(hang)}, limits=Limits(request_seconds=0.02))
    told = await door.ask(CUSTOMER)
    assert (told.body["data"], told.code, [each["outcome"] for each in door.records()]) == (
        None,
        "LIMIT_EXCEEDED",
        ["failed"],
    )


async def test_a_source_that_takes_too_long_is_null_and_the_rest_is_served(opening: Opening) -> None:
    door: Door = await opening({"internal": internal(hang)}, limits=Limits(source_seconds=0.02))
    told = await door.ask("{ customer(id: 1) { name } me { email } }")
    (record,) = door.records()
    assert (told.body["data"], told.code, record["outcome"]) == (
        {"customer": None, "me": {"email": "sales@acme.example"}},
        "SOURCE_UNAVAILABLE",
        "partial",
    )


async def test_a_crash_says_nothing_but_where_it_is_on_record(
    opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    door: Door = await opening({"internal": internal(crashes)})
    with caplog.at_level(logging.ERROR, logger="onedoor"):
        told = await door.ask(CUSTOMER)
    (record,) = door.records()
    message = f"something went wrong here; it is on record as {record['id']}"
    (line,) = [each.getMessage() for each in caplog.records]
    assert told.body == {"errors": [{"message": message, "extensions": {"code": "INTERNAL"}}]}
    assert line.startswith(f"request {record['id']} crashed: ")
    assert (SECRET in line, len(line) < 2_000, "\n" in line) == (False, True, False)
    assert SECRET.encode() not in journal(door)


async def test_a_client_that_leaves_cancels_its_sources_and_leaves_a_record(opening: Opening) -> None:
    odd = internal(hang)
    door: Door = await opening({"internal": odd}, limits=Limits(source_seconds=60, request_seconds=60))
    asking = asyncio.create_task(door.ask(CUSTOMER))
    async with asyncio.timeout(5):
        await odd.began.wait()
        asking.cancel()
        await odd.cancelled.wait()
    await until(lambda: len(door.records()) == 1)
    (record,) = door.records()
    asked = [(each["source"], each["calls"], each["rows"]) for each in record["sources"]]
    assert (record["outcome"], record["status"], record["person"] is None, record["fields"], asked) == (
        "cancelled",
        499,
        False,
        [],
        [("internal", 1, 0)],
    )


async def test_a_client_that_leaves_before_it_has_asked_leaves_a_record(door: Door) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    key = door.keys.of["sales"].encode()
    writer.write(b"POST /graphql HTTP/1.1\r\nhost: x\r\nx-api-key: " + key + b"\r\ncontent-length: 9\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until(lambda: len(door.records()) == 1)
    assert [(each["outcome"], each["text"]) for each in door.records()] == [("cancelled", None)]


async def test_a_record_that_cannot_be_kept_keeps_its_answer_back(door: Door) -> None:
    await door.ask(CUSTOMER)
    door.disk.broken = True
    told = await door.ask(CUSTOMER)
    refused = await door.ask(CUSTOMER, None)
    door.disk.broken = False
    again = await door.ask(CUSTOMER)
    assert [(each.status, each.code) for each in (told, refused)] == [(503, "AUDIT_UNAVAILABLE")] * 2
    assert (NAME.encode() in told.raw, told.headers["retry-after"], again.body) == (
        False,
        "1",
        {"data": {"customer": {"name": NAME}}},
    )
    assert len(door.records()) == 2


async def test_records_hold_together(door: Door) -> None:
    await asyncio.gather(*(door.ask(CUSTOMER, who) for who in ("sales", "nobody", None) * 5))
    checked = verify_folder(door.folder)
    assert (checked.records, checked.broken) == (15, None)


ASKED = """query Looked($id: ID!, $w: CustomerWhere) {
  customer(id: $id) { name creditLimit orders(first: 1, orderBy: [{ total: DESC }]) { nodes { total } } }
  customers(where: $w) { totalCount }
  requests(where: { personId: { eq: "someone" } }) { nodes { id text } }
  rich: customers(where: { creditLimit: { gt: "1" } }) { nodes { email } }
  usageDays(first: 1, where: { customer: { country: { eq: "SE" }, orders: { some: { note: { isNull: false } } } } }) {
    nodes { day }
  }
  __typename
}"""


async def test_a_record_says_who_what_of_where_and_what_was_withheld(door: Door) -> None:
    variables = {"id": "20", "w": {"or": [{"country": {"eq": "JP"}}, {"not": {"segment": {"eq": "ENTERPRISE"}}}]}}
    told = await door.ask(ASKED, variables=variables)
    (record,) = door.records()
    assert told.status == 200
    assert {
        name: record[name] for name in ("surface", "outcome", "groups", "grants", "operation", "client_request_id")
    } == {
        "surface": "graphql",
        "outcome": "partial",
        "groups": ["everyone", "sales"],
        "grants": [],
        "operation": "Looked",
        "client_request_id": None,
    }
    assert record["key_id"] == door.keys.of["sales"].split("_")[1]
    assert record["fields"] == [
        "Query.customer",
        "Customer.name",
        "Customer.orders",
        "OrderConnection.nodes",
        "Order.total",
        "Query.customers",
        "CustomerConnection.totalCount",
        "Query.usageDays",
        "UsageDayConnection.nodes",
        "UsageDay.day",
    ]
    assert sorted(record["fields_used"]) == [
        "Customer.country",
        "Customer.orders",
        "Customer.segment",
        "Order.note",
        "Order.total",
        "UsageDay.customer",
    ]
    assert record["withheld"] == [
        {"field": "Customer.creditLimit", "reason": "Customer.creditLimit"},
        {"field": "Query.requests", "reason": "Query.requests"},
        {"field": "Query.customers", "reason": "CustomerWhere.creditLimit"},
    ]
    asked = [(each["source"], each["collection"], each["calls"], each["rows"]) for each in record["sources"]]
    assert sorted(asked) == [
        ("internal", "customer", 1, 1),
        ("internal", "customer", 1, 1),
        ("internal", "customer", 1, 2),
        ("internal", "orders", 1, 1),
        ("snowflake", "usage_day", 1, 60),
    ]
    assert record["rows"] == sum(each["rows"] for each in record["sources"])


async def test_a_source_that_failed_is_in_the_record(opening: Opening) -> None:
    door: Door = await opening({"internal": internal(fails)})
    await door.ask(CUSTOMER)
    (record,) = door.records()
    assert [(each["source"], each["calls"], each["rows"]) for each in record["sources"]] == [("internal", 1, 0)]


VALUES = ("customers/1/secret.txt", "Jean Dupont", "jean@dupont.example", "98765.43", "2026-02-03", "1212121212")
SAID = """query($file: ID!, $who: String, $w: OrderWhere, $after: String) {
  file(id: $file) { id }
  customers(where: { name: { eq: $who }, email: { contains: "jean@dupont.example" } }, after: $after) { totalCount }
  orders(where: $w) { totalCount }
  usageDays(where: { day: { eq: "2026-02-03" }, apiCalls: { gt: 1212121212 } }) { totalCount }
}"""


async def test_no_key_and_no_value_stands_in_the_journal_in_clear(door: Door) -> None:
    variables = {"file": VALUES[0], "who": VALUES[1], "w": {"total": {"gt": VALUES[3]}}, "after": None}
    await door.ask(SAID, variables=variables)
    await door.ask(SAID, variables={**variables, "after": "no cursor of Jean Dupont"})
    await door.ask("{ " + VALUES[1], variables={VALUES[1]: VALUES[2]})
    await door.ask(SAID.replace("98765.43", "1"), None, variables=variables)
    await door.ask('{ customers(where: { name: { eq: "Jean Dupont" } }) { nobody } }')
    kept = journal(door).decode()
    texts = [*VALUES, *door.keys.of.values(), *(key.split("_")[2] for key in door.keys.of.values()), "Dupont"]
    assert ([each for each in texts if each in kept], len(door.records())) == ([], 5)


async def test_those_who_audit_may_ask_for_the_records_and_nobody_else(door: Door) -> None:
    for who in ("sales", "nobody", "sales"):
        await door.ask(CUSTOMER, who)
    text = """query($after: String) {
      requests(where: { fieldsWithheld: { isNull: false } }, first: 1) { totalCount }
    }"""
    assert (await door.ask(text, "audit")).code == "GRAPHQL_VALIDATION_FAILED"
    asked = """query($after: String) {
      requests(where: { outcome: { in: [ANSWERED, PARTIAL] } }, orderBy: [{ time: ASC }], first: 2, after: $after) {
        totalCount
        nodes { outcome groups fields fieldsWithheld }
        pageInfo { endCursor hasNextPage }
      }
    }"""
    first = (await door.ask(asked, "audit")).body["data"]["requests"]
    assert first == {
        "totalCount": 3,
        "nodes": [
            {
                "outcome": "ANSWERED",
                "groups": ["everyone", "sales"],
                "fields": ["Query.customer", "Customer.name"],
                "fieldsWithheld": [],
            },
            {"outcome": "PARTIAL", "groups": ["everyone"], "fields": [], "fieldsWithheld": ["Query.customer"]},
        ],
        "pageInfo": {"endCursor": first["pageInfo"]["endCursor"], "hasNextPage": True},
    }
    after = {"after": first["pageInfo"]["endCursor"]}
    second = (await door.ask(asked, "audit", variables=after)).body["data"]["requests"]
    assert ([each["groups"] for each in second["nodes"]], second["totalCount"]) == (
        [["everyone", "sales"], ["audit", "everyone"]],
        4,
    )
    denied = [await door.ask(asked, who) for who in ("sales", "finance", "nobody")]
    assert [(each.body["data"], each.code) for each in denied] == [({"requests": None}, "FORBIDDEN")] * 3


async def test_a_record_may_be_asked_for_by_its_id(door: Door) -> None:
    told = await door.ask(CUSTOMER)
    text = "query($id: ID!) { request(id: $id) { id personId outcome bytes } }"
    found = await door.ask(text, "audit", variables={"id": told.headers["x-request-id"]})
    assert found.body["data"]["request"] == {
        "id": told.headers["x-request-id"],
        "personId": door.records()[0]["person"],
        "outcome": "ANSWERED",
        "bytes": str(len(told.raw)),
    }


async def test_a_broken_connection_is_not_an_error_of_the_door(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            await session.post(door.url + "/graphql", data=broken())
    await until(lambda: len(door.records()) == 1)
    assert caplog.records == []


async def broken() -> Any:
    yield b"{"
    raise aiohttp.ClientError


def journal(door: Door) -> bytes:
    return b"".join(path.read_bytes() for path in door.folder.iterdir())


async def test_odd_addresses_are_not_the_door(door: Door) -> None:
    for path in (b"/graphql/", b"//graphql", b"/Graphql", b"/graphql%00", b"/graphql;x", b"/../graphql"):
        said = await spoken(door.port, b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % path)
        assert said.startswith(b"HTTP/1.1 404")
    assert door.records() == []
