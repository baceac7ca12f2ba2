"""Validate a request for an export and plan it: its columns, and the ranges of rows that workers share."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from auth.authentication import Principal
from onedoor.audit.record import Surface
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.exports.columns import RowLayout, build_row_layout, list_omitted_columns
from onedoor.exports.models import ExportPlan, ExportRequest, ExportStore, KeyRange
from onedoor.exports.paging import ONE_LIST_ADVICE, PagedQuery, build_paged_query, reject_export
from onedoor.model.reader import bind_attributes, list_compared_attributes
from onedoor.query import cursors
from onedoor.query.audited import AuditedExecutor, CountServedBytes
from onedoor.query.context import CachedPlan, ExecutionResult
from onedoor.query.planner.bind import bind_parameters
from onedoor.query.planner.nodes import Page, PlanNode, PushdownStep
from onedoor.query.selection import coerce_variables
from onedoor.spi.capabilities import ColumnType

NOT_A_LIST_PATTERN = re.compile(r"`Query\.\w+` takes no argument `after`")
"""Begins the validation error of a root field that is no list."""

ACCESS_LOST_ERROR = GraphQLErrorInfo(code=ErrorCode.FORBIDDEN, message="what it shows may not be read any more")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeLimits:
    """How the rows of an export are divided into ranges."""

    split_rows: int = 500_000
    """An export of fewer rows is one range."""
    range_rows: int = 250_000
    ranges_max: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedExport:
    """A request that may be exported: its query, where its rows are, and the result of planning its first page."""

    query: PagedQuery
    layout: RowLayout
    cached_plan: CachedPlan
    result: ExecutionResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRanges:
    """The ranges of an export, and about how many rows they hold; None: not counted."""

    ranges: Sequence[KeyRange]
    rows: int | None


async def start_export(
    executor: AuditedExecutor,
    store: ExportStore,
    principal: Principal,
    id: str,
    request: ExportRequest,
    *,
    range_limits: RangeLimits | None = None,
) -> ExportPlan:
    """Store the plan of an export, or return the stored one where the same person made the same request under `id`.

    Raises RequestRejected, also where the id belongs to another export.
    """
    plan = store.load_plan(id)
    if plan is None:
        validated = await validate_export(executor, principal, request)
        planned = await _plan_ranges(executor, principal, validated, range_limits or RangeLimits())
        store.add_plan(_build_plan(principal, id, request, validated, planned))
        plan = store.load_plan(id)
    assert plan is not None
    if (plan.person, plan.request) != (principal.person_id, request):
        raise reject_export(ErrorCode.IDEMPOTENCY_KEY_REUSED, "another export has this id: take a new one")
    return plan


async def validate_export(
    executor: AuditedExecutor,
    principal: Principal,
    request: ExportRequest,
    count_served_bytes: CountServedBytes | None = None,
) -> ValidatedExport:
    """Plan the first page without executing it.

    Raises RequestRejected, each reason with what would do: no one list, no permission for any of it, rows too costly.
    """
    query = build_paged_query(request, executor.engine.catalog.limits)
    first_page = query.build_page_request(1, query.after, plan="ONLY")
    result = await executor.run(principal, first_page, surface=Surface.EXPORT, count_served_bytes=count_served_bytes)
    if result.rejected or result.cached_plan is None:
        raise RequestRejected(*(_translate_errors(query, result.errors) or [ACCESS_LOST_ERROR]))
    layout = build_row_layout(result.cached_plan.fields, result.cached_plan.decisions)
    if result.errors and (request.all_or_nothing or not layout.columns):
        raise RequestRejected(*result.errors)
    return ValidatedExport(query=query, layout=layout, cached_plan=result.cached_plan, result=result)


def _translate_errors(query: PagedQuery, errors: Sequence[GraphQLErrorInfo]) -> Sequence[GraphQLErrorInfo]:
    """Say of a root field without `after` that it is no list, and drop locations, which are those of our document."""
    if any(NOT_A_LIST_PATTERN.match(error.message) for error in errors):
        message = f"`{query.list_key}` at the root is no one list: {ONE_LIST_ADVICE}"
        return [GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message)]
    return [replace(error, locations=()) for error in errors]


def _build_plan(
    principal: Principal, id: str, request: ExportRequest, validated: ValidatedExport, planned: PlannedRanges
) -> ExportPlan:
    decisions, errors = validated.cached_plan.decisions, validated.result.errors
    return ExportPlan(
        id=id,
        person=principal.person_id,
        key_id=principal.key_id,
        started=datetime.now(UTC).isoformat(timespec="microseconds"),
        request=request,
        columns=validated.layout.columns,
        omitted_columns=list_omitted_columns(validated.layout.denied, decisions, errors),
        ranges=tuple(planned.ranges),
        rows=planned.rows,
    )


async def _plan_ranges(
    executor: AuditedExecutor, principal: Principal, validated: ValidatedExport, limits: RangeLimits
) -> PlannedRanges:
    """Plan one range, or several with about as many keys each where the rows are ordered by an integer key."""
    query, whole = validated.query, KeyRange(number=1, after=validated.query.after)
    (root,) = validated.cached_plan.plan.roots
    if query.total is not None or query.after is not None or not _finds_ends_fast(root):
        return PlannedRanges(ranges=[whole], rows=query.total)
    ends = await executor.run(principal, query.build_ends_request(), surface=Surface.EXPORT)
    first = _read_data_path(ends, "first", "pageInfo", "startCursor")
    last = _read_data_path(ends, "last", "pageInfo", "startCursor")
    rows = _read_data_path(ends, "all", "totalCount")
    if root.page is None or not _is_ordered_by_integer(root.page) or not first or not last:
        return PlannedRanges(ranges=[whole], rows=rows)
    if rows is None or rows < limits.split_rows:
        return PlannedRanges(ranges=[whole], rows=rows)
    key = _load_cursor_key(principal, validated, root.page)
    low, high = (cursors.decode_cursor(cursor, root.page.sort_types, key)[0] for cursor in (first, last))
    count = min(limits.ranges_max, -(-rows // limits.range_rows))
    return PlannedRanges(ranges=list(_split_key_range(low, high, count, key)), rows=rows)


def _finds_ends_fast(root: PlanNode) -> bool:
    """Return whether the source finds the first row and the last without reading those between them."""
    return root.row_scan is not None and {PushdownStep.SORT, PushdownStep.LIMIT} <= root.row_scan.pushed_steps


def _is_ordered_by_integer(page: Page) -> bool:
    return page.sort_types == (ColumnType.INTEGER,) and not page.sort[0].descending


def _read_data_path(result: ExecutionResult, *path: str) -> Any:
    value: Any = result.data
    for key in path:
        value = value and value.get(key)
    return value


def _load_cursor_key(principal: Principal, validated: ValidatedExport, page: Page) -> bytes:
    """Return the key that seals the cursors of this list."""
    catalog, operation = validated.cached_plan.catalog, validated.result.operation
    assert operation is not None
    coerced = coerce_variables(catalog.schema, operation, validated.query.build_page_request(1).variables)
    attributes = bind_attributes(list_compared_attributes(catalog, principal.groups), principal)
    variables = {**coerced.values, **attributes}
    return bind_parameters(catalog, validated.cached_plan.windows, variables).cursor_keys[id(page)]


def _split_key_range(low: int, high: int, count: int, cursor_key: bytes) -> Iterator[KeyRange]:
    """Yield `count` ranges of keys; the outer ones are open, for rows that come before the first or after the last."""
    step = -(-(high - low + 1) // count)
    starts = range(low, high + 1, step)
    for number, start in enumerate(starts, 1):
        after = None if number == 1 else cursors.encode_cursor((start - 1,), cursor_key)
        before = None if number == len(starts) else cursors.encode_cursor((start + step,), cursor_key)
        yield KeyRange(number=number, after=after, before=before)
