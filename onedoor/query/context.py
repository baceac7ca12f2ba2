"""QueryEngine, its caches, GraphQLRequest/ExecutionResult, per-principal view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from cachetools import LRUCache
from graphql import GraphQLSchema, OperationDefinitionNode

from auth.authentication import Principal
from auth.policy import GroupRequirement, find_met_requirements
from onedoor.audit.record import AuditedChange
from onedoor.errors import GraphQLErrorInfo
from onedoor.model.catalog import Catalog
from onedoor.query.authorize import Decisions
from onedoor.query.document import ParsedDocument
from onedoor.query.executor.state import ScanStats
from onedoor.query.planner.bind import PageWindow
from onedoor.query.planner.nodes import Plan
from onedoor.query.results.complete import CompletionPlan
from onedoor.query.selection import SelectedField
from onedoor.runtime import resilience
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
    """What a client asks."""

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """The request's own, from `extensions.onedoor`."""
    document_id: str | None = None
    """The digest by which the text was asked for, where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalView:
    """What callers with the same groups share: the requirements they meet, and the schema as they may know it."""

    requirements_met: frozenset[GroupRequirement]
    cache_scope: str
    """What of this is part of the key of all they read."""
    schema: GraphQLSchema
    readers: Mapping[str, Reader]
    federation_sdl: Callable[[], str] | None
    """What of it a router is told, written once; None: the house is no subgraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedOperation:
    """An operation of a document as it can be asked again."""

    document: ParsedDocument
    operation: OperationDefinitionNode
    plain_variables: Mapping[str, type] | None
    """Its variables, where they are such that their values stand for themselves."""
    variables_key: Any
    """Of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedPlan:
    """What a question comes to for all callers with the same permissions."""

    fields: tuple[SelectedField, ...]
    decisions: Decisions
    plan: Plan
    completion: CompletionPlan
    has_introspection: bool
    windows: tuple[PageWindow, ...]
    audit_parts: dict[Any, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
    """What every record of it holds, as `engine/record.py` writes it."""


@dataclass(slots=True, kw_only=True)
class ExecutionResult:
    """What a client and the audit record learn of a request, as far as it came."""

    data: dict[str, Any] | None = None
    errors: Sequence[GraphQLErrorInfo] = field(default_factory=list)
    rejected: bool = False
    plan_only: bool = False
    """Only its plan was asked for, so there is no data."""
    document: ParsedDocument | None = None
    operation: OperationDefinitionNode | None = None
    cached_plan: CachedPlan | None = None
    scan_stats: list[ScanStats] = field(default_factory=list)
    extensions: dict[str, Any] = field(default_factory=dict)
    changes: list[AuditedChange] = field(default_factory=list)
    """What was changed, as the audit record says it."""


def attach_partial_result(error: BaseException, result: ExecutionResult) -> None:
    """Let an exception carry how far the request came that it stops."""
    error.partial_result = result  # type: ignore[attr-defined]


def get_partial_result(error: BaseException) -> ExecutionResult:
    """Return how far a request came that this exception stopped."""
    result: ExecutionResult | None = getattr(error, "partial_result", None)
    return ExecutionResult() if result is None else result


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryEngine:
    """A house and what it remembers between requests."""

    catalog: Catalog
    connectors: Mapping[str, ResilientConnector]
    personal_connectors: Callable[[Principal], Mapping[str, Connector]]
    """Sources made anew for each request, of the caller alone."""
    clock: Callable[[], float]
    cache: RowCache | None
    """What was read a moment ago; None: nothing is kept."""
    operation_cache: LRUCache[Any, PreparedOperation]
    """By text and operation."""
    plan_cache: LRUCache[Any, CachedPlan]
    view_cache: LRUCache[frozenset[str], PrincipalView]
    """By groups held."""
    audited_documents: LRUCache[str, Mapping[str, Any]]
    """What records say of a document, by its text."""
    audited_principals: LRUCache[str, tuple[Principal, bytes]]
    """What they say of a caller, by key."""
    pollers: PollerSet = field(default_factory=PollerSet)


def build_query_engine(
    catalog: Catalog,
    personal_connectors: Callable[[Principal], Mapping[str, Connector]],
    clock: Callable[[], float],
    cache: RowCache | None = None,
    rate_limiters: Mapping[str, ConnectorRateLimiters] | None = None,
) -> QueryEngine:
    reads = {name: each.get_limiter(READS_QUOTA) for name, each in (rate_limiters or {}).items()}
    return QueryEngine(
        catalog=catalog,
        connectors={
            name: resilience.wrap_connector(name, source, catalog.limits, clock, reads.get(name))
            for name, source in catalog.connectors.items()
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
    """What callers with these groups share, made at the first of them."""
    known = engine.view_cache.get(principal.groups)
    if known is None:
        house = engine.catalog
        met = find_met_requirements(house.policy, principal.groups)
        under = build_cache_scope(met, house.version)
        personal = engine.personal_connectors(principal)
        known = PrincipalView(
            requirements_met=met,
            cache_scope=under,
            schema=house.schema_for_groups(principal.groups) if house.schema_for_groups else house.schema,
            readers={
                name: Reader(connector=each, cache_scope=under, cache=engine.cache)
                for name, each in engine.connectors.items()
                if name not in personal
            },
            federation_sdl=cache(partial(house.sdl_for_groups, principal.groups)) if house.sdl_for_groups else None,
        )
        engine.view_cache[principal.groups] = known
    return known


class ReaderSet(dict[str, Reader]):
    """The sources as one caller reads them; of what is their own, made at its first use, nothing is kept."""

    def __init__(self, engine: QueryEngine, view: PrincipalView, principal: Principal, *, use_cache: bool) -> None:
        """`kept`: what was read a moment ago will do; after a change it will not."""
        super().__init__(
            view.readers if use_cache else {name: replace(each, cache=None) for name, each in view.readers.items()}
        )
        self.engine, self.principal = engine, principal

    def __missing__(self, name: str) -> Reader:
        personal = self.engine.personal_connectors(self.principal)
        made = {each: build_personal_reader(self.engine, each, source) for each, source in personal.items()}
        self.update(made)
        return made[name]


def build_personal_reader(engine: QueryEngine, name: str, connector: Connector) -> Reader:
    """A source of one answer alone, as it is read: nothing of it is kept."""
    return Reader(connector=resilience.wrap_connector(name, connector, engine.catalog.limits, engine.clock))
