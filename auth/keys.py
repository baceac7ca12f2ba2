"""The text of an API key: random bytes in, `od_<id12>_<secret43>_<crc6>` out, and back. Pure."""

import hmac
import re
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase, digits
from zlib import crc32

from auth.mac import keyed

ALPHABET = digits + ascii_uppercase + ascii_lowercase
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 12, 43, 6
RANDOM_BYTES = 48
"""What `mint` takes: 16 bytes for the id, 32 for the secret (256 bits fill 43 characters of base62)."""
DEFAULT_DAYS = 90

SHAPE = re.compile(r"od_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})")
PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
LENGTH = len("od___") + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The id is public and may be shown; the secret is shown once, to its person, and stored nowhere."""

    id: str
    secret: str = field(repr=False)


NOBODY = Key(id="0" * ID_LENGTH, secret="0" * SECRET_LENGTH)
"""Stands in for a key that cannot be read, so that it costs the same steps as one that can."""


def mint(random: bytes) -> Key:
    """A new key out of RANDOM_BYTES random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key takes {RANDOM_BYTES} random bytes")
    return Key(id=identifier(random[:16]), secret=base62(random[16:], SECRET_LENGTH))


def demo_key(pepper: bytes, group: str) -> Key:
    """The demo's key for a group: the same at every start under the same pepper."""
    named, secret = (hmac.digest(pepper, f"{word}:{group}".encode(), "sha256") for word in ("demo-id", "demo"))
    return Key(id=identifier(named), secret=base62(secret, SECRET_LENGTH))


def written(key: Key) -> str:
    """The key as its person carries it."""
    body = f"od_{key.id}_{key.secret}"
    return f"{body}_{checksum(body)}"


def parse(text: str | None) -> Key | None:
    """The key a text holds; None where its shape or its checksum is wrong. Any text will do, of any length."""
    if text is None or len(text) != LENGTH:
        return None
    match = SHAPE.fullmatch(text)
    if match is None or checksum(text[: -CHECKSUM_LENGTH - 1]) != match[3]:
        return None
    return Key(id=match[1], secret=match[2])


def digest(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA-256 of the secret, which is all the state keeps of it."""
    return keyed(pepper)(secret.encode())


def same(one: bytes, other: bytes) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def identifier(random: bytes) -> str:
    """Twelve characters of base62: enough that two never meet, short enough to read out."""
    return base62(random, ID_LENGTH)


def checksum(body: str) -> str:
    """Tells a mistyped key from an unknown one without a look-up; it guards nothing."""
    return base62(crc32(body.encode()).to_bytes(4, "big"), CHECKSUM_LENGTH)


def base62(octets: bytes, width: int) -> str:
    """The number the bytes hold, in base62, filled with zeros or cut to `width` characters."""
    number, pairs = int.from_bytes(octets, "big"), []
    for _ in range(0, width, 2):
        number, two = divmod(number, len(PAIRS))
        pairs.append(PAIRS[two])
    return "".join(reversed(pairs))[-width:]
