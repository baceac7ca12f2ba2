"""Mint, format, parse and hash the text of API keys."""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from zlib import crc32

BLOCK_BYTES = 64

INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))

OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


@lru_cache(maxsize=8)
def prepare_hmac_digest(key: bytes) -> Callable[[bytes], bytes]:
    """Return a function that computes HMAC-SHA-256 under the key (RFC 2104), its key schedule done once."""
    padded = (sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
    inner, outer = sha256(padded.translate(INNER_PAD)), sha256(padded.translate(OUTER_PAD))

    def compute_digest(data: bytes) -> bytes:
        inner_hash, outer_hash = inner.copy(), outer.copy()
        inner_hash.update(data)
        outer_hash.update(inner_hash.digest())
        return outer_hash.digest()

    return compute_digest


BASE62_ALPHABET = digits + ascii_uppercase + ascii_lowercase

ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 12, 43, 6

KEY_RANDOM_BYTES = 48
"""Random bytes of a key: 16 for the id, 32 for the secret (256 bits fill 43 characters of base62)."""

DEFAULT_KEY_DAYS = 90

KEY_PATTERN = re.compile(r"od_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})")

CLAIM_PREFIX = "oc_"
"""Begins a code that is exchanged for a key, and its id."""

CLAIM_PATTERN = re.compile(r"(oc_[0-9A-Za-z]{12})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})")

BASE62_PAIRS = tuple(high + low for high in BASE62_ALPHABET for low in BASE62_ALPHABET)

KEY_LENGTH = len("od___") + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaintextKey:
    """An API key. The id is public and may be shown; the secret is shown once, to its user, and stored nowhere."""

    id: str
    secret: str = field(repr=False)


PLACEHOLDER_KEY = PlaintextKey(id="0" * ID_LENGTH, secret="0" * SECRET_LENGTH)
"""Stands in for a key that cannot be parsed, so that it costs the same steps as one that can."""


def mint_key(random: bytes) -> PlaintextKey:
    """Mint a key from KEY_RANDOM_BYTES random bytes. Raises ValueError for another number of them."""
    if len(random) != KEY_RANDOM_BYTES:
        raise ValueError(f"a key takes {KEY_RANDOM_BYTES} random bytes")
    return PlaintextKey(id=encode_id(random[:16]), secret=encode_base62(random[16:], SECRET_LENGTH))


def mint_api_key() -> PlaintextKey:
    """Mint a key from the random source of the operating system."""
    return mint_key(secrets.token_bytes(KEY_RANDOM_BYTES))


def derive_demo_key(pepper: bytes, group: str) -> PlaintextKey:
    """Derive the demo's key of a group: the same at every start under the same pepper."""
    id_digest, secret_digest = (
        hmac.digest(pepper, f"{word}:{group}".encode(), "sha256") for word in ("demo-id", "demo")
    )
    return PlaintextKey(id=encode_id(id_digest), secret=encode_base62(secret_digest, SECRET_LENGTH))


def format_key(key: PlaintextKey) -> str:
    """Format a key as its user sends it."""
    body = f"od_{key.id}_{key.secret}"
    return f"{body}_{compute_checksum(body)}"


def parse_key(text: str | None) -> PlaintextKey | None:
    """Parse any text as a key; None where its shape or its checksum is wrong."""
    if text is None or len(text) != KEY_LENGTH:
        return None
    match = KEY_PATTERN.fullmatch(text)
    if match is None or compute_checksum(text[: -CHECKSUM_LENGTH - 1]) != match[3]:
        return None
    return PlaintextKey(id=match[1], secret=match[2])


def format_claim(code: PlaintextKey) -> str:
    """Format a code that is exchanged for a key as its person is sent it."""
    body = f"{code.id}_{code.secret}"
    return f"{body}_{compute_checksum(body)}"


def parse_claim(text: str | None) -> PlaintextKey | None:
    """Parse any text as a code; None where its shape or its checksum is wrong."""
    match = CLAIM_PATTERN.fullmatch(text or "")
    if match is None or compute_checksum(match[0][: -CHECKSUM_LENGTH - 1]) != match[3]:
        return None
    return PlaintextKey(id=match[1], secret=match[2])


def hash_secret(pepper: bytes, secret: str) -> bytes:
    """Return the HMAC-SHA-256 of the secret, which is all that the metadata database holds of it."""
    return prepare_hmac_digest(pepper)(secret.encode())


def is_same_digest(first: bytes, second: bytes) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(first, second)


def encode_id(random: bytes) -> str:
    """Encode an id as twelve characters of base62: too many to collide, few enough to read out."""
    return encode_base62(random, ID_LENGTH)


def compute_checksum(body: str) -> str:
    """Compute what tells a mistyped key from an unknown one without a look-up; it protects nothing."""
    return encode_base62(crc32(body.encode()).to_bytes(4, "big"), CHECKSUM_LENGTH)


def encode_base62(data: bytes, width: int) -> str:
    """Encode the number that the bytes hold in base62, filled with zeros or cut to `width` characters."""
    number, pairs = int.from_bytes(data, "big"), []
    for _ in range(0, width, 2):
        number, pair = divmod(number, len(BASE62_PAIRS))
        pairs.append(BASE62_PAIRS[pair])
    return "".join(reversed(pairs))[-width:]
