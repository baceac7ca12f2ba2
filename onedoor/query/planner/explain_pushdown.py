"""Explain each step of a physical scan: who takes it and, if the connector does not, why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, TypeAlias

from onedoor.model.parameters import Parameter
from onedoor.query.planner.joins import CapabilitiesOf, split_joins
from onedoor.query.planner.nodes import (
    KeysetFilter,
    LogicalScan,
    PhysicalScan,
    PlannedPredicate,
    PushdownStep,
    RuleComparison,
    SemiJoinFilter,
    collect_predicate_columns,
)
from onedoor.query.planner.pushdown import has_pending_keys, is_pushable
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    And,
    Comparison,
    Exists,
    InKeys,
    Not,
    Op,
    Or,
    fold_predicate,
    is_leaf,
    iterate_leaves,
    split_conjuncts,
)
from onedoor.spi.scan import COUNT_ROWS, Join, SortKey

AFTER_ENGINE_STEP = "Onedoor computes a step before it"

NEEDS_JOINED_COLUMNS = "it needs columns of a joined scan"

SCANNED_IN_PARTS = "it is scanned in parts"

KEYS_UNDECIDED = "it depends on the keys that are read first"

BUCKETED_KEY = "the same column is a key and a time bucket"

CONNECTIVE_NAMES: Mapping[type, str] = {And: "and", Or: "or", Not: "not"}

KeyOrigins: TypeAlias = Mapping[int, SemiJoinFilter]
"""For keys that another scan read, by the id() of their set, the semi-join they answer."""

NO_KEY_ORIGINS: KeyOrigins = {}


class StepPlacement(StrEnum):
    """Say who takes a step. The values appear in `extensions.onedoor.plan`."""

    PUSHED_DOWN = "PUSHED_DOWN"
    """The connector takes it."""
    PARTIAL = "IN_PARTS"
    """The connector takes parts of it, which the engine combines."""
    KEYS_FROM_OTHER = "CARRIED"
    """It filters by keys that another scan reads, of this source or of another one."""
    IN_ENGINE = "FINISHED"
    """The engine takes it."""
    UNDECIDED = "OPEN"
    """Keys that are still to be read decide who takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedStep:
    """Describe one step of a scan: a join, its keys, a conjunct of its filter, its aggregates, having, sort, limit."""

    name: str
    placement: StepPlacement
    description: str
    reason: str | None = None
    """Why the connector does not take all of it, or takes it without an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTarget:
    """Hold what a source promises for one collection, and under which name."""

    name: str
    capabilities: Capabilities
    capabilities_of: CapabilitiesOf

    def for_collection(self, collection: str) -> "ScanTarget":
        return ScanTarget(
            name=self.name, capabilities=self.capabilities_of(collection), capabilities_of=self.capabilities_of
        )


def build_steps(
    scan: PhysicalScan, target: ScanTarget, key_origins: KeyOrigins = NO_KEY_ORIGINS
) -> Iterator[ExplainedStep]:
    """Yield the steps in the order they are taken."""
    logical = scan.logical
    target = replace(target, capabilities=split_joins(logical, target.capabilities_of).capabilities)
    for join in scan.pushed_joins:
        yield ExplainedStep(name="join", placement=StepPlacement.PUSHED_DOWN, description=_format_join(join))
    if logical.key_columns:
        yield _build_keys_step(scan, target)
    yield from _build_filter_steps(scan, target, key_origins)
    if logical.aggregates:
        yield _build_aggregates_step(scan, target)
    if logical.having != ALWAYS_TRUE:
        yield _build_later_step(scan, PushdownStep.HAVING, format_predicate(logical.having), target)
    if logical.sort:
        yield _build_later_step(scan, PushdownStep.SORT, ", ".join(map(_format_sort_key, logical.sort)), target)
    if logical.limit is not None:
        per_key = " per key" if logical.key_columns else ""
        yield _build_later_step(scan, PushdownStep.LIMIT, _format_value(logical.limit) + per_key, target)


def _build_keys_step(scan: PhysicalScan, target: ScanTarget) -> ExplainedStep:
    columns = ", ".join(scan.logical.key_columns)
    if scan.key_batch_size:
        return ExplainedStep(
            name="keys",
            placement=StepPlacement.PUSHED_DOWN,
            description=f"{columns}, {scan.key_batch_size:,} per call",
        )
    return ExplainedStep(
        name="keys",
        placement=StepPlacement.IN_ENGINE,
        description=columns,
        reason=f"`{target.name}` cannot be read by `{columns}`",
    )


def _build_filter_steps(scan: PhysicalScan, target: ScanTarget, key_origins: KeyOrigins) -> Iterator[ExplainedStep]:
    build = partial(_build_filter_step, key_origins=key_origins)
    for part in split_conjuncts(scan.pushed_filter):
        origin = _find_key_origin(part, key_origins)
        reason = f"its keys were read first, from `{origin.inner_scan.source}`" if origin else None
        yield build(part, StepPlacement.KEYS_FROM_OTHER if origin else StepPlacement.PUSHED_DOWN, reason)
    for part in split_conjuncts(scan.residual_filter):
        has_keys = has_pending_keys(part) or _find_key_origin(part, key_origins) is not None
        placement = StepPlacement.KEYS_FROM_OTHER if has_keys else StepPlacement.IN_ENGINE
        yield build(part, placement, explain_filter(part, target))
    for part in split_conjuncts(scan.post_join_filter):
        yield build(part, StepPlacement.IN_ENGINE, NEEDS_JOINED_COLUMNS)


def _build_filter_step(
    conjunct: PlannedPredicate, placement: StepPlacement, reason: str | None, *, key_origins: KeyOrigins
) -> ExplainedStep:
    return ExplainedStep(
        name="where", placement=placement, description=format_predicate(conjunct, key_origins), reason=reason
    )


def _find_key_origin(predicate: PlannedPredicate, key_origins: KeyOrigins) -> SemiJoinFilter | None:
    """Return the first semi-join whose keys a filter contains."""
    return next(_find_key_origins(predicate, key_origins), None) if key_origins else None


def _find_key_origins(predicate: PlannedPredicate, key_origins: KeyOrigins) -> Iterator[SemiJoinFilter]:
    for leaf in iterate_leaves(predicate):
        if isinstance(leaf, Exists):
            yield from _find_key_origins(leaf.filter, key_origins)
        elif isinstance(leaf, InKeys) and id(leaf.keys) in key_origins:
            yield key_origins[id(leaf.keys)]


def _build_aggregates_step(scan: PhysicalScan, target: ScanTarget) -> ExplainedStep:
    step, description = PushdownStep.AGGREGATES, _format_aggregates(scan.logical)
    if scan.has_partial_groups:
        return ExplainedStep(
            name=step,
            placement=StepPlacement.PARTIAL,
            description=description,
            reason=_explain_partial_groups(scan),
        )
    if scan.pushed_aggregates:
        return ExplainedStep(name=step, placement=StepPlacement.PUSHED_DOWN, description=description)
    return _build_engine_step(step, description, _explain_aggregates(scan, target))


def _explain_partial_groups(scan: PhysicalScan) -> str:
    joined = [column for join in scan.key_joins for column in join.output_columns]
    return f"`{joined[0]}` comes from a joined scan" if joined else SCANNED_IN_PARTS


def _build_later_step(scan: PhysicalScan, step: PushdownStep, description: str, target: ScanTarget) -> ExplainedStep:
    if step in scan.pushed_steps:
        reason = _explain_unindexed_sort(scan.logical, target) if step is PushdownStep.SORT else None
        return ExplainedStep(name=step, placement=StepPlacement.PUSHED_DOWN, description=description, reason=reason)
    return _build_engine_step(step, description, _explain_later_step(scan, step, target))


def _build_engine_step(step: PushdownStep, description: str, reason: str) -> ExplainedStep:
    is_undecided = reason is KEYS_UNDECIDED
    return ExplainedStep(
        name=step,
        placement=StepPlacement.UNDECIDED if is_undecided else StepPlacement.IN_ENGINE,
        description=description,
        reason=reason,
    )


def explain_filter(conjunct: PlannedPredicate, target: ScanTarget) -> str:
    """Say why the connector does not take a conjunct."""
    match conjunct:
        case SemiJoinFilter():
            return f"its keys come from `{conjunct.inner_scan.source}`"
        case Comparison():
            return f"`{target.name}` does not filter `{conjunct.column}` by `{conjunct.op}`"
        case KeysetFilter():
            return f"`{target.name}` cannot continue after a cursor of this order"
        case InKeys():
            return explain_too_many_keys(target)
        case Exists() if not target.capabilities.exists_filters:
            inner, column = conjunct.collection, conjunct.outer_columns[0]
            return f"`{target.name}` does not filter by rows of `{inner}` through `{column}`"
        case Exists():
            return explain_filter(conjunct.filter, target.for_collection(conjunct.collection))
    if not is_leaf(conjunct) and not target.capabilities.boolean_filters and not has_pending_keys(conjunct):
        return f"`{target.name}` takes no `{CONNECTIVE_NAMES[type(conjunct)]}` in a filter"
    leaves = (
        leaf for leaf in iterate_leaves(conjunct) if not is_pushable(leaf, target.capabilities, target.capabilities_of)
    )
    return next((explain_filter(leaf, target) for leaf in leaves), AFTER_ENGINE_STEP)


def explain_too_many_keys(target: ScanTarget) -> str:
    """Say how many keys a filter may carry."""
    max_keys = target.capabilities.max_in_filter_keys
    return f"`{target.name}` takes {f'at most {max_keys:,}' if max_keys else 'no'} keys in a filter"


def _explain_aggregates(scan: PhysicalScan, target: ScanTarget) -> str:
    is_waiting = _is_waiting_for_keys(scan)
    if not is_filter_pushed(scan) and not is_waiting:
        return AFTER_ENGINE_STEP
    return next(_find_unsupported_aggregates(scan.logical, target), KEYS_UNDECIDED if is_waiting else BUCKETED_KEY)


def _find_unsupported_aggregates(logical: LogicalScan, target: ScanTarget) -> Iterator[str]:
    capabilities = target.capabilities
    if not capabilities.aggregates:
        yield f"`{target.name}` computes no aggregates"
    for bucket in logical.time_buckets:
        if bucket.unit not in capabilities.time_buckets:
            yield f"`{target.name}` does not bucket time by {bucket.unit.lower()}"
    for column in logical.columns:
        if column in capabilities.columns and Op.EQ not in capabilities.columns[column].filters:
            yield f"`{target.name}` does not group by `{column}`"
    for call in logical.aggregates:
        if call.column is not None and call.function not in capabilities.columns[call.column].aggregates:
            yield f"`{target.name}` does not compute `{call.name}`"


def _explain_later_step(scan: PhysicalScan, step: PushdownStep, target: ScanTarget) -> str:
    """Say why the connector does not take `having`, the sort or the limit."""
    is_waiting = _is_waiting_for_keys(scan)
    if not is_filter_pushed(scan) and not is_waiting:
        return AFTER_ENGINE_STEP
    if scan.logical.aggregates:
        reasons = _find_unsupported_group_steps(scan, target)
    elif step is PushdownStep.LIMIT:
        reasons = _find_unsupported_limits(scan.logical, target)
    else:
        reasons = _find_unsupported_sorts(scan.logical, target)
    return next(reasons, KEYS_UNDECIDED if is_waiting else SCANNED_IN_PARTS)


def _find_unsupported_group_steps(scan: PhysicalScan, target: ScanTarget) -> Iterator[str]:
    logical = scan.logical
    if PushdownStep.AGGREGATES not in scan.pushed_steps and not _is_waiting_for_keys(scan):
        yield AFTER_ENGINE_STEP
    if not target.capabilities.group_ordering_and_limit:
        yield f"`{target.name}` does not sort or limit groups"
    if logical.key_columns:
        yield f"`{target.name}` does not sort or limit groups for each key"
    known = {*logical.columns, *(call.name for call in logical.aggregates)}
    for column in (*collect_predicate_columns(logical.having), *(sort_key.column for sort_key in logical.sort)):
        if column not in known:
            yield f"`{column}` is computed by Onedoor"


def _find_unsupported_sorts(logical: LogicalScan, target: ScanTarget) -> Iterator[str]:
    for sort_key in logical.sort:
        column = target.capabilities.columns.get(sort_key.column)
        if column is None:
            yield f"`{sort_key.column}` comes from a joined scan"
        elif not column.sortable:
            yield f"`{target.name}` does not sort by `{sort_key.column}`"


def _explain_unindexed_sort(logical: LogicalScan, target: ScanTarget) -> str | None:
    """Say why the source sorts all rows to find the first of them."""
    column = None if logical.aggregates else target.capabilities.columns.get(logical.sort[0].column)
    return column.unindexed_sort if column is not None else None


def _find_unsupported_limits(logical: LogicalScan, target: ScanTarget) -> Iterator[str]:
    yield from (AFTER_ENGINE_STEP for _ in _find_unsupported_sorts(logical, target))
    capabilities = target.capabilities
    if not (capabilities.limit_per_key if logical.key_columns else capabilities.limit):
        yield f"`{target.name}` takes no limit" + (" for each key" if logical.key_columns else "")


def is_filter_pushed(scan: PhysicalScan) -> bool:
    """Whether the connector returns exactly the wanted rows, so that it may take what follows."""
    return scan.residual_filter == ALWAYS_TRUE == scan.post_join_filter and bool(
        scan.key_batch_size or not scan.logical.key_columns
    )


def _is_waiting_for_keys(scan: PhysicalScan) -> bool:
    """Whether keys that are still to be read are all that keeps the connector from taking the filter."""
    return (
        scan.is_undecided
        and scan.post_join_filter == ALWAYS_TRUE
        and all(map(has_pending_keys, split_conjuncts(scan.residual_filter)))
    )


def format_predicate(predicate: PlannedPredicate, key_origins: KeyOrigins = NO_KEY_ORIGINS) -> str:
    """Write a filter in one line, such as `(total gt 100 and not status eq PAID)`."""
    text: str | None = fold_predicate(
        predicate,
        partial(_format_leaf, key_origins=key_origins),
        conjunction=lambda parts: _join_shown_parts(parts, " and ", "true") if parts else None,
        disjunction=lambda parts: _join_shown_parts(parts, " or ", "false"),
        negation=lambda part: f"not {part or 'true'}",
    )
    return text or "true"


def _join_shown_parts(parts: Sequence[str | None], word: str, empty: str) -> str:
    """Join what parts say; a part that always holds is None and is not shown."""
    shown = [part for part in parts if part is not None]
    if not shown:
        return empty
    return shown[0] if len(shown) == 1 else f"({word.join(shown)})"


def _format_leaf(leaf: PlannedPredicate, *, key_origins: KeyOrigins) -> str | None:
    match leaf:
        case RuleComparison():
            return f"{leaf.column} {leaf.op} by the rule for rows"
        case Comparison():
            return f"{leaf.column} {leaf.op} {_format_value(leaf.value)}"
        case Exists():
            joined = f"{', '.join(leaf.inner_columns)} = {', '.join(leaf.outer_columns)}"
            return f"some {leaf.collection} by {joined} where {format_predicate(leaf.filter, key_origins)}"
        case SemiJoinFilter():
            return f"{', '.join(leaf.outer_columns)} among keys of {_format_collection(leaf.inner_scan)}"
        case InKeys():
            return f"{', '.join(leaf.columns)} among {_format_keys(leaf, key_origins)}"
        case KeysetFilter():
            return f"{'after' if leaf.is_after else 'before'} the cursor"
        case _:
            return ""


def _format_keys(in_keys: InKeys, key_origins: KeyOrigins) -> str:
    if isinstance(in_keys.keys, Parameter):
        return "the keys given"
    origin = key_origins.get(id(in_keys.keys))
    keys = format_count(len(in_keys.keys), "key")
    return f"{keys} of {_format_collection(origin.inner_scan)}" if origin else keys


def _format_collection(logical: LogicalScan) -> str:
    return f"{logical.source} {logical.collection}"


def format_count(count: int, noun: str) -> str:
    """Write `1 key` or `1,200 keys`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _format_join(join: Join) -> str:
    """Write `customer by id = customer_id`, or `count() of orders by customer_id = id`."""
    aggregates = f"{', '.join(call.name for call in join.aggregates)} of " if join.aggregates else ""
    return f"{aggregates}{join.collection} by {', '.join(join.inner_columns)} = {', '.join(join.outer_columns)}"


def _format_sort_key(sort_key: SortKey) -> str:
    return sort_key.column + (" desc" if sort_key.descending else "") + (" nulls first" if sort_key.nulls_first else "")


def _format_aggregates(logical: LogicalScan) -> str:
    """Write `sum(total) by country`; for distinct values without aggregates, `each country once`."""
    if logical.aggregates == (COUNT_ROWS,) and logical.columns and not (logical.key_columns or logical.sort):
        return f"each {', '.join(logical.columns)} once"
    return ", ".join(call.name for call in logical.aggregates) + _format_group_by(logical)


def _format_group_by(logical: LogicalScan) -> str:
    """Write ` by country, placed_at bucketed by month`."""
    units = {bucket.column: f" bucketed by {bucket.unit.lower()}" for bucket in logical.time_buckets}
    columns = [column + units.get(column, "") for column in logical.columns]
    return f" by {', '.join(columns)}" if columns else ""


def _format_value(value: Any) -> str:
    if isinstance(value, Parameter):
        return "$" + ".".join(map(str, value.path))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_format_value, value))}]"
    return str(value)
