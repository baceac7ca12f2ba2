"""Explain a plan as a tree of nodes, scans and steps, and write it as text and as JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from auth.policy import AccessPolicy, SchemaCoordinate
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
from onedoor.query.planner.nodes import (
    LogicalScan,
    PhysicalScan,
    Plan,
    PlannedPredicate,
    PlanNode,
    SemiJoinFilter,
    build_distinct_scan,
)
from onedoor.query.planner.pushdown import has_pending_keys, is_pushable, plan_scan
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Exists, iterate_leaves

KEYS_PURPOSE = "keys"
"""The purpose of a scan whose keys filter the scan it stands below."""

JOIN_PURPOSE = "reached"
"""The purpose of a scan that adds columns to the scan it stands below."""


SQL_COORDINATE: SchemaCoordinate = ("extensions.onedoor", "plan", "sql")
"""The coordinate that the access policy decides on before a plan shows its statements."""


def allow_sql(policy: AccessPolicy, groups: Sequence[str]) -> AccessPolicy:
    """Return the policy under which these groups see the statements of a plan; without groups, nobody does."""
    requirements = {SQL_COORDINATE: (frozenset(groups),)} if groups else {}
    return replace(policy, requirements={**policy.requirements, **requirements})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOutcome:
    """Sum up the execution of one scan; where several reads served it, of all of them."""

    scan: PhysicalScan
    """The scan as it was executed, with the keys of other scans in place."""
    key_batch_columns: tuple[str, ...]
    """The columns whose keys, read by another scan, were spread over several calls."""
    call_count: int
    cached_count: int
    """How many reads the row cache answered."""
    read_at: str | None
    """When the oldest cached rows were read."""
    key_count: int
    row_count: int | None
    """How many rows the connector returned, before any step of the engine; None: that would count rows out of rule."""
    spilled_row_count: int
    byte_count: int | None
    """The size of those rows as JSON."""
    milliseconds: float
    error_code: str | None
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainContext:
    """Hold what is known of a plan beside itself; of a plan that did not run, only its connectors."""

    connector_for: Callable[[str], Connector]
    outcomes: Mapping[int, ScanOutcome] = field(default_factory=dict)
    """The outcomes, by the id() of the logical scan."""
    exists_semi_joins: Mapping[int, SemiJoinFilter] = field(default_factory=dict)
    """The semi-joins that replace an Exists, by its id()."""
    key_origins: KeyOrigins = field(default_factory=lambda: NO_KEY_ORIGINS)
    was_executed: bool = False
    """Whether the plan ran, so that a scan without an outcome was skipped."""
    statements_for: Callable[[PhysicalScan], tuple[str, ...]] = lambda scan: ()
    """The statements of a scan that did not run."""
    max_age_for: Callable[[LogicalScan], float] = lambda logical: 0.0

    def target_for(self, logical: LogicalScan) -> ScanTarget:
        connector = self.connector_for(logical.source)
        return ScanTarget(
            name=logical.source,
            capabilities=connector.capabilities(logical.collection),
            capabilities_of=connector.capabilities,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedScan:
    """Describe one scan of one collection and the scans it waits for."""

    purpose: str
    grouping_key: str | None = None
    """The response key of the `groups` field that the scan is for."""
    source: str
    collection: str
    columns: tuple[str, ...]
    joined_columns: tuple[str, ...] = ()
    """The columns that the scan adds to the rows of the scan above."""
    max_age: float = 0.0
    """For how many seconds the row cache may serve its rows."""
    is_shown_above: bool = False
    """Whether the tree shows it already, as it serves several scans."""
    was_skipped: bool = False
    """Whether it did not run, because no key led to it or a scan before it failed."""
    steps: tuple[ExplainedStep, ...] = ()
    outcome: ScanOutcome | None = None
    statements: tuple[str, ...] = ()
    inner_scans: tuple["ExplainedScan", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedNode:
    """Describe one field that leads to rows: `key_columns` of them equal `parent_columns` of the rows above."""

    parent_type: str
    field: str
    response_key: str
    type: str
    parent_columns: tuple[str, ...]
    key_columns: tuple[str, ...]
    scans: tuple[ExplainedScan, ...]
    children: tuple["ExplainedNode", ...]


def explain(plan: Plan, context: ExplainContext) -> tuple[ExplainedNode, ...]:
    """Explain the root nodes of a plan."""
    return PlanExplainer(context=context).explain_nodes(plan.roots)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanExplainer:
    """Explain one plan, each inner scan once."""

    context: ExplainContext
    explained_scan_ids: set[int] = field(default_factory=set)
    """The id() of each inner scan that is in the tree."""

    def explain_nodes(self, nodes: Sequence[PlanNode]) -> tuple[ExplainedNode, ...]:
        return tuple(
            ExplainedNode(
                parent_type=node.field.parent_type,
                field=node.field.name,
                response_key=node.field.response_key,
                type=node.type,
                parent_columns=node.parent_columns,
                key_columns=node.key_columns,
                scans=tuple(self.explain_node_scans(node)),
                children=self.explain_nodes((*node.members, *node.children)),
            )
            for node in nodes
        )

    def explain_node_scans(self, node: PlanNode) -> Iterator[ExplainedScan]:
        scans = {
            "rows": node.row_scan,
            "tally": node.total_aggregate,
            "passed": node.has_previous,
            "ahead": node.has_next,
        }
        for purpose, scan in scans.items():
            if scan is not None:
                yield self.explain_scan(purpose, scan)
        for grouping in node.groupings:
            yield replace(self.explain_scan("groups", grouping.scan), grouping_key=grouping.field.response_key)

    def explain_scan(self, purpose: str, scan: PhysicalScan) -> ExplainedScan:
        logical, context = scan.logical, self.context
        outcome = context.outcomes.get(id(logical))
        executed = scan if outcome is None else outcome.scan
        steps = build_steps(executed, context.target_for(logical), context.key_origins)
        return ExplainedScan(
            purpose=purpose,
            source=logical.source,
            collection=logical.collection,
            columns=executed.source_columns,
            max_age=context.max_age_for(logical),
            was_skipped=context.was_executed and outcome is None,
            steps=(*self.explain_key_batches(logical, outcome), *steps),
            outcome=outcome,
            statements=context.statements_for(scan) if outcome is None else outcome.statements,
            inner_scans=(
                *(
                    self.explain_inner_scan(KEYS_PURPOSE, semi_join.inner_scan)
                    for semi_join in self.find_semi_joins(logical, logical.filter)
                ),
                *(
                    replace(self.explain_inner_scan(JOIN_PURPOSE, join.inner_scan), joined_columns=join.output_columns)
                    for join in executed.key_joins
                ),
            ),
        )

    def explain_key_batches(self, logical: LogicalScan, outcome: ScanOutcome | None) -> Iterator[ExplainedStep]:
        """Yield the step for keys of another scan that were too many for one filter."""
        if outcome is not None and outcome.key_batch_columns:
            yield ExplainedStep(
                name="keys",
                placement=StepPlacement.KEYS_FROM_OTHER,
                description=", ".join(outcome.key_batch_columns),
                reason=f"they were read first, and {explain_too_many_keys(self.context.target_for(logical))}",
            )

    def explain_inner_scan(self, purpose: str, logical: LogicalScan) -> ExplainedScan:
        """Explain a scan that another one waits for; after the first time, only say which it is."""
        scan = _plan_inner_scan(self.context.connector_for(logical.source), logical)
        if id(logical) in self.explained_scan_ids:
            return ExplainedScan(
                purpose=purpose,
                source=logical.source,
                collection=logical.collection,
                columns=scan.source_columns,
                is_shown_above=True,
            )
        self.explained_scan_ids.add(id(logical))
        return self.explain_scan(purpose, scan)

    def find_semi_joins(self, logical: LogicalScan, predicate: PlannedPredicate) -> Iterator[SemiJoinFilter]:
        """Yield the semi-joins in a filter, those included that replace an Exists."""
        for leaf in iterate_leaves(predicate):
            if isinstance(leaf, SemiJoinFilter):
                yield leaf
            elif isinstance(leaf, Exists):
                semi_join = self.find_exists_semi_join(logical, leaf)
                if semi_join is None:
                    yield from self.find_semi_joins(logical, leaf.filter)
                else:
                    yield semi_join

    def find_exists_semi_join(self, logical: LogicalScan, exists: Exists) -> SemiJoinFilter | None:
        """Return the semi-join that replaces an Exists which its connector does not take."""
        semi_join = self.context.exists_semi_joins.get(id(exists))
        if semi_join is not None or self.context.outcomes:
            was_read = semi_join is not None and id(semi_join.inner_scan) in self.context.outcomes
            return semi_join if was_read else None
        target = self.context.target_for(logical)
        if is_pushable(exists, target.capabilities, target.capabilities_of) or (
            target.capabilities.exists_filters and has_pending_keys(exists.filter)
        ):
            return None
        inner_scan = build_distinct_scan(logical.source, exists.collection, exists.inner_columns, exists.filter)
        return SemiJoinFilter(exists.outer_columns, inner_scan)


def _plan_inner_scan(connector: Connector, logical: LogicalScan) -> PhysicalScan:
    """Plan a scan that is otherwise planned when it runs; what must be read by keys gets those of the outer rows."""
    required = connector.capabilities(logical.collection).required_columns
    needs_keys = required and not logical.key_columns
    scan = plan_scan(connector, replace(logical, key_columns=logical.columns) if needs_keys else logical)
    return replace(scan, logical=logical)


PLACEMENT_LABELS = {
    StepPlacement.PUSHED_DOWN: "pushed down",
    StepPlacement.PARTIAL: "pushed down in parts",
    StepPlacement.KEYS_FROM_OTHER: "by semi-join",
    StepPlacement.IN_ENGINE: "computed by Onedoor",
    StepPlacement.UNDECIDED: "undecided",
}


def format_plan(nodes: Sequence[ExplainedNode]) -> list[str]:
    """Write a plan as lines of text, indented as the tree is."""
    return [line for node in nodes for line in _format_node(node, "")]


def _format_node(node: ExplainedNode, indent: str) -> Iterator[str]:
    parent_columns = ", ".join(node.parent_columns) or "id"
    join = f" by {', '.join(node.key_columns)} = {parent_columns}" if node.key_columns else ""
    yield f"{indent}{node.parent_type}.{node.response_key}: {node.type}{join}"
    for scan in node.scans:
        yield from _format_scan(scan, indent + "  ")
    for child in node.children:
        yield from _format_node(child, indent + "  ")


def _format_scan(scan: ExplainedScan, indent: str) -> Iterator[str]:
    columns = f" ({', '.join(scan.columns)})" if scan.columns else ""
    remark = ", as above" if scan.is_shown_above else _format_max_age(scan)
    collection = f"{scan.source} {scan.collection}{columns}"
    yield f"{indent}{_format_purpose(scan)} from {collection}{remark}{_format_outcome(scan)}"
    for step in scan.steps:
        yield f"{indent}  {_format_step(step)}"
    for inner_scan in scan.inner_scans:
        yield from _format_scan(inner_scan, indent + "  ")


def _format_purpose(scan: ExplainedScan) -> str:
    if scan.purpose == KEYS_PURPOSE:
        return "semi-join keys"
    if scan.joined_columns:
        return f"joins {', '.join(scan.joined_columns)}"
    return scan.purpose if scan.grouping_key is None else f"{scan.purpose} `{scan.grouping_key}`"


def _format_max_age(scan: ExplainedScan) -> str:
    return f", cached for up to {scan.max_age:g} s" if scan.max_age else ""


def _format_outcome(scan: ExplainedScan) -> str:
    if scan.outcome is None:
        return ": skipped" if scan.was_skipped else ""
    return f": {', '.join(_list_outcome_facts(scan.outcome))}"


def _list_outcome_facts(outcome: ScanOutcome) -> Iterator[str]:
    if outcome.row_count is not None:
        yield format_count(outcome.row_count, "row")
    if outcome.spilled_row_count:
        yield f"{outcome.spilled_row_count:,} of them through the spill database"
    if outcome.byte_count is not None:
        yield format_count(outcome.byte_count, "byte")
    if outcome.key_count:
        yield f"for {format_count(outcome.key_count, 'key')}"
    yield format_count(outcome.call_count, "call")
    if outcome.cached_count:
        yield f"{outcome.cached_count:,} cached since {outcome.read_at}"
    yield f"{outcome.milliseconds:.1f} ms"
    if outcome.error_code:
        yield f"failed: {outcome.error_code}"


def _format_step(step: ExplainedStep) -> str:
    reason = f", as {step.reason}" if step.reason else ""
    return f"{step.name} {PLACEMENT_LABELS[step.placement]}: {step.description}{reason}"


Explained = TypeVar("Explained")

JsonKeys: TypeAlias = Mapping[str, Callable[[Explained], Any]]
"""The public keys of an object in `extensions.onedoor.plan`, and where their values come from."""

STEP_KEYS: JsonKeys[ExplainedStep] = {
    "step": lambda step: str(step.name),
    "how": lambda step: str(step.placement),
    "what": lambda step: step.description,
    "why": lambda step: step.reason,
}

OUTCOME_KEYS: JsonKeys[ScanOutcome] = {
    "calls": lambda outcome: outcome.call_count,
    "cached": lambda outcome: outcome.cached_count,
    "at": lambda outcome: outcome.read_at,
    "keys": lambda outcome: outcome.key_count,
    "rows": lambda outcome: outcome.row_count,
    "outgrown": lambda outcome: outcome.spilled_row_count,
    "bytes": lambda outcome: outcome.byte_count,
    "ms": lambda outcome: outcome.milliseconds,
    "failed": lambda outcome: outcome.error_code,
    "sql": lambda outcome: list(outcome.statements),
}

SCAN_KEYS: JsonKeys[ExplainedScan] = {
    "purpose": lambda scan: scan.purpose,
    "of": lambda scan: scan.grouping_key,
    "source": lambda scan: scan.source,
    "collection": lambda scan: scan.collection,
    "columns": lambda scan: list(scan.columns),
    "brings": lambda scan: list(scan.joined_columns),
    "fresh": lambda scan: scan.max_age,
    "shared": lambda scan: scan.is_shown_above,
    "idle": lambda scan: scan.was_skipped,
    "steps": lambda scan: [_build_json(step, STEP_KEYS) for step in scan.steps],
    "ran": lambda scan: None if scan.outcome is None else _build_json(scan.outcome, OUTCOME_KEYS),
    "sql": lambda scan: list(scan.statements),
    "reads": lambda scan: [_build_json(inner_scan, SCAN_KEYS) for inner_scan in scan.inner_scans],
}

NODE_KEYS: JsonKeys[ExplainedNode] = {
    "type": lambda node: node.parent_type,
    "field": lambda node: node.field,
    "key": lambda node: node.response_key,
    "to": lambda node: node.type,
    "here": lambda node: list(node.parent_columns),
    "there": lambda node: list(node.key_columns),
    "reads": lambda node: [_build_json(scan, SCAN_KEYS) for scan in node.scans],
    "branches": lambda node: [_build_json(child, NODE_KEYS) for child in node.children],
}

ALWAYS_SHOWN_KEYS = frozenset({"steps", "reads", "branches"})


def build_plan_json(nodes: Sequence[ExplainedNode]) -> dict[str, Any]:
    """Build `extensions.onedoor.plan`: the plan as text and as a tree."""
    return {"text": format_plan(nodes), "branches": [_build_json(node, NODE_KEYS) for node in nodes]}


def _build_json(explained: Explained, keys: JsonKeys[Explained]) -> dict[str, Any]:
    """Build one object; null, false, zero and empty lists are left out."""
    values = {key: get_value(explained) for key, get_value in keys.items()}
    return {key: value for key, value in values.items() if value not in (None, False, []) or key in ALWAYS_SHOWN_KEYS}
