"""One audit record: what a request was and what came of it, and the one line of JSON it becomes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
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

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "reason": self.reason}


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

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "collection": self.collection,
            "calls": self.calls,
            "cached": self.cached,
            "rows": self.rows,
            "outgrown": self.outgrown,
            "ms": self.ms,
        }


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

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "row": self.row,
            "verb": self.verb,
            "state": self.state,
            "before": self.before,
            "after": self.after,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Changed":
        return cls(
            id=given["id"],
            type=given["type"],
            row=given["row"],
            verb=given["verb"],
            state=given["state"],
            before=given["before"],
            after=given["after"],
        )


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

    def to_json(self) -> dict[str, Any]:
        """Its keys, in this order, are what auditors read: whatever the fields are called, these stay."""
        return {
            "id": self.id,
            "time": self.time,
            "surface": self.surface,
            "outcome": self.outcome,
            "status": self.status,
            "person": self.person,
            "key_id": self.key_id,
            "groups": self.groups,
            "grants": self.grants,
            "operation": self.operation,
            "operation_hash": self.operation_hash,
            "document": self.document,
            "text": self.text,
            "literals": self.literals,
            "variables": self.variables,
            "fields": self.fields,
            "fields_used": self.fields_used,
            "withheld": [each.to_json() for each in self.withheld],
            "sources": [each.to_json() for each in self.sources],
            "rows": self.rows,
            "bytes": self.bytes,
            "ms": self.ms,
            "schema_version": self.schema_version,
            "policy_version": self.policy_version,
            "client_request_id": self.client_request_id,
            "changes": [each.to_json() for each in self.changes],
            "subscription": self.subscription,
            "events": self.events,
        }


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
    return to_json(record.to_json())


def to_json(value: Any) -> bytes:
    """What a record holds, or a part of one."""
    try:
        octets = orjson.dumps(value)
    except orjson.JSONEncodeError:  # half a surrogate pair, or an integer past 64 bits
        octets = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    if octets.isascii() and b"\x7f" not in octets and b"od_" not in octets:
        return octets
    line = KEY.sub(r"od_\1_...", octets.decode())
    return UNSHOWABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", line).encode()


def microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
