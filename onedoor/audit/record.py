"""Define the record of a request and its JSON line, and redact the values that a request holds."""

import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

from auth.key_format import prepare_hmac_digest

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

ID_LENGTH = 26

BASE32_PAIRS = tuple(high + low for high in BASE32 for low in BASE32)

PAIR_SHIFTS = tuple(10 * place for place in reversed(range(ID_LENGTH // 2)))
"""How many bits each pair of characters is shifted by."""

RANDOM_BYTES = 9
"""Random bytes of an id: 56 bits of microseconds and 72 random bits fill 26 characters."""

SALT_BYTES = 16

API_KEY_PATTERN = re.compile("(o[cd]_[0-9A-Za-z]{12})_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")
"""A whole API key, or a code for one, which a client may put anywhere: into a name, into its own id of the request."""

UNSAFE_CHARACTERS = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Characters that JSON may hold unescaped, but that a terminal or a line reader acts on."""


class AuditOutcome(StrEnum):
    """What a request came to; the values stand in records."""

    ANSWERED = "answered"
    PARTIAL = "partial"
    REFUSED = "refused"
    UNAUTHENTICATED = "unauthenticated"
    LIMITED = "limited"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    BEGUN = "begun"
    """It is about to change something: a later line with its id says what came of it."""
    LOST = "lost"
    """It began to change something and nobody was told the end; the changes it made are named."""


class Surface(StrEnum):
    """Where a request came in; the values stand in records."""

    GRAPHQL = "graphql"
    WEBSOCKET = "websocket"
    SUBSCRIPTION = "subscription"
    EXPORT = "export"
    JOB = "job"
    PERMISSIONS = "permissions"
    SETTLING = "settling"
    CLI = "cli"
    SCIM = "scim"
    LDAP = "ldap"
    SIGN_IN = "sign_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedField:
    """A field that was selected and denied, and the coordinate that decided so."""

    field: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorUsage:
    """How one collection of a connector was used: calls, rows, milliseconds waited.

    `cached` counts the reads that took no call: the same was read a moment ago, or just then for another request.
    `outgrown` of the rows did not fit in memory and went through the spill database.
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
    """A change that the request made or tried; the row's id and the digests of its state before and after are keyed."""

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
    def from_json(cls, change: Mapping[str, Any]) -> "AuditedChange":
        return cls(
            id=change["id"],
            type=change["type"],
            row=change["row"],
            verb=change["verb"],
            state=change["state"],
            before=change["before"],
            after=change["after"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """The record of one request. Times are ISO 8601 in UTC; no value is in clear.

    `person` and `key_id` are None where no valid key came. `secret` is the number of the secret of the key: whoever
    uses one that leaked is told apart by it from whom the key was rotated for. Fields are named `Type.field`. `text`
    holds `$` where literals were; `literals`, in the order of the `$`, and the leaves of `variables` are keyed hashes.
    `attempted` are the guarded fields that the `withheld` ones looked at, in whatever position: a filter, an order, an
    input. `client_request_id` is the client's own. `subscription` is the id of the record with which a subscription
    began, in the record of each of its events and of its end, which says how many `events` there were.

    `reason` is why a command of the terminal was given, by a `person` of the operating system.

    `digest` is that of the exact text of `data` that the client was sent, and `salt` is random, so that from the digest
    of the rest of the line, which a receipt shows, nobody can guess the rest.

    Of what changes something there are several lines with one id, which `reader.read_records` makes one record: the
    first says BEGUN and is durable before anything is changed. `count` is the number of requests that a record stands
    for: more than one, and only then written, where a caller was turned away so often.
    """

    id: str
    time: str
    surface: str
    outcome: AuditOutcome
    status: int
    person: str | None = None
    key_id: str | None = None
    secret: int | None = None
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
    attempted: tuple[str, ...] = ()
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
    count: int = 1
    reason: str | None = None
    digest: str | None = None
    salt: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record under the keys that auditors read, in order: they stay, whatever the fields are called."""
        return {
            "id": self.id,
            "time": self.time,
            "surface": self.surface,
            "outcome": self.outcome,
            "status": self.status,
            **({"digest": self.digest} if self.digest is not None else {}),
            "person": self.person,
            "key_id": self.key_id,
            **({"secret": self.secret} if self.secret is not None else {}),
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
            "withheld": [field.to_json() for field in self.withheld],
            "sources": [usage.to_json() for usage in self.sources],
            "rows": self.rows,
            "bytes": self.bytes,
            "ms": self.ms,
            "schema_version": self.schema_version,
            "policy_version": self.policy_version,
            "client_request_id": self.client_request_id,
            "changes": [change.to_json() for change in self.changes],
            "subscription": self.subscription,
            "events": self.events,
            **({"attempted": self.attempted} if self.attempted else {}),
            **({"count": self.count} if self.count > 1 else {}),
            **({"reason": self.reason} if self.reason is not None else {}),
            **({"salt": self.salt} if self.salt is not None else {}),
        }


def build_record_id(time: datetime, random: bytes) -> str:
    """Build 26 characters of base32 that sort by time to the microsecond, from RANDOM_BYTES random bytes."""
    number = int.from_bytes(to_microseconds(time).to_bytes(7, "big") + random, "big")
    return "".join([BASE32_PAIRS[number >> shift & 1023] for shift in PAIR_SHIFTS])


def decode_record_time(id: str) -> datetime:
    """Return the time that an id of `build_record_id` begins with."""
    number = 0
    for character in id:
        number = number << 5 | BASE32.index(character)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number >> 8 * RANDOM_BYTES)


def format_timestamp(time: datetime) -> str:
    """Format as ISO 8601 in UTC, always with six digits of a second, so that text sorts as time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def check_client_request_id(text: str | None) -> str | None:
    """Return the id a client gave its request, or None where it is not at most 128 printable ASCII characters."""
    if text is None or not 0 < len(text) <= 128 or not text.isascii() or not text.isprintable():
        return None
    return text


def to_line(record: AuditRecord) -> bytes:
    """Serialize as one JSON object without a line end; no text of a field can end the line or act on a terminal."""
    return to_json(record.to_json())


def to_json(value: Any) -> bytes:
    """Serialize a record or a part of one, with API keys cut and unsafe characters escaped."""
    try:
        data = orjson.dumps(value)
    except orjson.JSONEncodeError:  # half a surrogate pair, or an integer past 64 bits
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    if data.isascii() and b"\x7f" not in data and b"od_" not in data and b"oc_" not in data:
        return data
    line = API_KEY_PATTERN.sub(r"\1_...", data.decode())
    return UNSAFE_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", line).encode()


def to_microseconds(time: datetime) -> int:
    """Return the exact microseconds since 1970."""
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


HASH_CHARACTERS = 32

MAX_VALUES = 5_000

MAX_LEVELS = 32

EXACT_FLOAT_LIMIT = 2**53

PRINTABLE_INTEGER_LIMIT = 10**1000
"""Python refuses to print integers of more than 4,300 digits."""

GRAPHQL_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]{0,63}")

BLANK_NODE = VariableNode(name=NameNode(value=""))
"""Prints as `$`."""


def derive_redaction_key(pepper: bytes) -> bytes:
    """Derive the key of the hashes of values, which is needed to search the records for a value."""
    return hmac.digest(pepper, b"records", "sha256")


def normalize_document(document: DocumentNode) -> str:
    """Return the text of a document with every string, number and boolean replaced by `$`.

    Names, enum values and null stay: they come from the schema, or the client chose them as names.
    """
    return print_ast(_blank_literals(document)[0])


def hash_literals(document: DocumentNode, key: bytes) -> tuple[str, ...]:
    """Hash what `normalize_document` replaced, in the order of the `$` it left."""
    return tuple(hash_scalar(scalar, value, key) for scalar, value in _blank_literals(document)[1])


def _blank_literals(document: DocumentNode) -> tuple[DocumentNode, list[tuple[str, str]]]:
    """Return the document without its literals, and these as (scalar, canonical value)."""
    blanker = LiteralBlanker()
    blanked = visit(document, blanker)
    blanker.enter_leave_map.clear()  # it leads to the visitor: both would wait for the garbage collector
    return blanked, blanker.replaced


def hash_variables(variables: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """Replace each leaf of the variables by its keyed hash; structure and nulls stay.

    Past MAX_VALUES or MAX_LEVELS nothing is kept: hashing must not cost more than executing the request.
    """
    if any(count > MAX_VALUES or level > MAX_LEVELS for count, level in enumerate(walk_levels(variables), 1)):
        return {"omitted": f"more than {MAX_VALUES} values or {MAX_LEVELS} levels"}
    return {redact_name(name, key): hash_value(value, key) for name, value in variables.items()}


def hash_value(value: Any, key: bytes) -> Any:
    """Hash the leaves of a JSON value; for one leaf, that is the hash to search the records for.

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
            return {redact_name(name, key): hash_value(member, key) for name, member in value.items()}
        case _:
            return [hash_value(element, key) for element in value]


def describe_unparsed(text: str, key: bytes) -> str:
    """Describe a document that does not parse by its length and its keyed hash."""
    return f"unparsed, {len(text)} characters, {hash_scalar('text', text, key)}"


class LiteralBlanker(Visitor):
    """Replaces literals by `$`, and collects them as (scalar, canonical value)."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[tuple[str, str]] = []

    def leave_int_value(self, node: IntValueNode, *_: object) -> VariableNode:
        """Keep the digits: they are canonical as they stand, however many there are."""
        return self.replace("number", node.value)

    def leave_float_value(self, node: FloatValueNode, *_: object) -> VariableNode:
        """Write a whole number as an integer: 1.0 and 1 are one number."""
        return self.replace("number", format_number(float(node.value)))

    def leave_string_value(self, node: StringValueNode, *_: object) -> VariableNode:
        """Keep the text that a string means, be it a block string."""
        return self.replace("text", node.value)

    def leave_boolean_value(self, node: BooleanValueNode, *_: object) -> VariableNode:
        return self.replace("boolean", str(node.value).lower())

    def replace(self, scalar: str, value: str) -> VariableNode:
        self.replaced.append((scalar, value))
        return BLANK_NODE


def hash_scalar(scalar: str, value: str, key: bytes) -> str:
    """Return 128 bits of the keyed hash, in hexadecimal."""
    return prepare_hmac_digest(key)(f"{scalar}:{value}".encode(errors="surrogatepass")).hex()[:HASH_CHARACTERS]


def format_number(value: int | float) -> str:
    """Format each number as one text: a whole float as the integer it equals."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < EXACT_FLOAT_LIMIT else repr(value)
    return str(value) if abs(value) < PRINTABLE_INTEGER_LIMIT else hex(value)


def redact_name(name: str, key: bytes) -> str:
    """Return a GraphQL name in clear; any other text that a client sends in its place is a value, so hashed."""
    return name if GRAPHQL_NAME.fullmatch(name) else hash_scalar("text", name, key)


def walk_levels(value: Any) -> Iterator[int]:
    """Yield the level of every value within a value, without recursion, so that the caller may stop early."""
    open_values = [iterate_children(value)]
    while open_values:
        for child in open_values[-1]:
            yield len(open_values)
            if isinstance(child, Mapping | list | tuple):
                open_values.append(iterate_children(child))
                break
        else:
            open_values.pop()


def iterate_children(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, Mapping) else value)
