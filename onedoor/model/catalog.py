"""Bring together what one company serves: schema, access policy, mappings, connectors and limits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from graphql import GraphQLSchema

from auth.authentication import Principal
from auth.groups import Groups
from auth.policy import AccessPolicy
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.constant_columns import add_constant_columns
from onedoor.model.mapping import TypeMapping
from onedoor.spi.capabilities import ValueType
from onedoor.spi.connector import Connector, SpillTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCall:
    """One root field of a mutation, which its caller may use, with coerced arguments."""

    principal: Principal
    field: str
    arguments: Mapping[str, Any]
    """By their names in the schema; those not given are absent."""
    record_id: str
    """The id of the request's audit record."""
    deadline: float
    """When the result must be there, on the loop's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """The row that a mutation's field shows, by id; None: it shows none."""

    row_id: str | None
    connectors: Mapping[str, Connector] = field(default_factory=dict)
    """Connectors of this request alone that replace those of the catalog, where the row cannot be read elsewhere."""
    audit_facts: Mapping[str, Any] = field(default_factory=dict)
    """For the audit record: `changes`, each as JSON of an AuditedChange; no value in clear."""


class ActionUnfinished(ConnectorError):
    """The reply cannot wait for an action any longer; `remainder` gives its result, which its record then names."""

    def __init__(self, reason: str, remainder: Awaitable[ActionResult]) -> None:
        super().__init__(reason, ErrorCode.CHANGE_UNSETTLED)
        self.remainder = remainder


class Action(Protocol):
    """Carry out a root field of `Mutation`; its caller is authorized and its arguments are valid.

    The record of its request is durable before it is called. It is not cancelled with the request.
    """

    async def __call__(self, call: ActionCall, /) -> ActionResult:
        """Return the result.

        Raises ConnectorError, whose message a client may see; the field is then null. Raises ActionUnfinished where it
        goes on.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What an event is about, such as `Topic(name="customer", key="20")`.

    A listener without a key gets the events of all keys; an event without a key reaches those listeners alone.
    """

    name: str
    key: str | None = None


class SubscriptionSource(Protocol):
    """Where a subscription's events come from; each has the id of the row that the field shows."""

    def resolve_topics(self, arguments: Mapping[str, Any]) -> Sequence[Topic]:
        """Return the topics for coerced arguments, of which those not given are absent or null."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSubscription:
    """Listen to a topic, or to the one key of it that an argument names."""

    topic: str
    argument: str | None = None

    def resolve_topics(self, arguments: Mapping[str, Any]) -> Sequence[Topic]:
        """Return the one topic."""
        key = arguments.get(self.argument) if self.argument else None
        return (Topic(name=self.topic, key=key),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingSubscription:
    """Listen for new rows of a ChangeFeed, under the key that an argument names."""

    source: str
    collection: str
    argument: str

    def resolve_topics(self, arguments: Mapping[str, Any]) -> Sequence[Topic]:
        """Return the one topic."""
        return (Topic(name=f"{self.source}.{self.collection}", key=arguments[self.argument]),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every limit is a setting; every refusal names it, its value and the remedy."""

    first_default: int = 20
    """Rows of a connection when neither first nor last is given."""
    first_max: int = 1000
    """The most that first or last may ask for."""
    in_max: int = 1000
    """Values in one `in` or `notIn`."""
    document_characters: int = 100_000
    """The text of a document, comments and all."""
    document_tokens: int = 5000
    """Words and signs of a document."""
    fields_max: int = 5000
    """Fields of one operation, its fragments expanded."""
    field_comparisons_max: int = 50_000
    """Steps that validation may take to see whether fields of the same name can be merged."""
    depth_max: int = 20
    """Levels of fields, one in another."""
    aliases_max: int = 200
    """Fields of one operation under another name, its fragments expanded."""
    directives_max: int = 200
    """Directives of one operation, its fragments expanded."""
    root_fields_max: int = 20
    """Fields of an operation's root."""
    mutations_max: int = 10
    """Fields of a mutation's root."""
    introspection_times: int = 12
    """Lists of types that introspection gives in one operation; tools ask for six."""
    introspection_depth: int = 3
    """Those lists, one in another."""
    tests_max: int = 500
    """Fields that the filters and orders of one operation name, at any depth."""
    filter_depth_max: int = 24
    """Levels of a filter, its links, `and`, `or` and `not` counted."""
    cost_max: int = 200_000
    """Objects that one request may return, weighed by source."""
    body_bytes: int = 1_048_576
    """The body of a request."""
    variables_depth: int = 64
    """Levels of the variables, one in another."""
    body_seconds: float = 30.0
    """The time that the body of a request may take to arrive."""
    head_bytes: int = 65_536
    """A request's line and headers together."""
    head_seconds: float = 10.0
    """The time that the line and headers of a request may take to arrive."""
    request_seconds: float = 10.0
    """The time that a request may take from its arrival to its response."""
    source_seconds: float = 2.0
    """The longest a source may take to begin its answer, and between its parts."""
    source_calls: int = 16
    """Calls to one source under way at once."""
    source_queue: int = 100
    """Calls that may wait for one of those."""
    rows_read: int = 1_000_000
    """Rows that one read of a source may return."""
    rows_in_memory: int = 50_000
    """Rows of one read that are finished in memory, where its source leaves steps to the engine; more go through the
    spill database."""
    cross_source_keys_max: int = 100_000
    """Keys that one read may carry from one source to another."""
    scratch_bytes: int = 268_435_456
    """Memory of the spill database, where rows that exceed `rows_in_memory` are finished; past it, it writes to its
    folder."""
    scratch_disk_bytes: int = 4_294_967_296
    """Bytes that the spill database may write there; both limits hold for all requests of a process together."""
    errors_max: int = 100
    """Errors in one response."""
    requests_a_minute: int = 1200
    """Requests of one key."""
    loop_seconds_a_minute: float = 10.0
    """Seconds of processor time that requests of one key may take from the event loop, in one process."""
    failed_keys_a_minute: int = 20
    """Failed keys of one address; a valid key is served all the same."""
    connections_an_address: int = 100
    """Connections of one address at once."""
    concurrency_max: int = 200
    """Requests under way at once in one process."""
    concurrency_a_key: int = 50
    """Those of one key, of which at most half of `concurrency_max` count."""
    request_bytes_a_key: int = 2_097_152
    """Bytes of the requests of one key that are under way at once, in one process; `body_bytes` at least."""
    bodies_a_key: int = 20
    """Bodies of one key that have begun to arrive and are waited for, in one process."""
    record_bytes_a_minute: int = 16_777_216
    """Bytes that the requests of one key may write to the audit log."""
    subscriptions_max: int = 10
    """Subscriptions of one WebSocket, and event streams of one key in one process."""
    subscriptions_a_key: int = 100
    """Subscriptions of one key in one process, over all its WebSockets and event streams."""
    connection_init_timeout: float = 10.0
    """The time that a WebSocket may take to authenticate."""
    heartbeat_seconds: float = 20.0
    """How often a subscriber is sent a heartbeat, and how long a WebSocket may take to return it."""
    stalled_seconds: float = 30.0
    """How long a client may read nothing of what it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What one company serves, and under which rules."""

    schema: GraphQLSchema
    policy: AccessPolicy
    groups: Groups = field(default_factory=Groups)
    """The groups that the policy names, and whom to ask for them."""
    mappings: Mapping[str, TypeMapping]
    connectors: Mapping[str, Connector]
    limits: Limits = field(default_factory=Limits)
    open_spill_table: Callable[[Mapping[str, ValueType]], SpillTable] | None = None
    """Opens a temporary table with these columns; None: all rows stay in memory."""
    cursor_secret: bytes
    schema_for_groups: Callable[[frozenset[str]], GraphQLSchema] | None = None
    """The part of the schema that principals of these groups may know; None: everyone may know all of it."""
    sdl_for_groups: Callable[[frozenset[str]], str] | None = None
    """The SDL for a federation router, as principals of these groups may know it; None: this is no subgraph."""
    actions: dict[str, Action] = field(default_factory=dict)
    """By root field of `Mutation`; added after the catalog is made, as actions use its connectors."""
    subscriptions: Mapping[str, SubscriptionSource] = field(default_factory=dict)
    """By root field of `Subscription`."""
    version: str
    """The digest of schema and policy together."""
    reader_groups: frozenset[str] | None = None
    """The groups of those who see this catalog, narrowed to them; None: it is not narrowed, so that no row of a type
    with rules for rows can be read by it."""

    def __post_init__(self) -> None:
        """Add to the connectors the columns that mappings say are constant."""
        object.__setattr__(self, "connectors", add_constant_columns(self.connectors, self.mappings))
