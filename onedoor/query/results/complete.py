"""Picks, rows and verdicts in, the reply's data and its faults out.

All rows of a level are made at once where nothing is withheld and nothing went wrong. Otherwise each pick becomes a
function from a row to a value: a null in a place that is never null travels up to the nearest place that may be
null, as the specification says (section 6.4.4).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from onedoor.errors import ConnectorError, GraphQLErrorInfo
from onedoor.model.catalog import Catalog
from onedoor.query.authorize import Decisions
from onedoor.query.errors import (
    FieldErrors,
    build_forbidden_error,
    build_forbidden_rows_error,
    build_missing_rows_error,
    build_unavailable_error,
    may_reveal_type,
)
from onedoor.query.executor.state import BranchResult, BranchResults
from onedoor.query.planner.bind import BoundPlan
from onedoor.query.planner.nodes import Plan
from onedoor.query.results.columnar import ColumnarPlan, ColumnarUnsupported, build_columnar_plan, complete_columnar
from onedoor.query.results.context import PROPAGATED_NULL, CompletionContext
from onedoor.query.results.objects import build_object_completer
from onedoor.query.selection import SelectedField


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionPlan:
    """What a reply is made of, whatever the rows."""

    fields: tuple[SelectedField, ...]
    decisions: Decisions
    plan: Plan
    columnar: ColumnarPlan | None


def build_completion_plan(fields: Sequence[SelectedField], decisions: Decisions, plan: Plan) -> CompletionPlan:
    return CompletionPlan(
        fields=tuple(fields), decisions=decisions, plan=plan, columnar=build_columnar_plan(fields, decisions, plan)
    )


def complete(
    catalog: Catalog, completion_plan: CompletionPlan, results: BranchResults, bound_plan: BoundPlan
) -> tuple[dict[str, Any] | None, FieldErrors]:
    """The data of the reply, None when a null reached the top; days and times in it may be Python's own."""
    run = CompletionContext(
        catalog=catalog,
        decisions=completion_plan.decisions,
        results=results,
        bound_plan=bound_plan,
        null_log=FieldErrors(),
    )
    if completion_plan.columnar is not None:
        with suppress(ColumnarUnsupported):
            return complete_columnar(run, completion_plan.columnar), run.null_log
        run = replace(run, null_log=FieldErrors())
    made = build_object_completer(
        run, completion_plan.fields, {each.field.number: each for each in completion_plan.plan.roots}, ()
    )((), None)
    return (None if made is PROPAGATED_NULL else made), run.null_log


def build_errors(
    catalog: Catalog,
    fields: Sequence[SelectedField],
    decisions: Decisions,
    results: BranchResults,
    null_log: FieldErrors,
) -> list[GraphQLErrorInfo]:
    """One fault for each pick that showed null where it was withheld or its source failed.

    And one for each concrete type whose rows a list of an interface lacks; to who may not know of the type, none.
    """
    numbered = map_fields_by_number(fields)
    denied = [
        build_forbidden_error(catalog.policy, numbered[number], decisions[number], nulls)
        for number, nulls in null_log.denied.items()
    ]
    failed = [
        build_unavailable_error(_find_connector_error(results, numbered, number), nulls)
        for number, nulls in null_log.failed.items()
    ]
    shut = (
        build_forbidden_rows_error(catalog.policy, kind, decisions[number, kind], place)
        for (number, kind), place in null_log.denied_types.items()
        if may_reveal_type(catalog, kind, decisions[number, kind])
    )
    lost = (
        build_missing_rows_error(_find_member_error(results[number], kind), kind, place)
        for (number, kind), place in null_log.failed_types.items()
    )
    return [*denied, *failed, *shut, *lost, *null_log.invalid]


def _find_member_error(result: BranchResult | ConnectorError, kind: str) -> ConnectorError:
    return result.member_errors[kind] if isinstance(result, BranchResult) else result


def map_fields_by_number(fields: Sequence[SelectedField]) -> dict[int, SelectedField]:
    """Every pick at any depth, in the order they were asked for."""
    found: dict[int, SelectedField] = {}
    waiting = list(fields)
    while waiting:
        pick = waiting.pop()
        found[pick.number] = pick
        waiting.extend(each for below in pick.children_by_type.values() for each in below)
    return dict(sorted(found.items()))


def _find_connector_error(results: BranchResults, numbered: Mapping[int, SelectedField], number: int) -> ConnectorError:
    """Why the pick is null: its branch failed, or, of what is counted or grouped beside rows, that read."""
    result = results.get(number)
    if isinstance(result, ConnectorError):
        return result
    beside = (
        found
        for key, each in results.items()
        if isinstance(each, BranchResult) and any(inner.number == number for inner in numbered[key].children)
        for found in (each.groupings.get(number), each.total_aggregate)
    )
    return next(each for each in beside if isinstance(each, ConnectorError))
