"""Sixty attempts to lead the server into its own network or to steal its credentials fail.

Names are resolved by a resolver of the tests, which leads where an attacker's would; nobody listens there, and nothing
is ever connected to: what is counted is what would have been.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import TCPConnector
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onedoor.codegen.models import ApiReadOptions
from onedoor.connectors.public_addresses import PrivateAddressError, PublicAddressResolver
from onedoor.connectors.rest.connector import RestConnector, RestOptions, connect
from onedoor.connectors.rest.openapi import description
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.spi.scan import ScanRequest
from tests.servers.rest import serve_app

SECRET = "Bearer very-secret"
COLLECTION: dict[str, Any] = {"path": "/users", "columns": {"id": "integer"}}
LOG: dict[str, Any] = {"path": "/log", "single": True, "text": True, "columns": {"text": {"kind": "text", "at": ""}}}

WRITTEN = (
    "http://api.example", "https://127.0.0.1", "https://127.1.2.3:8443", "https://0.0.0.0", "https://10.0.0.1",
    "https://172.16.0.1", "https://192.168.1.1", "https://100.64.0.1", "https://169.254.169.254/latest/meta-data",
    "https://198.18.0.1", "https://224.0.0.1", "https://255.255.255.255", "https://localhost", "https://[::1]",
    "https://[::]", "https://[fe80::1]", "https://[fd00::1]", "https://[fec0::1]", "https://[ff02::1]",
    "https://[::ffff:127.0.0.1]", "https://[::ffff:a9fe:a9fe]", "https://[::127.0.0.1]", "https://[64:ff9b::7f00:1]",
    "https://[64:ff9b::169.254.169.254]", "https://[64:ff9b:1::a00:1]", "https://[2002:7f00:1::]",
    "https://[2001:0:a00:1::]", "https://[::ffff:0:10.0.0.1]", "file:///etc/passwd", "gopher://api.example",
    "https://user:word@api.example", "https://api.example@127.0.0.1", "https://api.example?x=1",
    "https://api.example#@127.0.0.1", "https://", "https://2130706433", "https://0x7f000001", "https://0177.0.0.1",
    "https://127.1", "https://localhost.", "https://LOCALHOST", "https://0x7f.1",
)  # fmt: skip
"""URLs that are refused as they stand."""
NAMES = {
    "https://localhost.localdomain": "127.0.0.1", "https://metadata.example": "169.254.169.254",
    "https://inner.example": "10.1.2.3",
    "https://sixth.example": "::1", "https://mapped.example": "::ffff:192.168.0.1",
    "https://scoped.example": "fe80::1%eth0", "https://translated.example": "64:ff9b::a00:1",
    "https://unique.example": "fd12::1", "https://shared.example": "100.100.100.200",
}  # fmt: skip
"""URLs that are judged by the addresses of their hosts."""
ELSEWHERE = (
    "http://127.0.0.1:1/users", "https://elsewhere.example/users", "//elsewhere.example/users", "http://[::1]:1/users",
    "http://169.254.169.254/latest", "file:///etc/passwd", "http://user@127.0.0.1:1/",
)  # fmt: skip
"""Places that a next page, a redirect or a log names."""
DESCRIPTIONS = (
    "https://elsewhere.example/openapi.json", "http://listed.example/openapi.json", "https://127.0.0.1/openapi.json",
    "https://listed.example.elsewhere.example/o.json", "https://listed.example@elsewhere.example/o.json",
)  # fmt: skip
assert len(WRITTEN) + len(NAMES) + len(ELSEWHERE) + len(DESCRIPTIONS) >= 60


class ScriptedResolver:
    """Resolve every host to the given addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[dict[str, Any]]:
        return [
            {"hostname": host, "host": address, "port": port, "family": 2, "proto": 0, "flags": 0}
            for address in self.addresses
        ]

    async def close(self) -> None:
        return None


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Count the public addresses that would have been connected to; there must be none."""
    connections: list[Any] = []
    inner = TCPConnector._wrap_create_connection

    async def count_connections(self: Any, *args: Any, addr_infos: Any, **more: Any) -> Any:
        connections.extend(
            addr_info[4][0] for addr_info in addr_infos if self._resolver.__class__ is PublicAddressResolver
        )
        if connections:
            raise OSError
        return await inner(self, *args, addr_infos=addr_infos, **more)

    monkeypatch.setattr(TCPConnector, "_wrap_create_connection", count_connections)
    yield connections
    assert connections == []


async def read_rows(source: RestConnector, collection: str = "users") -> None:
    async for _ in source.scan(
        ScanRequest(collection=collection, columns=("id",) if collection == "users" else ("text",))
    ):
        pass


@pytest.mark.parametrize("url", WRITTEN)
async def test_a_url_of_this_network_is_refused_as_it_stands(url: str) -> None:
    with pytest.raises(ValueError, match="`base_url`"):
        await connect(RestOptions(base_url=url, collections={"users": COLLECTION}))


@pytest.mark.parametrize("url", NAMES)
async def test_a_host_name_is_judged_by_its_addresses(url: str) -> None:
    source = await connect(RestOptions(base_url=url, collections={"users": COLLECTION}))
    resolver: Any = source.client.http.session.connector._resolver  # type: ignore[union-attr]
    resolver.resolver = ScriptedResolver("93.184.216.34", NAMES[url])
    with pytest.raises(ConnectorError, match="leads into this network"):
        await read_rows(source)
    await source.close()


async def test_a_host_name_is_judged_each_time_it_is_resolved() -> None:
    """The addresses that are judged are those connected to: no second look-up lies between."""
    resolver = PublicAddressResolver()
    resolver.resolver = ScriptedResolver("93.184.216.34")
    assert [item["host"] for item in await resolver.resolve("turning.example")] == ["93.184.216.34"]
    resolver.resolver = ScriptedResolver("127.0.0.1")
    with pytest.raises(PrivateAddressError):
        await resolver.resolve("turning.example")


class Elsewhere:
    """Lead each caller elsewhere: by a Link header, by a redirect, by the place of a log."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        headers = {"link": f'<{self.url}>; rel="next"', "location": self.url}
        status = 200 if scope["path"] == "/linked" else 302
        await Response(b'[{"id": 1}]', status, headers, "application/json")(scope, receive, send)


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("way", ["linked", "redirected", "log"])
async def test_an_api_leads_to_no_other_host(url: str, way: str) -> None:
    """All addresses are allowed, and still only the API itself is called, once."""
    server = Elsewhere(url)
    async with serve_app(server) as base:
        paged = {**COLLECTION, "path": "/linked" if way == "linked" else "/redirected", "paging": {"by": "link"}}
        source = await connect(
            RestOptions(
                base_url=base, collections={"users": paged, "log": LOG}, headers={"authorization": SECRET},
                private_addresses=True, redirects=("logs.example",),
            )
        )  # fmt: skip
        with pytest.raises(ConnectorError):
            await read_rows(source, "log" if way == "log" else "users")
        await source.close()
    assert server.calls == 1


async def test_a_listed_redirect_host_gets_no_credentials() -> None:
    seen: list[list[str]] = []

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append([value.decode() for name, value in scope["headers"] if name == b"authorization"])
        there = scope["path"] == "/there"
        await Response("ok", 200 if there else 302, {"location": "/there"})(scope, receive, send)

    async with serve_app(server) as base:
        source = await connect(
            RestOptions(
                base_url=base, collections={"log": LOG}, headers={"authorization": SECRET}, private_addresses=True,
                redirects=("127.0.0.1",),
            )
        )  # fmt: skip
        await read_rows(source, "log")
        await source.close()
    assert seen == [[SECRET], []]


@pytest.mark.parametrize("url", DESCRIPTIONS)
async def test_a_description_is_fetched_from_listed_hosts_alone(url: str) -> None:
    with pytest.raises(ConfigurationError):
        await description.describe(url, ApiReadOptions(hosts=("listed.example",)))


SERVERS = (
    "https://elsewhere.example",
    "https://169.254.169.254",
    "//elsewhere.example",
    "https://127.0.0.1.nip.example",
)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_fetched_description_names_no_host_that_is_not_listed(server: str) -> None:
    """Else whoever writes it would be sent our credentials."""
    text = {"openapi": "3.0.0", "servers": [{"url": server}], "paths": {"/a": {"get": {"responses": {}}}}}
    async with serve_app(Response(json.dumps(text))) as base:
        with pytest.raises(ConfigurationError, match="is not listed"):
            await description.describe(f"{base}/o", ApiReadOptions(hosts=("127.0.0.1",), private_addresses=True))


async def test_redirects_of_a_description_are_not_followed() -> None:
    async with serve_app(Elsewhere("http://127.0.0.1:1/openapi.json")) as base:
        with pytest.raises(ConfigurationError, match="redirects are not followed"):
            await description.describe(f"{base}/o", ApiReadOptions(hosts=("127.0.0.1",), private_addresses=True))
