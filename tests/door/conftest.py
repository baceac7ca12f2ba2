"""The whole door over real HTTP: Acme in memory behind it, a real state with real keys, a real journal."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from app import App
from auth import keyring, people
from auth.callers import Callers, callers
from auth.state import State, opened
from door.documents import Documents
from door.graphql import Counter
from door.health import Health
from door.turnstile import Turnstile
from engine.cache.through import Cache
from engine.house import House, Limits
from engine.source import Source
from engine.words import Ask, Can, Row
from records.disk import SYNC, Disk
from records.journal import opened as journal_opened
from records.read import read
from records.redact import records_key
from sources.journal import JournalSource
from sources.scratch.scratch import Scratches
from tests import acme

PEPPER = b"a pepper of at least thirty-two characters"
GRAPHQL = "application/graphql-response+json"
PEOPLE = {"sales": ("sales",), "finance": ("finance",), "audit": ("audit",), "nobody": ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The text of each person's key, by name; and of one that has expired and one that was revoked."""

    of: Mapping[str, str]
    expired: str
    revoked: str


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    house = opened(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.sqlite", PEPPER)
    yield house
    house.close()


@pytest.fixture(scope="session")
def keys(state: State) -> Keys:
    past = State(engine=state.engine, pepper=state.pepper, now=lambda: datetime.now(UTC) - timedelta(days=2))
    held = {name: issued(state, name, groups) for name, groups in PEOPLE.items()}
    expired, revoked = issued(past, "expired", ("sales",), days=1), issued(state, "revoked", ("sales",))
    keyring.revoke(state, revoked.id)
    return Keys(of={name: each.text for name, each in held.items()}, expired=expired.text, revoked=revoked.text)


def issued(state: State, name: str, groups: Sequence[str], days: int = 90) -> keyring.Issued:
    email = f"{name}@acme.example"
    people.create(state, first_name=name.title(), last_name="Example", email=email)
    for group in groups:
        people.join(state, email, group)
    return keyring.create(state, email, days=days)


@dataclass(slots=True)
class Odd:
    """A source that acts oddly before it answers; `began` and `cancelled` tell how far it came."""

    of: Source
    act: Callable[[Ask], Awaitable[None]]
    began: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def can(self, collection: str) -> Can:
        return self.of.can(collection)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        self.began.set()
        try:
            await self.act(ask)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        async for rows in self.of.read(ask):
            yield rows

    async def ping(self) -> None:
        await self.act(Ask(collection="", columns=()))

    async def close(self) -> None:
        return None


async def hang(ask: Ask) -> None:
    await asyncio.Event().wait()


@dataclass(slots=True)
class Failing:
    """A disk that syncs until it is told to fail."""

    broken: bool = False

    def sync(self, file: int) -> None:
        if self.broken:
            raise OSError("the disk is full")
        SYNC(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One reply, whole."""

    status: int
    body: Any
    raw: bytes
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        code: str = self.body["errors"][0]["extensions"]["code"]
        return code


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An open door: where it is, who may come in, and what it has on record."""

    port: int
    session: aiohttp.ClientSession
    keys: Keys
    folder: Path
    disk: Failing

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self) -> list[Mapping[str, Any]]:
        return list(read(self.folder))

    async def send(self, method: str = "POST", path: str = "/graphql", **rest: Any) -> Told:
        async with self.session.request(method, self.url + path, **rest) as reply:
            raw = await reply.read()
            is_json = "json" in reply.headers.get("content-type", "") and raw
            body = await reply.json(content_type=None) if is_json else None
            return Told(status=reply.status, body=body, raw=raw, headers=reply.headers)

    async def ask(self, query: str, who: str | None = "sales", **rest: Any) -> Told:
        """As someone of PEOPLE, or without a key; `rest` goes beside the query."""
        return await self.send(json={"query": query, **rest}, headers=self.bearer(who))

    def bearer(self, who: str | None) -> dict[str, str]:
        return {"accept": GRAPHQL, **({"authorization": f"Bearer {self.keys.of[who]}"} if who else {})}


Opening = Callable[..., Any]


@pytest.fixture
async def opening(state: State, keys: Keys, tmp_path: Path) -> AsyncIterator[Opening]:
    """Opens doors: over Acme, or the sources given in place of some of its own."""
    async with AsyncExitStack() as stack:

        async def open_door(
            odd: Mapping[str, Source] | None = None,
            limits: Limits | None = None,
            known: Callers | None = None,
            counted: Limits = acme.UNCOUNTED,
            documents: Documents | None = None,
            cache: Cache | None = None,
        ) -> Door:
            disk = Failing()
            journal = journal_opened(tmp_path, datetime.now(UTC), disk=Disk(sync=disk.sync))
            stack.callback(journal.close)
            judge = known or callers(state)
            stack.callback(judge.close)
            sources = {**acme.sources(), **(odd or {})}
            inside = {**built().sources, **sources, "journal": JournalSource(tmp_path)}
            within = limits or Limits()
            house = replace(built(), sources=inside, limits=within, scratch=Scratches(within))
            desk = replace(acme.opened(house), cache=cache)
            app = App(None)  # type: ignore[arg-type]
            app.counter = Counter(
                desk=desk,
                callers=judge,
                journal=journal,
                records_key=records_key(PEPPER),
                turnstile=Turnstile(counted),
                documents=documents or Documents(),
            )
            app.health = Health(sources)
            port = await stack.enter_async_context(served(app))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Door(port=port, session=session, keys=keys, folder=tmp_path, disk=disk)

        yield open_door


@pytest.fixture
async def door(opening: Opening) -> Door:
    made: Door = await opening()
    return made


@cache
def built() -> House:
    return acme.house()


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """The app on a free port of the loopback, until left."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    # without the server's main loop, which looks only ten times a second whether it is to stop
    await server.startup(sockets=[listening])
    try:
        yield listening.getsockname()[1]
    finally:
        await server.shutdown(sockets=[listening])


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns once it is so; fails at the deadline."""
    async with asyncio.timeout(seconds):
        for _ in count():
            if true():
                return
            await asyncio.sleep(0.005)


async def spoken(port: int, octets: bytes) -> bytes:
    """What the door says to these bytes, as they stand, until it or we hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(octets)
        await writer.drain()
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head + await reader.readexactly(length)
    finally:
        writer.close()
