"""A URL in, a store that keeps rows in Redis for all replicas out. One that is down or slow is as one that is empty."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from engine.cache.words import Cached, Kept
from sources.redis.encode import decoded, encoded
from sources.redis.seal import sealed, unsealed

log = logging.getLogger("onedoor.redis")
CONNECTIONS = 32
REST_SECONDS = 1.0
"""How long a Redis that failed is left alone."""
LARGEST = 8
"""One read takes at most an eighth of what a process may keep."""
PREFIX = b"onedoor:"


class RedisStore:
    """`secret` is known to the replicas alone; `clock` in seconds, never going back."""

    def __init__(self, client: "Redis", settings: Cached, secret: bytes, clock: Callable[[], float]) -> None:
        self.client, self.seconds, self.secret, self.clock = client, settings.seconds, secret, clock
        self.largest = settings.bytes // LARGEST
        self.again_at = 0.0

    def at_hand(self, key: bytes) -> Kept | None:
        return None

    async def get(self, key: bytes) -> Kept | None:
        found = await self._patiently(self.client.get, PREFIX + key)
        if found is None:
            return None
        plain = unsealed(self.secret, key, found)
        if plain is None:
            log.warning("redis held what the door did not write there, it was not believed")
            return None
        try:
            return decoded(plain)
        except (ValueError, TypeError, KeyError):  # of another release
            return None

    async def put(self, key: bytes, kept: Kept, seconds: float) -> None:
        try:
            plain = encoded(kept)
        except (TypeError, KeyError):  # a value that no kind of column holds, or text that is no Unicode
            return
        if len(plain) <= self.largest:
            until = max(1, int(seconds * 1000))
            await self._patiently(self.client.set, PREFIX + key, sealed(self.secret, key, plain), px=until)

    async def close(self) -> None:
        await self.client.aclose()

    async def _patiently(self, call: Callable[..., Awaitable[Any]], *given: Any, **more: Any) -> Any:
        """What Redis says, in time; None where it does not, and then it is left alone for a while."""
        if self.clock() < self.again_at:
            return None
        try:
            async with asyncio.timeout(self.seconds):
                return await call(*given, **more)
        except (RedisError, OSError, TimeoutError):
            self.again_at = self.clock() + REST_SECONDS
            log.warning("redis did not answer, what it would keep is read from the sources")
            return None


def opened(settings: Cached, secret: bytes, clock: Callable[[], float]) -> RedisStore:
    """Asks Redis nothing yet. ValueError: the URL is none."""
    pool = BlockingConnectionPool.from_url(
        settings.url or "",
        max_connections=CONNECTIONS,
        timeout=settings.seconds,
        socket_timeout=settings.seconds,
        socket_connect_timeout=settings.seconds,
        retry=Retry(NoBackoff(), 0),
    )
    return RedisStore(Redis.from_pool(pool), settings, secret, clock)
