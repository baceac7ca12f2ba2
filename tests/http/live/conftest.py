"""The door as it is served, over Acme in memory, with a feed: keys come and go, things happen, clients listen."""

import asyncio
import json
import socket
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

from auth import users
from auth.authentication import open_authenticator
from onedoor.app import App
from onedoor.audit.log import SYNC_DATA, DiskOps, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import derive_redaction_key
from onedoor.http.persisted_documents import PersistedDocuments
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.server import UvicornServer, build_uvicorn_config
from onedoor.http.state import AppState
from onedoor.model.catalog import Catalog, Limits, Topic
from onedoor.query.audited import AuditedExecutor
from onedoor.runtime.pubsub import PubSub
from onedoor.spi.connector import Connector
from onedoor.storage.database import MetadataDatabase, open_database
from onedoor.storage.events import EventLog
from tests import acme
from tests.http.live.subscribing import subscribe

PEPPER = b"a pepper of at least thirty-two characters"
PROTOCOL = "graphql-transport-ws"
SECONDS = 15.0
"""Nothing here takes longer, or it counts as stuck."""
CHANGED = 'subscription Changed { customerChanged(id: "20") { name } }'
NAMES = "subscription Names { customerChanged { id name } }"
PAGE = "https://dashboards.acme.example"


@dataclass(slots=True)
class Failing:
    broken: bool = False

    def sync(self, file: int) -> None:
        if self.broken:
            raise OSError("the disk is full")
        SYNC_DATA(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An open door, and all that a test does to it."""

    server: UvicornServer
    port: int
    counter: AppState
    state: MetadataDatabase
    session: aiohttp.ClientSession
    folder: Path
    disk: Failing
    numbers: Any
    held: list[Any]
    """What clients have open."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    def key(self, *groups: str) -> users.IssuedKey:
        """Of a new person in these groups."""
        email = self.person(*groups)
        return users.create_key(self.state, email)

    def person(self, *groups: str) -> str:
        email = f"p{next(self.numbers)}@acme.example"
        users.create_user(self.state, first_name="Ada", last_name="Example", email=email)
        for group in groups:
            users.join_group(self.state, email, group)
        return email

    async def changed(self, id: str) -> None:
        """A customer did."""
        await self.counter.pubsub.publish(Topic(name="customer", key=id), id)

    def records(self, *surfaces: str) -> list[Mapping[str, Any]]:
        return [each for each in read_records(self.folder) if not surfaces or each["surface"] in surfaces]

    def outcomes(self, *surfaces: str) -> list[str]:
        return [each["outcome"] for each in self.records(*surfaces)]

    async def socket(self, key: str | None = None, **more: Any) -> "Talk":
        """A WebSocket, let in where there is a key."""
        talk = Talk(await self.session.ws_connect(self.url, protocols=(PROTOCOL,), **more))
        self.held.append(talk.socket)
        if key is not None:
            await talk.say("connection_init", payload={"Authorization": f"Bearer {key}"})
            assert await talk.heard() == {"type": "connection_ack"}
        return talk

    async def stream(self, key: str, query: str, **more: Any) -> "Stream":
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {key}", **more.pop("headers", {})}
        reply = await self.session.post(self.url, json={"query": query, **more}, headers=headers)
        self.held.append(reply)
        return Stream(reply)


@dataclass(frozen=True, slots=True)
class Talk:
    """A WebSocket as a client has it."""

    socket: aiohttp.ClientWebSocketResponse

    async def say(self, type: str, id: str | None = None, **more: Any) -> None:
        await self.socket.send_str(json.dumps({"type": type, **({"id": id} if id else {}), **more}))

    async def subscribe(self, id: str, query: str, **more: Any) -> None:
        await self.say("subscribe", id, payload={"query": query, **more})

    async def heard(self) -> Any:
        """The next message; where it was closed, the code."""
        async with asyncio.timeout(SECONDS):
            said = await self.socket.receive()
        return json.loads(said.data) if said.type is aiohttp.WSMsgType.TEXT else self.socket.close_code

    async def closed(self) -> tuple[int | None, str]:
        async with asyncio.timeout(SECONDS):
            while (said := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return self.socket.close_code, str(said.extra or "")


@dataclass(frozen=True, slots=True)
class Stream:
    """An event stream as a client has it."""

    reply: aiohttp.ClientResponse

    async def heard(self) -> tuple[str, Any]:
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


Opening = Callable[..., Any]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as stack:

        async def open_door(
            limits: Limits | None = None,
            counted: Limits = acme.UNCOUNTED,
            sources: Mapping[str, Connector] | None = None,
            url: str | None = None,
            documents: PersistedDocuments | None = None,
            **bus: Any,
        ) -> Door:
            within = limits or Limits()
            state = open_database(url or f"sqlite:///{tmp_path}/state.sqlite", PEPPER)
            stack.callback(state.close)
            known = open_authenticator(state, acme.GROUPS)
            stack.callback(known.close)
            disk = Failing()
            journal = open_audit_log(tmp_path, datetime.now(UTC), disk=DiskOps(sync=disk.sync))
            stack.callback(journal.close)
            told = PubSub(EventLog(state), **bus)
            stack.push_async_callback(told.close)
            house = replace(built(), limits=within, connectors={**built().connectors, **(sources or {})})
            counter = AppState(
                executor=AuditedExecutor(
                    engine=acme.opened(house), audit_log=journal, redaction_key=derive_redaction_key(PEPPER)
                ),
                authenticator=known,
                rate_limiter=RateLimiter(counted),
                allowed_origins=frozenset({PAGE}),
                documents=documents or PersistedDocuments(),
                pubsub=told,
                subscribe=subscribe,
            )
            app = App(None, None)  # type: ignore[arg-type]
            app.app_state = counter
            server, port = await stack.enter_async_context(served(app, within))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            held: list[Any] = []
            stack.push_async_callback(hung_up, held)
            return Door(
                server=server, port=port, counter=counter, state=state, session=session, folder=tmp_path, disk=disk,
                numbers=count(), held=held,
            )  # fmt: skip

        yield open_door


async def hung_up(held: list[Any]) -> None:
    for each in held:
        closing = each.close()
        if closing is not None:
            await closing


@pytest.fixture
async def door(opening: Opening) -> Door:
    made: Door = await opening()
    return made


@cache
def built() -> Catalog:
    return acme.house()


@asynccontextmanager
async def served(app: App, limits: Limits) -> AsyncIterator[tuple[UvicornServer, int]]:
    """The app as the product serves it, without the loop that looks whether it is to stop."""
    listening = socket.create_server(("127.0.0.1", 0))
    made = build_uvicorn_config(app, limits)
    made.lifespan = "off"
    made.load()
    server = UvicornServer(made)
    server.lifespan = made.lifespan_class(made)
    await server.startup(sockets=[listening])
    port = listening.getsockname()[1]
    try:
        yield server, port
    finally:
        await server.shutdown(sockets=[listening])


async def until(true: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Returns once it is so; fails at the deadline."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is looked at tells in no other way
            await asyncio.sleep(0.01)
