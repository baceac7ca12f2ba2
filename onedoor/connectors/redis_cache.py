"""CacheStore in Redis."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from onedoor.runtime.row_cache import CacheEntry, CacheSettings
from onedoor.spi.json_values import decode_json_value, encode_json_value


def encode_cache_entry(entry: CacheEntry) -> bytes:
    """TypeError or orjson's for what has no form here: it is then not kept."""
    return orjson.dumps(
        [entry.read_at.isoformat(), [[encode_json_value(value) for value in row] for row in entry.rows]]
    )


def decode_cache_entry(text: bytes) -> CacheEntry:
    """ValueError, TypeError or KeyError for what `encoded` did not make."""
    at, rows = orjson.loads(text)
    return CacheEntry(
        read_at=datetime.fromisoformat(at), rows=tuple(tuple(map(decode_json_value, row)) for row in rows)
    )


NONCE_BYTES = 12


def encrypt_entry(secret: bytes, key: bytes, plain: bytes) -> bytes:
    """Every key has a cipher of its own, so that no number of writes wears one out."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _derive_cipher(secret, key).encrypt(nonce, plain, key)


def decrypt_entry(secret: bytes, key: bytes, sealed: bytes) -> bytes | None:
    """None: we did not write this, or not under this key."""
    try:
        return _derive_cipher(secret, key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key)
    except (InvalidTag, ValueError):
        return None


def _derive_cipher(secret: bytes, key: bytes) -> AESGCM:
    return AESGCM(hmac.digest(secret, key, "sha256"))


log = logging.getLogger("onedoor.redis")

MAX_CONNECTIONS = 32

COOLDOWN_SECONDS = 1.0
"""How long a Redis that failed is left alone."""

MAX_ENTRY_DIVISOR = 8
"""One read takes at most an eighth of what a process may keep."""

KEY_PREFIX = b"onedoor:"


class RedisCacheStore:
    """`secret` is known to the replicas alone; `clock` in seconds, never going back."""

    def __init__(self, client: "Redis", settings: CacheSettings, secret: bytes, clock: Callable[[], float]) -> None:
        self.client, self.seconds, self.secret, self.clock = client, settings.seconds, secret, clock
        self.max_entry_bytes = settings.bytes // MAX_ENTRY_DIVISOR
        self.retry_at = 0.0

    def get_nowait(self, key: bytes) -> CacheEntry | None:
        return None

    async def get(self, key: bytes) -> CacheEntry | None:
        found = await self._call_or_none(self.client.get, KEY_PREFIX + key)
        if found is None:
            return None
        plain = decrypt_entry(self.secret, key, found)
        if plain is None:
            log.warning("redis held what the door did not write there, it was not believed")
            return None
        try:
            return decode_cache_entry(plain)
        except (ValueError, TypeError, KeyError):  # of another release
            return None

    async def put(self, key: bytes, entry: CacheEntry, seconds: float) -> None:
        try:
            plain = encode_cache_entry(entry)
        except (TypeError, KeyError):  # a value that no kind of column holds, or text that is no Unicode
            return
        if len(plain) <= self.max_entry_bytes:
            until = max(1, int(seconds * 1000))
            await self._call_or_none(
                self.client.set, KEY_PREFIX + key, encrypt_entry(self.secret, key, plain), px=until
            )

    async def close(self) -> None:
        await self.client.aclose()

    async def _call_or_none(self, call: Callable[..., Awaitable[Any]], *given: Any, **more: Any) -> Any:
        """What Redis says, in time; None where it does not, and then it is left alone for a while."""
        if self.clock() < self.retry_at:
            return None
        try:
            async with asyncio.timeout(self.seconds):
                return await call(*given, **more)
        except (RedisError, OSError, TimeoutError):
            self.retry_at = self.clock() + COOLDOWN_SECONDS
            log.warning("redis did not answer, what it would keep is read from the sources")
            return None


def create_redis_store(settings: CacheSettings, secret: bytes, clock: Callable[[], float]) -> RedisCacheStore:
    """Asks Redis nothing yet. ValueError: the URL is none."""
    pool = BlockingConnectionPool.from_url(
        settings.url or "",
        max_connections=MAX_CONNECTIONS,
        timeout=settings.seconds,
        socket_timeout=settings.seconds,
        socket_connect_timeout=settings.seconds,
        retry=Retry(NoBackoff(), 0),
    )
    return RedisCacheStore(Redis.from_pool(pool), settings, secret, clock)
