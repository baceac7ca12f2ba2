"""/health: alive, ready, and each source up or down; nothing more, as it asks for no key."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from onedoor.spi.connector import Connector

PING_SECONDS = 1.0

PING_MAX_AGE_SECONDS = 0.5


class HealthEndpoint:
    """What each source last said, asked again at most every FRESH_SECONDS, however many want to know."""

    def __init__(self, sources: Mapping[str, Connector]) -> None:
        self.connectors = sources
        self.last_check: tuple[float, asyncio.Task[list[bool]]] | None = None

    async def __call__(self, send: Any) -> None:
        states = dict(zip(self.connectors, await self.check_connectors(), strict=True))
        shown = {name: "up" if up else "down" for name, up in states.items()}
        body = orjson.dumps({"alive": True, "ready": True, "sources": shown})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def check_connectors(self) -> list[bool]:
        now = asyncio.get_running_loop().time()
        if self.last_check is None or now - self.last_check[0] >= PING_MAX_AGE_SECONDS:
            self.last_check = now, asyncio.ensure_future(_ping_all(self.connectors.values()))
        return await asyncio.shield(self.last_check[1])


async def _ping_all(sources: Iterable[Connector]) -> list[bool]:
    return list(await asyncio.gather(*map(_is_up, sources)))


async def _is_up(connector: Connector) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await connector.ping()
    except Exception:
        return False
    return True
