"""What stands while the door is open: schema, rules, bindings, sources and limits, named together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphql import GraphQLSchema

from auth.rules import Rules
from engine.act import Action
from engine.binding import Binding
from engine.constant import constant
from engine.feed import Feed
from engine.source import Scratch, Source
from engine.words import Kind


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
    picks_max: int = 5000
    """Fields of one operation, its fragments expanded."""
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
    """Objects that one question may return, weighed by source."""
    body_bytes: int = 1_048_576
    """The body of a request."""
    variables_depth: int = 64
    """Levels of the variables, one in another."""
    body_seconds: float = 30.0
    """The time a body may take to come."""
    head_bytes: int = 65_536
    """A request's line and headers together."""
    head_seconds: float = 10.0
    """The time a head may take to come."""
    request_seconds: float = 10.0
    """The time an answer may take."""
    source_seconds: float = 2.0
    """The longest a source may take to begin its answer, and between its parts."""
    source_calls: int = 16
    """Calls to one source under way at once."""
    source_queue: int = 100
    """Calls that may wait for one of those."""
    rows_read: int = 1_000_000
    """Rows that one read of a source may give."""
    rows_in_memory: int = 50_000
    """Rows of one read that we finish in memory, where its source leaves steps to us; more go through the scratch
    database."""
    keys_carried: int = 100_000
    """Keys that one read may carry from one source to another."""
    scratch_bytes: int = 268_435_456
    """Memory of the scratch database, where rows that outgrow ours are finished; past it, it writes to its folder."""
    scratch_disk_bytes: int = 4_294_967_296
    """What it may write there; both are for all questions of a process together."""
    errors_max: int = 100
    """Errors in one reply."""
    requests_a_minute: int = 1200
    """Requests of one key."""
    failed_keys_a_minute: int = 20
    """Failed keys of one address; a key that opens the door is served all the same."""
    connections_an_address: int = 100
    """Connections of one address at once."""
    concurrency_max: int = 200
    """Requests under way at once in one process."""
    subscriptions_max: int = 10
    """Subscriptions of one WebSocket, and event streams of one key in one process."""
    init_seconds: float = 10.0
    """The time a WebSocket may take to say who it is."""
    heartbeat_seconds: float = 20.0
    """How often a client that listens is sent a sign of life, and how long a WebSocket may take to return it."""
    stalled_seconds: float = 30.0
    """How long a client may take in nothing of what it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    schema: GraphQLSchema
    rules: Rules
    bindings: Mapping[str, Binding]
    sources: Mapping[str, Source]
    limits: Limits = field(default_factory=Limits)
    scratch: Callable[[Mapping[str, Kind]], Scratch] | None = None
    """Opens a scratch table with these columns; None: all rows stay in memory."""
    cursor_secret: bytes
    view: Callable[[frozenset[str]], GraphQLSchema] | None = None
    """The schema as a caller of these groups may know it; None: everyone knows all of it."""
    service: Callable[[frozenset[str]], str] | None = None
    """The SDL that a router composes, as callers of these groups may know it; None: the house is no subgraph."""
    actions: dict[str, Action] = field(default_factory=dict)
    """By root field of `Mutation`, what it does; filled once the house stands, as actions ask its sources."""
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    """By root field of `Subscription`, what it listens for."""
    version: str
    """Of schema and policy together: the digest of the SDL, permissions included."""

    def __post_init__(self) -> None:
        """The sources, as bindings see them: with the columns that these say are constant."""
        object.__setattr__(self, "sources", constant(self.sources, self.bindings))
