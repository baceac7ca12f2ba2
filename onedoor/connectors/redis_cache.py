"""Store cached rows in Redis, encrypted, and do without Redis while it does not answer."""

import hmac
import logging
import secrets
from collections.abc import Callable
from datetime import datetime

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis

from onedoor.connectors.redis_client import RedisCalls, open_redis
from onedoor.runtime.row_cache import CacheEntry, CacheSettings
from onedoor.spi.json_values import decode_json_value, encode_json_value


def encode_cache_entry(entry: CacheEntry) -> bytes:
    """Raise TypeError or KeyError for a value that has no JSON form."""
    return orjson.dumps(
        [entry.read_at.isoformat(), [[encode_json_value(value) for value in row] for row in entry.rows]]
    )


def decode_cache_entry(text: bytes) -> CacheEntry:
    """Raise ValueError, TypeError or KeyError for what `encode_cache_entry` does not write."""
    read_at, rows = orjson.loads(text)
    return CacheEntry(
        read_at=datetime.fromisoformat(read_at), rows=tuple(tuple(map(decode_json_value, row)) for row in rows)
    )


NONCE_BYTES = 12


def encrypt_entry(secret: bytes, key: bytes, plain: bytes) -> bytes:
    """Encrypt under a cipher of this key alone, so that no cipher sees too many random nonces."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _derive_cipher(secret, key).encrypt(nonce, plain, key)


def decrypt_entry(secret: bytes, key: bytes, sealed: bytes) -> bytes | None:
    """Return None for what was not encrypted with this secret under this key."""
    try:
        return _derive_cipher(secret, key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key)
    except (InvalidTag, ValueError):
        return None


def _derive_cipher(secret: bytes, key: bytes) -> AESGCM:
    return AESGCM(hmac.digest(secret, key, "sha256"))


log = logging.getLogger("onedoor.redis")

MAX_ENTRY_DIVISOR = 8
"""One entry takes at most an eighth of the size of a cache in memory."""

KEY_PREFIX = b"onedoor:"


class RedisCacheStore:
    """A CacheStore that replicas share. `secret` is known to them alone; `clock` is monotonic, in seconds."""

    def __init__(self, client: Redis, settings: CacheSettings, secret: bytes, clock: Callable[[], float]) -> None:
        self.client = client
        self.calls = RedisCalls(settings.seconds, clock, "rows are read from their sources")
        self.secret = secret
        self.max_entry_bytes = settings.bytes // MAX_ENTRY_DIVISOR

    def get_nowait(self, key: bytes) -> CacheEntry | None:
        return None

    async def get(self, key: bytes) -> CacheEntry | None:
        sealed = await self.calls.call_or_none(self.client.get, KEY_PREFIX + key)
        if sealed is None:
            return None
        plain = decrypt_entry(self.secret, key, sealed)
        if plain is None:
            log.warning("redis holds an entry that no replica wrote: it is ignored")
            return None
        try:
            return decode_cache_entry(plain)
        except (ValueError, TypeError, KeyError):  # written by another release
            return None

    async def put(self, key: bytes, entry: CacheEntry, seconds: float) -> None:
        try:
            plain = encode_cache_entry(entry)
        except (TypeError, KeyError):  # a value of no column type, or text that is not valid Unicode
            return
        if len(plain) <= self.max_entry_bytes:
            sealed = encrypt_entry(self.secret, key, plain)
            await self.calls.call_or_none(self.client.set, KEY_PREFIX + key, sealed, px=max(1, int(seconds * 1000)))

    async def close(self) -> None:
        await self.client.aclose()


def create_redis_store(settings: CacheSettings, secret: bytes, clock: Callable[[], float]) -> RedisCacheStore:
    """Create the store without calling Redis. Raises ValueError where the URL is not one."""
    return RedisCacheStore(open_redis(settings.url or "", settings.seconds), settings, secret, clock)
