"""Keys that are used at the same time each get, byte by byte, what they get alone, whatever a server caches for all."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, TypeAlias

from onedoor.http.persisted_documents import PersistedDocumentSettings, open_persisted_documents
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from tests import acme
from tests.http.conftest import OpenServer, RunningServer
from tests.runtime.cache.cached_reader import SECRET, Clock

QUESTIONS = (
    "{ customers(first: 3) { nodes { name segment creditLimit phone } } }",
    "{ customers(first: 3) { nodes { name orders(first: 2) { nodes { id total } } } } }",
    "{ employees(first: 3) { nodes { firstName salary } } }",
    "{ employees(first: 3, orderBy: [{salary: DESC}]) { nodes { firstName } } }",
    "{ employees { aggregate { count max { salary } } } }",
    "{ me { id email groups } }",
    '{ __type(name: "Employee") { fields { name } } }',
    "{ nothing }",
)
WHO = ("sales", "finance", "audit", "nobody")
TOGETHER, ROUNDS = 12, 12

Send: TypeAlias = Callable[[RunningServer, str, str], Awaitable[bytes]]


async def send_text(server: RunningServer, who: str, text: str) -> bytes:
    return (await server.ask(text, who)).raw


async def send_digest(server: RunningServer, who: str, text: str) -> bytes:
    """Send a digest, and the text with it as often as the server does not know it."""
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(text.encode()).hexdigest()}}
    answer = await send(server, who, {"extensions": persisted})
    return (
        answer
        if b"PERSISTED_QUERY_NOT_FOUND" not in answer
        else await send(server, who, {"query": text, "extensions": persisted})
    )


async def send(server: RunningServer, who: str, body: Mapping[str, Any]) -> bytes:
    return (await server.send(json=body, headers=server.bearer(who))).raw


async def read_permissions(server: RunningServer, who: str, _: str) -> bytes:
    return (await server.send("GET", "/graphiql/permissions.json", headers=server.bearer(who))).raw


SENDS: tuple[Send, ...] = (send_text, send_text, send_text, send_digest, send_digest, read_permissions)


async def test_keys_at_once_get_what_each_gets_alone(open_server: OpenServer) -> None:
    random, clock = Random(59), Clock()
    store = InMemoryCacheStore(max_entries=1000, max_bytes=50_000_000, clock=clock)
    catalog = acme.build_catalog()
    max_ages = {
        name: dict.fromkeys((mapping.collection for mapping in catalog.mappings.values()), 60.0)
        for name in catalog.connectors
    }
    cache = RowCache(store=store, max_ages=max_ages, secret=SECRET, now=clock.now)
    documents = open_persisted_documents(PersistedDocumentSettings())
    alone, shared = await open_server(), await open_server(cache=cache, documents=documents)
    expected = {(who, text): await send_text(alone, who, text) for who in WHO for text in QUESTIONS}
    shown = {who: await read_permissions(alone, who, "") for who in WHO}
    for _ in range(ROUNDS):
        asked = [(random.choice(SENDS), random.choice(WHO), random.choice(QUESTIONS)) for _ in range(TOGETHER)]
        answers = await asyncio.gather(*(act(shared, who, text) for act, who, text in asked))
        for (act, who, text), answer in zip(asked, answers, strict=True):
            assert answer == (shown[who] if act is read_permissions else expected[who, text]), (act, who, text)
    assert len({expected[who, QUESTIONS[0]] for who in WHO}) > 1, "they differ"
