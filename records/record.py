"""One audit record: what a request was and what came of it, and the one line of JSON it becomes."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ID_LENGTH = 26
PAIRS = tuple(high + low for high in BASE32 for low in BASE32)
PLACES = tuple(10 * place for place in reversed(range(ID_LENGTH // 2)))
"""Of pairs of characters, in bits."""
RANDOM_BYTES = 9
"""What an id takes beside the time: 56 bits of microseconds and 72 random ones fill 26 characters."""

KEY = re.compile("od_([0-9A-Za-z]{12})_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")
"""A whole key, which a client may put anywhere: in a name, in its own id of the request."""
UNSHOWABLE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What JSON may hold as it is, but a terminal or a line reader would act on."""


class Outcome(StrEnum):
    """What came of a request; one record has exactly one."""

    ANSWERED = "answered"
    PARTIAL = "partial"
    REFUSED = "refused"
    UNAUTHENTICATED = "unauthenticated"
    LIMITED = "limited"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A field that was asked for and not served, and why."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What one source was asked for: calls made, rows it gave, milliseconds spent waiting.

    `cached` counts the reads that took no call: the same was read a moment ago, or just then for someone else.
    `outgrown` of the rows were too many for memory and went through the scratch database.
    """

    source: str
    collection: str
    calls: int
    cached: int = 0
    rows: int
    outgrown: int = 0
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A change that the request made, or tried: the row's id and the digests of what it was and is are keyed."""

    id: str
    type: str
    row: str
    verb: str
    state: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request. Times are ISO 8601 in UTC; `text` holds `$` where literals were; no value is in clear.

    `person` and `key_id` are None where no caller was known; fields are named `Type.field`. `literals` and the leaves
    of `variables` are keyed hashes, `literals` in the order of the `$` in `text`. `client_request_id` is the client's
    own word, kept apart from `id`. `subscription` is the id of the record it began with, of each of its events and of
    its end, which says how many `events` there were.
    """

    id: str
    time: str
    surface: str
    outcome: Outcome
    status: int
    person: str | None = None
    key_id: str | None = None
    groups: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    operation: str | None = None
    operation_hash: str | None = None
    document: str | None = None
    text: str | None = None
    literals: tuple[str, ...] = ()
    variables: Mapping[str, Any] | None = None
    fields: tuple[str, ...] = ()
    fields_used: tuple[str, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    sources: tuple[Used, ...] = ()
    rows: int = 0
    bytes: int = 0
    ms: float = 0.0
    schema_version: str | None = None
    policy_version: str | None = None
    client_request_id: str | None = None
    changes: tuple[Changed, ...] = ()
    subscription: str | None = None
    events: int | None = None


def record_id(at: datetime, random: bytes) -> str:
    """26 characters of base32 that sort by time to the microsecond; takes RANDOM_BYTES random bytes."""
    number = int.from_bytes(microseconds(at).to_bytes(7, "big") + random, "big")
    return "".join([PAIRS[number >> place & 1023] for place in PLACES])


def stamp(at: datetime) -> str:
    """ISO 8601 in UTC, always with six digits of a second, so that text sorts as time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def client_request_id(text: str | None) -> str | None:
    """The id a client gave its request: at most 128 printable ASCII characters, or it is not kept."""
    if text is None or not 0 < len(text) <= 128 or not text.isascii() or not text.isprintable():
        return None
    return text


def to_line(record: Record) -> bytes:
    """One JSON object without a line end. Whatever text a field holds, it cannot end the line nor act on a terminal."""
    return to_json(record)


def to_json(value: Any) -> bytes:
    """A record, or what a part of one holds."""
    try:
        octets = orjson.dumps(value)
    except orjson.JSONEncodeError:  # half a surrogate pair, or an integer past 64 bits
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        octets = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    if octets.isascii() and b"\x7f" not in octets and b"od_" not in octets:
        return octets
    line = KEY.sub(r"od_\1_...", octets.decode())
    return UNSHOWABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", line).encode()


def microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
