"""Complete a result: make data and errors of the rows of all branches.

All rows of a level are completed at once where nothing is denied and nothing went wrong. Otherwise each field becomes
a function from a row to a value, and a null that its place cannot hold propagates to the nearest place that can
(section 6.4.4 of the specification).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onedoor.errors import ConnectorError, GraphQLErrorInfo
from onedoor.model.catalog import Catalog
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.errors import (
    FieldErrors,
    build_forbidden_error,
    build_forbidden_rows_error,
    build_missing_rows_error,
    build_unavailable_error,
    may_reveal_type,
)
from onedoor.query.executor.state import BranchResult, BranchResults, count_rows
from onedoor.query.planner.bind import BoundPlan
from onedoor.query.planner.nodes import Plan
from onedoor.query.results.columnar import ColumnarPlan, build_columnar_plan, complete_columnar
from onedoor.query.results.context import PROPAGATED_NULL, CompletionContext
from onedoor.query.results.objects import build_object_completer
from onedoor.query.selection import SelectedField


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionPlan:
    """How to complete an operation, whatever the rows."""

    fields: tuple[SelectedField, ...]
    decisions: Decisions
    plan: Plan
    columnar: ColumnarPlan | None


def build_completion_plan(fields: Sequence[SelectedField], decisions: Decisions, plan: Plan) -> CompletionPlan:
    """Prepare completion once for a cached plan."""
    return CompletionPlan(
        fields=tuple(fields), decisions=decisions, plan=plan, columnar=build_columnar_plan(fields, decisions, plan)
    )


ROWS_ON_LOOP = 2_000
"""Rows that are completed on the event loop; more take some milliseconds."""


def has_many_rows(results: BranchResults) -> bool:
    """Whether completing these rows would hold up the event loop."""
    return count_rows(results) > ROWS_ON_LOOP


def complete(
    catalog: Catalog, completion_plan: CompletionPlan, results: BranchResults, bound_plan: BoundPlan
) -> tuple[dict[str, Any] | None, FieldErrors]:
    """Return the data, None when a null propagated to the top, and its errors.

    Days and times in the data may be Python's own, which the JSON encoder writes.
    """
    context = CompletionContext(
        catalog=catalog,
        decisions=completion_plan.decisions,
        results=results,
        bound_plan=bound_plan,
        null_log=FieldErrors(invalid_max=catalog.limits.errors_max),
    )
    if completion_plan.columnar is not None:
        columnar_data = complete_columnar(context, completion_plan.columnar)
        if columnar_data is not None:
            return columnar_data, context.null_log
        context = replace(context, null_log=FieldErrors(invalid_max=catalog.limits.errors_max))
    nodes = {node.field.number: node for node in completion_plan.plan.roots}
    data = build_object_completer(context, completion_plan.fields, nodes, ())((), None)
    return (None if data is PROPAGATED_NULL else data), context.null_log


def build_errors(
    catalog: Catalog,
    fields: Sequence[SelectedField],
    decisions: Decisions,
    results: BranchResults,
    null_log: FieldErrors,
) -> list[GraphQLErrorInfo]:
    """Return one error for each field that is null as it is denied or its source failed.

    There is also one for each concrete type whose rows a list of an interface lacks, unless it must not be revealed.
    """
    numbered = map_fields_by_number(fields)
    allowed = [field for field in numbered.values() if not is_denied(field, decisions)]
    denied = [
        build_forbidden_error(catalog, numbered[number], decisions[number], nulls)
        for number, nulls in null_log.denied.items()
    ]
    failed = [
        build_unavailable_error(catalog, allowed, _find_connector_error(results, numbered, number), nulls)
        for number, nulls in null_log.failed.items()
    ]
    denied_rows = (
        build_forbidden_rows_error(catalog, type, decisions[number, type], path)
        for (number, type), path in null_log.denied_types.items()
        if may_reveal_type(catalog, type, decisions[number, type])
    )
    missing_rows = (
        build_missing_rows_error(catalog, allowed, _find_member_error(results[number], type), type, path)
        for (number, type), path in null_log.failed_types.items()
    )
    return [*denied, *failed, *denied_rows, *missing_rows, *null_log.list_invalid()]


def _find_member_error(result: BranchResult | ConnectorError, type_name: str) -> ConnectorError:
    return result.member_errors[type_name] if isinstance(result, BranchResult) else result


def map_fields_by_number(fields: Sequence[SelectedField]) -> dict[int, SelectedField]:
    """Return every field at any depth by its number, in their order."""
    numbered: dict[int, SelectedField] = {}
    pending = list(fields)
    while pending:
        field = pending.pop()
        numbered[field.number] = field
        pending.extend(child for children in field.children_by_type.values() for child in children)
    return dict(sorted(numbered.items()))


def _find_connector_error(results: BranchResults, numbered: Mapping[int, SelectedField], number: int) -> ConnectorError:
    """Return why a field is null: its branch failed, or the read of its groups or of a total."""
    result = results.get(number)
    if isinstance(result, ConnectorError):
        return result
    aggregates = (
        aggregate
        for branch_number, branch in results.items()
        if isinstance(branch, BranchResult)
        and any(child.number == number for child in numbered[branch_number].children)
        for aggregate in (branch.groupings.get(number), branch.total_aggregate)
    )
    return next(aggregate for aggregate in aggregates if isinstance(aggregate, ConnectorError))
