"""Every request leaves exactly one record, whatever its outcome, and the record is complete."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from onedoor.audit.verification import verify_folder
from onedoor.errors import ConnectorError
from onedoor.model.catalog import Limits
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.http.conftest import HookedConnector, OpenServer, RunningServer, exchange_bytes, hang, wait_until

NAME = "Tramontana Interiors Inc."
SECRET = "secret detail in /srv/source.py"


async def fails(ask: ScanRequest) -> None:
    raise ConnectorError("`internal` is away")


async def crashes(ask: ScanRequest) -> None:
    raise ValueError(SECRET)


def internal(act: Callable[[ScanRequest], Awaitable[None]]) -> HookedConnector:
    return HookedConnector(acme.sources()["internal"], act)


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
    open_server: OpenServer, act: Any, text: str, who: str | None, outcome: str, status: int
) -> None:
    server: RunningServer = await open_server({"internal": internal(act)})
    result = await server.ask(text, who)
    assert (result.status, [(record["outcome"], record["status"], record["bytes"]) for record in server.records()]) == (
        status,
        [(outcome, status, len(result.raw))],
    )


async def test_all_or_nothing_leaves_a_refusal(server: RunningServer) -> None:
    options = {"extensions": {"onedoor": {"allOrNothing": True}}}
    result = await server.ask("{ customer(id: 1) { name creditLimit } }", **options)
    (record,) = server.records()
    assert (result.status, record["outcome"], record["fields"], record["withheld"], record["sources"]) == (
        400,
        "refused",
        [],
        [{"field": "Customer.creditLimit", "reason": "Customer.creditLimit"}],
        [],
    )


async def test_an_answer_that_takes_too_long_leaves_a_failure(open_server: OpenServer) -> None:
    server: RunningServer = await open_server({"internal": internal(hang)}, limits=Limits(request_seconds=0.02))
    result = await server.ask(CUSTOMER)
    assert (result.body["data"], result.code, [record["outcome"] for record in server.records()]) == (
        None,
        "LIMIT_EXCEEDED",
        ["failed"],
    )


async def test_a_source_that_takes_too_long_is_null_and_the_rest_is_served(open_server: OpenServer) -> None:
    server: RunningServer = await open_server({"internal": internal(hang)}, limits=Limits(source_seconds=0.02))
    result = await server.ask("{ customer(id: 1) { name } me { email } }")
    (record,) = server.records()
    assert (result.body["data"], result.code, record["outcome"]) == (
        {"customer": None, "me": {"email": "sales@acme.example"}},
        "SOURCE_UNAVAILABLE",
        "partial",
    )


async def test_a_crash_says_nothing_but_where_it_is_on_record(
    open_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    server: RunningServer = await open_server({"internal": internal(crashes)})
    with caplog.at_level(logging.ERROR, logger="onedoor"):
        result = await server.ask(CUSTOMER)
    (record,) = server.records()
    message = f"something went wrong here; it is on record as {record['id']}"
    (line,) = [item.getMessage() for item in caplog.records]
    assert result.body == {"errors": [{"message": message, "extensions": {"code": "INTERNAL"}}]}
    assert line.startswith(f"request {record['id']} crashed: ")
    assert (SECRET in line, len(line) < 2_000, "\n" in line) == (False, True, False)
    assert SECRET.encode() not in read_audit_bytes(server)


async def test_a_client_that_leaves_cancels_its_sources_and_leaves_a_record(open_server: OpenServer) -> None:
    odd = internal(hang)
    server: RunningServer = await open_server({"internal": odd}, limits=Limits(source_seconds=60, request_seconds=60))
    asking = asyncio.create_task(server.ask(CUSTOMER))
    async with asyncio.timeout(30):
        await odd.began.wait()
        asking.cancel()
        await odd.cancelled.wait()
    await wait_until(lambda: len(server.records()) == 1)
    (record,) = server.records()
    scans = [(source["source"], source["calls"], source["rows"]) for source in record["sources"]]
    assert (record["outcome"], record["status"], record["person"] is None, record["fields"], scans) == (
        "cancelled",
        499,
        False,
        [],
        [("internal", 1, 0)],
    )


async def test_a_client_that_leaves_before_its_request_is_whole_leaves_a_record(server: RunningServer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    key = server.keys.of["sales"].encode()
    writer.write(b"POST /graphql HTTP/1.1\r\nhost: x\r\nx-api-key: " + key + b"\r\ncontent-length: 9\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await wait_until(lambda: len(server.records()) == 1)
    assert [(record["outcome"], record["text"]) for record in server.records()] == [("cancelled", None)]


async def test_an_answer_whose_record_cannot_be_written_is_not_sent(server: RunningServer) -> None:
    await server.ask(CUSTOMER)
    server.disk.broken = True
    result = await server.ask(CUSTOMER)
    refused = await server.ask(CUSTOMER, None)
    server.disk.broken = False
    again = await server.ask(CUSTOMER)
    assert [(item.status, item.code) for item in (result, refused)] == [(503, "AUDIT_UNAVAILABLE")] * 2
    assert (NAME.encode() in result.raw, result.headers["retry-after"], again.body) == (
        False,
        "1",
        {"data": {"customer": {"name": NAME}}},
    )
    assert len(server.records()) == 2


async def test_records_hold_together(server: RunningServer) -> None:
    await asyncio.gather(*(server.ask(CUSTOMER, who) for who in ("sales", "nobody", None) * 5))
    checked = verify_folder(server.folder)
    assert (checked.records, checked.findings) == (15, ())


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


async def test_a_record_says_who_what_of_where_and_what_was_withheld(server: RunningServer) -> None:
    variables = {"id": "20", "w": {"or": [{"country": {"eq": "JP"}}, {"not": {"segment": {"eq": "ENTERPRISE"}}}]}}
    result = await server.ask(ASKED, variables=variables)
    (record,) = server.records()
    assert result.status == 200
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
    assert record["key_id"] == server.keys.of["sales"].split("_")[1]
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
    scans = [(source["source"], source["collection"], source["calls"], source["rows"]) for source in record["sources"]]
    assert sorted(scans) == [
        ("internal", "customer", 1, 1),
        ("internal", "customer", 1, 1),
        ("internal", "customer", 1, 2),
        ("internal", "orders", 1, 1),
        ("snowflake", "usage_day", 1, 60),
    ]
    assert record["rows"] == 4


async def test_a_source_that_failed_is_in_the_record(open_server: OpenServer) -> None:
    server: RunningServer = await open_server({"internal": internal(fails)})
    await server.ask(CUSTOMER)
    (record,) = server.records()
    assert [(source["source"], source["calls"], source["rows"]) for source in record["sources"]] == [("internal", 1, 0)]


VALUES = ("customers/1/secret.txt", "Jean Dupont", "jean@dupont.example", "98765.43", "2026-02-03", "1212121212")
SAID = """query($file: ID!, $who: String, $w: OrderWhere, $after: String) {
  file(id: $file) { id }
  customers(where: { name: { eq: $who }, email: { contains: "jean@dupont.example" } }, after: $after) { totalCount }
  orders(where: $w) { totalCount }
  usageDays(where: { day: { eq: "2026-02-03" }, apiCalls: { gt: 1212121212 } }) { totalCount }
}"""


async def test_no_key_and_no_value_stands_in_the_audit_log_in_clear(server: RunningServer) -> None:
    variables = {"file": VALUES[0], "who": VALUES[1], "w": {"total": {"gt": VALUES[3]}}, "after": None}
    await server.ask(SAID, variables=variables)
    await server.ask(SAID, variables={**variables, "after": "no cursor of Jean Dupont"})
    await server.ask("{ " + VALUES[1], variables={VALUES[1]: VALUES[2]})
    await server.ask(SAID.replace("98765.43", "1"), None, variables=variables)
    await server.ask('{ customers(where: { name: { eq: "Jean Dupont" } }) { nobody } }')
    text = read_audit_bytes(server).decode()
    texts = [*VALUES, *server.keys.of.values(), *(key.split("_")[2] for key in server.keys.of.values()), "Dupont"]
    assert ([item for item in texts if item in text], len(server.records())) == ([], 5)


async def test_those_who_audit_may_ask_for_the_records_and_nobody_else(server: RunningServer) -> None:
    for who in ("sales", "nobody", "sales"):
        await server.ask(CUSTOMER, who)
    text = """query($after: String) {
      requests(where: { fieldsWithheld: { isNull: false } }, first: 1) { totalCount }
    }"""
    assert (await server.ask(text, "audit")).code == "GRAPHQL_VALIDATION_FAILED"
    scans = """query($after: String) {
      requests(where: { outcome: { in: [ANSWERED, PARTIAL] } }, orderBy: [{ time: ASC }], first: 2, after: $after) {
        totalCount
        nodes { outcome groups fields fieldsWithheld }
        pageInfo { endCursor hasNextPage }
      }
    }"""
    first = (await server.ask(scans, "audit")).body["data"]["requests"]
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
    second = (await server.ask(scans, "audit", variables=after)).body["data"]["requests"]
    assert ([node["groups"] for node in second["nodes"]], second["totalCount"]) == (
        [["everyone", "sales"], ["audit", "everyone"]],
        4,
    )
    denied = [await server.ask(scans, who) for who in ("sales", "finance", "nobody")]
    assert [(item.body["data"], item.code) for item in denied] == [({"requests": None}, "FORBIDDEN")] * 3


async def test_a_record_may_be_queried_by_its_id(server: RunningServer) -> None:
    result = await server.ask(CUSTOMER)
    text = "query($id: ID!) { request(id: $id) { id personId outcome bytes } }"
    audit_result = await server.ask(text, "audit", variables={"id": result.headers["x-request-id"]})
    assert audit_result.body["data"]["request"] == {
        "id": result.headers["x-request-id"],
        "personId": server.records()[0]["person"],
        "outcome": "ANSWERED",
        "bytes": str(len(result.raw)),
    }


async def test_a_broken_connection_is_not_an_error_of_the_server(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            await session.post(server.url + "/graphql", data=broken())
    await wait_until(lambda: len(server.records()) == 1)
    assert caplog.records == []


async def broken() -> Any:
    yield b"{"
    raise aiohttp.ClientError


def read_audit_bytes(server: RunningServer) -> bytes:
    return b"".join(path.read_bytes() for path in server.folder.iterdir())


async def test_other_paths_leave_no_record(server: RunningServer) -> None:
    for path in (b"/graphql//", b"//graphql", b"/Graphql", b"/graphql%00", b"/graphql;x", b"/../graphql"):
        reply = await exchange_bytes(server.port, b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % path)
        assert reply.startswith(b"HTTP/1.1 404")
    assert server.records() == []


ATTEMPTS = [
    pytest.param(
        '{ customers(first: 1, orderBy: [{creditLimit: DESC}], where: {email: {contains: "a"}}) { nodes { id } } }',
        ["Customer.creditLimit", "Customer.email"],
        id="a filter and an order",
    ),
    pytest.param(
        '{ orders(where: {customer: {email: {eq: "a"}}}) { nodes { id } } }', ["Customer.email"], id="through a link"
    ),
    pytest.param("{ customers { aggregate { max { creditLimit } } } }", ["Customer.creditLimit"], id="an aggregate"),
    pytest.param("{ customer(id: 7) { email name } }", ["Customer.email"], id="a field"),
]


@pytest.mark.parametrize(("query", "attempted"), ATTEMPTS)
async def test_an_attempt_on_a_denied_field_is_found_by_the_field(
    server: RunningServer, query: str, attempted: list[str]
) -> None:
    await server.ask(query, "nobody")
    (record,) = server.records()
    assert sorted(set(record["attempted"]) & {"Customer.creditLimit", "Customer.email"}) == attempted
    found = await server.ask(
        """query ($field: String!) {
            requests(where: {fieldUses: {some: {coordinate: {eq: $field}, use: {eq: ATTEMPTED}}}}) {
                nodes { id fieldsAttempted changes { nodes { change } } }
            }
        }""",
        "audit",
        variables={"field": attempted[0]},
    )
    assert found.body["data"]["requests"]["nodes"] == [
        {"id": record["id"], "fieldsAttempted": record["attempted"], "changes": {"nodes": []}}
    ]
