"""Define a request and its result, and the engine with the views and caches that requests share."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar

from cachetools import LRUCache
from graphql import GraphQLSchema, OperationDefinitionNode, OperationType

from auth.authentication import Principal
from auth.grants import HeldGrant, find_ended
from auth.policy import GroupRequirement, find_met_requirements
from onedoor.audit.record import AuditedChange
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import ActionResult, Catalog
from onedoor.model.reader import list_compared_attributes, list_told_apart, narrow_catalog
from onedoor.query.authorize import Decisions
from onedoor.query.document import ParsedDocument
from onedoor.query.executor.state import ScanStats
from onedoor.query.planner.bind import PageWindow
from onedoor.query.planner.nodes import Plan
from onedoor.query.results.complete import CompletionPlan
from onedoor.query.selection import SelectedField
from onedoor.runtime import resilience
from onedoor.runtime.call_context import WithheldCopy, build_call_context, use_call_context
from onedoor.runtime.fair_cache import FairCache
from onedoor.runtime.fair_slots import FairSlots
from onedoor.runtime.offload import Offload
from onedoor.runtime.polling import PollerSet
from onedoor.runtime.quota import READS_QUOTA, ConnectorRateLimiters
from onedoor.runtime.resilience import ResilientConnector
from onedoor.runtime.row_cache import Reader, RowCache, build_cache_scope, utc_now
from onedoor.spi.connector import Connector

DOCUMENT_CACHE_BYTES = 8 * 2**20

PLAN_CACHE_BYTES = 24 * 2**20

INTROSPECTION_CACHE_BYTES = 16 * 2**20

AUDITED_DOCUMENT_CACHE_BYTES = 4 * 2**20

BYTES_A_FIELD = 1600
"""What a field of a plan takes in memory, fragments expanded: 700 to 1,600, as measured."""

LARGE_OPERATIONS = 4
"""Requests with a large plan that is not cached, or a large cost, under way at once; half of them for one person."""

LARGE_COST = 10_000

LARGE_PLAN_BYTES = 500_000
"""Plans that take some milliseconds to complete, those of more than some hundred fields, and much memory."""

VIEW_CACHE_SIZE = 1000

PRINCIPAL_CACHE_SIZE = 1000


KEEPS_VALUES = frozenset({frozenset({"a result is kept"})})
"""Tells the requirements that such a view meets from those of another; no group has such a name."""

Made = TypeVar("Made")

FindEndedGrants: TypeAlias = Callable[[Sequence[HeldGrant]], Awaitable[Sequence[HeldGrant]]]
"""Returns those of the grants that have ended. Raises MetadataDatabaseUnavailable."""


async def find_ended_by_clock(held: Sequence[HeldGrant]) -> Sequence[HeldGrant]:
    """Go by the clock alone, where there is no database to say that a grant was returned."""
    return find_ended(held, utc_now())


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLRequest:
    """An operation that a client sends."""

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """From `extensions.onedoor` of the request."""
    document_id: str | None = None
    """The digest that stood for the text, if one did."""


class PlanMode(StrEnum):
    """Say how a client wants the plan of its query."""

    WITH_DATA = "WITH"
    """Beside the data."""
    PLAN_ONLY = "ONLY"
    """In place of the data: nothing is read."""


PLAN_MODES: Mapping[Any, PlanMode | None] = {
    None: None,
    False: None,
    True: PlanMode.WITH_DATA,
    "ONLY": PlanMode.PLAN_ONLY,
}


def parse_plan_mode(extensions: Mapping[str, Any]) -> PlanMode | None:
    """Read `extensions.onedoor.plan` of a request; None: it wants no plan. Raises RequestRejected."""
    mode = extensions.get("plan")
    if not isinstance(mode, bool | str | None) or mode not in PLAN_MODES:
        message = '`extensions.onedoor.plan` is `true`, for the plan beside the answer, or `"ONLY"`, in its place'
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))
    return PLAN_MODES[mode]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalView:
    """What principals with the same groups share: the requirements they meet, and the schema they may know."""

    requirements_met: frozenset[GroupRequirement]
    """Of the rules, what decides whether a field is seen, and, each by itself, the groups that row rules and masks tell
    apart."""
    catalog: Catalog
    """The catalog, narrowed to them."""
    compared_attributes: frozenset[str] = frozenset()
    """The attributes of a principal that the row rules compare."""
    keeping: "PrincipalView | None" = None
    """The view of requests whose results are kept, where a masked field is denied; None: it is the same."""
    cache_scope: str
    """Part of the cache key of every row they read."""
    schema: GraphQLSchema
    readers: Mapping[str, Reader]
    federation_sdl: Callable[[], str] | None
    """The SDL for a federation router, printed once; None: this is no subgraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedOperation:
    """A valid operation, which can be executed again."""

    document: ParsedDocument
    operation: OperationDefinitionNode
    plain_variables: Mapping[str, type] | None
    """The types of its variables, where values of these types need no coercion."""
    variables_key: Any
    """Their part of the plan's cache key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedDocument:
    """What is known of a document's text: the valid document and its operations, or the errors it is refused with."""

    document: ParsedDocument | None
    size: int
    """The bytes that it takes, by estimate."""
    errors: Sequence[GraphQLErrorInfo] = ()
    operations: dict[tuple[str | None, frozenset[OperationType]], PreparedOperation] = field(default_factory=dict)
    """By the name that was asked for, and the types that were served: no more than there are in the document."""


Refusal = tuple[GraphQLErrorInfo, ...]
"""The errors of an operation that is refused under certain permissions and with variables of a certain shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedPlan:
    """The plan of an operation for all principals with the same permissions."""

    catalog: Catalog
    """As the principals see it."""
    fields: tuple[SelectedField, ...]
    decisions: Decisions
    plan: Plan
    completion: CompletionPlan
    introspection_key: bytes | None
    """What the introspection that it asks for is cached by; None: it asks for none."""
    windows: tuple[PageWindow, ...]
    size: int
    """The bytes that it takes, by estimate."""
    audit_parts: dict[Any, tuple[bytes, bytes, bytes, bytes]] = field(default_factory=dict)
    """What every audit record of it has in common, serialized."""


@dataclass(slots=True, kw_only=True)
class ExecutionResult:
    """What a client and the audit record learn of a request, as far as it came."""

    data: dict[str, Any] | None = None
    errors: Sequence[GraphQLErrorInfo] = field(default_factory=list)
    rejected: bool = False
    plan_only: bool = False
    """Whether only the plan was asked for, so that there is no data."""
    document: ParsedDocument | None = None
    operation: OperationDefinitionNode | None = None
    cached_plan: CachedPlan | None = None
    scan_stats: list[ScanStats] = field(default_factory=list)
    extensions: dict[str, Any] = field(default_factory=dict)
    cost: int = 0
    """What the request costs, once it is planned."""
    row_count: int = 0
    """How many rows the answer is made of: none that is hidden, and none that was only looked at."""
    changes: list[AuditedChange] = field(default_factory=list)
    """What was changed, as the audit record says it."""
    withheld: dict[WithheldCopy, None] = field(default_factory=dict)
    """What connectors did not show, in order; grows while scans run."""
    is_hidden_event: bool = False
    """Whether a subscription's event is about a row that the principal does not see, so that it is not delivered."""
    unfinished_actions: list[Awaitable[ActionResult]] = field(default_factory=list)
    """They go on after the reply: a client that leaves, and a deadline, stop no change."""


def attach_partial_result(error: BaseException, result: ExecutionResult) -> None:
    """Let an exception carry how far the request came that it stops."""
    error.partial_result = result  # type: ignore[attr-defined]


def get_partial_result(error: BaseException) -> ExecutionResult:
    """Return how far a request came that this exception stopped."""
    result: ExecutionResult | None = getattr(error, "partial_result", None)
    return ExecutionResult() if result is None else result


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryEngine:
    """A catalog, with the connectors and caches that all requests share."""

    catalog: Catalog
    connectors: Mapping[str, ResilientConnector]
    personal_connectors: Callable[[Principal], Mapping[str, Connector]]
    """Connectors that are made for each request, for its principal alone."""
    clock: Callable[[], float]
    cache: RowCache | None
    """Rows that were read a moment ago; None: none are kept."""
    document_cache: FairCache[Any, CachedDocument]
    """By text and view."""
    plan_cache: FairCache[Any, CachedPlan | Refusal]
    introspection_cache: FairCache[Any, Mapping[str, bytes]]
    """Compressed JSON by field; by operation, view and variables, or by what else is told of the view."""
    view_cache: FairCache[frozenset[str], PrincipalView]
    """By the groups of a principal; each counts as one."""
    audited_documents: LRUCache[str, Mapping[str, Any]]
    """What audit records say of a document, by its text."""
    audited_principals: LRUCache[str, tuple[Principal, bytes]]
    """What audit records say of a principal, by API key."""
    find_ended_grants: FindEndedGrants = find_ended_by_clock
    pollers: PollerSet = field(default_factory=PollerSet)
    offload: Offload = field(default_factory=Offload)
    """Runs what would hold up the event loop."""
    large_operations: FairSlots = field(default_factory=partial(FairSlots, LARGE_OPERATIONS))
    """The slots of large operations, each held until its request has ended."""


def build_query_engine(
    catalog: Catalog,
    personal_connectors: Callable[[Principal], Mapping[str, Connector]],
    clock: Callable[[], float],
    cache: RowCache | None = None,
    rate_limiters: Mapping[str, ConnectorRateLimiters] | None = None,
    find_ended_grants: FindEndedGrants = find_ended_by_clock,
) -> QueryEngine:
    """Build an engine, its connectors made resilient."""
    read_limiters = {name: limiters.get_limiter(READS_QUOTA) for name, limiters in (rate_limiters or {}).items()}
    return QueryEngine(
        catalog=catalog,
        connectors={
            name: resilience.wrap_connector(
                name, connector, catalog.limits, clock, read_limiters.get(name), resilience.build_row_check
            )
            for name, connector in catalog.connectors.items()
        },
        personal_connectors=personal_connectors,
        clock=clock,
        cache=cache,
        document_cache=FairCache(DOCUMENT_CACHE_BYTES),
        plan_cache=FairCache(PLAN_CACHE_BYTES),
        introspection_cache=FairCache(INTROSPECTION_CACHE_BYTES),
        view_cache=FairCache(VIEW_CACHE_SIZE),
        audited_documents=LRUCache(AUDITED_DOCUMENT_CACHE_BYTES, getsizeof=_estimate_audited_size),
        audited_principals=LRUCache(PRINCIPAL_CACHE_SIZE),
        find_ended_grants=find_ended_grants,
    )


def _estimate_audited_size(described: Mapping[str, Any]) -> int:
    return 2 * len(described["text"]) + 200 * len(described["literals"])


async def run_in_turn(engine: QueryEngine, principal: Principal, call: Callable[[], Made]) -> Made:
    """Run what would hold up the event loop in a thread, when it is the principal's turn. Raises HTTPError."""
    with use_call_context(build_call_context(principal.person_id)):
        return await engine.offload.run(call)


async def find_or_make(
    engine: QueryEngine,
    principal: Principal,
    cache: FairCache[Any, Made],
    key: Any,
    make: Callable[[], Made],
    measure: Callable[[Made], int],
) -> Made:
    """Return what is cached, or else make it in a thread, and cache it as the key's; `measure` gives its bytes.

    Raises HTTPError.
    """
    found = cache.get(key)
    if found is not None:
        return found

    def keep(made: Made) -> None:
        cache.put(key, made, measure(made), principal.key_id)

    with use_call_context(build_call_context(principal.person_id)):
        return await engine.offload.run(make, look_up=partial(cache.get, key), keep=keep)


def count_view(_: PrincipalView) -> int:
    """Return 1: views are few and counted."""
    return 1


async def view_for(engine: QueryEngine, principal: Principal) -> PrincipalView:
    """Return what principals with these groups share; it is built for the first of them."""
    build = partial(build_view, engine, principal)
    return await find_or_make(engine, principal, engine.view_cache, principal.groups, build, count_view)


def build_view(engine: QueryEngine, principal: Principal) -> PrincipalView:
    """Build the view of a principal's groups, and that of their requests whose results are kept."""
    view = _build_view(engine, principal, keeps_values=False)
    has_masks = any(mapping.mask for mapping in engine.catalog.mappings.values())
    return replace(view, keeping=_build_view(engine, principal, keeps_values=True)) if has_masks else view


def _build_view(engine: QueryEngine, principal: Principal, *, keeps_values: bool) -> PrincipalView:
    catalog = narrow_catalog(engine.catalog, principal.groups, keeps_values=keeps_values)
    requirements_met = find_met_requirements(catalog.policy, principal.groups)
    requirements_met |= list_told_apart(catalog, principal.groups)
    if keeps_values:
        requirements_met |= KEEPS_VALUES
    cache_scope = build_cache_scope(requirements_met, catalog.version)
    personal = engine.personal_connectors(principal)
    return PrincipalView(
        requirements_met=requirements_met,
        catalog=catalog,
        compared_attributes=list_compared_attributes(catalog, principal.groups),
        cache_scope=cache_scope,
        schema=catalog.schema_for_groups(principal.groups) if catalog.schema_for_groups else catalog.schema,
        readers={
            name: Reader(connector=connector, cache_scope=cache_scope, cache=engine.cache)
            for name, connector in engine.connectors.items()
            if name not in personal
        },
        federation_sdl=cache(partial(catalog.sdl_for_groups, principal.groups)) if catalog.sdl_for_groups else None,
    )


class ReaderSet(dict[str, Reader]):
    """The readers of one request by source; those of its principal alone are made at their first use."""

    def __init__(self, engine: QueryEngine, view: PrincipalView, principal: Principal, *, use_cache: bool) -> None:
        """Take the readers of the view, without their cache where rows must be fresh, as after a change."""
        super().__init__(
            view.readers if use_cache else {name: replace(reader, cache=None) for name, reader in view.readers.items()}
        )
        self.engine, self.principal = engine, principal

    def __missing__(self, name: str) -> Reader:
        personal = self.engine.personal_connectors(self.principal)
        readers = {source: build_personal_reader(self.engine, source, own) for source, own in personal.items()}
        self.update(readers)
        return readers[name]


class OverlaidReaders(dict[str, Reader]):
    """Read some sources through readers of their own, and the rest through those of the request."""

    def __init__(self, base: Mapping[str, Reader], overlay: Mapping[str, Reader]) -> None:
        super().__init__(overlay)
        self._base = base

    def __missing__(self, name: str) -> Reader:
        return self._base[name]


def build_personal_reader(engine: QueryEngine, name: str, connector: Connector) -> Reader:
    """Build a reader of a connector that one request has for itself: nothing is cached."""
    return Reader(
        connector=resilience.wrap_connector(
            name, connector, engine.catalog.limits, engine.clock, build_row_check=resilience.build_row_check
        )
    )
