"""The text of an API key, its digest."""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from zlib import crc32

BLOCK_BYTES = 64

INNER_PAD = bytes(each ^ 0x36 for each in range(256))

OUTER_PAD = bytes(each ^ 0x5C for each in range(256))


@lru_cache(maxsize=8)
def prepare_hmac_digest(key: bytes) -> Callable[[bytes], bytes]:
    padded = (sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
    inner, outer = sha256(padded.translate(INNER_PAD)), sha256(padded.translate(OUTER_PAD))

    def mac(octets: bytes) -> bytes:
        inside, outside = inner.copy(), outer.copy()
        inside.update(octets)
        outside.update(inside.digest())
        return outside.digest()

    return mac


BASE62_ALPHABET = digits + ascii_uppercase + ascii_lowercase

ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 12, 43, 6

KEY_RANDOM_BYTES = 48
"""What `mint` takes: 16 bytes for the id, 32 for the secret (256 bits fill 43 characters of base62)."""

DEFAULT_KEY_DAYS = 90

KEY_PATTERN = re.compile(r"od_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})")

BASE62_PAIRS = tuple(high + low for high in BASE62_ALPHABET for low in BASE62_ALPHABET)

KEY_LENGTH = len("od___") + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """The id is public and may be shown; the secret is shown once, to its person, and stored nowhere."""

    id: str
    secret: str = field(repr=False)


PLACEHOLDER_KEY = ApiKey(id="0" * ID_LENGTH, secret="0" * SECRET_LENGTH)
"""Stands in for a key that cannot be read, so that it costs the same steps as one that can."""


def mint_key(random: bytes) -> ApiKey:
    """A new key out of RANDOM_BYTES random bytes."""
    if len(random) != KEY_RANDOM_BYTES:
        raise ValueError(f"a key takes {KEY_RANDOM_BYTES} random bytes")
    return ApiKey(id=encode_id(random[:16]), secret=encode_base62(random[16:], SECRET_LENGTH))


def derive_demo_key(pepper: bytes, group: str) -> ApiKey:
    """The demo's key for a group: the same at every start under the same pepper."""
    named, secret = (hmac.digest(pepper, f"{word}:{group}".encode(), "sha256") for word in ("demo-id", "demo"))
    return ApiKey(id=encode_id(named), secret=encode_base62(secret, SECRET_LENGTH))


def format_key(key: ApiKey) -> str:
    """The key as its person carries it."""
    body = f"od_{key.id}_{key.secret}"
    return f"{body}_{compute_checksum(body)}"


def parse_key(text: str | None) -> ApiKey | None:
    """The key a text holds; None where its shape or its checksum is wrong. Any text will do, of any length."""
    if text is None or len(text) != KEY_LENGTH:
        return None
    match = KEY_PATTERN.fullmatch(text)
    if match is None or compute_checksum(text[: -CHECKSUM_LENGTH - 1]) != match[3]:
        return None
    return ApiKey(id=match[1], secret=match[2])


def hash_secret(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA-256 of the secret, which is all the state keeps of it."""
    return prepare_hmac_digest(pepper)(secret.encode())


def is_same_digest(first: bytes, second: bytes) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(first, second)


def encode_id(random: bytes) -> str:
    """Twelve characters of base62: enough that two never meet, short enough to read out."""
    return encode_base62(random, ID_LENGTH)


def compute_checksum(body: str) -> str:
    """Tells a mistyped key from an unknown one without a look-up; it guards nothing."""
    return encode_base62(crc32(body.encode()).to_bytes(4, "big"), CHECKSUM_LENGTH)


def encode_base62(octets: bytes, width: int) -> str:
    """The number the bytes hold, in base62, filled with zeros or cut to `width` characters."""
    number, pairs = int.from_bytes(octets, "big"), []
    for _ in range(0, width, 2):
        number, two = divmod(number, len(BASE62_PAIRS))
        pairs.append(BASE62_PAIRS[two])
    return "".join(reversed(pairs))[-width:]
