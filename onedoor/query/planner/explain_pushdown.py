"""Each step, who does it, and why not the connector."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from onedoor.model.parameters import Parameter
from onedoor.query.planner.nodes import (
    KeysetFilter,
    LogicalScan,
    PhysicalScan,
    PushdownStep,
    SemiJoinFilter,
    collect_predicate_columns,
)
from onedoor.query.planner.pushdown import has_pending_keys, is_pushable, split_conjuncts
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Op, Or
from onedoor.spi.scan import COUNT_ROWS, SortKey

AFTER_ENGINE_STEP = "a step before it is ours"

NEEDS_JOINED_COLUMNS = "it looks beyond a link"

SCANNED_IN_PARTS = "it is asked for in parts"

KEYS_UNDECIDED = "it depends on the keys that are read first"

CONNECTIVE_NAMES = {And: "and", Or: "or", Not: "not"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTarget:
    """A collection as its source promises it."""

    name: str
    capabilities: Capabilities
    capabilities_of: Callable[[str], Capabilities]

    def for_collection(self, collection: str) -> "ScanTarget":
        return ScanTarget(
            name=self.name, capabilities=self.capabilities_of(collection), capabilities_of=self.capabilities_of
        )


def explain_filter(conjunct: Any, target: ScanTarget) -> str:
    """Of one conjunct."""
    match conjunct:
        case SemiJoinFilter():
            return f"its keys come from `{conjunct.inner_scan.source}`"
        case Comparison():
            return f"`{target.name}` does not filter `{conjunct.column}` by `{conjunct.op}`"
        case KeysetFilter():
            return f"`{target.name}` does not go on from a cursor of this order"
        case InKeys():
            return explain_too_many_keys(target)
        case Exists() if not target.capabilities.exists_filters:
            return f"`{target.name}` does not look from `{conjunct.outer_columns[0]}` into `{conjunct.collection}`"
        case Exists():
            return explain_filter(conjunct.filter, target.for_collection(conjunct.collection))
        case And() | Or() | Not() if not target.capabilities.boolean_filters and not has_pending_keys(conjunct):
            return f"`{target.name}` takes no `{CONNECTIVE_NAMES[type(conjunct)]}` in a filter"
        case _:
            untaken = (
                each
                for each in _iterate_leaves(conjunct)
                if not is_pushable(each, target.capabilities, target.capabilities_of)
            )
            return next((explain_filter(each, target) for each in untaken), AFTER_ENGINE_STEP)


def explain_too_many_keys(target: ScanTarget) -> str:
    most = f"at most {target.capabilities.max_in_filter_keys:,}" if target.capabilities.max_in_filter_keys else "no"
    return f"`{target.name}` takes {most} keys in a filter"


def _iterate_leaves(part: Any) -> Iterator[Any]:
    match part:
        case And() | Or():
            for each in part.parts:
                yield from _iterate_leaves(each)
        case Not():
            yield from _iterate_leaves(part.part)
        case _:
            yield part


def explain_keys(logical: LogicalScan, target: ScanTarget) -> str:
    return f"`{target.name}` cannot be read by `{', '.join(logical.key_columns)}`"


def explain_aggregates(scan: PhysicalScan, target: ScanTarget) -> str:
    if not is_filter_pushed(scan) and not is_waiting_for_keys(scan):
        return AFTER_ENGINE_STEP
    return next(
        _find_unsupported_aggregates(scan.logical, target),
        KEYS_UNDECIDED if is_waiting_for_keys(scan) else "the same column is a key and cut",
    )


def _find_unsupported_aggregates(logical: LogicalScan, target: ScanTarget) -> Iterator[str]:
    can = target.capabilities
    if not can.aggregates:
        yield f"`{target.name}` measures nothing"
    for each in logical.time_buckets:
        if each.unit not in can.time_buckets:
            yield f"`{target.name}` does not cut to the {each.unit.lower()}"
    for column in logical.columns:
        if column in can.columns and Op.EQ not in can.columns[column].filters:
            yield f"`{target.name}` does not group by `{column}`"
    for measure in logical.aggregates:
        if measure.column is not None and measure.function not in can.columns[measure.column].aggregates:
            yield f"`{target.name}` does not compute `{measure.name}`"


def explain_later_step(scan: PhysicalScan, step: PushdownStep, target: ScanTarget) -> str:
    """Of `having`, an order or a limit."""
    if not is_filter_pushed(scan) and not is_waiting_for_keys(scan):
        return AFTER_ENGINE_STEP
    found = (
        _find_unsupported_group_steps(scan, target)
        if scan.logical.aggregates
        else _find_unsupported_row_steps(scan.logical, step, target)
    )
    return next(found, KEYS_UNDECIDED if is_waiting_for_keys(scan) else SCANNED_IN_PARTS)


def _find_unsupported_group_steps(scan: PhysicalScan, target: ScanTarget) -> Iterator[str]:
    wanted = scan.logical
    if PushdownStep.AGGREGATES not in scan.pushed_steps and not is_waiting_for_keys(scan):
        yield AFTER_ENGINE_STEP
    if not target.capabilities.group_ordering_and_limit:
        yield f"`{target.name}` does not arrange groups"
    if wanted.key_columns:
        yield f"`{target.name}` does not arrange groups for each key"
    known = {*wanted.columns, *(each.name for each in wanted.aggregates)}
    for used in (*collect_predicate_columns(wanted.having), *(each.column for each in wanted.sort)):
        if used not in known:
            yield f"`{used}` is computed by us"


def _find_unsupported_row_steps(logical: LogicalScan, step: PushdownStep, target: ScanTarget) -> Iterator[str]:
    for each in logical.sort:
        if each.column not in target.capabilities.columns:
            yield AFTER_ENGINE_STEP if step is PushdownStep.LIMIT else f"`{each.column}` lies beyond a link"
        elif not target.capabilities.columns[each.column].sortable:
            yield (
                AFTER_ENGINE_STEP
                if step is PushdownStep.LIMIT
                else f"`{target.name}` gives no order by `{each.column}`"
            )
    if step is PushdownStep.LIMIT and not (
        target.capabilities.limit_per_key if logical.key_columns else target.capabilities.limit
    ):
        yield f"`{target.name}` takes no limit" + (" for each key" if logical.key_columns else "")


def is_filter_pushed(scan: PhysicalScan) -> bool:
    """Whether the source gives the very rows that are meant, so that it may take what follows."""
    return scan.residual_filter == ALWAYS_TRUE == scan.post_join_filter and bool(
        scan.key_batch_size or not scan.logical.key_columns
    )


def is_waiting_for_keys(scan: PhysicalScan) -> bool:
    """Whether all that stands in the way are keys that are still to come."""
    return (
        scan.is_undecided
        and scan.post_join_filter == ALWAYS_TRUE
        and all(map(has_pending_keys, split_conjuncts(scan.residual_filter)))
    )


KeyOrigins = Mapping[int, SemiJoinFilter]
"""By id of the keys that came from elsewhere, what they were read for."""

NO_KEY_ORIGINS: KeyOrigins = {}


def format_predicate(predicate: Any, key_origins: KeyOrigins = NO_KEY_ORIGINS) -> str:
    match predicate:
        case Comparison():
            return f"{predicate.column} {predicate.op} {format_value(predicate.value)}"
        case And() | Or():
            word = " and " if isinstance(predicate, And) else " or "
            parts = [format_predicate(each, key_origins) for each in predicate.parts if each != ALWAYS_TRUE]
            if not parts:
                return "true" if isinstance(predicate, And) else "false"
            return parts[0] if len(parts) == 1 else f"({word.join(parts)})"
        case Not():
            return f"not {format_predicate(predicate.part, key_origins)}"
        case Exists():
            joined = f"{', '.join(predicate.inner_columns)} = {', '.join(predicate.outer_columns)}"
            return f"some {predicate.collection} by {joined} where {format_predicate(predicate.filter, key_origins)}"
        case SemiJoinFilter():
            return f"{', '.join(predicate.outer_columns)} among keys of {predicate.inner_scan.source} {predicate.inner_scan.collection}"
        case InKeys():
            return f"{', '.join(predicate.columns)} among {_format_keys(predicate, key_origins)}"
        case KeysetFilter():
            return f"{'after' if predicate.is_after else 'before'} the cursor"
        case _:
            return ""


def _format_keys(where: InKeys, key_origins: KeyOrigins) -> str:
    if isinstance(where.keys, Parameter):
        return "the keys given"
    found = key_origins.get(id(where.keys))
    return format_count(len(where.keys), "key") + (
        f" of {found.inner_scan.source} {found.inner_scan.collection}" if found else ""
    )


def format_count(count: int, noun: str) -> str:
    """`1 key`, `1,200 keys`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_sort_key(sort_key: SortKey) -> str:
    return sort_key.column + (" desc" if sort_key.descending else "") + (" nulls first" if sort_key.nulls_first else "")


def format_group_by(logical: LogicalScan) -> str:
    """Such as ` by country, placed_at cut to the month`."""
    units = {each.column: f" cut to the {each.unit.lower()}" for each in logical.time_buckets}
    by = [each + units.get(each, "") for each in logical.columns]
    return f" by {', '.join(by)}" if by else ""


def format_value(operand: Any) -> str:
    if isinstance(operand, Parameter):
        return "$" + ".".join(map(str, operand.path))
    if isinstance(operand, list | tuple):
        return f"[{', '.join(map(format_value, operand))}]"
    return str(operand)


class StepPlacement(StrEnum):
    """What becomes of a step."""

    PUSHED_DOWN = "PUSHED_DOWN"
    PARTIAL = "IN_PARTS"
    """The source takes parts of it, which are put together by us."""
    KEYS_FROM_OTHER = "CARRIED"
    """Keys are carried across, from another source or another read of the same."""
    IN_ENGINE = "FINISHED"
    """By us."""
    UNDECIDED = "OPEN"
    """By the source or by us, as keys that are still to come will decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedStep:
    """One predicate, the measures, the order or the limit of a read; `why` its source does not take all of it."""

    step: str
    how: StepPlacement
    what: str
    why: str | None = None


def build_steps(
    scan: PhysicalScan, target: ScanTarget, key_origins: KeyOrigins = NO_KEY_ORIGINS
) -> Iterator[ExplainedStep]:
    """In the order in which they are taken."""
    wanted = scan.logical
    if wanted.key_columns:
        yield _build_keys_step(scan, target)
    yield from _build_filter_steps(scan, target, key_origins)
    if wanted.aggregates:
        yield _build_aggregates_step(scan, target)
    if wanted.having != ALWAYS_TRUE:
        yield _build_later_step(scan, PushdownStep.HAVING, format_predicate(wanted.having), target)
    if wanted.sort:
        yield _build_later_step(scan, PushdownStep.SORT, ", ".join(map(format_sort_key, wanted.sort)), target)
    if wanted.limit is not None:
        yield _build_later_step(
            scan, PushdownStep.LIMIT, format_value(wanted.limit) + (" a key" if wanted.key_columns else ""), target
        )


def _build_keys_step(scan: PhysicalScan, target: ScanTarget) -> ExplainedStep:
    named = ", ".join(scan.logical.key_columns)
    if scan.key_batch_size:
        return ExplainedStep(
            step="keys", how=StepPlacement.PUSHED_DOWN, what=f"{named}, {scan.key_batch_size:,} a call"
        )
    return ExplainedStep(step="keys", how=StepPlacement.IN_ENGINE, what=named, why=explain_keys(scan.logical, target))


def _build_filter_steps(scan: PhysicalScan, target: ScanTarget, key_origins: KeyOrigins) -> Iterator[ExplainedStep]:
    for each in split_conjuncts(scan.pushed_filter):
        how = StepPlacement.KEYS_FROM_OTHER if has_keys_from_other(each, key_origins) else StepPlacement.PUSHED_DOWN
        yield ExplainedStep(
            step="where",
            how=how,
            what=format_predicate(each, key_origins),
            why=_explain_keys_from_other(each, key_origins),
        )
    for each in split_conjuncts(scan.residual_filter):
        carried = has_pending_keys(each) or has_keys_from_other(each, key_origins)
        yield ExplainedStep(
            step="where",
            how=StepPlacement.KEYS_FROM_OTHER if carried else StepPlacement.IN_ENGINE,
            what=format_predicate(each, key_origins),
            why=explain_filter(each, target),
        )
    for each in split_conjuncts(scan.post_join_filter):
        yield ExplainedStep(
            step="where",
            how=StepPlacement.IN_ENGINE,
            what=format_predicate(each, key_origins),
            why=NEEDS_JOINED_COLUMNS,
        )


def has_keys_from_other(conjunct: Any, key_origins: KeyOrigins) -> bool:
    return bool(key_origins) and next(_find_key_origins(conjunct, key_origins), None) is not None


def _explain_keys_from_other(part: Any, key_origins: KeyOrigins) -> str | None:
    found = next(_find_key_origins(part, key_origins), None) if key_origins else None
    return f"its keys were read first, from `{found.inner_scan.source}`" if found is not None else None


def _find_key_origins(part: Any, key_origins: KeyOrigins) -> Iterator[Any]:
    match part:
        case And() | Or():
            for each in part.parts:
                yield from _find_key_origins(each, key_origins)
        case Not():
            yield from _find_key_origins(part.part, key_origins)
        case Exists():
            yield from _find_key_origins(part.filter, key_origins)
        case InKeys() if id(part.keys) in key_origins:
            yield key_origins[id(part.keys)]


def _build_aggregates_step(scan: PhysicalScan, target: ScanTarget) -> ExplainedStep:
    what = format_aggregates(scan.logical)
    if scan.has_partial_groups:
        return ExplainedStep(
            step="measures", how=StepPlacement.PARTIAL, what=what, why=_explain_partial_groups(scan.logical)
        )
    if scan.pushed_aggregates:
        return ExplainedStep(step="measures", how=StepPlacement.PUSHED_DOWN, what=what)
    return _build_engine_step("measures", what, explain_aggregates(scan, target))


def format_aggregates(logical: LogicalScan) -> str:
    """Such as `sum(total) by country`; where rows are only told apart, `each country once`."""
    if logical.aggregates == (COUNT_ROWS,) and logical.columns and not (logical.key_columns or logical.sort):
        return f"each {', '.join(logical.columns)} once"
    return ", ".join(each.name for each in logical.aggregates) + format_group_by(logical)


def _explain_partial_groups(logical: LogicalScan) -> str:
    reached = [name for each in logical.key_joins for name in each.output_columns]
    return f"`{reached[0]}` lies beyond a link" if reached else SCANNED_IN_PARTS


def _build_later_step(scan: PhysicalScan, step: PushdownStep, what: str, target: ScanTarget) -> ExplainedStep:
    if step in scan.pushed_steps:
        return ExplainedStep(step=step, how=StepPlacement.PUSHED_DOWN, what=what)
    return _build_engine_step(step, what, explain_later_step(scan, step, target))


def _build_engine_step(step: str, what: str, because: str) -> ExplainedStep:
    return ExplainedStep(
        step=step,
        how=StepPlacement.UNDECIDED if because is KEYS_UNDECIDED else StepPlacement.IN_ENGINE,
        what=what,
        why=because,
    )
