"""/health: alive, ready, and each source up or down; nothing more, as it asks for no key."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from engine.words import Source

PING_SECONDS = 1.0


async def health(sources: Mapping[str, Source], send: Any) -> None:
    states = await asyncio.gather(*(_up(source) for source in sources.values()))
    body = orjson.dumps(
        {
            "alive": True,
            "ready": True,
            "sources": {name: "up" if up else "down" for name, up in zip(sources, states, strict=True)},
        }
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _up(source: Source) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await source.ping()
    except Exception:
        return False
    return True
