"""Read the objects of a bucket as rows over the wire to moto, and fail with reasons that can be shown."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import urlopen

import boto3
import pytest
import pytest_asyncio
from moto.server import ThreadedMotoServer
from starlette.responses import Response
from starlette.types import ASGIApp

from onedoor.connectors.files.s3 import S3Connector, S3Options, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATTERN = "customers/{customer_id:int}/{kind}/{name}"
KEYS = (
    "customers/1/invoices/a.csv",
    "customers/1/invoices/a.csv.bak",
    "customers/1/photos/é +%.png",
    "customers/11/invoices/b.json",
    "customers/1",
    "readme",
)
LARGE_COUNT = 1100
COLUMNS = {
    "customer_id": ColumnType.INTEGER,
    "kind": ColumnType.TEXT,
    "id": ColumnType.TEXT,
    "path": ColumnType.TEXT,
    "name": ColumnType.TEXT,
    "size": ColumnType.INTEGER,
    "content_type": ColumnType.TEXT,
    "modified": ColumnType.TIME,
    "version": ColumnType.TEXT,
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    endpoint = f"http://127.0.0.1:{port}"
    fill_buckets(endpoint)
    yield endpoint
    server.stop()


def fill_buckets(endpoint: str) -> None:
    """The large bucket goes into moto's own memory: over the wire it takes seconds."""
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="small")
    client.create_bucket(Bucket="empty")
    client.create_bucket(Bucket="large")
    for key in KEYS:
        client.put_object(Bucket="small", Key=key, Body=b"abc")
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    for number in range(LARGE_COUNT):
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("large", f"customers/5/logs/{number:04}.txt", b"")
    client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_bucket(endpoint: str) -> AsyncIterator[Callable[..., Any]]:
    """Open a bucket, once for all cases that open it with the same options, as a client takes long to build."""
    connectors: dict[tuple[tuple[str, object], ...], S3Connector] = {}

    async def open_connector(bucket: str, **more: object) -> S3Connector:
        options = {
            "bucket": bucket,
            "pattern": PATTERN,
            "endpoint": endpoint,
            "access_key": "a",
            "secret_key": "b",
            "timeout": 20.0,
            **more,
        }
        key = tuple(options.items())
        if key not in connectors:
            connectors[key] = await connect(S3Options(**options))  # type: ignore[arg-type]
        return connectors[key]

    yield open_connector
    for source in connectors.values():
        await source.close()


async def scan_rows(source: S3Connector, *columns: str, keys: KeyFilter | None = None) -> list[Row]:
    ask = ScanRequest(collection="files", columns=columns, keys=keys)
    return [row async for batch in source.scan(ask) for row in batch]


async def test_only_keys_are_pushed_down(open_bucket: Callable) -> None:
    source = await open_bucket("small")
    assert source.capabilities("files") == Capabilities(
        columns={name: Column(type=kind) for name, kind in COLUMNS.items()},
        max_keys=50,
        key_columns=frozenset({("id",), ("customer_id",), ("customer_id", "kind")}),
    )


async def test_an_object_is_a_row(open_bucket: Callable) -> None:
    source = await open_bucket("small")
    rows = await scan_rows(source, *COLUMNS, keys=KeyFilter(("id",), ((KEYS[0],),)))
    modified, version = rows[0][7], "900150983cd24fb0d6963f7d28e17f72"
    assert rows == [(1, "invoices", KEYS[0], KEYS[0], "a.csv", 3, "text/csv", modified, version)]
    assert abs(datetime.now(UTC) - modified).total_seconds() < 3600


async def test_a_key_of_another_form_has_none_of_the_patterns_values(open_bucket: Callable) -> None:
    source = await open_bucket("small")
    assert sorted(await scan_rows(source, "id", "customer_id", "content_type", "name")) == sorted(
        [
            (KEYS[0], 1, "text/csv", "a.csv"),
            (KEYS[1], 1, None, "a.csv.bak"),
            (KEYS[2], 1, "image/png", "é +%.png"),
            (KEYS[3], 11, "application/json", "b.json"),
            (KEYS[4], None, None, "1"),
            (KEYS[5], None, None, "readme"),
        ]
    )


@pytest.mark.parametrize(
    ("columns", "values", "piece"),
    [
        pytest.param(("customer_id",), [(1,)], KEYS[:3], id="1 is not 11"),
        pytest.param(("customer_id",), [(1,), (11,), (12,)], KEYS[:4], id="several keys, one of nobody"),
        pytest.param(("customer_id", "kind"), [(1, "photos")], KEYS[2:3], id="two leading columns"),
        pytest.param(("customer_id", "kind"), [(1, "")], (), id="an empty value"),
        pytest.param(
            ("customer_id", "kind"), [(1, "in\ud800"), (1, "a\0"), (1, "a/b")], (), id="values no key can hold"
        ),
        pytest.param(("id",), [(KEYS[0],), (KEYS[1],), ("customers",)], KEYS[:2], id="whole keys, not their prefixes"),
        pytest.param(("id",), [("",), ("k" * 2000,), ("\ud800",), ("\0",)], (), id="text that is no key"),
    ],
)
async def test_keys_give_their_objects_alone(
    open_bucket: Callable, columns: tuple[str, ...], values: list[Row], piece: tuple[str, ...]
) -> None:
    source = await open_bucket("small")
    assert sorted(await scan_rows(source, "id", keys=KeyFilter(columns, tuple(values)))) == sorted(
        (key,) for key in piece
    )


@pytest.mark.parametrize("keys", [None, KeyFilter(("customer_id",), ((5,),))], ids=["plain", "by keys"])
async def test_all_pages_are_read(open_bucket: Callable, keys: KeyFilter | None) -> None:
    source = await open_bucket("large")
    assert len(set(await scan_rows(source, "id", keys=keys))) == LARGE_COUNT


async def test_an_empty_bucket_has_no_rows(open_bucket: Callable) -> None:
    source = await open_bucket("empty")
    assert await scan_rows(source, "id") == []


async def get_failure(source: S3Connector) -> tuple[str, ErrorCode]:
    with pytest.raises(ConnectorError) as caught:
        await source.ping()
    return caught.value.reason, caught.value.code


async def test_a_missing_bucket_fails_with_a_reason(open_bucket: Callable) -> None:
    assert await get_failure(await open_bucket("nowhere")) == ("s3 has no such bucket", ErrorCode.SOURCE_UNAVAILABLE)


async def test_a_closed_port_fails_with_a_reason(open_bucket: Callable, closed_port: int) -> None:
    source = await open_bucket("small", endpoint=f"http://127.0.0.1:{closed_port}")
    assert await get_failure(source) == ("s3 could not be reached", ErrorCode.SOURCE_UNAVAILABLE)


async def test_a_silent_port_fails_within_the_timeout(open_bucket: Callable, silent_port: int) -> None:
    source = await open_bucket("small", endpoint=f"http://127.0.0.1:{silent_port}", timeout=0.2)
    assert await get_failure(source) == ("s3 did not answer within 0.2 s", ErrorCode.SOURCE_UNAVAILABLE)


def xml_error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>secret b</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "reason", "code"),
    [
        pytest.param(
            403,
            xml_error("SignatureDoesNotMatch"),
            "s3 refused the credentials",
            ErrorCode.SOURCE_UNAVAILABLE,
            id="a wrong secret",
        ),
        pytest.param(
            503,
            xml_error("SlowDown"),
            "s3 takes no more calls for now, ask again later",
            ErrorCode.SOURCE_OVERLOADED,
            id="too many calls",
        ),
        pytest.param(
            400, xml_error("<b>"), "s3 refused the listing with `400`", ErrorCode.SOURCE_UNAVAILABLE, id="broken xml"
        ),
        pytest.param(200, b"{}", "s3 refused the listing with `500`", ErrorCode.SOURCE_UNAVAILABLE, id="no xml"),
        pytest.param(
            400,
            xml_error("at http://b"),
            "s3 gave an answer that cannot be read",
            ErrorCode.SOURCE_INVALID,
            id="an error that is no word",
        ),
        pytest.param(
            200, b"<html/>", "s3 gave an answer that cannot be read", ErrorCode.SOURCE_INVALID, id="another's answer"
        ),
    ],
)
async def test_a_failure_has_a_reason_that_can_be_shown(
    open_bucket: Callable,
    serve: Callable[[ASGIApp], AbstractContextManager[int]],
    status: int,
    body: bytes,
    reason: str,
    code: ErrorCode,
) -> None:
    with serve(Response(body, status, media_type="application/xml")) as port:
        source = await open_bucket("small", endpoint=f"http://127.0.0.1:{port}")
        assert await get_failure(source) == (reason, code)


LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: %d\r\n\r\n" % len(LISTING)
FAULTS = {
    "half an answer": HEAD + LISTING[:9],
    "no HTTP": b"garbage\r\n\r\n",
    "no answer": b"",
    "an error": b"HTTP/1.1 500 No\r\ncontent-length: 3\r\n\r\nno!",
    "a refusal": b"HTTP/1.1 403 No\r\nconnection: close\r\n\r\nno!",
}


class KeepAliveServer:
    """Answer each request with `answer`, and keep its connection; one that is no listing is cut off there."""

    def __init__(self) -> None:
        self.answer = HEAD + LISTING
        self.open_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(self.answer)
                if self.answer != HEAD + LISTING:
                    writer.write_eof()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_connection_stays_open_whatever_failed(fault: str) -> None:
    """Pools are held here, as the traceback of a failure may hold one, so that the garbage collector closes nothing."""
    server = KeepAliveServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        endpoint = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        source = await connect(
            S3Options(bucket="small", pattern=PATTERN, endpoint=endpoint, access_key="a", secret_key="b", timeout=5.0)
        )
        await source.ping()
        server.answer = FAULTS[fault]
        failures = [await get_failure(source), await get_failure(source)]
        server.answer = HEAD + LISTING
        await source.ping()
        pools = source.client._endpoint.http_session.session._manager.pools
        held = [pools[key] for key in pools.keys()]  # noqa: SIM118
        await source.close()
        async with asyncio.timeout(30):
            while server.open_connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert (len(failures), len(held)) == (2, 1)


async def test_a_stat_equals_the_row(open_bucket: Callable) -> None:
    source = await open_bucket("small")
    names = ("id", "name", "size", "content_type", "modified", "version")
    (row,) = await scan_rows(source, *names, keys=KeyFilter(("id",), ((KEYS[2],),)))
    stat = await source.stat(KEYS[2])
    assert tuple(getattr(stat, name) for name in names) == row


@pytest.mark.parametrize("id", ["", "nobody", "customers", "k" * 2000, "\ud800"])
async def test_an_id_that_is_no_key_has_no_stat_and_no_content(open_bucket: Callable, id: str) -> None:
    source = await open_bucket("small")
    assert await source.stat(id) is None
    with pytest.raises(ConnectorError, match="s3 has no such object"):
        await source.read_range(id, 0, 3)


PATH_STEPS = (
    "..", "../..", "./..", "a/..", "a/../..", ".", "", "/..", "..//", "%2e%2e", "%2E%2E/%2E%2E", "..%2f..", "%2f",
    "..\\", "..;", "\0", "%00", "..\0", "\uff0e\uff0e", "\u2025", "~", "*", "?", "#", "a?versionId=1&b=",
)  # fmt: skip
OTHER_KEYS = (
    "readme", "customers/1", "small/readme", "large/customers/5/logs/0000.txt", "empty", "etc/passwd", "?list-type=2",
    "?acl",
)  # fmt: skip


async def test_no_id_leads_to_another_key_or_out_of_the_bucket(open_bucket: Callable) -> None:
    """An id is a key and nothing else: no step in it is taken."""
    source = await open_bucket("small")
    ids = [f"{step}/{place}" for step in PATH_STEPS for place in OTHER_KEYS]
    opened = [id for id in ids if await source.stat(id) is not None]
    for id in ids:
        with pytest.raises(ConnectorError):
            await source.read_range(id, 0, 3)
    assert (len(ids), opened) == (200, [])
    assert await scan_rows(source, "id", keys=KeyFilter(("id",), tuple((id,) for id in ids[:50]))) == []


@pytest.mark.parametrize(("start", "length", "piece"), [(0, 2, b"ab"), (1, 9, b"bc"), (3, 5, b""), (0, 0, b"")])
async def test_a_range_reads_no_other_bytes(open_bucket: Callable, start: int, length: int, piece: bytes) -> None:
    source = await open_bucket("small")
    assert await source.read_range(KEYS[0], start, length) == piece


@pytest.mark.parametrize(("start", "expected"), [(0, b"0123"), (2, None)])
async def test_a_server_that_ignores_ranges_is_read_no_further_and_not_believed(
    open_bucket: Callable, serve: Callable[[ASGIApp], AbstractContextManager[int]], start: int, expected: bytes | None
) -> None:
    with serve(Response(b"0123456789" * 1000)) as port:
        source = await open_bucket("small", endpoint=f"http://127.0.0.1:{port}")
        if expected is not None:
            assert await source.read_range("a", start, 4) == expected
            return
        with pytest.raises(ConnectorError, match="an answer that cannot be read"):
            await source.read_range("a", start, 4)


async def test_a_download_url_opens_one_key_for_at_most_five_minutes(open_bucket: Callable) -> None:
    source = await open_bucket("small")
    url = await source.create_download_url(KEYS[2], 86_400)
    qs = parse_qs(urlsplit(url).query)
    assert (qs["X-Amz-Expires"], qs["X-Amz-Algorithm"]) == (["300"], ["AWS4-HMAC-SHA256"])
    assert await asyncio.to_thread(fetch_url, url) == (200, b"abc")
    assert quote(KEYS[2]) in url


def fetch_url(url: str) -> tuple[int, bytes]:
    with urlopen(url) as answer:
        return answer.status, answer.read()


async def test_an_id_that_is_no_key_has_no_download_url(open_bucket: Callable) -> None:
    assert await (await open_bucket("small")).create_download_url("", 60) is None
