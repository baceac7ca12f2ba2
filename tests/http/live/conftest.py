"""Run a server over Acme in memory with events: keys come and go, rows change, clients subscribe."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auth import api_keys, users
from auth.authentication import open_authenticator
from auth.grant_store import GrantChecker
from onedoor.app import App
from onedoor.audit.log import SYNC_DATA, DiskOps, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import derive_redaction_key
from onedoor.http.persisted_documents import PersistedDocuments
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.server import UvicornServer, bind_socket, build_uvicorn_config
from onedoor.http.state import LIFESPAN_KEY, AppState
from onedoor.model.catalog import Catalog, Limits, Topic
from onedoor.query.audited import AuditedExecutor
from onedoor.runtime.budgets import Budgets
from onedoor.runtime.pubsub import PubSub
from onedoor.spi.connector import Connector
from onedoor.storage.database import MetadataDatabase, open_database
from onedoor.storage.events import EventLog
from tests import acme
from tests.http.live.subscriptions import subscribe
from tests.metadata import copy_sqlite

PEPPER = b"a pepper of at least thirty-two characters"
PROTOCOL = "graphql-transport-ws"
SECONDS = 60.0
"""Nothing here takes longer, or it counts as stuck."""
CHANGED = 'subscription Changed { customerChanged(id: "20") { name } }'
NAMES = "subscription Names { customerChanged { id name } }"
PAGE = "https://dashboards.acme.example"


@dataclass(slots=True)
class FailingDisk:
    broken: bool = False

    def sync(self, file: int) -> None:
        if self.broken:
            raise OSError("the disk is full")
        SYNC_DATA(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A running server, and all that a test does to it."""

    uvicorn_server: UvicornServer
    port: int
    app_state: AppState
    state: MetadataDatabase
    session: aiohttp.ClientSession
    folder: Path
    disk: FailingDisk
    numbers: Any
    held: list[Any]
    """What clients have open."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    def key(self, *groups: str) -> api_keys.IssuedKey:
        """Of a new person in these groups."""
        email = self.person(*groups)
        return api_keys.create_key(self.state, email)

    def person(self, *groups: str) -> str:
        email = f"p{next(self.numbers)}@acme.example"
        users.create_user(self.state, first_name="Ada", last_name="Example", email=email)
        for group in groups:
            users.join_group(self.state, email, group)
        return email

    async def publish_change(self, id: str) -> None:
        """A customer did."""
        await self.app_state.pubsub.publish(Topic(name="customer", key=id), id)

    def records(self, *surfaces: str) -> list[Mapping[str, Any]]:
        return [record for record in read_records(self.folder) if not surfaces or record["surface"] in surfaces]

    def outcomes(self, *surfaces: str) -> list[str]:
        return [record["outcome"] for record in self.records(*surfaces)]

    async def socket(self, key: str | None = None, **more: Any) -> "WebSocketClient":
        """A WebSocket, let in where there is a key."""
        websocket = WebSocketClient(await self.session.ws_connect(self.url, protocols=(PROTOCOL,), **more))
        self.held.append(websocket.socket)
        if key is not None:
            await websocket.send("connection_init", payload={"Authorization": f"Bearer {key}"})
            assert await websocket.receive() == {"type": "connection_ack"}
        return websocket

    async def stream(self, key: str, query: str, **more: Any) -> "EventStreamClient":
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {key}", **more.pop("headers", {})}
        reply = await self.session.post(self.url, json={"query": query, **more}, headers=headers)
        self.held.append(reply)
        return EventStreamClient(reply)


@dataclass(frozen=True, slots=True)
class WebSocketClient:
    """A WebSocket as a client has it."""

    socket: aiohttp.ClientWebSocketResponse

    async def send(self, type: str, id: str | None = None, **more: Any) -> None:
        await self.socket.send_str(json.dumps({"type": type, **({"id": id} if id else {}), **more}))

    async def subscribe(self, id: str, query: str, **more: Any) -> None:
        await self.send("subscribe", id, payload={"query": query, **more})

    async def receive(self) -> Any:
        """The next message; where it was closed, the code."""
        async with asyncio.timeout(SECONDS):
            message = await self.socket.receive()
        return json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else self.socket.close_code

    async def wait_closed(self) -> tuple[int | None, str]:
        async with asyncio.timeout(SECONDS):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return self.socket.close_code, str(message.extra or "")


@dataclass(frozen=True, slots=True)
class EventStreamClient:
    """An event stream as a client has it."""

    reply: aiohttp.ClientResponse

    async def receive(self) -> tuple[str, Any]:
        """The next event and its data; `end` once there is no more."""
        kind = ""
        async with asyncio.timeout(SECONDS):
            while line := await self.reply.content.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                if name == "data":
                    return kind, json.loads(value) if value else None
        return "end", None

    async def comment(self) -> None:
        """The next sign of life."""
        async with asyncio.timeout(SECONDS):
            while await self.reply.content.readline() != b":\n":
                pass


OpenServer = Callable[..., Any]


@pytest.fixture
async def open_server(tmp_path: Path) -> AsyncIterator[OpenServer]:
    async with AsyncExitStack() as stack:

        async def start(
            limits: Limits | None = None,
            rate_limits: Limits = acme.UNLIMITED_RATES,
            sources: Mapping[str, Connector] | None = None,
            url: str | None = None,
            documents: PersistedDocuments | None = None,
            port: int = 0,
            folder: Path | None = None,
            budgets: Budgets | None = None,
            **bus: Any,
        ) -> RunningServer:
            limits_or_default = limits or Limits()
            state = open_database(url or copy_sqlite(tmp_path), PEPPER)
            stack.callback(state.close)
            authenticator = open_authenticator(state, acme.GROUPS)
            stack.callback(authenticator.close)
            disk = FailingDisk()
            audit_log = open_audit_log(folder or tmp_path, datetime.now(UTC), disk=DiskOps(sync=disk.sync))
            stack.callback(audit_log.close)
            pubsub = PubSub(EventLog(state), **bus)
            stack.push_async_callback(pubsub.close)
            catalog = replace(
                build_catalog(), limits=limits_or_default, connectors={**build_catalog().connectors, **(sources or {})}
            )
            grant_checker = GrantChecker(state)
            stack.callback(grant_checker.close)
            app_state = AppState(
                executor=AuditedExecutor(
                    engine=replace(acme.open_engine(catalog), find_ended_grants=grant_checker.find_ended),
                    audit_log=audit_log,
                    redaction_key=derive_redaction_key(PEPPER),
                    budgets=budgets or Budgets(),
                ),
                authenticator=authenticator,
                rate_limiter=RateLimiter(rate_limits),
                allowed_origins=frozenset({PAGE}),
                documents=documents or PersistedDocuments(),
                pubsub=pubsub,
                subscribe=subscribe,
            )
            app = App(None, None)  # type: ignore[arg-type]
            app.app_state = app_state
            uvicorn_server, port = await stack.enter_async_context(serve_app(app, limits_or_default, port))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            held: list[Any] = []
            stack.push_async_callback(close_all, held)
            return RunningServer(
                uvicorn_server=uvicorn_server,
                port=port,
                app_state=app_state,
                state=state,
                session=session,
                folder=folder or tmp_path,
                disk=disk,
                numbers=count(),
                held=held,
            )

        yield start


async def close_all(held: list[Any]) -> None:
    for item in held:
        closing = item.close()
        if closing is not None:
            await closing


@pytest.fixture
async def server(open_server: OpenServer) -> RunningServer:
    result: RunningServer = await open_server()
    return result


@cache
def build_catalog() -> Catalog:
    return acme.build_catalog()


@asynccontextmanager
async def serve_app(app: App, limits: Limits, port: int) -> AsyncIterator[tuple[UvicornServer, int]]:
    """The app as the product serves it, without the loop that looks whether it is to stop."""
    listening = bind_socket("127.0.0.1", port)
    uvicorn_config = build_uvicorn_config(app, limits)
    uvicorn_config.lifespan = "off"
    uvicorn_config.load()
    uvicorn_server = UvicornServer(uvicorn_config)
    uvicorn_server.lifespan = uvicorn_config.lifespan_class(uvicorn_config)
    uvicorn_server.lifespan.state[LIFESPAN_KEY] = app.build_lifespan_state()
    await uvicorn_server.startup(sockets=[listening])
    port = listening.getsockname()[1]
    try:
        yield uvicorn_server, port
    finally:
        await uvicorn_server.shutdown(sockets=[listening])


async def wait_until(true: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Returns once it is so; fails at the deadline."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is looked at tells in no other way
            await asyncio.sleep(0.01)
