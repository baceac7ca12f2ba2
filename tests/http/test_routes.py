"""Every route except /graphql replies as golden/routes.json says: status, headers and body, by method and key."""

import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from auth.api_keys import SecretNumber
from auth.authentication import Authenticator, Principal, open_authenticator
from onedoor.exports.models import ExportRequest, Format
from onedoor.exports.plan import start_export
from onedoor.exports.writer import ExportRun, run_export
from onedoor.http.rate_limit import SlidingWindow
from onedoor.http.responses import ALL_METHODS
from onedoor.storage.database import MetadataDatabase
from tests import acme
from tests.exports.conftest import FakeHost
from tests.http.conftest import Keys, OpenServer, RunningServer, wait_until
from tests.http.raw import PAGE

GOLDEN = Path(__file__).parent / "golden" / "routes.json"
EXPORTED = "{ customers(first: 3) { nodes { id name } } }"
METHODS = ("GET", "HEAD", "OPTIONS", "POST")
PATHS = (
    "/health", "/health/", "/graphiql", "/graphiql/", "/graphiql/index.html", "/graphiql/LICENSES.txt",
    "/graphiql/nothing.js", "/graphiqlx", "/graphiql/permissions.json", "/exports", "/exports/", "/exports/e1",
    "/exports/e1/export.csv", "/exports/e1/nothing.csv", "/exports/e2/export.csv", "/", "/nothing",
    "/docs", "/redoc", "/openapi.json",
    "/account", "/account/", "/account/account.js", "/account/nothing.js", "/admin", "/admin/", "/admin/admin.js",
    "/admin/nothing.js",
)  # fmt: skip
KEYS = {"no key": None, "sales": "sales", "finance": "finance", "revoked": "revoked"}
ANYONES = ("no key", "sales")
VARYING = ("date", "server", "x-request-id", "etag")
"""Headers that differ between two runs."""
LARGE = (
    "/graphiql", "/graphiql/", "/graphiql/index.html", "/graphiql/LICENSES.txt", "/graphiql/permissions.json",
    "/account", "/account/", "/account/account.js", "/admin", "/admin/", "/admin/admin.js",
)  # fmt: skip
"""Paths whose body changes with the pages, or Acme's schema; only whether there is one is compared."""


def list_requests() -> list[tuple[str, str, str]]:
    return [
        (method, path, key)
        for path in PATHS
        for method in METHODS
        for key in (KEYS if "permissions" in path or path.startswith("/exports/") else ANYONES)
    ]


@pytest.fixture
async def server_with_export(open_server: OpenServer) -> RunningServer:
    """Run a server that holds an export of someone in sales."""
    server: RunningServer = await open_server()
    await write_export(server)
    return server


async def write_export(server: RunningServer) -> None:
    principal = await server.app_state.authenticator.authenticate(server.keys.of["sales"])
    assert principal is not None
    request = ExportRequest(text=EXPORTED, format=Format.CSV)
    store = server.app_state.export_store
    assert store is not None
    plan = await start_export(server.app_state.executor, store, principal, "e1", request)
    host = FakeHost(lambda looks: principal)
    await run_export(ExportRun(executor=server.app_state.executor, store=store, host=host, plan=plan))


async def send(server: RunningServer, method: str, path: str, key: str) -> dict[str, Any]:
    text = {**server.keys.of, "revoked": server.keys.revoked}.get(KEYS[key] or "")
    reply = await server.send(method, path, headers={"authorization": f"Bearer {text}"} if text else {})
    headers = {name.lower(): value for name, value in reply.headers.items() if name.lower() not in VARYING}
    body = reply.raw.decode()
    if path in LARGE and reply.status == 200:
        headers["content-length"], body = "<length>", "<body>" if body else ""
    return {"status": reply.status, "headers": dict(sorted(headers.items())), "body": body}


async def test_every_route_replies_as_it_did(server_with_export: RunningServer) -> None:
    replies = {
        f"{method} {path} ({key})": await send(server_with_export, method, path, key)
        for method, path, key in list_requests()
    }
    if os.environ.get("GOLDEN") == "write":
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(reply)}" for name, reply in replies.items())
        GOLDEN.write_text(f"{{\n{lines}\n}}\n")
    assert replies == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_browser_is_led_to_graphiql(server_with_export: RunningServer, method: str) -> None:
    accept = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    reply = await server_with_export.send(method, "/", headers=accept, allow_redirects=False)
    assert (reply.status, reply.headers["location"], reply.headers["vary"]) == (307, "/graphiql", "Accept")
    assert (await server_with_export.send("GET", "/", headers=accept)).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0", ""])
async def test_any_other_client_is_told_where_to_ask(server_with_export: RunningServer, accept: str) -> None:
    reply = await server_with_export.send("GET", "/", headers={"accept": accept})
    assert (reply.status, reply.body["errors"][0]["message"]) == (404, "there is nothing here, ask at /graphql")


HEADERS = "authorization,content-type,apollographql-client-name, apollographql-client-version,apollo-require-preflight"
PREFLIGHTS = {
    "a page that is listed": (PAGE, HEADERS, HEADERS.replace(" ", "").replace(",", ", ")),
    "any header of it": (PAGE, "X-Made-Up , traceparent", "X-Made-Up, traceparent"),
    "what is no name of a header": (PAGE, 'a b, c:d, baggage,, "', "baggage"),
    "a page that names none": (PAGE, None, "authorization, x-api-key, content-type, x-request-id"),
    "a page that is not listed": ("https://evil.example", HEADERS, None),
    "a program": (None, HEADERS, None),
}


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/exports/e1/export.csv"])
@pytest.mark.parametrize(("origin", "wanted", "allowed"), PREFLIGHTS.values(), ids=PREFLIGHTS)
async def test_a_page_that_is_listed_may_send_what_it_asks_for(
    open_server: OpenServer, path: str, origin: str | None, wanted: str | None, allowed: str | None
) -> None:
    server: RunningServer = await open_server(allowed_origins=frozenset({PAGE}))
    headers = {"access-control-request-method": "POST"}
    headers |= {"origin": origin} if origin else {}
    headers |= {"access-control-request-headers": wanted} if wanted else {}
    reply = await server.send("OPTIONS", path, headers=headers)
    assert (reply.status, reply.headers.get("access-control-allow-headers")) == (204, allowed)
    assert reply.headers.get("access-control-allow-origin") == (PAGE if origin == PAGE else None)
    assert reply.headers["vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    assert server.records() == []


async def test_a_page_that_is_listed_may_read_what_it_downloads(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(allowed_origins=frozenset({PAGE}))
    await write_export(server)
    headers = {"origin": PAGE, "x-api-key": server.keys.of["sales"]}
    reply = await server.send("GET", "/exports/e1/export.csv", headers=headers)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)


@dataclass(slots=True)
class CountingAuthenticator:
    """An authenticator that counts the keys it judges."""

    of: Authenticator
    judged: int = 0

    async def find_ended(self, secrets: Collection[SecretNumber]) -> Collection[SecretNumber]:
        return await self.of.find_ended(secrets)

    async def authenticate(self, api_key: str | None) -> Principal | None:
        self.judged += 1
        return await self.of.authenticate(api_key)

    def close(self) -> None:
        self.of.close()


def list_routes(server: RunningServer) -> list[tuple[str, str]]:
    """Every path and method that the app answers, with something in place of its parameters."""
    routes = (route for included in server.app.routes.routes for route in included.original_router.routes)  # type: ignore[attr-defined]
    paths = {re.sub(r"\{[^}]*\}", "e1/export.csv", route.path) for route in routes}
    return [(path, method) for path in sorted({"/graphql", "/graphql/", *paths}) for method in ALL_METHODS]


@pytest.mark.parametrize("key", ["sales", "revoked", "no key"])
async def test_wherever_a_key_is_judged_the_request_counts_and_is_on_record(
    open_server: OpenServer, state: MetadataDatabase, keys: Keys, key: str
) -> None:
    authenticator = CountingAuthenticator(open_authenticator(state, acme.GROUPS))
    server: RunningServer = await open_server(known=authenticator)
    text = {**keys.of, "revoked": keys.revoked}.get(key)
    limiter = server.app_state.rate_limiter
    counted = limiter.requests if key == "sales" else limiter.failures
    judging = set()
    for path, method in list_routes(server):
        server.app_state.turned_away.flush()  # so that each refusal is on record by itself
        before = authenticator.judged, count_arrivals(counted), len(server.records())
        await server.send(method, path, headers={"x-api-key": text} if text else {})
        after = authenticator.judged, count_arrivals(counted), len(server.records())
        judged, arrived, recorded = (now - then for now, then in zip(after, before, strict=True))
        assert (arrived, recorded) == ((1, 1) if judged else (0, 0)), (path, method)
        if judged:
            judging.add(path)
    assert judging == {"/graphql", "/graphql/", "/graphiql/permissions.json", "/exports/e1/export.csv"}


def count_arrivals(window: SlidingWindow) -> int:
    return sum(map(len, window.arrivals.values()))


@pytest.mark.parametrize("path", ["/graphql", "/graphiql/permissions.json", "/exports/e1/export.csv"])
@pytest.mark.parametrize(("key", "limit"), [("sales", "requests_a_minute"), (None, "failed_keys_a_minute")])
async def test_over_the_limit_every_route_that_judges_a_key_is_429(
    open_server: OpenServer, path: str, key: str | None, limit: str
) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, **{limit: 1}))
    replies = [await server.send("GET", path, headers=server.bearer(key)) for _ in range(2)]
    assert replies[0].status != 429
    assert (replies[1].status, "retry-after" in replies[1].headers) == (429, True)
    await wait_until(lambda: server.records()[-1]["status"] == 429)
