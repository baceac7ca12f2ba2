"""AuditRecord and its JSON line; redaction of literals."""

import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from graphql import (
    BooleanValueNode,
    DocumentNode,
    FloatValueNode,
    IntValueNode,
    NameNode,
    StringValueNode,
    VariableNode,
    Visitor,
    print_ast,
    visit,
)

from auth.api_keys import prepare_hmac_digest

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

ID_LENGTH = 26

BASE32_PAIRS = tuple(high + low for high in BASE32 for low in BASE32)

PAIR_SHIFTS = tuple(10 * place for place in reversed(range(ID_LENGTH // 2)))
"""Of pairs of characters, in bits."""

RANDOM_BYTES = 9
"""What an id takes beside the time: 56 bits of microseconds and 72 random ones fill 26 characters."""

API_KEY_PATTERN = re.compile("od_([0-9A-Za-z]{12})_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")
"""A whole key, which a client may put anywhere: in a name, in its own id of the request."""

UNSAFE_CHARACTERS = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What JSON may hold as it is, but a terminal or a line reader would act on."""


class AuditOutcome(StrEnum):
    """What came of a request; one record has exactly one."""

    ANSWERED = "answered"
    PARTIAL = "partial"
    REFUSED = "refused"
    UNAUTHENTICATED = "unauthenticated"
    LIMITED = "limited"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


class Surface(StrEnum):
    """Where a request came in; the values stand in records."""

    GRAPHQL = "graphql"
    WEBSOCKET = "websocket"
    SUBSCRIPTION = "subscription"
    EXPORT = "export"
    JOB = "job"
    PERMISSIONS = "permissions"
    SETTLING = "settling"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedField:
    """A field that was asked for and not served, and why."""

    field: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorUsage:
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
class AuditedChange:
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
    def from_json(cls, given: Mapping[str, Any]) -> "AuditedChange":
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
class AuditRecord:
    """One request. Times are ISO 8601 in UTC; `text` holds `$` where literals were; no value is in clear.

    `person` and `key_id` are None where no caller was known; fields are named `Type.field`. `literals` and the leaves
    of `variables` are keyed hashes, `literals` in the order of the `$` in `text`. `client_request_id` is the client's
    own word, kept apart from `id`. `subscription` is the id of the record it began with, of each of its events and of
    its end, which says how many `events` there were.
    """

    id: str
    time: str
    surface: str
    outcome: AuditOutcome
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
    withheld: tuple[DeniedField, ...] = ()
    sources: tuple[ConnectorUsage, ...] = ()
    rows: int = 0
    bytes: int = 0
    ms: float = 0.0
    schema_version: str | None = None
    policy_version: str | None = None
    client_request_id: str | None = None
    changes: tuple[AuditedChange, ...] = ()
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


def build_record_id(at: datetime, random: bytes) -> str:
    """26 characters of base32 that sort by time to the microsecond; takes RANDOM_BYTES random bytes."""
    number = int.from_bytes(to_microseconds(at).to_bytes(7, "big") + random, "big")
    return "".join([BASE32_PAIRS[number >> place & 1023] for place in PAIR_SHIFTS])


def format_timestamp(at: datetime) -> str:
    """ISO 8601 in UTC, always with six digits of a second, so that text sorts as time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def check_client_request_id(text: str | None) -> str | None:
    """The id a client gave its request: at most 128 printable ASCII characters, or it is not kept."""
    if text is None or not 0 < len(text) <= 128 or not text.isascii() or not text.isprintable():
        return None
    return text


def to_line(record: AuditRecord) -> bytes:
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
    line = API_KEY_PATTERN.sub(r"od_\1_...", octets.decode())
    return UNSAFE_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", line).encode()


def to_microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


HASH_CHARACTERS = 32

MAX_VALUES = 5_000

MAX_LEVELS = 32

EXACT_FLOAT_LIMIT = 2**53

PRINTABLE_INTEGER_LIMIT = 10**1000
"""Python refuses to write integers of more than 4,300 digits."""

GRAPHQL_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]{0,63}")

BLANK_NODE = VariableNode(name=NameNode(value=""))
"""Prints as `$`."""


def derive_redaction_key(pepper: bytes) -> bytes:
    """The key that hashes of values are made with: whoever may search the records for a value holds it."""
    return hmac.digest(pepper, b"records", "sha256")


def normalize_document(document: DocumentNode) -> str:
    """The operation's text with every string, number and boolean replaced by `$`.

    Names, enum values and null stay: they come from the schema, or were chosen by the client as names.
    """
    return print_ast(visit(document, LiteralBlanker()))


def hash_literals(document: DocumentNode, key: bytes) -> tuple[str, ...]:
    """The keyed hashes of what `normalised` replaced, in the order of the `$` it left."""
    blanking = LiteralBlanker()
    visit(document, blanking)
    return tuple(hash_scalar(scalar, value, key) for scalar, value in blanking.replaced)


def hash_variables(variables: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """The variables with each leaf replaced by its keyed hash; structure and nulls stay.

    Past MOST_VALUES or MOST_LEVELS nothing is kept but that it was so: hashing must not cost more than answering.
    """
    if any(count > MAX_VALUES or level > MAX_LEVELS for count, level in enumerate(walk_levels(variables), 1)):
        return {"omitted": f"more than {MAX_VALUES} values or {MAX_LEVELS} levels"}
    return {redact_name(name, key): hash_value(value, key) for name, value in variables.items()}


def hash_value(value: Any, key: bytes) -> Any:
    """A JSON value with its leaves hashed; of one leaf, the hash to search the records for.

    A hash is HMAC-SHA-256 of (scalar, canonical value): 1 and 1.0 are one number, "1" is a text, true a boolean.
    """
    match value:
        case None:
            return None
        case bool():
            return hash_scalar("boolean", str(value).lower(), key)
        case int() | float():
            return hash_scalar("number", format_number(value), key)
        case str():
            return hash_scalar("text", value, key)
        case Mapping():
            return {redact_name(name, key): hash_value(each, key) for name, each in value.items()}
        case _:
            return [hash_value(each, key) for each in value]


def describe_unparsed(text: str, key: bytes) -> str:
    """What is kept of a document that does not parse: its length and its keyed hash."""
    return f"unparsed, {len(text)} characters, {hash_scalar('text', text, key)}"


class LiteralBlanker(Visitor):
    """Replaces literals and keeps what they were, as (scalar, canonical value)."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[tuple[str, str]] = []

    def leave_int_value(self, node: IntValueNode, *_: object) -> VariableNode:
        """Its digits are canonical as they stand, however many there are."""
        return self.replace("number", node.value)

    def leave_float_value(self, node: FloatValueNode, *_: object) -> VariableNode:
        """1.0 and 1 are one number."""
        return self.replace("number", format_number(float(node.value)))

    def leave_string_value(self, node: StringValueNode, *_: object) -> VariableNode:
        """A block string is the text it means."""
        return self.replace("text", node.value)

    def leave_boolean_value(self, node: BooleanValueNode, *_: object) -> VariableNode:
        """True or false."""
        return self.replace("boolean", str(node.value).lower())

    def replace(self, scalar: str, value: str) -> VariableNode:
        """What stands in the text instead."""
        self.replaced.append((scalar, value))
        return BLANK_NODE


def hash_scalar(scalar: str, value: str, key: bytes) -> str:
    """128 bits of hex."""
    return prepare_hmac_digest(key)(f"{scalar}:{value}".encode(errors="surrogatepass")).hex()[:HASH_CHARACTERS]


def format_number(value: int | float) -> str:
    """One text per number: a float that is whole is written as the integer it equals."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < EXACT_FLOAT_LIMIT else repr(value)
    return str(value) if abs(value) < PRINTABLE_INTEGER_LIMIT else hex(value)


def redact_name(name: str, key: bytes) -> str:
    """A GraphQL name in clear; a client may send any text in its place, and that is a value."""
    return name if GRAPHQL_NAME.fullmatch(name) else hash_scalar("text", name, key)


def walk_levels(value: Any) -> Iterator[int]:
    """The level of every value within a value, itself not included; needs no stack of calls, and may be left early."""
    open_values = [iterate_children(value)]
    while open_values:
        for each in open_values[-1]:
            yield len(open_values)
            if isinstance(each, Mapping | list | tuple):
                open_values.append(iterate_children(each))
                break
        else:
            open_values.pop()


def iterate_children(value: Any) -> Iterator[Any]:
    """The values a mapping or a list holds."""
    return iter(value.values() if isinstance(value, Mapping) else value)
