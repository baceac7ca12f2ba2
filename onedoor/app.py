"""Create the app of a company: build what a request needs from its settings and its folder, and route to it."""

import asyncio
import hmac
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias

from graphql import GraphQLSchema

from auth.api_keys import has_demo_keys
from auth.authentication import Principal, open_authenticator
from auth.grant_store import GrantChecker, GrantStore
from onedoor.administration.actions import ACTS, build_administration_actions, build_administration_search
from onedoor.administration.directory_actions import build_directory_actions
from onedoor.administration.grants import GRANT_ACTS, settle_periodically
from onedoor.audit.log import Rotation, open_audit_log
from onedoor.audit.record import derive_redaction_key
from onedoor.company import Company, CompanySchema, build_company_schema, load_company
from onedoor.config import IntrospectionMode, Settings, SourceSettings, load_settings, parse_options
from onedoor.connectors.access import ACCESS_SOURCE, AccessConnector, AccessServices
from onedoor.connectors.administration import (
    ADMINISTRATION_COLLECTIONS,
    IMPORT_SOURCE,
    ISSUED_KEY_SOURCE,
    build_import_connector,
    build_issued_key_connector,
)
from onedoor.connectors.audit_log import AuditLogConnector
from onedoor.connectors.checkpoint_stores import open_sealing
from onedoor.connectors.directory import DIRECTORY_COLLECTIONS, KEY_CLAIM_SOURCE, build_key_claim_connector
from onedoor.connectors.grants import GRANTS_SOURCE, GrantsConnector, build_unbound_grants_connector
from onedoor.connectors.jobs import JOB_TOPIC, JobsConnector, build_job_actions, build_unbound_jobs_connector
from onedoor.connectors.metadata import METADATA_SOURCE, MetadataCollection, MetadataConnector
from onedoor.connectors.principal import build_empty_principal_connector, build_principal_connector
from onedoor.connectors.registry import CONNECTORS, load_kind
from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.connectors.spill.folder import remove_abandoned_folders
from onedoor.connectors.uploads import UPLOAD_CONNECTOR, build_empty_upload_connector, build_upload_actions
from onedoor.errors import ConfigurationError, ConnectorError, HTTPError, build_unknown_name_error
from onedoor.exports.job import build_export_action, declare_export_jobs
from onedoor.exports.storage import FolderExportStore
from onedoor.http import server
from onedoor.http.cors import parse_origins
from onedoor.http.directories import (
    find_sign_in_path,
    follow_directories,
    load_directory_routers,
    open_scim,
    open_sign_in,
)
from onedoor.http.endpoint import serve_graphql
from onedoor.http.health import HealthCheck
from onedoor.http.pages import StaticFiles
from onedoor.http.persisted_documents import open_persisted_documents
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.routes import build_routes
from onedoor.http.state import LIFESPAN_KEY, AppState, LifespanState
from onedoor.http.websocket import reject_handshake, serve_websocket
from onedoor.jobs.notifications import JobNotifier
from onedoor.jobs.reads import JOBS_SOURCE
from onedoor.jobs.registry import register_jobs
from onedoor.jobs.tables import JobDatabase
from onedoor.jobs.worker import open_job_runtime
from onedoor.model.catalog import Catalog
from onedoor.model.reader import allow_all_rows
from onedoor.mutations.context import build_mutation_context
from onedoor.mutations.history import HISTORY_CONNECTOR, HistoryConnector, build_tracked_types
from onedoor.mutations.ledger import Ledger
from onedoor.mutations.ledger_retention import build_retention_sweep, run_retention
from onedoor.mutations.record_recovery import (
    RecordRecovery,
    build_job_search,
    build_ledger_search,
    run_record_recovery,
)
from onedoor.mutations.recovery import run_recovery
from onedoor.mutations.service import build_mutation_actions, wait_for_changes
from onedoor.query import cursors
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import build_query_engine, run_in_turn, view_for
from onedoor.query.planner.explain import allow_sql
from onedoor.query.startup_checks import validate_catalog, validate_mutations
from onedoor.runtime.budgets import Budgets, SharedCounters, has_budgets
from onedoor.runtime.pubsub import PubSub
from onedoor.runtime.quota import READS_QUOTA, ConnectorRateLimiters
from onedoor.runtime.row_cache import CacheStore, InMemoryCacheStore, RowCache
from onedoor.schema.builder import build_document, build_from_document, check_groups, compute_version
from onedoor.schema.federation import build_subgraph
from onedoor.schema.proposed_rules import build_proposed_policy, build_proposed_row_rules
from onedoor.schema.sdl import add_owner_contacts
from onedoor.schema.visibility import build_visible_schema
from onedoor.spi.connector import Connector, ConnectorKind
from onedoor.storage.database import MetadataDatabase, open_database
from onedoor.storage.events import EventLog
from onedoor.storage.private_files import restrict_to_owner, set_private_umask

log = logging.getLogger("onedoor")

CONFIG_VARIABLE, COMPANY_VARIABLE = "ONEDOOR_CONFIG", "ONEDOOR_COMPANY"

SETTINGS_FILE = "onedoor.toml"

CONNECT_ATTEMPTS = 5

SECONDS_AN_HOUR = 3_600

GRAPHQL_PATHS = ("/graphql", "/graphql/")

PAGES_FOLDER = Path(__file__).parent / "http"

GRAPHIQL_FOLDER = PAGES_FOLDER / "graphiql"

# Monaco, GraphiQL's editor, writes its colours into style elements and checks queries in workers.
GRAPHIQL_POLICY = {"style-src": "'self' 'unsafe-inline'", "worker-src": "'self'"}

METADATA_COLLECTIONS: Mapping[str, MetadataCollection] = {**ADMINISTRATION_COLLECTIONS, **DIRECTORY_COLLECTIONS}
"""The tables of the metadata database that are served."""

ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


@cache
def load_own_pages(sign_in_path: str) -> tuple[StaticFiles, ...]:
    """Read the product's own pages once, however many apps a process has; without a path nobody can sign in."""
    values = {"sign-in": sign_in_path}
    return (
        StaticFiles(GRAPHIQL_FOLDER, mount_path="/graphiql", policy=GRAPHIQL_POLICY),
        StaticFiles(PAGES_FOLDER / "account", mount_path="/account", values=values),
        StaticFiles(PAGES_FOLDER / "admin", mount_path="/admin", values=values),
    )


class App:
    """The ASGI app of one company. It opens when the server starts and closes when it stops."""

    def __init__(self, settings: Settings, company: Company) -> None:
        self.settings = settings
        self.company = company
        self.app_state: AppState | None = None
        self.pages = list(load_own_pages(find_sign_in_path(settings.directory) if settings is not None else ""))
        self.routers = load_directory_routers(settings.directory) if settings is not None else ()
        self.routes = build_routes(*self.pages, routers=self.routers)

    def mount_pages(self, path: str, folder: Path) -> None:
        """Serve the files of a folder below `path`, beside the product's own routes."""
        self.pages.append(StaticFiles(folder, mount_path=path))
        self.routes = build_routes(*self.pages, routers=self.routers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.handle_lifespan(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] in GRAPHQL_PATHS and self.app_state is not None:
            await serve_graphql(self.app_state, scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] in GRAPHQL_PATHS and self.app_state is not None:
            await serve_websocket(self.app_state, scope, receive, send)
        elif scope["type"] == "websocket":
            await reject_handshake(HTTPError(404, "there is nothing here, ask at `/graphql`"), scope, send, frozenset())
        elif scope["type"] == "http":
            scope.setdefault("state", {})["app_state"] = self.app_state
            await self.routes(scope, receive, send)

    def leave(self) -> None:
        """Tell those who listen that the server is about to stop."""
        if self.app_state is not None:
            self.app_state.active_streams.shutting_down.set()

    def build_lifespan_state(self) -> LifespanState:
        """Build what the server asks for; the app is open."""
        assert self.app_state is not None
        return LifespanState(leave=self.leave, allowed_origins=self.app_state.allowed_origins)

    async def handle_lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            async with open_app(self.settings, self.company) as app_state:
                self.app_state = app_state
                scope.get("state", {})[LIFESPAN_KEY] = self.build_lifespan_state()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self.app_state = None
        except ConfigurationError as reason:
            await send({"type": "lifespan.startup.failed", "message": str(reason)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def create_app(file: str | Path) -> App:
    """Return the app of the company whose app.py `file` is, for any ASGI server.

    Its settings are those that `ONEDOOR_CONFIG` names, or else onedoor.toml beside the file.
    """
    folder = Path(file).absolute().parent
    settings = load_settings(Path(os.environ.get(CONFIG_VARIABLE) or folder / SETTINGS_FILE))
    return App(settings, load_company(folder))


def load_app(settings: Settings, folder: Path) -> App:
    """Return the app of the company in a folder; what each process that serves calls."""
    return App(settings, load_company(folder))


def serve_app(settings: Settings, folder: Path, workers: int = 1) -> None:
    """Serve until stopped, in this many processes, which share the port and the database but no audit log.

    Raises ConfigurationError where the company cannot be loaded.
    """
    if workers == 1:
        app = load_app(settings, folder)
        server.run_server(lambda: app, settings.server.host, settings.server.port, settings.limits)
        return
    load_company(folder)
    load = partial(load_app, settings, folder)
    server.run_server(load, settings.server.host, settings.server.port, settings.limits, workers)


def run_worker(settings: Settings, company: Company) -> None:
    """Run jobs until stopped, and answer nobody; jobs under way are then left to others.

    Raises ConfigurationError where it cannot start.
    """

    async def run() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with open_app(settings, company, start_jobs=True):
            await stopped.wait()

    asyncio.run(run())


def check_app(settings: Settings, company: Company) -> None:
    """Open everything and close it again. Raises ConfigurationError where the app could not start."""
    jobs, directory = replace(settings.jobs, here=False), replace(settings.directory, here=False)
    idle = replace(settings, jobs=jobs, directory=directory)

    async def check() -> None:
        async with open_app(idle, company):
            pass

    asyncio.run(check())


@asynccontextmanager
async def open_app(settings: Settings, company: Company, *, start_jobs: bool = False) -> AsyncIterator[AppState]:
    """Open everything a request needs, from the outside in, and close it in the other order.

    With `start_jobs` jobs run from the start, as in a worker. Raises ConfigurationError.
    """
    pepper = settings.state.pepper.encode()
    redaction_key, origins = derive_redaction_key(pepper), parse_origins(settings.server.origins)
    for group in (*settings.server.sql_shown_to, *settings.budgets.services, *settings.budgets.groups):
        company.groups.require(group)
    parts = build_company_schema(company, settings.schema, exports=settings.exports.enabled)
    async with AsyncExitStack() as stack:
        stack.callback(os.umask, set_private_umask())
        await asyncio.to_thread(restrict_to_owner, list_private_files(settings))
        database = await asyncio.to_thread(open_database, settings.state.url, pepper)
        stack.callback(database.close)
        await _require_safe_host(settings, database)
        await asyncio.to_thread(remove_abandoned_folders)
        authenticator = open_authenticator(database, company.groups)
        stack.callback(authenticator.close)
        sealing = open_sealing(settings.records.checkpoints)
        if sealing is None and not is_loopback(settings.server.host):
            log.warning("the audit log has no checkpoints: nobody can prove later that its end, or a file, was cut off")
        rotation = Rotation(
            max_bytes=settings.records.rotate_bytes, max_seconds=settings.records.rotate_hours * SECONDS_AN_HOUR
        )
        audit_log = open_audit_log(settings.records.folder, sealing=sealing, rotation=rotation)
        stack.push_async_callback(asyncio.to_thread, audit_log.close)
        job_database = JobDatabase(metadata=database)
        stack.callback(job_database.close)
        quotas = {name: build_quotas(source) for name, source in settings.sources.items()}
        connectors = await open_connectors(settings, quotas, stack)
        ledger = Ledger(database)
        stack.push_async_callback(asyncio.to_thread, ledger.close)
        metadata = MetadataConnector(job_database, METADATA_COLLECTIONS)
        catalog = build_catalog(settings, company, parts, {**connectors, METADATA_SOURCE: metadata}, ledger)
        validate_catalog(catalog)
        pubsub = PubSub(EventLog(database))
        stack.push_async_callback(pubsub.close)
        cache = open_cache(settings, catalog, pepper)
        stack.push_async_callback(cache.store.close)
        budgets = open_budgets(settings, pepper)
        stack.push_async_callback(budgets.close)
        export_store = FolderExportStore(settings.exports.folder)
        export_jobs = declare_export_jobs(export_store, settings.exports.kept_days) if parts.has_exports else ()
        jobs = register_jobs((*company.jobs, *export_jobs), company.groups)

        async def get_view(principal: Principal) -> GraphQLSchema:
            return (await view_for(engine, principal)).schema

        access_services = AccessServices(
            catalog=catalog,
            database=database,
            records_folder=settings.records.folder,
            build_policy=partial(
                build_proposed_policy, parts.modules, company.groups, masking_groups=parts.masking_groups
            ),
            build_row_rules=partial(build_proposed_row_rules, parts.row_rules),
            get_view=get_view,
            run=lambda principal, call: run_in_turn(engine, principal, call),
        )

        def build_own_connectors(principal: Principal) -> Mapping[str, Connector]:
            return {
                "caller": build_principal_connector(principal, budgets),
                ACCESS_SOURCE: AccessConnector(access_services, principal),
                JOBS_SOURCE: JobsConnector(job_database, jobs, principal, catalog.policy),
                GRANTS_SOURCE: GrantsConnector(job_database, settings.records.folder, principal),
            }

        grant_checker = GrantChecker(database)
        stack.callback(grant_checker.close)
        engine = build_query_engine(
            catalog,
            build_own_connectors,
            asyncio.get_running_loop().time,
            cache,
            quotas,
            grant_checker.find_ended,
        )
        mutations = build_mutation_context(
            engine,
            company.mutations,
            ledger=ledger,
            redaction_key=redaction_key,
            publish=lambda type, row, change: pubsub.wake(),
        )
        stack.push_async_callback(engine.pollers.close)
        executor = AuditedExecutor(engine=engine, audit_log=audit_log, redaction_key=redaction_key, budgets=budgets)
        notifier = JobNotifier(pubsub, JOB_TOPIC)
        stack.push_async_callback(notifier.drain)
        job_runtime = await stack.enter_async_context(
            open_job_runtime(
                jobs,
                job_database,
                executor,
                settings.jobs,
                groups=company.groups,
                notifier=notifier,
                at_once=start_jobs,
            )
        )
        for build_actions in company.action_builders:
            catalog.actions.update(build_actions(engine))
        catalog.actions.update(build_mutation_actions(mutations))
        catalog.actions.update(
            build_administration_actions(
                {**ACTS, **GRANT_ACTS}, database=job_database, groups=company.groups, redaction_key=redaction_key
            )
        )
        if parts.has_directory:
            catalog.actions.update(build_directory_actions(job_database, company.groups, redaction_key))
        if parts.has_uploads:
            catalog.actions.update(build_upload_actions(engine, company.mappings, redaction_key))
        if parts.has_jobs:
            catalog.actions.update(build_job_actions(job_runtime.service))
        if parts.has_exports:
            catalog.actions["exportQuery"] = build_export_action(job_runtime.service, executor)
        validate_mutations(catalog)
        stack.push_async_callback(executor.drain)
        stack.push_async_callback(wait_for_changes, mutations)
        stack.push_async_callback(cancel_task, asyncio.create_task(run_recovery(mutations, audit_log.append)))
        grant_store = GrantStore(database=database, groups=company.groups)
        stack.push_async_callback(cancel_task, asyncio.create_task(settle_periodically(grant_store)))
        records = RecordRecovery(
            folder=settings.records.folder,
            append=audit_log.append,
            find_changes=(
                build_ledger_search(ledger, redaction_key),
                build_job_search(job_database, redaction_key),
                build_administration_search(job_database, redaction_key),
            ),
        )
        stack.push_async_callback(cancel_task, asyncio.create_task(run_record_recovery(records)))
        sweep = build_retention_sweep(settings.records, sealing, audit_log, database)
        stack.push_async_callback(cancel_task, asyncio.create_task(run_retention(sweep)))
        app_state = AppState(
            executor=executor,
            authenticator=authenticator,
            rate_limiter=RateLimiter(settings.limits),
            allowed_origins=origins,
            documents=open_persisted_documents(settings.documents),
            pubsub=pubsub,
            job_runtime=job_runtime,
            health=HealthCheck(connectors, audit_log),
            export_store=export_store,
            scim=open_scim(settings.directory, database, company.groups),
            sign_in=open_sign_in(settings.directory, database, company.groups),
        )
        stack.callback(app_state.turned_away.flush)
        stack.push_async_callback(app_state.key_watch.close)
        await stack.enter_async_context(
            follow_directories(
                settings.directory,
                database=database,
                groups=company.groups,
                audit_log=audit_log,
                redaction_key=redaction_key,
            )
        )
        yield app_state


def list_private_files(settings: Settings) -> list[Path]:
    """List what is there already of the files of records and the folder of exports."""
    return [*settings.records.folder.glob("*.jsonl*"), settings.exports.folder]


def build_catalog(
    settings: Settings, company: Company, parts: CompanySchema, connectors: Mapping[str, Connector], ledger: Ledger
) -> Catalog:
    """Build the catalog over open connectors. Raises SchemaError where a rule names a group nobody registered."""
    document = add_owner_contacts(build_document(parts.modules, parts.masking_groups), company.groups.contacts)
    schema, policy = build_from_document(document)
    check_groups(policy, company.groups)
    policy = allow_all_rows(allow_sql(policy, settings.server.sql_shown_to), parts.mappings)
    known: dict[str, Connector] = {
        **connectors,
        "journal": AuditLogConnector(settings.records.folder),
        "caller": build_empty_principal_connector(),
        ISSUED_KEY_SOURCE: build_issued_key_connector(),
        IMPORT_SOURCE: build_import_connector(),
        ACCESS_SOURCE: AccessConnector(),
        KEY_CLAIM_SOURCE: build_key_claim_connector(),
        JOBS_SOURCE: build_unbound_jobs_connector(),
        GRANTS_SOURCE: build_unbound_grants_connector(),
        UPLOAD_CONNECTOR: build_empty_upload_connector(),
    }
    own_view = settings.server.introspection is IntrospectionMode.OWN
    catalog = Catalog(
        schema=schema,
        policy=policy,
        groups=company.groups,
        mappings=parts.mappings,
        connectors={**known, HISTORY_CONNECTOR: HistoryConnector(ledger, build_tracked_types(parts.mappings, known))},
        subscriptions=parts.subscriptions,
        limits=settings.limits,
        open_spill_table=SpillTableFactory(settings.limits),
        schema_for_groups=partial(build_visible_schema, document, policy) if own_view else None,
        cursor_secret=cursors.derive_cursor_secret(settings.state.pepper.encode()),
        version=compute_version(document),
    )
    return build_subgraph(catalog, document) if settings.server.federation else catalog


async def open_connectors(
    settings: Settings, quotas: Mapping[str, ConnectorRateLimiters], stack: AsyncExitStack
) -> dict[str, Connector]:
    """Open every source at once. Raises ConfigurationError, naming the source, for the first that cannot be."""
    names = list(settings.sources)
    opened = await asyncio.gather(*(_open_connector(settings.sources[name], quotas[name], stack) for name in names))
    return dict(zip(names, opened, strict=True))


async def _open_connector(source: SourceSettings, quotas: ConnectorRateLimiters, stack: AsyncExitStack) -> Connector:
    kind = _load_kind(source)
    options = parse_options(kind.options, source.options, f"sources.{source.name}", source.folder)
    connect = partial(kind.connect, options) if kind.quotas is None else partial(kind.connect, options, quotas)
    connector = await _connect_with_retries(connect, source.name)
    stack.push_async_callback(connector.close)
    return connector


async def _connect_with_retries(connect: Callable[[], Awaitable[Connector]], name: str) -> Connector:
    """Try again a source that is only slow to wake; one that stays away stops the start."""
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            return await connect()
        except (ConnectorError, ValueError) as failure:
            if attempt + 1 == CONNECT_ATTEMPTS or isinstance(failure, ValueError):
                raise ConfigurationError(f"the source `{name}` cannot be opened: {failure}") from failure
    raise AssertionError("unreachable")


def _load_kind(source: SourceSettings) -> ConnectorKind:
    if source.kind not in CONNECTORS:
        raise build_unknown_name_error("kind of source", source.kind, tuple(CONNECTORS))
    return load_kind(source.kind)


def build_quotas(source: SourceSettings) -> ConnectorRateLimiters:
    """Return the rate limiters of a source. Raises ConfigurationError for a quota that its kind does not have."""
    known = {READS_QUOTA: 0, **(_load_kind(source).quotas or {})}
    for name in source.quota:
        if name not in known:
            raise build_unknown_name_error("setting", f"sources.{source.name}.quota.{name}", known)
    return ConnectorRateLimiters(
        source=source.name, per_minute={**known, **source.quota}, clock=asyncio.get_running_loop()
    )


def open_cache(settings: Settings, catalog: Catalog, pepper: bytes) -> RowCache:
    """Open the row cache; processes share it only where they have the same pepper and the same sources."""
    for name, source in settings.sources.items():
        mapped = {mapping.collection for mapping in catalog.mappings.values() if mapping.source == name}
        for collection in source.fresh:
            if collection not in mapped:
                raise build_unknown_name_error("collection", f"sources.{name}.fresh.{collection}", sorted(mapped))
    sources = sorted((name, each.kind, sorted(each.options.items())) for name, each in settings.sources.items())
    secret = hmac.digest(pepper, f"cache 1 {sources}".encode(), "sha256")
    max_ages = {name: source.fresh for name, source in settings.sources.items()}
    return RowCache(store=_open_cache_store(settings, secret), max_ages=max_ages, secret=secret)


def _open_cache_store(settings: Settings, secret: bytes) -> CacheStore:
    cache, clock = settings.cache, asyncio.get_running_loop().time
    if cache.url is None:
        return InMemoryCacheStore(max_entries=cache.entries, max_bytes=cache.bytes, clock=clock)
    try:
        store: CacheStore = import_module("onedoor.connectors.redis_cache").create_redis_store(cache, secret, clock)
    except ValueError:
        raise ConfigurationError(
            "`cache.url` is no address of a Redis: write `redis://host:6379/0`, or `rediss://`"
        ) from None
    return store


def open_budgets(settings: Settings, pepper: bytes) -> Budgets:
    """Open the counters of budgets; processes share them through Redis where they have the same pepper."""
    clock = asyncio.get_running_loop().time
    shared: SharedCounters | None = None
    if settings.cache.url is not None and has_budgets(settings.budgets):
        secret = hmac.digest(pepper, b"budgets 1", "sha256")
        shared = import_module("onedoor.connectors.redis_budgets").create_redis_counters(settings.cache, secret, clock)
    return Budgets(settings.budgets, shared=shared, clock=clock)


async def cancel_task(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _require_safe_host(settings: Settings, database: MetadataDatabase) -> None:
    """Raise ConfigurationError where others than this machine could come with a key that anyone can make."""
    host = settings.server.host
    if not is_loopback(host) and await asyncio.to_thread(has_demo_keys, database):
        raise ConfigurationError(
            f"the state holds keys of the demo, which anyone can make: do not listen on `{host}` with it"
        )


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
