"""Define a request and its result, and the engine with the views and caches that requests share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, partial
from typing import Any

from cachetools import LRUCache
from graphql import GraphQLSchema, OperationDefinitionNode

from auth.authentication import Principal
from auth.policy import GroupRequirement, find_met_requirements
from onedoor.audit.record import AuditedChange
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.query.authorize import Decisions
from onedoor.query.document import ParsedDocument
from onedoor.query.executor.state import ScanStats
from onedoor.query.planner.bind import PageWindow
from onedoor.query.planner.nodes import Plan
from onedoor.query.results.complete import CompletionPlan
from onedoor.query.selection import SelectedField
from onedoor.runtime import resilience
from onedoor.runtime.call_context import WithheldCopy
from onedoor.runtime.polling import PollerSet
from onedoor.runtime.quota import READS_QUOTA, ConnectorRateLimiters
from onedoor.runtime.resilience import ResilientConnector
from onedoor.runtime.row_cache import Reader, RowCache, build_cache_scope
from onedoor.spi.connector import Connector

DOCUMENT_CACHE_SIZE = 256

PLAN_CACHE_SIZE = 1024

VIEW_CACHE_SIZE = 1000

PRINCIPAL_CACHE_SIZE = 1000


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
class CachedPlan:
    """The plan of an operation for all principals with the same permissions."""

    fields: tuple[SelectedField, ...]
    decisions: Decisions
    plan: Plan
    completion: CompletionPlan
    has_introspection: bool
    windows: tuple[PageWindow, ...]
    audit_parts: dict[Any, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
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
    changes: list[AuditedChange] = field(default_factory=list)
    """What was changed, as the audit record says it."""
    withheld: dict[WithheldCopy, None] = field(default_factory=dict)
    """What connectors did not show, in order; grows while scans run."""


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
    operation_cache: LRUCache[Any, PreparedOperation]
    """By text and name of the operation."""
    plan_cache: LRUCache[Any, CachedPlan]
    view_cache: LRUCache[frozenset[str], PrincipalView]
    """By the groups of a principal."""
    audited_documents: LRUCache[str, Mapping[str, Any]]
    """What audit records say of a document, by its text."""
    audited_principals: LRUCache[str, tuple[Principal, bytes]]
    """What audit records say of a principal, by API key."""
    pollers: PollerSet = field(default_factory=PollerSet)


def build_query_engine(
    catalog: Catalog,
    personal_connectors: Callable[[Principal], Mapping[str, Connector]],
    clock: Callable[[], float],
    cache: RowCache | None = None,
    rate_limiters: Mapping[str, ConnectorRateLimiters] | None = None,
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
        operation_cache=LRUCache(DOCUMENT_CACHE_SIZE),
        plan_cache=LRUCache(PLAN_CACHE_SIZE),
        view_cache=LRUCache(VIEW_CACHE_SIZE),
        audited_documents=LRUCache(DOCUMENT_CACHE_SIZE),
        audited_principals=LRUCache(PRINCIPAL_CACHE_SIZE),
    )


def view_for(engine: QueryEngine, principal: Principal) -> PrincipalView:
    """Return what principals with these groups share; it is built for the first of them."""
    view = engine.view_cache.get(principal.groups)
    if view is None:
        view = engine.view_cache[principal.groups] = _build_view(engine, principal)
    return view


def _build_view(engine: QueryEngine, principal: Principal) -> PrincipalView:
    catalog = engine.catalog
    requirements_met = find_met_requirements(catalog.policy, principal.groups)
    cache_scope = build_cache_scope(requirements_met, catalog.version)
    personal = engine.personal_connectors(principal)
    return PrincipalView(
        requirements_met=requirements_met,
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


def build_personal_reader(engine: QueryEngine, name: str, connector: Connector) -> Reader:
    """Build a reader of a connector that one request has for itself: nothing is cached."""
    return Reader(
        connector=resilience.wrap_connector(
            name, connector, engine.catalog.limits, engine.clock, build_row_check=resilience.build_row_check
        )
    )
