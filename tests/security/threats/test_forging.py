"""Nothing that a client sends makes a record more than one line or gives it another identity."""

import asyncio
import json
from random import Random

import pytest

from onedoor.audit.verification import verify_folder
from onedoor.http.server import build_uvicorn_config
from onedoor.model.catalog import Limits
from tests.http.conftest import RunningServer, exchange_bytes

TEXT = "{ me { email groups } customer(id: 1) { name creditLimit } }"
HEADERS = {
    "host": "admin.internal",
    "x-forwarded-host": "admin.internal",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-proto": "https",
    "forwarded": "for=127.0.0.1;host=admin.internal",
    "x-real-ip": "127.0.0.1",
    "x-groups": "finance,audit",
    "x-user": "finance@acme.example",
    "x-forwarded-user": "finance@acme.example",
    "x-remote-user": "finance@acme.example",
    "x-original-url": "/health",
    "x-rewrite-url": "/health",
    "x-http-method-override": "DELETE",
    "cookie": "groups=finance; session=1",
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("who", ["nobody", "sales", None])
async def test_a_header_that_claims_something_changes_nothing(
    server: RunningServer, who: str | None, name: str
) -> None:
    plain = await server.ask(TEXT, who)
    response = await server.send(json={"query": TEXT}, headers={**server.bearer(who), name: HEADERS[name]})
    varying = ("date", "x-request-id")
    kept = [
        {key: value for key, value in item.headers.items() if key.lower() not in varying} for item in (plain, response)
    ]
    one, other = (
        {key: record[key] for key in ("person", "groups", "key_id", "outcome")} for record in server.records()
    )
    assert (response.status, response.raw, kept[1], other) == (plain.status, plain.raw, kept[0], one)


def test_the_server_takes_no_proxys_word_for_an_address() -> None:
    assert build_uvicorn_config(None, Limits()).proxy_headers is False


@pytest.mark.parametrize("claim", ["groups", "person", "caller", "key"])
async def test_a_claim_in_the_body_changes_nothing(server: RunningServer, claim: str) -> None:
    plain = await server.ask(TEXT, "nobody")
    more = {claim: "finance", "variables": {claim: ["finance"]}, "extensions": {"onedoor": {claim: ["finance"]}}}
    result = await server.ask(TEXT, "nobody", **more)
    assert result.raw == plain.raw


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_reply_sets_a_cookie_and_no_cookie_authenticates(server: RunningServer, method: str) -> None:
    cookie = f"authorization=Bearer {server.keys.of['sales']}; x-api-key={server.keys.of['sales']}"
    rest = {"params": {"query": TEXT}} if method == "GET" else {"json": {"query": TEXT}}
    shut = await server.send(method, headers={"cookie": cookie}, **rest)
    response = await server.send(method, headers=server.bearer("sales"), **rest)
    assert (shut.status, response.status) == (401, 200)
    assert [name for item in (shut, response) for name in item.headers if name.lower() == "set-cookie"] == []


SIGNS = [
    *'"\\{}[],:\n\r\t\0\x1b\x7f',
    "\x85",
    "\u2028",
    "\u2029",
    "\u202e",
    "\ufeff",
    "\x1b[2J",
    '"}\n{"id":"',
    "a",
    "é",
]
NAMELESS = 400


async def test_whatever_is_sent_leaves_one_line_a_request_that_reads_back(server: RunningServer) -> None:
    random, bodies = Random(38), []
    for _ in range(NAMELESS):
        text, name, other = ("".join(random.choices(SIGNS, k=random.randint(1, 12))) for _ in range(3))
        asked = random.choice([TEXT, text, f"query {{ customer(id: {json.dumps(text)}) {{ name }} }}"])
        bodies.append({"query": asked, "operationName": random.choice([None, name]), "variables": {name: other}})
    await asyncio.gather(*(server.send(json=body, headers=server.bearer("sales")) for body in bodies))
    written = b"".join(path.read_bytes() for path in server.folder.glob("*.jsonl"))
    records, checked = server.records(), verify_folder(server.folder)
    assert (len(records), checked.records, checked.findings) == (NAMELESS, NAMELESS, ())
    assert len(written.decode().splitlines()) == written.count(b"\n") == NAMELESS + len(list(server.folder.glob("*")))
    assert [item for item in written.decode() if not item.isprintable() and item != "\n"] == []
    assert all({"id", "time", "outcome"} <= json.loads(line).keys() for line in written.splitlines()[1:])


CLAIMED = {
    "an escape": b"\x1b[2J",
    "quotes": b'"}{"id":"forged"',
    "a tab": b"a\tb",
    "high bytes": b"\xc2\x85\xe2\x80\xa8",
    "a delete": b"\x7f",
    "too long": b"x" * 5000,
}


@pytest.mark.parametrize("claimed", CLAIMED.values(), ids=CLAIMED)
async def test_an_id_of_the_clients_own_forges_no_record_and_no_header(server: RunningServer, claimed: bytes) -> None:
    key, body = server.keys.of["sales"].encode(), json.dumps({"query": TEXT}).encode()
    reply = await exchange_bytes(
        server.port,
        b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-api-key: " + key
        + b"\r\nx-request-id: " + claimed + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body,
    )  # fmt: skip
    records = server.records()
    if reply.startswith(b"HTTP/1.1 400"):
        assert records == []
        return
    assert [record["client_request_id"] for record in records] in ([None], [claimed.decode("latin-1")])
    assert records[0]["id"] != "forged"
    assert verify_folder(server.folder).findings == ()
