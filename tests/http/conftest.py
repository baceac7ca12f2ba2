"""Run a server over real HTTP: Acme in memory, a real metadata database with real keys, a real audit log."""

import asyncio
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

from auth import api_keys, users
from auth.authentication import Authenticator, open_authenticator
from onedoor.app import App
from onedoor.audit.checkpointer import Sealing
from onedoor.audit.log import SYNC_DATA, DiskOps, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import derive_redaction_key
from onedoor.connectors.audit_log import AuditLogConnector
from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.exports.storage import FolderExportStore
from onedoor.http.health import HealthCheck
from onedoor.http.persisted_documents import PersistedDocuments
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.state import AppState
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.audited import AuditedExecutor
from onedoor.runtime.budgets import Budgets
from onedoor.runtime.row_cache import RowCache
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabase, open_database
from tests import acme
from tests.servers.serving import serve_in_loop

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
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataDatabase]:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.sqlite", PEPPER)
    yield database
    database.close()


@pytest.fixture(scope="session")
def keys(state: MetadataDatabase) -> Keys:
    past = MetadataDatabase(engine=state.engine, pepper=state.pepper, now=lambda: datetime.now(UTC) - timedelta(days=2))
    held = {name: issue_key(state, name, groups) for name, groups in PEOPLE.items()}
    expired, revoked = issue_key(past, "expired", ("sales",), days=1), issue_key(state, "revoked", ("sales",))
    api_keys.revoke_key(state, revoked.id)
    return Keys(of={name: item.text for name, item in held.items()}, expired=expired.text, revoked=revoked.text)


def issue_key(state: MetadataDatabase, name: str, groups: Sequence[str], days: int = 90) -> api_keys.IssuedKey:
    email = f"{name}@acme.example"
    users.create_user(state, first_name=name.title(), last_name="Example", email=email)
    for group in groups:
        users.join_group(state, email, group)
    return api_keys.create_key(state, email, days=days)


@dataclass(slots=True)
class HookedConnector:
    """A source that acts oddly before it answers; `began` and `cancelled` tell how far it came."""

    of: Connector
    act: Callable[[ScanRequest], Awaitable[None]]
    began: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def capabilities(self, collection: str) -> Capabilities:
        return self.of.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.began.set()
        try:
            await self.act(ask)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        async for rows in self.of.scan(ask):
            yield rows

    async def ping(self) -> None:
        await self.act(ScanRequest(collection="", columns=()))

    async def close(self) -> None:
        return None


async def hang(ask: ScanRequest) -> None:
    await asyncio.Event().wait()


@dataclass(slots=True)
class FailingDisk:
    """A disk that syncs until it is told to fail."""

    broken: bool = False

    def sync(self, file: int) -> None:
        if self.broken:
            raise OSError("the disk is full")
        SYNC_DATA(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
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
class RunningServer:
    """A running server: its port, the keys it accepts, and its audit records."""

    port: int
    session: aiohttp.ClientSession
    keys: Keys
    folder: Path
    disk: FailingDisk
    app_state: AppState
    app: App

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self) -> list[Mapping[str, Any]]:
        return list(read_records(self.folder))

    async def send(self, method: str = "POST", path: str = "/graphql", **rest: Any) -> Response:
        async with self.session.request(method, self.url + path, **rest) as reply:
            raw = await reply.read()
            is_json = "json" in reply.headers.get("content-type", "") and raw
            body = await reply.json(content_type=None) if is_json else None
            return Response(status=reply.status, body=body, raw=raw, headers=reply.headers)

    async def ask(self, query: str, who: str | None = "sales", **rest: Any) -> Response:
        """As someone of PEOPLE, or without a key; `rest` goes beside the query."""
        return await self.send(json={"query": query, **rest}, headers=self.bearer(who))

    def bearer(self, who: str | None) -> dict[str, str]:
        return {"accept": GRAPHQL, **({"authorization": f"Bearer {self.keys.of[who]}"} if who else {})}


OpenServer = Callable[..., Any]


@pytest.fixture
async def open_server(state: MetadataDatabase, keys: Keys, tmp_path: Path) -> AsyncIterator[OpenServer]:
    """Start servers over Acme, with the given connectors in place of some of its own."""
    async with AsyncExitStack() as stack:

        async def start(
            odd: Mapping[str, Connector] | None = None,
            limits: Limits | None = None,
            known: Authenticator | None = None,
            rate_limits: Limits = acme.UNLIMITED_RATES,
            documents: PersistedDocuments | None = None,
            cache: RowCache | None = None,
            allowed_origins: frozenset[str] = frozenset(),
            budgets: Budgets | None = None,
            sealing: Sealing | None = None,
        ) -> RunningServer:
            disk = FailingDisk()
            audit_log = open_audit_log(tmp_path, datetime.now(UTC), disk=DiskOps(sync=disk.sync), sealing=sealing)
            stack.callback(audit_log.close)
            authenticator = known or open_authenticator(state, acme.GROUPS)
            stack.callback(authenticator.close)
            sources = {**acme.sources(), **(odd or {})}
            inside = {**build_catalog().connectors, **sources, "journal": AuditLogConnector(tmp_path)}
            limits_or_default = limits or Limits()
            catalog = replace(
                build_catalog(),
                connectors=inside,
                limits=limits_or_default,
                open_spill_table=SpillTableFactory(limits_or_default),
            )
            budgets = budgets or Budgets()
            engine = replace(acme.open_engine(catalog, budgets), cache=cache)
            app = App(None, None)  # type: ignore[arg-type]
            app.app_state = AppState(
                executor=AuditedExecutor(
                    engine=engine, audit_log=audit_log, redaction_key=derive_redaction_key(PEPPER), budgets=budgets
                ),
                authenticator=authenticator,
                rate_limiter=RateLimiter(rate_limits),
                allowed_origins=allowed_origins,
                documents=documents or PersistedDocuments(),
                health=HealthCheck(sources, audit_log),
                export_store=FolderExportStore(tmp_path / "exports"),
            )
            port = await stack.enter_async_context(serve_app(app))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return RunningServer(
                port=port, session=session, keys=keys, folder=tmp_path, disk=disk, app_state=app.app_state, app=app
            )

        yield start


@pytest.fixture
async def server(open_server: OpenServer) -> RunningServer:
    result: RunningServer = await open_server()
    return result


@cache
def build_catalog() -> Catalog:
    return acme.build_catalog()


@asynccontextmanager
async def serve_app(app: Any) -> AsyncIterator[int]:
    """The app on a free port of the loopback, until left."""
    async with serve_in_loop(app, graceful_seconds=2, ws="none", proxy_headers=False) as port:
        yield port


async def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Returns once it is so; fails at the deadline."""
    async with asyncio.timeout(seconds):
        for _ in count():
            if true():
                return
            await asyncio.sleep(0.005)


async def exchange_bytes(port: int, octets: bytes) -> bytes:
    """Send these bytes as they stand, and return the whole response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(octets)
        await writer.drain()
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head + await reader.readexactly(length)
    finally:
        writer.close()
