"""Call Redis within a time, and do without it for a while where it does not answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger("onedoor.redis")

MAX_CONNECTIONS = 32

COOLDOWN_SECONDS = 1.0
"""How long Redis is not called after it failed."""


def open_redis(url: str, seconds: float) -> Redis:
    """Open a client, whose calls take so many seconds at most, without calling Redis.

    Raises ValueError where the URL is not one.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


class RedisCalls:
    """Calls Redis while it answers; `while_away` says in the log, once, what is done without it."""

    def __init__(self, seconds: float, clock: Callable[[], float], while_away: str) -> None:
        self.seconds, self.clock, self.while_away = seconds, clock, while_away
        self.retry_at = 0.0
        self.is_away = False

    async def call_or_none(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        """Call Redis; return None where it does not answer in time, and for a while after that."""
        if self.clock() < self.retry_at:
            return None
        try:
            async with asyncio.timeout(self.seconds):
                answer = await call(*arguments, **options)
        except (RedisError, OSError, TimeoutError):
            self.retry_at = self.clock() + COOLDOWN_SECONDS
            if not self.is_away:
                log.warning("redis does not answer: %s", self.while_away)
            self.is_away = True
            return None
        if self.is_away:
            log.warning("redis answers again")
        self.is_away = False
        return answer
