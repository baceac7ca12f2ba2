"""A key comes in one of two headers; all that does not open the door looks alike."""

import secrets
from collections.abc import Callable

import pytest

from auth.api_keys import KEY_RANDOM_BYTES, ApiKey, format_key, mint_key, parse_key
from auth.authentication import Authenticator
from onedoor.storage.database import MetadataDatabaseUnavailable
from tests.http.conftest import GRAPHQL, Door, Keys, Opening

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
async def test_a_key_opens_the_door_in_either_header(door: Door, headers: Headers) -> None:
    told = await door.send(json={"query": ME}, headers=headers(door.keys))
    assert (told.status, told.body) == (200, {"data": HER})


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
    return format_key(ApiKey(id=mine.id, secret=theirs.secret))


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
async def test_whatever_does_not_open_the_door_is_told_the_same_bytes(door: Door, headers: Headers) -> None:
    told = await door.send(json={"query": ME}, headers=[*headers(door.keys), ("accept", GRAPHQL)])
    varying = ("date", "x-request-id")
    kept = {name.lower(): value for name, value in told.headers.items() if name.lower() not in varying}
    assert (told.status, told.raw, kept) == (
        401,
        SAME,
        {
            "content-type": f"{GRAPHQL}; charset=utf-8",
            "content-length": str(len(SAME)),
            "cache-control": "private, no-store",
            "vary": told.headers["vary"],
            "x-content-type-options": "nosniff",
            "www-authenticate": "Bearer",
            **({"server": told.headers["server"]} if "server" in told.headers else {}),
        },
    )


@pytest.mark.parametrize("headers", SHUT)
async def test_and_leaves_one_record_that_names_nobody(door: Door, headers: Headers) -> None:
    await door.send(json={"query": ME}, headers=headers(door.keys))
    (record,) = door.records()
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
async def test_a_key_in_the_address_is_no_key(door: Door, method: str, name: str) -> None:
    path = f"/graphql?query=%7B__typename%7D&{name}={sales(door.keys)}"
    body = {} if method == "GET" else {"json": {"query": ME, name: sales(door.keys)}}
    told = await door.send(method, path, **body)
    assert (told.status, sales(door.keys).encode() in journal(door)) == (401, False)


async def test_people_see_what_they_may_and_know_who_they_are(door: Door) -> None:
    text = "{ me { email groups key { id } } customer(id: 1) { name creditLimit } }"
    told = {who: (await door.ask(text, who)).body["data"] for who in ("sales", "finance", "nobody")}
    shown = {who: (each["me"]["groups"], each["customer"]) for who, each in told.items()}
    name = "Tramontana Interiors Inc."
    assert shown == {
        "sales": (["everyone", "sales"], {"name": name, "creditLimit": None}),
        "finance": (["everyone", "finance"], {"name": name, "creditLimit": "77500.00"}),
        "nobody": (["everyone"], None),
    }
    assert {each["me"]["key"]["id"] for each in told.values()} == {
        door.keys.of[who].split("_")[1] for who in ("sales", "finance", "nobody")
    }


async def test_where_keys_cannot_be_checked_nobody_comes_in_and_it_is_on_record(opening: Opening) -> None:
    def silent(key_id: str) -> None:
        raise MetadataDatabaseUnavailable("the state does not answer")

    known = Authenticator(look_up=silent, compute_digest=lambda secret: bytes(32), now=lambda: None)  # type: ignore[arg-type, return-value]
    door: Door = await opening(known=known)
    told = await door.ask(ME)
    assert (told.status, told.code, told.headers["retry-after"], [each["outcome"] for each in door.records()]) == (
        503,
        "INTERNAL",
        "1",
        ["failed"],
    )


def journal(door: Door) -> bytes:
    return b"".join(path.read_bytes() for path in door.folder.iterdir())
