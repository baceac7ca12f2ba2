"""/health: alive, ready, and each source up or down; nothing more, as it asks for no key."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from engine.source import Source

PING_SECONDS = 1.0
FRESH_SECONDS = 0.5


class Health:
    """What each source last said, asked again at most every FRESH_SECONDS, however many want to know."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self.asked: tuple[float, asyncio.Task[list[bool]]] | None = None

    async def __call__(self, send: Any) -> None:
        states = dict(zip(self.sources, await self.states(), strict=True))
        shown = {name: "up" if up else "down" for name, up in states.items()}
        body = orjson.dumps({"alive": True, "ready": True, "sources": shown})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def states(self) -> list[bool]:
        now = asyncio.get_running_loop().time()
        if self.asked is None or now - self.asked[0] >= FRESH_SECONDS:
            self.asked = now, asyncio.ensure_future(_all_up(self.sources.values()))
        return await asyncio.shield(self.asked[1])


async def _all_up(sources: Iterable[Source]) -> list[bool]:
    return list(await asyncio.gather(*map(_up, sources)))


async def _up(source: Source) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await source.ping()
    except Exception:
        return False
    return True
