"""Settings in, the house as one ASGI app out: /graphql, /health and the pages of web/."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

import jobs
import resolvers
from auth.caller import Caller
from auth.callers import callers
from auth.events import Events
from auth.keyring import made_by_demo
from auth.mistake import Mistake
from auth.state import State
from auth.state import opened as state_opened
from door import serving
from door.counter import Counter
from door.exports import exports
from door.graphql import graphql
from door.health import Health
from door.live.handshake import turned_away
from door.live.ws import socket
from door.origins import listed
from door.request import head
from door.trusted import documents
from door.turnstile import Turnstile
from engine import cursor
from engine.bus import Bus
from engine.change.bindings import SOURCE
from engine.change.history import History, kept_of
from engine.change.run import changing, finished
from engine.change.settle import settling
from engine.change.workshop import workshop
from engine.desk import desk
from engine.explained import opening_sql
from engine.fits import acts, fits
from engine.house import House
from engine.source import Source
from exports.clerk import Clerk
from exports.folder import Folder
from exports.job import declared as exporting
from outside import connected, kept, quotas_of
from records.journal import opened as journal_opened
from records.ledger import Ledger
from records.redact import records_key
from resolvers.job import TOPIC
from resolvers.query import asking, nobody
from resolvers.upload import SOURCE as UPLOADS
from resolvers.upload import none
from schema.build import build, document, version
from schema.federation import subgraph
from schema.view import view
from settings import Introspection, Settings, read
from sources.jobs import JobsSource, nobodys
from sources.journal import JournalSource
from sources.scratch import folder
from sources.scratch.scratch import Scratches
from web.pages import Pages
from web.permissions import permissions
from work.asking import Asking
from work.register import registered
from work.shelf import Shelf
from work.telling import Telling
from work.works import opened as works_opened

log = logging.getLogger("onedoor")
GRAPHIQL = Path(__file__).parent / "web" / "graphiql" / "dist"
# Monaco, GraphiQL's editor, writes its colours into style elements and checks questions in workers.
GRAPHIQL_POLICY = {"style-src": "'self' 'unsafe-inline'", "worker-src": "'self'"}
NOT_FOUND = b'{"errors":[{"message":"there is nothing here, ask at /graphql","extensions":{"code":"BAD_REQUEST"}}]}'


class App:
    """The house as ASGI sees it; it opens when the server starts and closes when it stops."""

    def __init__(self, settings: Settings, subjects: ModuleType = resolvers) -> None:
        """`subjects` gives what resolvers/ does: `modules()`, `bindings()`, `changes()` and its other functions."""
        self.settings = settings
        self.subjects = subjects
        self.counter: Counter | None = None
        self.health = Health({})
        self.graphiql = Pages(GRAPHIQL, at="/graphiql", policy=GRAPHIQL_POLICY)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] == "/graphql" and self.counter is not None:
            await graphql(self.counter, scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == "/graphql" and self.counter is not None:
            await socket(self.counter, scope, receive, send)
        elif scope["type"] == "websocket":
            await turned_away(send, 404, "there is nothing here, ask at `/graphql`")
        elif scope["type"] == "http" and scope["path"].startswith("/exports/") and self.counter is not None:
            await exports(self.counter, Folder(self.settings.exports.folder), scope, send)
        elif scope["type"] == "http" and scope["path"] == "/health":
            await self.health(send)
        elif scope["type"] == "http" and scope["path"] == "/graphiql/permissions.json" and self.counter is not None:
            await self.permissions(self.counter, scope, send)
        elif scope["type"] == "http" and self.graphiql.holds(scope["path"]):
            await self.graphiql(scope, send)
        elif scope["type"] == "http":
            await _not_found(send)

    def leave(self) -> None:
        """The server is about to stop: those who listen are told so."""
        if self.counter is not None:
            self.counter.listening.leaving.set()

    async def permissions(self, counter: Counter, scope: Any, send: Any) -> None:
        house = counter.desk.house

        async def judge(asked: Any) -> Caller | None:
            """Failures are counted with those at /graphql."""
            caller = await counter.callers.caller(head(asked).key)
            if caller is None:
                counter.turnstile.failed((asked.get("client") or ("",))[0])
            return caller

        await permissions(house.rules, judge, scope, send, own=house.view is not None)

    async def lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            async with opened(self.settings, self.subjects) as (counter, sources):
                self.counter, self.health = counter, Health(sources)
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self.counter = None
        except Mistake as mistake:
            await send({"type": "lifespan.startup.failed", "message": str(mistake)})
            return
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def opened(
    settings: Settings, subjects: ModuleType = resolvers, *, at_once: bool = False
) -> AsyncIterator[tuple[Counter, Mapping[str, Source]]]:
    """Everything a request needs, from the outside in; closed in the other order. Raises Mistake.

    `at_once`: jobs are run from the start, as a worker does.
    """
    pepper = settings.state.pepper.encode()
    key, origins = records_key(pepper), listed(settings.server.origins)
    async with AsyncExitStack() as stack:
        state = await asyncio.to_thread(state_opened, settings.state.url, pepper)
        stack.callback(state.close)
        await _presentable(settings, state)
        await asyncio.to_thread(folder.swept)
        known = callers(state)
        stack.callback(known.close)
        journal = journal_opened(settings.records.folder, datetime.now(UTC))
        stack.push_async_callback(asyncio.to_thread, journal.close)
        shelf = Shelf(state=state)
        stack.callback(shelf.close)
        quotas = {name: quotas_of(each) for name, each in settings.sources.items()}
        outside = await connected(settings, quotas, stack)
        ledger = Ledger(state)
        stack.push_async_callback(asyncio.to_thread, ledger.close)
        house = _house(settings, subjects, (outside, ledger), pepper)
        fits(house)
        bus = Bus(Events(state))
        stack.push_async_callback(bus.close)
        cache = kept(settings, house, pepper)
        stack.push_async_callback(cache.store.close)
        clock = asyncio.get_running_loop().time
        exported = exporting(Folder(settings.exports.folder), settings.exports.kept_days)
        declared = registered((*jobs.declared(), *exported))

        def own(caller: Caller) -> Mapping[str, Source]:
            return {"caller": asking(caller), "jobs": JobsSource(shelf, declared, caller)}

        at = desk(house, own, clock, cache, quotas)
        shop = workshop(
            at, subjects.changes(), ledger=ledger, secret=key, published=lambda type, row, change: bus.wake()
        )
        stack.push_async_callback(at.watching.close)
        asks = Asking(desk=at, journal=journal, records_key=key)
        telling = Telling(bus, TOPIC)
        stack.push_async_callback(telling.ended)
        works = await stack.enter_async_context(
            works_opened(declared, shelf, asks, settings.jobs, notifier=telling, at_once=at_once)
        )
        house.actions.update({**subjects.actions(at), **changing(shop)})
        house.actions.update(subjects.acting(works.starting, Clerk(desk=at, journal=journal, records_key=key)))
        acts(house)
        stack.push_async_callback(finished, shop)
        stack.push_async_callback(ended, asyncio.create_task(settling(shop, journal.append)))
        counter = Counter(
            desk=at,
            callers=known,
            journal=journal,
            records_key=key,
            turnstile=Turnstile(settings.limits),
            origins=origins,
            documents=documents(settings.documents),
            bus=bus,
            works=works,
        )
        yield counter, outside


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _presentable(settings: Settings, state: State) -> None:
    """Raises Mistake where others than this machine could come with a key that anyone can make."""
    host = settings.server.host
    if not loopback(host) and await asyncio.to_thread(made_by_demo, state):
        raise Mistake(f"the state holds keys of the demo, which anyone can make: do not listen on `{host}` with it")


def loopback(host: str) -> bool:
    """Whether only this machine can come to an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _house(
    settings: Settings, subjects: ModuleType, given: tuple[Mapping[str, Source], Ledger], pepper: bytes
) -> House:
    (outside, ledger), modules = given, subjects.modules()
    schema, rules = build(modules)
    bindings = subjects.bindings()
    journal = JournalSource(settings.records.folder)
    sources = {**outside, "journal": journal, "caller": nobody(), "jobs": nobodys(), UPLOADS: none()}
    rules = opening_sql(rules, settings.server.sql_shown_to)
    own = settings.server.introspection is Introspection.OWN
    house = House(
        schema=schema,
        rules=rules,
        bindings=bindings,
        sources={**sources, SOURCE: History(ledger, kept_of(bindings, sources))},
        feeds=subjects.feeds(),
        limits=settings.limits,
        scratch=Scratches(settings.limits),
        view=partial(view, document(modules), rules) if own else None,
        cursor_secret=cursor.secret_of(pepper),
        version=version(modules),
    )
    return subgraph(house, document(modules)) if settings.server.federation else house


async def _not_found(send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(NOT_FOUND)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": NOT_FOUND})


def create() -> App:
    """The app of the settings that `ONEDOOR_CONFIG` names, for any ASGI server."""
    return App(read(Path(os.environ.get("ONEDOOR_CONFIG", "onedoor.toml"))))


def serve(settings: Settings, workers: int = 1) -> None:
    """Listens until stopped, in as many processes as wished; they share the port and the state, not a journal."""
    serving.serve(partial(App, settings), settings.server.host, settings.server.port, settings.limits, workers)


def work(settings: Settings) -> None:
    """Runs jobs until stopped, and answers nobody; what is under way is then left to others. Raises Mistake."""

    async def worked() -> None:
        stopped = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stopped.set)
        async with opened(settings, at_once=True):
            await stopped.wait()

    asyncio.run(worked())


def check(settings: Settings) -> None:
    """Opens all that is settled and closes it again; raises Mistake where the door would not open."""

    idle = replace(settings, jobs=replace(settings.jobs, here=False))

    async def tried() -> None:
        async with opened(idle):
            pass

    asyncio.run(tried())
