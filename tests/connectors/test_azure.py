"""Read the files of a share and the blobs of a container over the wire, and fail with reasons that can be shown.

The cases of blobs run against Azurite too, where it is installed.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.fileshare import ShareSasPermissions, generate_share_sas
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from yarl import URL

from demo.servers.azure.app import BLOB_ACCOUNT, FILES_ACCOUNT
from onedoor.connectors.azure import client, connector
from onedoor.connectors.files.model import FILE_COLUMN_NAMES
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.servers import azure
from tests.servers.azure import BLOB_KEY, FILES_KEY, PATTERN, AzureEmulator

BODY = b"0123456789"
PATHS = (
    "customers/1/invoices/a.csv",
    "customers/1/invoices/a.csv.bak",
    "customers/1/photos/é +%&.png",
    "customers/11/invoices/b.json",
    "readme",
)
BODIES = dict.fromkeys(PATHS, BODY) | {"customers/1/invoices/empty.txt": b""}
LARGE_COUNT = 23
LARGE = {f"customers/5/logs/{number:04}.txt": b"" for number in range(LARGE_COUNT)}
TEXT, INTEGER, TIME = Column(ColumnType.TEXT), Column(ColumnType.INTEGER), Column(ColumnType.TIME)
CAPABILITIES = Capabilities(
    columns={
        "id": TEXT, "path": TEXT, "name": TEXT, "size": INTEGER, "content_type": TEXT, "modified": TIME,
        "version": TEXT, "customer_id": INTEGER, "kind": TEXT,
    },
    max_keys=50,
    key_columns=frozenset({("id",), ("customer_id",), ("customer_id", "kind")}),
)  # fmt: skip
OPTIONS = connector.AzureBlobOptions(account="acme", container="root", pattern=PATTERN, access_key=BLOB_KEY)
Serve = Callable[[ASGIApp], AbstractContextManager[int]]
ServiceUrl = tuple[str, str]
"""Which of the two services, and the url of its account."""


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[AzureEmulator]:
    """Pages are short, so that there are some."""
    with azure.serve_emulator(serve, page=4) as emulator:
        azure.store_files(emulator.files, "small", BODIES)
        azure.store_files(emulator.files, "empty", {})
        azure.store_files(emulator.files, "large", LARGE)
        store_blobs(emulator.blob)
        yield emulator


def store_blobs(url: str) -> None:
    azure.store_blobs(url, "small", BODIES)
    azure.store_blobs(url, "empty", {})
    azure.store_blobs(url, "large", LARGE)


@pytest.fixture(scope="session")
def azurite_filled(azurite_started: str) -> str:
    store_blobs(azurite_started)
    return azurite_started


@pytest.fixture(params=["files", "blob", "azurite"])
def place(request: pytest.FixtureRequest) -> ServiceUrl:
    if request.param == "azurite":
        return "blob", request.getfixturevalue("azurite_filled")
    return request.param, getattr(request.getfixturevalue("server"), request.param)


OPENERS = {"files": azure.open_share, "blob": azure.open_container}


def open_connector(place: ServiceUrl, name: str = "small", **more: Any) -> Any:
    return OPENERS[place[0]](place[1], name, **more)


async def scan_rows(source: Any, *columns: str, keys: KeyFilter | None = None, of: str = "files") -> list[Row]:
    ask = ScanRequest(collection=of, columns=columns, keys=keys)
    return [row async for batch in source.scan(ask) for row in batch]


async def test_only_keys_are_pushed_down(place: ServiceUrl) -> None:
    async with open_connector(place) as source:
        assert source.capabilities("files") == CAPABILITIES
        assert tuple(source.capabilities("files").columns)[: len(FILE_COLUMN_NAMES)] == FILE_COLUMN_NAMES


async def test_a_file_is_a_row(place: ServiceUrl) -> None:
    async with open_connector(place) as source:
        ((*found, modified, version),) = await scan_rows(
            source, "id", "path", "name", "size", "content_type", "customer_id", "kind", "modified", "version",
            keys=KeyFilter(("id",), ((PATHS[0],),)),
        )  # fmt: skip
    media = "text/csv" if place[0] == "files" else "text/x-acme"
    assert found == [PATHS[0], PATHS[0], "a.csv", 10, media, 1, "invoices"]
    assert abs(datetime.now(UTC) - modified).total_seconds() < 3600
    assert version.startswith("0x")


async def test_a_path_of_another_form_has_none_of_the_patterns_values(place: ServiceUrl) -> None:
    async with open_connector(place) as source:
        rows = await scan_rows(source, "id", "customer_id", "kind")
    assert len(rows) == len(BODIES)
    assert sorted(row for row in rows if row[0] in (PATHS[3], PATHS[4])) == [
        (PATHS[3], 11, "invoices"),
        (PATHS[4], None, None),
    ]


@pytest.mark.parametrize(
    ("columns", "values", "found"),
    [
        pytest.param(("customer_id", "kind"), [(1, "photos"), (11, "photos")], PATHS[2:3], id="two leading columns"),
        pytest.param(("customer_id",), [(11,), (12,)], PATHS[3:4], id="11 is not 1, and nobody is 12"),
        pytest.param(("customer_id", "kind"), [(1, "Photos")], (), id="capitals count"),
        pytest.param(
            ("customer_id", "kind"), [(1, ""), (1, "in\ud800"), (1, "a\0"), (1, "a/b"), (1, ".."), (1, 'a"?*')], (),
            id="values no path can hold",
        ),
        pytest.param(("id",), [(PATHS[0],), (PATHS[1],), (PATHS[2],), ("customers",)], PATHS[:3], id="whole paths"),
        pytest.param(("id",), [(PATHS[0].upper(),), ("Readme",)], (), id="capitals of paths count"),
        pytest.param(
            ("id",), [("",), ("/",), ("k" * 3000,), ("\ud800",), ("\0",), ("../small/readme",), ("readme/",)], (),
            id="text that is no path",
        ),
    ],
)  # fmt: skip
async def test_keys_give_their_files_alone(
    place: ServiceUrl, columns: tuple[str, ...], values: list[Row], found: tuple[str, ...]
) -> None:
    async with open_connector(place) as source:
        assert sorted(await scan_rows(source, "id", keys=KeyFilter(columns, tuple(values)))) == sorted(
            (id,) for id in found
        )


@pytest.mark.parametrize("keys", [None, KeyFilter(("customer_id",), ((5,),))], ids=["plain", "by keys"])
async def test_all_pages_are_read(place: ServiceUrl, keys: KeyFilter | None) -> None:
    async with open_connector(place, "large") as source:
        assert len(set(await scan_rows(source, "id", keys=keys))) == LARGE_COUNT


async def test_an_empty_share_has_no_rows(place: ServiceUrl) -> None:
    async with open_connector(place, "empty") as source:
        assert await scan_rows(source, "id") == []


async def test_a_listing_of_a_page_is_a_call(server: AzureEmulator) -> None:
    async with azure.open_container(server.blob, "large") as source:
        server.requests.clear()
        await scan_rows(source, "id")
    assert len(server.requests) == -(-LARGE_COUNT // 4)


async def test_files_of_some_customers_are_found_in_their_directories_alone(server: AzureEmulator) -> None:
    async with azure.open_share(server.files) as source:
        server.requests.clear()
        keys = KeyFilter(("customer_id", "kind"), ((1, "photos"), (11, "invoices")))
        await scan_rows(source, "id", keys=keys)
    assert sorted(parse_listing_call(item) for item in server.requests) == sorted(
        [
            ("small", "customers"),
            ("small/customers", "1"),
            ("small/customers/1", "photos"),
            ("small/customers/1/photos", ""),
            ("small/customers/11", "invoices"),
            ("small/customers/11/invoices", ""),
        ]
    )


async def test_many_files_of_a_directory_are_found_in_one_listing(server: AzureEmulator) -> None:
    async with azure.open_share(server.files) as source:
        server.requests.clear()
        await scan_rows(source, "id", keys=KeyFilter(("id",), ((PATHS[0],), (PATHS[1],))))
    assert len(server.requests) == 4


def parse_listing_call(target: str) -> tuple[str, str]:
    parts = urlsplit(target.partition(" ")[2])
    return parts.path.removeprefix(f"/{FILES_ACCOUNT}/"), parse_qs(parts.query).get("prefix", [""])[0]


async def test_directories_and_shares_are_rows_too(server: AzureEmulator) -> None:
    async with azure.open_share(server.files) as source:
        directories = await scan_rows(source, "id", "name", of="directories")
        rows = await scan_rows(
            source, "id", of="directories", keys=KeyFilter(("id",), (("customers/11",), ("Customers",)))
        )
        shares = await scan_rows(source, "id", "quota_gb", of="shares")
    assert sorted(directories) == [
        ("customers", "customers"), ("customers/1", "1"), ("customers/1/invoices", "invoices"),
        ("customers/1/photos", "photos"), ("customers/11", "11"), ("customers/11/invoices", "invoices"),
    ]  # fmt: skip
    assert rows == [("customers/11",)]
    assert shares == [("empty", 5120), ("large", 5120), ("small", 5120)]


@pytest.mark.parametrize(
    ("start", "length", "octets"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (8, 100, b"89"), (10, 5, b""), (4, 0, b""), (0, 10, BODY)],
)
async def test_a_range_reads_no_other_bytes(place: ServiceUrl, start: int, length: int, octets: bytes) -> None:
    async with open_connector(place) as source:
        assert await source.read_range(PATHS[2], start, length) == octets
        assert await source.read_range("customers/1/invoices/empty.txt", start, length) == b""


async def test_a_stat_equals_the_row(place: ServiceUrl) -> None:
    async with open_connector(place) as source:
        stat = await source.stat(PATHS[2])
        (row,) = await scan_rows(
            source, "id", "name", "size", "content_type", "modified", "version", keys=KeyFilter(("id",), ((PATHS[2],),))
        )
        absent = [await source.stat(id) for id in ("nowhere", "customers", PATHS[0].upper(), "", "../small/readme")]
    assert (stat.id, stat.name, stat.size, stat.content_type, stat.modified, stat.version) == row
    assert absent == [None] * 5


@pytest.mark.parametrize("id", ["nowhere", "customers/1/nowhere", "../large/x", "a/../../large/x", "", "\ud800"])
async def test_an_id_that_is_no_file_has_no_content(place: ServiceUrl, id: str) -> None:
    async with open_connector(place) as source:
        with pytest.raises(ConnectorError, match="has no such file"):
            await source.read_range(id, 0, 1)


async def test_a_download_url_opens_one_file_for_reading(place: ServiceUrl) -> None:
    async with open_connector(place) as source:
        url = await source.create_download_url(PATHS[2], 60)
    other = url.replace(quote(PATHS[2].rpartition("/")[2]), "other.png")
    above = url.split("/customers/")[0] + "?restype=container&comp=list&" + url.split("?")[1]
    async with aiohttp.ClientSession() as session:
        assert await fetch(session, "GET", url) == (200, BODY)
        assert [(await fetch(session, "GET", item))[0] for item in (other, above)] == [403, 403]
        assert (await fetch(session, "PUT", url, data=b"x", headers={"x-ms-blob-type": "BlockBlob"}))[0] == 403
        assert (await fetch(session, "GET", url.replace("sp=r", "sp=rw")))[0] == 403


async def fetch(session: aiohttp.ClientSession, method: str, url: str, **more: Any) -> tuple[int, bytes]:
    async with session.request(method, URL(url, encoded=True), **more) as response:
        return response.status, await response.read()


async def test_a_download_url_ends_within_five_minutes_and_needs_https_outside_of_this_network() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    for service in ("file", "blob"):
        opened = client.build_account(service, "root", OPTIONS)
        qs = parse_qs(urlsplit(opened.build_download_url("a/b", 86_400, now) or "").query)
        assert (qs["se"], qs["sp"], qs["spr"]) == (["2026-11-01T00:05:00Z"], ["r"], ["https"])
        assert [opened.build_download_url(id, 60, now) for id in ("", "..", "a/../b", "\ud800")] == [None] * 4


def build_sas(place: ServiceUrl, name: str = "small", permission: str = "rl", key: str | None = None) -> str:
    """A SAS of a whole share or container, as Microsoft's own library makes it."""
    expiry = datetime.now(UTC).replace(year=2099)
    if place[0] == "files":
        return generate_share_sas(
            FILES_ACCOUNT, name, key or FILES_KEY, ShareSasPermissions.from_string(permission), expiry
        )
    return generate_container_sas(
        BLOB_ACCOUNT, name, key or BLOB_KEY, permission=ContainerSasPermissions.from_string(permission), expiry=expiry
    )


async def test_a_sas_opens_what_it_says_and_is_never_given_away(place: ServiceUrl) -> None:
    async with open_connector(place, sas_token=build_sas(place)) as source:
        assert len(await scan_rows(source, "id")) == len(BODIES)
        assert await source.read_range(PATHS[2], 0, 3) == b"012"
        assert await source.create_download_url(PATHS[2], 60) is None


def test_a_token_may_begin_with_a_question_mark_and_hold_a_plus_as_it_is() -> None:
    assert client.parse_sas_token("?sv=1&sig=a%2Bb+c%3D") == (("sv", "1"), ("sig", "a+b+c="))


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param({"access_key": "d3Jvbmc="}, id="another key"),
        pytest.param({"sas_token": {"permission": "r"}}, id="a SAS that may not list"),
        pytest.param({"sas_token": {"name": "large"}}, id="a SAS of another share"),
        pytest.param({"sas_token": {"key": "d3Jvbmc="}}, id="a SAS by another key"),
    ],
)
async def test_bad_credentials_open_nothing(place: ServiceUrl, credentials: dict[str, Any]) -> None:
    credential = credentials.get("sas_token")
    more = {"sas_token": build_sas(place, **credential)} if credential else credentials
    async with open_connector(place, **more) as source:
        assert await get_failure(source) == (
            f"{get_service_name(place)} refused the credentials",
            ErrorCode.SOURCE_UNAVAILABLE,
        )


def get_service_name(place: ServiceUrl) -> str:
    return {"files": "azure files", "blob": "azure blob storage"}[place[0]]


async def get_failure(source: Any) -> tuple[str, ErrorCode]:
    with pytest.raises(ConnectorError) as caught:
        await source.ping()
    with pytest.raises(ConnectorError) as again:
        await scan_rows(source, "id")
    assert (again.value.reason, again.value.code) == (caught.value.reason, caught.value.code)
    return caught.value.reason, caught.value.code


async def test_a_missing_share_or_container_fails_with_a_reason(place: ServiceUrl) -> None:
    kind = "share" if place[0] == "files" else "container"
    async with open_connector(place, "nowhere") as source:
        assert await get_failure(source) == (
            f"{get_service_name(place)} has no such {kind}",
            ErrorCode.SOURCE_UNAVAILABLE,
        )


both_services = pytest.mark.parametrize("service", ["files", "blob"])


@both_services
async def test_a_closed_port_fails_with_a_reason(service: str, closed_port: int) -> None:
    async with open_connector((service, f"http://127.0.0.1:{closed_port}")) as source:
        assert await get_failure(source) == (
            f"{get_service_name((service, ''))} could not be reached",
            ErrorCode.SOURCE_UNAVAILABLE,
        )


@both_services
async def test_a_silent_port_fails_within_the_timeout(service: str, silent_port: int) -> None:
    async with open_connector((service, f"http://127.0.0.1:{silent_port}"), timeout=0.2) as source:
        reason = f"{get_service_name((service, ''))} did not answer within 0.2 s"
        assert await get_failure(source) == (reason, ErrorCode.SOURCE_UNAVAILABLE)


@both_services
async def test_a_busy_service_is_reported_as_overloaded(service: str, serve: Serve) -> None:
    with azure.serve_emulator(serve, rate=("1",)) as busy:
        async with open_connector((service, getattr(busy, service))) as source:
            with pytest.raises(ConnectorError, match="has no such"):
                await source.ping()
            reason = f"{get_service_name((service, ''))} takes no more calls for now, ask again later"
            assert await get_failure(source) == (reason, ErrorCode.SOURCE_OVERLOADED)


LISTING = b"<EnumerationResults><Entries>%b</Entries><Blobs>%b</Blobs><NextMarker/></EnumerationResults>"
GROWS = b'<!DOCTYPE a [<!ENTITY b "%b">]>%b' % (b"c" * 100, LISTING % (b"", b""))
INVALID, UNAVAILABLE = ErrorCode.SOURCE_INVALID, ErrorCode.SOURCE_UNAVAILABLE
UNREADABLE = "gave an answer that cannot be read"


@both_services
@pytest.mark.parametrize(
    ("reply", "reason", "code"),
    [
        pytest.param((200, b"secret"), UNREADABLE, INVALID, id="no xml"),
        pytest.param((200, b"<html/>"), UNREADABLE, INVALID, id="another's answer"),
        pytest.param((200, GROWS), UNREADABLE, INVALID, id="xml that grows"),
        pytest.param((200, b"<EnumerationResults>"), UNREADABLE, INVALID, id="half an answer"),
        pytest.param((500, b"secret"), "failed with HTTP status 500", UNAVAILABLE, id="broken"),
        pytest.param((307, b""), "refused the call with HTTP status 307", INVALID, id="moved"),
        pytest.param((400, b"", "InvalidInput"), "refused the call with `InvalidInput`", INVALID, id="a code"),
        pytest.param((400, b"", "secret at b"), "refused the call with HTTP status 400", INVALID, id="no code"),
        pytest.param((403, b"secret", "AuthorizationFailure"), "refused the credentials", UNAVAILABLE, id="shut"),
    ],
)  # fmt: skip
async def test_a_failure_has_a_reason_that_can_be_shown(
    serve: Serve, service: str, reply: tuple[int, bytes, str], reason: str, code: ErrorCode
) -> None:
    status, body, *rest = reply
    headers = {"location": "http://127.0.0.1:1/", **({"x-ms-error-code": rest[0]} if rest else {})}
    with serve(Response(body, status, headers)) as port:
        async with open_connector((service, f"http://127.0.0.1:{port}")) as source:
            assert await get_failure(source) == (f"{get_service_name((service, ''))} {reason}", code)


@both_services
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(b"<Properties/>", id="no name"),
        pytest.param(b"<Name>a</Name>", id="no properties"),
        pytest.param(
            b"<Name>a</Name><Properties><Last-Modified>once</Last-Modified><Etag/></Properties>", id="no time"
        ),
    ],
)
async def test_an_entry_without_a_required_property_is_unreadable(serve: Serve, service: str, entry: bytes) -> None:
    body = LISTING % (b"<File>%b</File>" % entry, b"<Blob>%b</Blob>" % entry)
    with serve(Response(body)) as port:
        async with open_connector((service, f"http://127.0.0.1:{port}")) as source:
            with pytest.raises(ConnectorError, match=UNREADABLE):
                await scan_rows(source, "id")


@both_services
async def test_a_page_over_the_limit_is_not_read_on(serve: Serve, service: str) -> None:
    left = threading.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.ensure_future(wait_for_disconnect(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"<" * 65_536, "more_body": True})
            await asyncio.sleep(0)
        left.set()

    with serve(endless) as port:
        async with open_connector((service, f"http://127.0.0.1:{port}"), response_bytes=100_000) as source:
            with pytest.raises(ConnectorError, match=r"is over the limit `response_bytes` of 100000"):
                await scan_rows(source, "id")
            assert await asyncio.to_thread(left.wait, 5)


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@both_services
async def test_a_server_that_ignores_ranges_is_read_no_further_and_not_believed(serve: Serve, service: str) -> None:
    with serve(Response(BODY)) as port:
        async with open_connector((service, f"http://127.0.0.1:{port}")) as source:
            assert await source.read_range("a", 0, 4) == b"0123"
            with pytest.raises(ConnectorError, match=UNREADABLE):
                await source.read_range("a", 2, 4)


@both_services
async def test_a_cancelled_read_ends_its_call(serve: Serve, service: str) -> None:
    began, left = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        loop.call_soon_threadsafe(began.set)
        await wait_for_disconnect(receive)
        loop.call_soon_threadsafe(left.set)

    with serve(waiting) as port:
        async with open_connector((service, f"http://127.0.0.1:{port}")) as source:
            reading = asyncio.ensure_future(scan_rows(source, "id"))
            async with asyncio.timeout(30):
                await began.wait()
                reading.cancel()
                await left.wait()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param({}, "give either `access_key` or `sas_token`", id="no credentials"),
        pytest.param({"access_key": BLOB_KEY, "sas_token": "sig=a"}, "give either", id="both"),
        pytest.param({"access_key": "not base64"}, "which is base64", id="no key"),
        pytest.param({"sas_token": "sv=1"}, "`sas_token` must be a token such as", id="no token"),
        pytest.param({"access_key": BLOB_KEY, "account": "a.example/"}, "`account` must be", id="no account"),
        pytest.param({"access_key": BLOB_KEY, "base_url": "http://a.example"}, "must be https", id="no TLS"),
        pytest.param({"access_key": BLOB_KEY, "base_url": "https://127.0.0.1"}, "of this network", id="our network"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "root"), [(connector.FILES_KIND, "share"), (connector.BLOB_KIND, "container")], ids=["files", "blob"]
)
async def test_impossible_settings_are_refused_with_a_sentence(
    kind: Any, root: str, given: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        await kind.connect(kind.options(**{"account": "acme", root: "root", "pattern": PATTERN} | given))
    with pytest.raises(ValueError, match=f"`{root}` must be"):
        await kind.connect(kind.options(account="acme", pattern=PATTERN, access_key=BLOB_KEY, **{root: "a/b"}))


def test_no_secret_is_shown() -> None:
    opened = client.build_account("blob", "root", OPTIONS)
    shown = repr([opened, OPTIONS, replace(OPTIONS, sas_token="s3cret")])
    assert [secret for secret in (BLOB_KEY, "s3cret", repr(opened.account_key)) if secret in shown] == []


async def test_a_name_that_leads_into_this_network_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async def private(*_: object) -> list[dict[str, Any]]:
        return [{"hostname": "acme.example", "host": "10.0.0.1", "port": 443, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.resolver.DefaultResolver.resolve", private)
    async with open_connector(("blob", "https://acme.example"), private_addresses=False) as source:
        reason = "the name of azure blob storage leads into this network, which its settings do not allow"
        assert await get_failure(source) == (reason, UNAVAILABLE)
