"""Create_app(): build the runtime from settings, ASGI routes, lifespan."""

import asyncio
import hmac
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

import jobs
import resolvers
from auth.authentication import Principal, open_authenticator
from auth.users import has_demo_keys
from onedoor.audit.log import open_audit_log
from onedoor.audit.record import derive_redaction_key
from onedoor.config import IntrospectionMode, Settings, SourceSettings, load_settings, parse_options
from onedoor.connectors.audit_log import AuditLogConnector
from onedoor.connectors.jobs import JOB_TOPIC, JobsConnector, build_unbound_jobs_connector
from onedoor.connectors.principal import build_empty_principal_connector, build_principal_connector
from onedoor.connectors.registry import CONNECTORS, load_kind
from onedoor.connectors.spill import duckdb
from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.errors import ConfigurationError, ConnectorError, build_unknown_name_error
from onedoor.exports.audited_query import AuditedExecutor
from onedoor.exports.job import declare_export_jobs
from onedoor.exports.storage import FolderExportStore
from onedoor.http import server
from onedoor.http.cors import parse_origins
from onedoor.http.endpoint import serve_graphql
from onedoor.http.execution import AppState
from onedoor.http.exports_endpoint import serve_export_file
from onedoor.http.health import HealthEndpoint
from onedoor.http.pages import StaticFiles
from onedoor.http.permissions import serve_permissions
from onedoor.http.persisted_documents import open_persisted_documents
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.requests import parse_head
from onedoor.http.websocket import reject_handshake, serve_websocket
from onedoor.jobs.context import JobQueryExecutor
from onedoor.jobs.notifications import JobNotifier
from onedoor.jobs.registry import register_jobs
from onedoor.jobs.tables import JobDatabase
from onedoor.jobs.worker import open_job_runtime
from onedoor.model.catalog import Catalog
from onedoor.mutations.context import build_mutation_context
from onedoor.mutations.history import HISTORY_CONNECTOR, HistoryConnector, build_tracked_types
from onedoor.mutations.ledger import Ledger
from onedoor.mutations.recovery import run_recovery
from onedoor.mutations.service import build_mutation_actions, wait_for_changes
from onedoor.query import cursors
from onedoor.query.context import build_query_engine
from onedoor.query.planner.explain import allow_sql
from onedoor.query.startup_checks import validate_catalog, validate_mutations
from onedoor.runtime.lru import InMemoryCacheStore
from onedoor.runtime.pubsub import PubSub
from onedoor.runtime.quota import READS_QUOTA, ConnectorRateLimiters
from onedoor.runtime.row_cache import CacheStore, RowCache
from onedoor.schema.builder import build_document, build_schema_and_policy, compute_version
from onedoor.schema.federation import build_subgraph
from onedoor.schema.visibility import build_visible_schema
from onedoor.spi.connector import Connector, ConnectorKind
from onedoor.storage.database import MetadataDatabase, open_database
from onedoor.storage.events import EventLog
from resolvers.upload import UPLOAD_CONNECTOR, build_empty_upload_connector

CONNECT_ATTEMPTS = 5


def open_cache(settings: Settings, catalog: Catalog, pepper: bytes) -> RowCache:
    """Doors share what they keep only where they have the same pepper and the same sources."""
    for name, each in settings.sources.items():
        read = {binding.collection for binding in catalog.mappings.values() if binding.source == name}
        for collection in each.fresh:
            if collection not in read:
                raise build_unknown_name_error("collection", f"sources.{name}.fresh.{collection}", sorted(read))
    sources = sorted((name, each.kind, sorted(each.options.items())) for name, each in settings.sources.items())
    secret = hmac.digest(pepper, f"cache 1 {sources}".encode(), "sha256")
    fresh = {name: each.fresh for name, each in settings.sources.items()}
    return RowCache(store=_open_store(settings, secret), max_ages=fresh, secret=secret)


def _open_store(settings: Settings, secret: bytes) -> CacheStore:
    cached, clock = settings.cache, asyncio.get_running_loop().time
    if cached.url is None:
        return InMemoryCacheStore(max_entries=cached.entries, max_bytes=cached.bytes, clock=clock)
    try:
        store: CacheStore = import_module("onedoor.connectors.redis_cache").create_redis_store(cached, secret, clock)
    except ValueError:
        raise ConfigurationError(
            "`cache.url` is no address of a Redis: write `redis://host:6379/0`, or `rediss://`"
        ) from None
    return store


def build_quotas(source_settings: SourceSettings) -> ConnectorRateLimiters:
    kind = _load_kind(source_settings)
    known = {READS_QUOTA: 0, **(kind.quotas or {})}
    for called in source_settings.quota:
        if called not in known:
            raise build_unknown_name_error("setting", f"sources.{source_settings.name}.quota.{called}", known)
    return ConnectorRateLimiters(
        source=source_settings.name, per_minute={**known, **source_settings.quota}, clock=asyncio.get_running_loop()
    )


async def open_connectors(
    settings: Settings, quotas: Mapping[str, ConnectorRateLimiters], stack: AsyncExitStack
) -> dict[str, Connector]:
    names = list(settings.sources)
    made = await asyncio.gather(*(_open_connector(settings.sources[name], quotas[name], stack) for name in names))
    return dict(zip(names, made, strict=True))


def _load_kind(source_settings: SourceSettings) -> ConnectorKind:
    if source_settings.kind not in CONNECTORS:
        raise build_unknown_name_error("kind of source", source_settings.kind, tuple(CONNECTORS))
    return load_kind(source_settings.kind)


async def _open_connector(
    source_settings: SourceSettings, quotas: ConnectorRateLimiters, stack: AsyncExitStack
) -> Connector:
    kind = _load_kind(source_settings)
    given = parse_options(
        kind.options, source_settings.options, f"sources.{source_settings.name}", source_settings.folder
    )
    connect = partial(kind.connect, given) if kind.quotas is None else partial(kind.connect, given, quotas)
    source = await _connect_with_retries(connect, source_settings.name)
    stack.push_async_callback(source.close)
    return source


async def _connect_with_retries(connect: Callable[[], Awaitable[Connector]], name: str) -> Connector:
    """A source that is only slow to wake is asked again; one that stays away stops the start."""
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            return await connect()
        except (ConnectorError, ValueError) as failure:
            if attempt + 1 == CONNECT_ATTEMPTS or isinstance(failure, ValueError):
                raise ConfigurationError(f"the source `{name}` cannot be opened: {failure}") from failure
    raise AssertionError("unreachable")


log = logging.getLogger("onedoor")

GRAPHIQL_FOLDER = Path(__file__).parents[1] / "web" / "graphiql" / "dist"

# Monaco, GraphiQL's editor, writes its colours into style elements and checks questions in workers.
GRAPHIQL_POLICY = {"style-src": "'self' 'unsafe-inline'", "worker-src": "'self'"}

NOT_FOUND_BODY = (
    b'{"errors":[{"message":"there is nothing here, ask at /graphql","extensions":{"code":"BAD_REQUEST"}}]}'
)


class App:
    """The house as ASGI sees it; it opens when the server starts and closes when it stops."""

    def __init__(self, settings: Settings, company: ModuleType = resolvers) -> None:
        """`subjects` gives what resolvers/ does: `modules()`, `bindings()`, `changes()` and its other functions."""
        self.settings = settings
        self.company = company
        self.app_state: AppState | None = None
        self.health = HealthEndpoint({})
        self.graphiql = StaticFiles(GRAPHIQL_FOLDER, mount_path="/graphiql", policy=GRAPHIQL_POLICY)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.handle_lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] == "/graphql" and self.app_state is not None:
            await serve_graphql(self.app_state, scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == "/graphql" and self.app_state is not None:
            await serve_websocket(self.app_state, scope, receive, send)
        elif scope["type"] == "websocket":
            await reject_handshake(send, 404, "there is nothing here, ask at `/graphql`")
        elif scope["type"] == "http" and scope["path"].startswith("/exports/") and self.app_state is not None:
            await serve_export_file(self.app_state, FolderExportStore(self.settings.exports.folder), scope, send)
        elif scope["type"] == "http" and scope["path"] == "/health":
            await self.health(send)
        elif scope["type"] == "http" and scope["path"] == "/graphiql/permissions.json" and self.app_state is not None:
            await self.handle_permissions(self.app_state, scope, send)
        elif scope["type"] == "http" and self.graphiql.matches(scope["path"]):
            await self.graphiql(scope, send)
        elif scope["type"] == "http":
            await _send_not_found(send)

    def leave(self) -> None:
        """The server is about to stop: those who listen are told so."""
        if self.app_state is not None:
            self.app_state.active_streams.shutting_down.set()

    async def handle_permissions(self, app_state: AppState, scope: Any, send: Any) -> None:
        house = app_state.engine.catalog

        async def judge(asked: Any) -> Principal | None:
            """Failures are counted with those at /graphql."""
            caller = await app_state.authenticator.authenticate(parse_head(asked).api_key)
            if caller is None:
                app_state.rate_limiter.count_failed_key((asked.get("client") or ("",))[0])
            return caller

        await serve_permissions(house.policy, judge, scope, send, own_view_only=house.schema_for_groups is not None)

    async def handle_lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            async with open_app(self.settings, self.company) as (counter, sources):
                self.app_state, self.health = counter, HealthEndpoint(sources)
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self.app_state = None
        except ConfigurationError as mistake:
            await send({"type": "lifespan.startup.failed", "message": str(mistake)})
            return
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def open_app(
    settings: Settings, company: ModuleType = resolvers, *, start_jobs: bool = False
) -> AsyncIterator[tuple[AppState, Mapping[str, Connector]]]:
    """Everything a request needs, from the outside in; closed in the other order. Raises Mistake.

    `at_once`: jobs are run from the start, as a worker does.
    """
    pepper = settings.state.pepper.encode()
    key, origins = derive_redaction_key(pepper), parse_origins(settings.server.origins)
    async with AsyncExitStack() as stack:
        state = await asyncio.to_thread(open_database, settings.state.url, pepper)
        stack.callback(state.close)
        await _require_safe_host(settings, state)
        await asyncio.to_thread(duckdb.remove_abandoned_folders)
        known = open_authenticator(state)
        stack.callback(known.close)
        journal = open_audit_log(settings.records.folder, datetime.now(UTC))
        stack.push_async_callback(asyncio.to_thread, journal.close)
        shelf = JobDatabase(metadata=state)
        stack.callback(shelf.close)
        quotas = {name: build_quotas(each) for name, each in settings.sources.items()}
        outside = await open_connectors(settings, quotas, stack)
        ledger = Ledger(state)
        stack.push_async_callback(asyncio.to_thread, ledger.close)
        house = _build_catalog(settings, company, (outside, ledger), pepper)
        validate_catalog(house)
        bus = PubSub(EventLog(state))
        stack.push_async_callback(bus.close)
        cache = open_cache(settings, house, pepper)
        stack.push_async_callback(cache.store.close)
        clock = asyncio.get_running_loop().time
        exported = declare_export_jobs(FolderExportStore(settings.exports.folder), settings.exports.kept_days)
        declared = register_jobs((*jobs.load_declared_jobs(), *exported))

        def own(caller: Principal) -> Mapping[str, Connector]:
            return {"caller": build_principal_connector(caller), "jobs": JobsConnector(shelf, declared, caller)}

        at = build_query_engine(house, own, clock, cache, quotas)
        shop = build_mutation_context(
            at, company.changes(), ledger=ledger, secret=key, published=lambda type, row, change: bus.wake()
        )
        stack.push_async_callback(at.pollers.close)
        asks = JobQueryExecutor(engine=at, audit_log=journal, redaction_key=key)
        telling = JobNotifier(bus, JOB_TOPIC)
        stack.push_async_callback(telling.drain)
        works = await stack.enter_async_context(
            open_job_runtime(declared, shelf, asks, settings.jobs, notifier=telling, at_once=start_jobs)
        )
        house.actions.update({**company.actions(at), **build_mutation_actions(shop)})
        house.actions.update(
            company.acting(works.service, AuditedExecutor(engine=at, audit_log=journal, redaction_key=key))
        )
        validate_mutations(house)
        stack.push_async_callback(wait_for_changes, shop)
        stack.push_async_callback(cancel_task, asyncio.create_task(run_recovery(shop, journal.append)))
        counter = AppState(
            engine=at,
            authenticator=known,
            audit_log=journal,
            redaction_key=key,
            rate_limiter=RateLimiter(settings.limits),
            allowed_origins=origins,
            documents=open_persisted_documents(settings.documents),
            pubsub=bus,
            job_runtime=works,
        )
        yield counter, outside


async def cancel_task(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _require_safe_host(settings: Settings, database: MetadataDatabase) -> None:
    """Raises Mistake where others than this machine could come with a key that anyone can make."""
    host = settings.server.host
    if not is_loopback(host) and await asyncio.to_thread(has_demo_keys, database):
        raise ConfigurationError(
            f"the state holds keys of the demo, which anyone can make: do not listen on `{host}` with it"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can come to an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _build_catalog(
    settings: Settings, company: ModuleType, given: tuple[Mapping[str, Connector], Ledger], pepper: bytes
) -> Catalog:
    (outside, ledger), modules = given, company.modules()
    schema, rules = build_schema_and_policy(modules)
    bindings = company.bindings()
    journal = AuditLogConnector(settings.records.folder)
    sources = {
        **outside,
        "journal": journal,
        "caller": build_empty_principal_connector(),
        "jobs": build_unbound_jobs_connector(),
        UPLOAD_CONNECTOR: build_empty_upload_connector(),
    }
    rules = allow_sql(rules, settings.server.sql_shown_to)
    own = settings.server.introspection is IntrospectionMode.OWN
    house = Catalog(
        schema=schema,
        policy=rules,
        mappings=bindings,
        connectors={**sources, HISTORY_CONNECTOR: HistoryConnector(ledger, build_tracked_types(bindings, sources))},
        subscriptions=company.feeds(),
        limits=settings.limits,
        open_spill_table=SpillTableFactory(settings.limits),
        schema_for_groups=partial(build_visible_schema, build_document(modules), rules) if own else None,
        cursor_secret=cursors.secret_of(pepper),
        version=compute_version(modules),
    )
    return build_subgraph(house, build_document(modules)) if settings.server.federation else house


async def _send_not_found(send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(NOT_FOUND_BODY)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": NOT_FOUND_BODY})


def create_app() -> App:
    """The app of the settings that `ONEDOOR_CONFIG` names, for any ASGI server."""
    return App(load_settings(Path(os.environ.get("ONEDOOR_CONFIG", "onedoor.toml"))))


def serve_app(settings: Settings, workers: int = 1) -> None:
    """Listens until stopped, in as many processes as wished; they share the port and the state, not a journal."""
    server.run_server(partial(App, settings), settings.server.host, settings.server.port, settings.limits, workers)


def run_worker(settings: Settings) -> None:
    """Runs jobs until stopped, and answers nobody; what is under way is then left to others. Raises Mistake."""

    async def worked() -> None:
        stopped = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stopped.set)
        async with open_app(settings, start_jobs=True):
            await stopped.wait()

    asyncio.run(worked())


def check_app(settings: Settings) -> None:
    """Opens all that is settled and closes it again; raises Mistake where the door would not open."""

    idle = replace(settings, jobs=replace(settings.jobs, here=False))

    async def tried() -> None:
        async with open_app(idle):
            pass

    asyncio.run(tried())
