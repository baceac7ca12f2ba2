"""A key comes in one of two headers; every invalid one gets the same reply."""

import secrets
from collections.abc import Callable

import pytest

from auth.authentication import Authenticator
from auth.key_format import KEY_RANDOM_BYTES, PlaintextKey, format_key, mint_key, parse_key
from onedoor.storage.database import MetadataDatabaseUnavailable
from tests.http.conftest import GRAPHQL, Keys, OpenServer, RunningServer

ME = "{ me { email } }"
HER = {"me": {"email": "sales@acme.example"}}

Headers = Callable[[Keys], list[tuple[str, str]]]


def sales(keys: Keys) -> str:
    return keys.of["sales"]


OPENING = [
    pytest.param(lambda keys: [("authorization", f"Bearer {sales(keys)}")], id="Bearer"),
    pytest.param(lambda keys: [("authorization", f"bearer   {sales(keys)} ")], id="Bearer, written otherwise"),
    pytest.param(lambda keys: [("x-api-key", sales(keys))], id="X-API-Key"),
    pytest.param(
        lambda keys: [("x-api-key", sales(keys)), ("authorization", f"Bearer {sales(keys)}")], id="both, the same"
    ),
    pytest.param(lambda keys: [("x-api-key", sales(keys)), ("X-API-Key", sales(keys))], id="twice, the same"),
]


@pytest.mark.parametrize("headers", OPENING)
async def test_a_key_is_accepted_in_either_header(server: RunningServer, headers: Headers) -> None:
    response = await server.send(json={"query": ME}, headers=headers(server.keys))
    assert (response.status, response.body) == (200, {"data": HER})


def changed(key: str) -> str:
    """The key with another last letter, which its checksum tells."""
    return key[:-1] + ("a" if key[-1] != "a" else "b")


def unknown() -> str:
    return format_key(mint_key(secrets.token_bytes(KEY_RANDOM_BYTES)))


def with_secret_of(one: str, other: str) -> str:
    """A key that is whole, of the first's id and the other's secret."""
    mine, theirs = parse_key(one), parse_key(other)
    assert mine is not None
    assert theirs is not None
    return format_key(PlaintextKey(id=mine.id, secret=theirs.secret))


SHUT = [
    pytest.param(lambda keys: [], id="none"),
    pytest.param(lambda keys: [("authorization", "")], id="an empty header"),
    pytest.param(lambda keys: [("authorization", "Bearer")], id="a scheme alone"),
    pytest.param(lambda keys: [("authorization", f"Bearer {changed(sales(keys))}")], id="mistyped"),
    pytest.param(lambda keys: [("authorization", f"Bearer {sales(keys)[:-1]}")], id="cut short"),
    pytest.param(lambda keys: [("authorization", f"Bearer {sales(keys)}x")], id="too long"),
    pytest.param(lambda keys: [("authorization", f"Bearer {sales(keys).lower()}")], id="in another case"),
    pytest.param(lambda keys: [("authorization", "Bearer " + "a" * 5000)], id="very long"),
    pytest.param(lambda keys: [("authorization", "Bearer \x80\xff")], id="not text"),
    pytest.param(lambda keys: [("authorization", f"Bearer {unknown()}")], id="unknown"),
    pytest.param(
        lambda keys: [("x-api-key", with_secret_of(sales(keys), keys.of["finance"]))], id="another key's secret"
    ),
    pytest.param(lambda keys: [("authorization", f"Bearer {keys.expired}")], id="expired"),
    pytest.param(lambda keys: [("authorization", f"Bearer {keys.revoked}")], id="revoked"),
    pytest.param(lambda keys: [("authorization", f"Basic {sales(keys)}")], id="another scheme"),
    pytest.param(lambda keys: [("cookie", f"key={sales(keys)}")], id="a cookie"),
    pytest.param(
        lambda keys: [("x-api-key", sales(keys)), ("authorization", f"Bearer {keys.of['finance']}")],
        id="both, different",
    ),
    pytest.param(lambda keys: [("x-api-key", sales(keys)), ("x-api-key", keys.of["finance"])], id="twice, different"),
    pytest.param(lambda keys: [("x-api-key", sales(keys)), ("authorization", "Bearer x")], id="one of them no key"),
]
SAME = b'{"errors":[{"message":"no valid key came with the request, send `Authorization: Bearer <key>`",' + (
    b'"extensions":{"code":"UNAUTHENTICATED"}}]}'
)


@pytest.mark.parametrize("headers", SHUT)
async def test_every_invalid_key_gets_the_same_bytes(server: RunningServer, headers: Headers) -> None:
    response = await server.send(json={"query": ME}, headers=[*headers(server.keys), ("accept", GRAPHQL)])
    varying = ("date", "x-request-id")
    fixed_headers = {name.lower(): value for name, value in response.headers.items() if name.lower() not in varying}
    assert (response.status, response.raw, fixed_headers) == (
        401,
        SAME,
        {
            "content-type": f"{GRAPHQL}; charset=utf-8",
            "content-length": str(len(SAME)),
            "cache-control": "private, no-store",
            "vary": response.headers["vary"],
            "x-content-type-options": "nosniff",
            "www-authenticate": "Bearer",
            **({"server": response.headers["server"]} if "server" in response.headers else {}),
        },
    )


@pytest.mark.parametrize("headers", SHUT)
async def test_an_invalid_key_leaves_one_record_that_names_nobody(server: RunningServer, headers: Headers) -> None:
    await server.send(json={"query": ME}, headers=headers(server.keys))
    (record,) = server.records()
    assert {name: record[name] for name in ("outcome", "status", "person", "key_id", "groups", "text", "fields")} == {
        "outcome": "unauthenticated",
        "status": 401,
        "person": None,
        "key_id": None,
        "groups": [],
        "text": None,
        "fields": [],
    }


@pytest.mark.parametrize("name", ["key", "api_key", "apikey", "access_token", "token", "authorization", "x-api-key"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_key_in_the_address_is_no_key(server: RunningServer, method: str, name: str) -> None:
    path = f"/graphql?query=%7B__typename%7D&{name}={sales(server.keys)}"
    body = {} if method == "GET" else {"json": {"query": ME, name: sales(server.keys)}}
    response = await server.send(method, path, **body)
    assert (response.status, sales(server.keys).encode() in read_audit_bytes(server)) == (401, False)


async def test_people_see_what_they_may_and_know_who_they_are(server: RunningServer) -> None:
    text = "{ me { email groups key { id } } customer(id: 1) { name creditLimit } }"
    result = {who: (await server.ask(text, who)).body["data"] for who in ("sales", "finance", "nobody")}
    shown = {who: (item["me"]["groups"], item["customer"]) for who, item in result.items()}
    name = "Tramontana Interiors Inc."
    assert shown == {
        "sales": (["everyone", "sales"], {"name": name, "creditLimit": None}),
        "finance": (["everyone", "finance"], {"name": name, "creditLimit": "77500.00"}),
        "nobody": (["everyone"], None),
    }
    assert {item["me"]["key"]["id"] for item in result.values()} == {
        server.keys.of[who].split("_")[1] for who in ("sales", "finance", "nobody")
    }


async def test_where_keys_cannot_be_checked_nobody_comes_in_and_it_is_on_record(open_server: OpenServer) -> None:
    def silent(key_id: str) -> None:
        raise MetadataDatabaseUnavailable("the state does not answer")

    known = Authenticator(look_up=silent, compute_digest=lambda secret: bytes(32), now=lambda: None)  # type: ignore[arg-type, return-value]
    server: RunningServer = await open_server(known=known)
    result = await server.ask(ME)
    assert (
        result.status,
        result.code,
        result.headers["retry-after"],
        [record["outcome"] for record in server.records()],
    ) == (
        503,
        "INTERNAL",
        "1",
        ["failed"],
    )


def read_audit_bytes(server: RunningServer) -> bytes:
    return b"".join(path.read_bytes() for path in server.folder.iterdir())
