"""Plan -> JSON and text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from auth.policy import AccessPolicy, SchemaCoordinate
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.query.executor.dynamic_filter import ResolvedScan
from onedoor.query.executor.scan import build_scan_requests
from onedoor.query.executor.state import ExecutionState, ScanTrace
from onedoor.query.planner import pushdown
from onedoor.query.planner.explain_pushdown import (
    NO_KEY_ORIGINS,
    ExplainedStep,
    KeyOrigins,
    ScanTarget,
    StepPlacement,
    build_steps,
    explain_too_many_keys,
    format_count,
)
from onedoor.query.planner.nodes import LogicalScan, PhysicalScan, Plan, PlanNode, SemiJoinFilter, build_distinct_scan
from onedoor.query.planner.pushdown import has_pending_keys
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import Connector, ExplainableConnector
from onedoor.spi.predicates import And, Exists, Not, Or, Row
from onedoor.spi.scan import ScanRequest
from onedoor.spi.spill import measure_json_bytes

KEYS_PURPOSE = "keys"
"""The purpose of a read whose keys are carried to the read it stands below."""

JOIN_PURPOSE = "reached"
"""That of a read for what lies beyond a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOutcome:
    """What came of one read."""

    read: PhysicalScan
    """As it was asked, the keys of other reads in place."""
    spread: tuple[str, ...]
    """Columns whose keys, from another read, were spread over the calls."""
    calls: int
    cached: int
    """Answered without a call, as the same was read a moment ago."""
    at: str | None
    """When the oldest of those rows were read; None: no call was saved."""
    keys: int
    """That were given, however many calls they took."""
    rows: int
    """As its source gave them, before any step of ours."""
    outgrown: int
    """Of those, what was too much for memory and went through the scratch database."""
    bytes: int
    """Of those rows, as JSON."""
    ms: float
    failed: str | None
    sql: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainContext:
    """What is known of a plan beside itself; of one that was only planned, no more than its sources."""

    connector_for: Callable[[str], Connector]
    outcomes: Mapping[int, ScanOutcome] = field(default_factory=dict)
    """By id of what was wanted."""
    exists_semi_joins: Mapping[int, SemiJoinFilter] = field(default_factory=dict)
    """By id of an `Exists`, the keys it came to."""
    key_origins: KeyOrigins = field(default_factory=lambda: NO_KEY_ORIGINS)
    was_executed: bool = False
    """It was carried out: what did not run was not asked."""
    statements_for: Callable[[PhysicalScan], tuple[str, ...]] = lambda read: ()
    """The statements of a read that was not asked."""
    max_age_for: Callable[[LogicalScan], float] = lambda wanted: 0.0

    def target_for(self, logical: LogicalScan) -> ScanTarget:
        source = self.connector_for(logical.source)
        return ScanTarget(
            name=logical.source,
            capabilities=source.capabilities(logical.collection),
            capabilities_of=source.capabilities,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedScan:
    """One read of one collection. `brings` is what a reached read adds to the rows above."""

    purpose: str
    of: str | None = None
    """Of groups, the key they are asked under."""
    source: str
    collection: str
    columns: tuple[str, ...]
    brings: tuple[str, ...] = ()
    fresh: float = 0.0
    """For how many seconds its rows may be kept, and serve again."""
    shared: bool = False
    """Shown above already: it serves several reads."""
    idle: bool = False
    """It was not asked: no key led to it, or what came before it failed."""
    steps: tuple[ExplainedStep, ...] = ()
    ran: ScanOutcome | None = None
    sql: tuple[str, ...] = ()
    reads: tuple["ExplainedScan", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedNode:
    """One field that leads to rows. `there` of its rows equals `here` of the rows above."""

    type: str
    field: str
    key: str
    to: str
    here: tuple[str, ...]
    there: tuple[str, ...]
    reads: tuple[ExplainedScan, ...]
    branches: tuple["ExplainedNode", ...]


def explain(plan: Plan, context: ExplainContext) -> tuple[ExplainedNode, ...]:
    return PlanExplainer(context, set()).explain_nodes(plan.roots)


@dataclass(frozen=True, slots=True)
class PlanExplainer:
    """One walk; `shown` holds the ids of what was shown, as several reads may wait for the same keys."""

    context: ExplainContext
    explained_scan_ids: set[int]

    def explain_nodes(self, nodes: Sequence[PlanNode]) -> tuple[ExplainedNode, ...]:
        return tuple(
            ExplainedNode(
                type=each.field.parent_type,
                field=each.field.name,
                key=each.field.response_key,
                to=each.type,
                here=each.parent_columns,
                there=each.key_columns,
                reads=tuple(self.explain_scans(each)),
                branches=self.explain_nodes((*each.members, *each.children)),
            )
            for each in nodes
        )

    def explain_scans(self, node: PlanNode) -> Iterator[ExplainedScan]:
        named = {
            "rows": node.row_scan,
            "tally": node.total_aggregate,
            "passed": node.has_previous,
            "ahead": node.has_next,
        }
        yield from (self.explain_scan(purpose, read) for purpose, read in named.items() if read is not None)
        yield from (
            replace(self.explain_scan("groups", each.scan), of=each.field.response_key) for each in node.groupings
        )

    def explain_scan(self, purpose: str, scan: PhysicalScan) -> ExplainedScan:
        wanted, ran = scan.logical, self.context.outcomes.get(id(scan.logical))
        read = scan if ran is None else ran.read
        return ExplainedScan(
            purpose=purpose,
            source=wanted.source,
            collection=wanted.collection,
            columns=read.source_columns,
            fresh=self.context.max_age_for(wanted),
            idle=self.context.was_executed and ran is None,
            steps=(
                *self.explain_key_batches(wanted, ran),
                *build_steps(read, self.context.target_for(wanted), self.context.key_origins),
            ),
            ran=ran,
            sql=self.context.statements_for(scan) if ran is None else ran.sql,
            reads=(
                *(
                    self.explain_inner_scan(KEYS_PURPOSE, each.inner_scan)
                    for each in self.find_semi_joins(scan, wanted.filter)
                ),
                *(
                    replace(self.explain_inner_scan(JOIN_PURPOSE, each.inner_scan), brings=each.output_columns)
                    for each in wanted.key_joins
                ),
            ),
        )

    def explain_key_batches(self, logical: LogicalScan, outcome: ScanOutcome | None) -> Iterator[ExplainedStep]:
        if outcome is not None and outcome.spread:
            why = f"they were read first, and {explain_too_many_keys(self.context.target_for(logical))}"
            yield ExplainedStep(step="keys", how=StepPlacement.KEYS_FROM_OTHER, what=", ".join(outcome.spread), why=why)

    def explain_inner_scan(self, purpose: str, logical: LogicalScan) -> ExplainedScan:
        """A read that is planned only when it is asked, once however many others wait for it."""
        read = _plan_inner_scan(self.context.connector_for(logical.source), logical)
        if id(logical) in self.explained_scan_ids:
            return ExplainedScan(
                purpose=purpose,
                source=logical.source,
                collection=logical.collection,
                columns=read.source_columns,
                shared=True,
            )
        self.explained_scan_ids.add(id(logical))
        return self.explain_scan(purpose, read)

    def find_semi_joins(self, scan: PhysicalScan, predicate: Any) -> Iterator[SemiJoinFilter]:
        match predicate:
            case And() | Or():
                for each in predicate.parts:
                    yield from self.find_semi_joins(scan, each)
            case Not():
                yield from self.find_semi_joins(scan, predicate.part)
            case Exists() if found := self.find_exists_semi_join(scan.logical, predicate):
                yield found
            case Exists():
                yield from self.find_semi_joins(scan, predicate.filter)
            case SemiJoinFilter():
                yield predicate

    def find_exists_semi_join(self, logical: LogicalScan, exists: Exists) -> SemiJoinFilter | None:
        """The keys that rows beside come to, where their source cannot look at them itself."""
        found = self.context.exists_semi_joins.get(id(exists))
        if found is not None or self.context.outcomes:
            return found if found is not None and id(found.inner_scan) in self.context.outcomes else None
        side = self.context.target_for(logical)
        if pushdown.is_pushable(exists, side.capabilities, side.capabilities_of) or (
            side.capabilities.exists_filters and has_pending_keys(exists.filter)
        ):
            return None
        return SemiJoinFilter(
            exists.outer_columns,
            build_distinct_scan(logical.source, exists.collection, exists.inner_columns, exists.filter),
        )


def _plan_inner_scan(connector: Connector, logical: LogicalScan) -> PhysicalScan:
    """What can only be read by its keys is asked for those that our rows name."""
    requires = connector.capabilities(logical.collection).required_columns
    planned = pushdown.plan_scan(
        connector, logical if logical.key_columns or not requires else replace(logical, key_columns=logical.columns)
    )
    return replace(planned, logical=logical)


PLACEMENT_LABELS = {
    StepPlacement.PUSHED_DOWN: "pushed down",
    StepPlacement.PARTIAL: "pushed down in parts",
    StepPlacement.KEYS_FROM_OTHER: "carried across",
    StepPlacement.IN_ENGINE: "finished by us",
    StepPlacement.UNDECIDED: "still open",
}


def format_plan(branches: Sequence[ExplainedNode]) -> list[str]:
    return [line for each in branches for line in _format_node(each, "")]


def _format_node(branch: ExplainedNode, indent: str) -> Iterator[str]:
    joined = f" by {', '.join(branch.there)} = {', '.join(branch.here) or 'id'}" if branch.there else ""
    yield f"{indent}{branch.type}.{branch.key}: {branch.to}{joined}"
    for read in branch.reads:
        yield from _format_scan(read, indent + "  ")
    for each in branch.branches:
        yield from _format_node(each, indent + "  ")


def _format_scan(read: ExplainedScan, indent: str) -> Iterator[str]:
    again = ", as above" if read.shared else _format_max_age(read)
    columns = f" ({', '.join(read.columns)})" if read.columns else ""
    yield f"{indent}{_format_purpose(read)} from {read.source} {read.collection}{columns}{again}{_format_outcome(read)}"
    yield from (f"{indent}  {_format_step(each)}" for each in read.steps)
    for each in read.reads:
        yield from _format_scan(each, indent + "  ")


def _format_purpose(read: ExplainedScan) -> str:
    if read.purpose == KEYS_PURPOSE:
        return "carries keys"
    return f"reaches {', '.join(read.brings)}" if read.brings else " ".join((read.purpose, *_format_group_key(read)))


def _format_group_key(read: ExplainedScan) -> Sequence[str]:
    return () if read.of is None else (f"`{read.of}`",)


def _format_max_age(read: ExplainedScan) -> str:
    return f", kept for {read.fresh:g} s" if read.fresh else ""


def _format_outcome(read: ExplainedScan) -> str:
    ran = read.ran
    if ran is None:
        return ": not asked" if read.idle else ""
    return f": {', '.join(_list_outcome_facts(ran))}"


def _list_outcome_facts(ran: ScanOutcome) -> Iterator[str]:
    yield format_count(ran.rows, "row")
    if ran.outgrown:
        yield f"{ran.outgrown:,} of them through the scratch database"
    yield format_count(ran.bytes, "byte")
    if ran.keys:
        yield f"for {format_count(ran.keys, 'key')}"
    yield format_count(ran.calls, "call")
    if ran.cached:
        yield f"{ran.cached:,} kept since {ran.at}"
    yield f"{ran.ms:.1f} ms"
    if ran.failed:
        yield f"failed: {ran.failed}"


def _format_step(step: ExplainedStep) -> str:
    because = f", as {step.why}" if step.why else ""
    return f"{step.step} {PLACEMENT_LABELS[step.how]}: {step.what}{because}"


SQL_COORDINATE: SchemaCoordinate = ("extensions.onedoor", "plan", "sql")
"""Who may see the statements of a plan: judged as every position is, shut where `server.sql_shown_to` names nobody."""

SAMPLE_VALUES: Mapping[ColumnType, tuple[Any, Any]] = {
    ColumnType.TEXT: ("a", "b"),
    ColumnType.INTEGER: (1, 2),
    ColumnType.FLOAT: (1.0, 2.0),
    ColumnType.DECIMAL: (Decimal(1), Decimal(2)),
    ColumnType.BOOLEAN: (False, True),
    ColumnType.DATE: (date(2000, 1, 1), date(2000, 1, 2)),
    ColumnType.TIME: (datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC)),
}
"""Keys to write a statement for before any is known; a statement names none of its values."""


def allow_sql(policy: AccessPolicy, groups: Sequence[str]) -> AccessPolicy:
    """The rules, by which a plan shows its statements to these groups; to nobody where there are none."""
    opened = {SQL_COORDINATE: (frozenset(groups),)} if groups else {}
    return replace(policy, requirements={**policy.requirements, **opened})


class PlanMode(StrEnum):
    """How a question wants its plan."""

    WITH_DATA = "WITH"
    """With the answer."""
    PLAN_ONLY = "ONLY"
    """In place of the answer: nothing is read."""


PLAN_MODES: Mapping[Any, PlanMode | None] = {
    None: None,
    False: None,
    True: PlanMode.WITH_DATA,
    "ONLY": PlanMode.PLAN_ONLY,
}


def parse_plan_mode(extensions: Mapping[str, Any]) -> PlanMode | None:
    given = extensions.get("plan")
    if not isinstance(given, bool | str | None) or given not in PLAN_MODES:
        message = '`extensions.onedoor.plan` is `true`, for the plan beside the answer, or `"ONLY"`, in its place'
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))
    return PLAN_MODES[given]


def explain_execution(plan: Plan, state: ExecutionState, *, sql: bool) -> dict[str, Any]:
    """`run` may have ended, stopped halfway, or not begun; `sql` where the caller may see the statements."""
    came: dict[int, SemiJoinFilter] = {
        id(keys): each for each, keys in state.semi_join_keys.items() if isinstance(keys, frozenset)
    }
    made = explain(
        plan,
        ExplainContext(
            connector_for=state.get_connector,
            outcomes=_summarize_scans(state, sql),
            exists_semi_joins=state.exists_semi_joins,
            key_origins=came,
            was_executed=state.traces is not None,
            statements_for=_build_statement_writer(state) if sql else lambda read: (),
            max_age_for=lambda wanted: state.readers[wanted.source].max_age(wanted.collection),
        ),
    )
    return {"text": format_plan(made), "branches": [to_plain_json(each) for each in made]}


def _summarize_scans(state: ExecutionState, sql: bool) -> dict[int, ScanOutcome]:
    """By id of what was wanted; reads for several others are told as one."""
    found: dict[int, list[ScanTrace]] = {}
    for each in state.traces or ():
        found.setdefault(id(each.logical), []).append(each)
    return {wanted: _summarize_scan(state, reads, sql) for wanted, reads in found.items()}


def _summarize_scan(state: ExecutionState, reads: Sequence[ScanTrace], sql: bool) -> ScanOutcome:
    statements = [_write_statement(state, each.scan, each.requests[0]) for each in reads if sql and each.requests]
    calls = [each.stats for each in reads]
    kept = [each.read_at for each in calls if each.cached_count and each.read_at]
    return ScanOutcome(
        read=reads[0].scan,
        spread=reads[0].key_batch_columns,
        calls=sum(each.call_count for each in calls),
        cached=sum(each.cached_count for each in calls),
        at=min(kept).isoformat(timespec="seconds") if kept else None,
        keys=sum(len(ask.keys.values) for each in reads for ask in each.requests if ask.keys is not None),
        rows=sum(len(each.rows) + (each.spill_buffer.spilled if each.spill_buffer else 0) for each in reads),
        outgrown=sum(each.spilled_row_count for each in calls),
        bytes=sum(
            measure_json_bytes(each.rows) + (each.spill_buffer.bytes if each.spill_buffer else 0) for each in reads
        ),
        ms=round(sum(each.milliseconds for each in calls), 3),
        failed=next((each.error_code for each in calls if each.error_code), None),
        sql=tuple(dict.fromkeys(each for each in statements if each is not None)),
    )


def _build_statement_writer(state: ExecutionState) -> Callable[[PhysicalScan], tuple[str, ...]]:
    """The statement of a read that was not asked; none where keys from elsewhere are still to decide it."""

    def statements(read: PhysicalScan) -> tuple[str, ...]:
        if read.is_undecided:
            return ()
        can = state.get_connector(read.logical.source).capabilities(read.logical.collection)
        asks = build_scan_requests(
            state,
            ResolvedScan(scan=read),
            build_sample_keys(can, read.logical.key_columns) if read.key_batch_size else None,
        )
        found = _write_statement(state, read, next(asks))
        return () if found is None else (found,)

    return statements


def _write_statement(state: ExecutionState, read: PhysicalScan, request: ScanRequest) -> str | None:
    source = state.get_connector(read.logical.source)
    return source.statement_text(request) if isinstance(source, ExplainableConnector) else None


def build_sample_keys(capabilities: Capabilities, columns: Sequence[str]) -> tuple[Row, ...]:
    return tuple(zip(*(SAMPLE_VALUES[capabilities.columns[each].type] for each in columns), strict=True))


def to_plain_json(value: Any) -> Any:
    """As JSON has it; what says nothing is left out."""
    if is_dataclass(value):
        return {
            name: each
            for name, each in _list_shown_fields(value)
            if each not in (None, False, []) or name in ALWAYS_SHOWN_FIELDS
        }
    return [to_plain_json(each) for each in value] if isinstance(value, tuple) else value


ALWAYS_SHOWN_FIELDS = frozenset({"reads", "branches", "steps"})
"""Shown though they are empty."""

HIDDEN_FIELDS = frozenset({"read", "spread"})


def _list_shown_fields(value: Any) -> Iterator[tuple[str, Any]]:
    shown = (each.name for each in fields(value) if each.name not in HIDDEN_FIELDS)
    return ((name, to_plain_json(getattr(value, name))) for name in shown)
