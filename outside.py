"""Settings in, the outside world connected out: each source with its quotas, and where what was read is kept."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import Any

from auth.mistake import Mistake, unknown
from engine.cache.memory import Memory
from engine.cache.through import Cache
from engine.cache.words import Store
from engine.errors import SourceFailed
from engine.house import House
from engine.quota import READS, Quotas
from engine.source import Source
from settings import Settings, SourceSettings, options
from sources import KINDS

CONNECT_ATTEMPTS = 5


def kept(settings: Settings, house: House, pepper: bytes) -> Cache:
    """Doors share what they keep only where they have the same pepper and the same sources."""
    for name, each in settings.sources.items():
        read = {binding.collection for binding in house.bindings.values() if binding.source == name}
        for collection in each.fresh:
            if collection not in read:
                raise unknown("collection", f"sources.{name}.fresh.{collection}", sorted(read))
    sources = sorted((name, each.kind, sorted(each.options.items())) for name, each in settings.sources.items())
    secret = hmac.digest(pepper, f"cache 1 {sources}".encode(), "sha256")
    fresh = {name: each.fresh for name, each in settings.sources.items()}
    return Cache(store=_store(settings, secret), fresh=fresh, secret=secret)


def _store(settings: Settings, secret: bytes) -> Store:
    cached, clock = settings.cache, asyncio.get_running_loop().time
    if cached.url is None:
        return Memory(entries=cached.entries, size=cached.bytes, clock=clock)
    try:
        store: Store = import_module("sources.redis.store").opened(cached, secret, clock)
    except ValueError:
        raise Mistake("`cache.url` is no address of a Redis: write `redis://host:6379/0`, or `rediss://`") from None
    return store


def quotas_of(wanted: SourceSettings) -> Quotas:
    kind = _kind(wanted)
    known = {READS: 0, **getattr(kind, "QUOTA", {})}
    for called in wanted.quota:
        if called not in known:
            raise unknown("setting", f"sources.{wanted.name}.quota.{called}", known)
    return Quotas(source=wanted.name, a_minute={**known, **wanted.quota}, clock=asyncio.get_running_loop())


async def connected(settings: Settings, quotas: Mapping[str, Quotas], stack: AsyncExitStack) -> dict[str, Source]:
    names = list(settings.sources)
    made = await asyncio.gather(*(_source(settings.sources[name], quotas[name], stack) for name in names))
    return dict(zip(names, made, strict=True))


def _kind(wanted: SourceSettings) -> Any:
    if wanted.kind not in KINDS:
        raise unknown("kind of source", wanted.kind, tuple(KINDS))
    return import_module(KINDS[wanted.kind])


async def _source(wanted: SourceSettings, quotas: Quotas, stack: AsyncExitStack) -> Source:
    kind = _kind(wanted)
    given = options(kind.Options, wanted.options, f"sources.{wanted.name}", wanted.folder)
    connect = partial(kind.connect, given, quotas) if hasattr(kind, "QUOTA") else partial(kind.connect, given)
    source = await _patiently(connect, wanted.name)
    stack.push_async_callback(source.close)
    return source


async def _patiently(connect: Callable[[], Awaitable[Source]], name: str) -> Source:
    """A source that is only slow to wake is asked again; one that stays away stops the start."""
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            return await connect()
        except (SourceFailed, ValueError) as failure:
            if attempt + 1 == CONNECT_ATTEMPTS or isinstance(failure, ValueError):
                raise Mistake(f"the source `{name}` cannot be opened: {failure}") from failure
    raise AssertionError("unreachable")
