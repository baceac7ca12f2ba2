"""Read the pages of an export one after another, each with the present permissions of whoever started it.

A page that fails is requested again, one that costs too much is requested in smaller pages, and a page from which a
planned column is missing ends the export.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auth.authentication import Principal
from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import Surface
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.exports.columns import RowLayout, build_row_layout, extract_rows, find_lost_column, list_omitted_columns
from onedoor.exports.models import ExportHost, ExportPlan, ExportState, ExportStopped, KeyRange
from onedoor.exports.paging import PAGE_ALIAS, PagedQuery, build_paged_query
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import CachedPlan, ExecutionResult
from onedoor.storage.database import MetadataDatabaseUnavailable

RETRY_PAUSES = (0.1, 0.3, 1.0, 3.0, 5.0, 5.0)
"""Seconds before each time that a failed page is requested again; after the last the export fails."""

RETRYABLE_CODES = frozenset(
    {ErrorCode.SOURCE_UNAVAILABLE, ErrorCode.SOURCE_OVERLOADED, ErrorCode.RATE_LIMITED, ErrorCode.AUDIT_UNAVAILABLE}
)

ACCESS_LOST = "whoever started the export is deactivated, or their key is not valid any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePosition:
    """Where a page begins."""

    key_range: KeyRange
    after: str | None
    """The cursor of the row before."""
    rows_wanted: int | None
    """How many rows of the range are still wanted; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPage:
    rows: Sequence[dict[str, Any]]
    cursor: str | None
    """The cursor of the last row."""
    is_last: bool
    """No row follows."""


class PageUnavailable(Exception):
    """The page could not be read; another try may succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PageTooLarge(PageUnavailable):
    """The page costs more than a query may; a smaller one may succeed."""


@dataclass(slots=True, kw_only=True)
class PageReader:
    """Reads the pages of one export, one after another."""

    executor: AuditedExecutor
    host: ExportHost
    plan: ExportPlan
    query: PagedQuery
    page_size: int
    """How many rows are requested at once; it shrinks where so many cost too much."""
    retry_pauses: Sequence[float] = RETRY_PAUSES
    _layout: tuple[CachedPlan, RowLayout] | None = field(default=None, init=False)
    """The plan of the last page, and where its rows are."""
    _cursors: set[str | None] = field(default_factory=set, init=False)
    """Where the pages that were read end."""
    _prefetched: tuple[PagePosition, asyncio.Task[ExportPage]] | None = field(default=None, init=False)

    async def read_page(self, position: PagePosition) -> ExportPage:
        """Read the page at this position.

        Raises ExportStopped where the export cannot go on.
        """
        if self._prefetched is None or self._prefetched[0] != position:
            self.prefetch(position)
        assert self._prefetched is not None
        (_, task), self._prefetched = self._prefetched, None
        page = await task
        if page.rows and page.cursor in self._cursors:
            raise ExportStopped(ExportState.FAILED, "the list gave the same page again, so it would never end")
        self._cursors.add(page.cursor)
        return page

    def prefetch(self, position: PagePosition) -> None:
        """Begin to read a page that will be wanted."""
        self._prefetched = position, asyncio.create_task(self._read_with_retries(position))

    async def close(self) -> None:
        """Cancel the prefetched page and return once it has ended; its audit record is written all the same."""
        if self._prefetched is not None:
            (_, task), self._prefetched = self._prefetched, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _read_with_retries(self, position: PagePosition) -> ExportPage:
        for pause in self.retry_pauses:
            try:
                return await self._read_shrinking(position)
            except PageUnavailable:
                check_not_cancelled(self.host)
                await asyncio.sleep(pause)
        try:
            return await self._read_shrinking(position)
        except PageUnavailable as unavailable:
            raise ExportStopped(ExportState.FAILED, f"rows are missing: {unavailable.reason}") from None

    async def _read_shrinking(self, position: PagePosition) -> ExportPage:
        while True:
            size = self.page_size if position.rows_wanted is None else min(self.page_size, position.rows_wanted)
            try:
                return await self._read_once(position, size)
            except PageTooLarge:
                if size <= 1:
                    raise
                self.page_size = size // 2

    async def _read_once(self, position: PagePosition, size: int) -> ExportPage:
        if size == 0:
            return ExportPage(rows=(), cursor=position.after, is_last=True)
        request = self.query.build_page_request(size, position.after, position.key_range.before)
        try:
            principal = await self.executor.wait_for_budgets(self._load_principal)
            result = await self.executor.run(principal, request, surface=Surface.EXPORT)
        except AuditLogUnavailable as unavailable:
            raise PageUnavailable(str(unavailable)) from None
        layout = self._check_result(result)
        data = result.data or {}
        rows = extract_rows(data, layout)
        if len(rows) > size:
            raise ExportStopped(ExportState.FAILED, "the list gave more rows than it was asked for")
        cursor = (data[self.query.list_key][PAGE_ALIAS] or {}).get("endCursor")
        if rows and cursor is None:
            raise PageUnavailable("the list did not say where its page ends")
        return ExportPage(rows=rows, cursor=cursor or position.after, is_last=len(rows) < size)

    async def _load_principal(self) -> Principal:
        try:
            principal = await self.host.load_principal()
        except MetadataDatabaseUnavailable:
            raise PageUnavailable("keys cannot be checked now") from None
        if principal is None:
            raise ExportStopped(ExportState.REFUSED, ACCESS_LOST)
        return principal

    def _check_result(self, result: ExecutionResult) -> RowLayout:
        """Return where the rows are, once every planned column is allowed and nothing is missing from them."""
        if result.cached_plan is None or result.rejected:
            raise _map_page_error(result.errors[0])
        layout = self._find_layout(result.cached_plan)
        lost = find_lost_column(self.plan.columns, layout.columns)
        if lost is not None:
            omitted = list_omitted_columns(layout.denied, result.cached_plan.decisions, result.errors)
            reason = {column.name: column.reason for column in omitted}.get(lost, "its group was left")
            raise ExportStopped(ExportState.REFUSED, f"`{lost}` may not be read any more: {reason}")
        expected = {column.position for column in self.plan.omitted_columns}
        for error in result.errors:
            if error.code is not ErrorCode.FORBIDDEN:
                raise _map_page_error(error)
            if str((error.extensions or {}).get("position")) not in expected:
                raise ExportStopped(ExportState.REFUSED, error.message)
        if result.data is None or result.data.get(self.query.list_key) is None:
            raise ExportStopped(ExportState.FAILED, f"`{self.query.list_key}` gave nothing, and did not say why")
        return layout

    def _find_layout(self, cached_plan: CachedPlan) -> RowLayout:
        if self._layout is None or self._layout[0] is not cached_plan:
            self._layout = cached_plan, build_row_layout(cached_plan.fields, cached_plan.decisions)
        return self._layout[1]


def build_page_reader(
    executor: AuditedExecutor, host: ExportHost, plan: ExportPlan, retry_pauses: Sequence[float] = RETRY_PAUSES
) -> PageReader:
    """Build a reader that begins with as many rows a page as a query may request."""
    limits = executor.engine.catalog.limits
    try:
        query = build_paged_query(plan.request, limits)
    except RequestRejected as rejection:
        raise _map_page_error(rejection.errors[0]) from None
    return PageReader(
        executor=executor,
        host=host,
        plan=plan,
        query=query,
        page_size=limits.first_max,
        retry_pauses=retry_pauses,
    )


def advance(position: PagePosition, page: ExportPage) -> PagePosition:
    """Return the position after the page."""
    rows_left = None if position.rows_wanted is None else position.rows_wanted - len(page.rows)
    return replace(position, after=page.cursor, rows_wanted=rows_left)


def check_not_cancelled(host: ExportHost) -> None:
    if host.is_cancelled():
        raise ExportStopped(ExportState.CANCELLED, "it was cancelled")


def _map_page_error(error: GraphQLErrorInfo) -> Exception:
    """Return what to raise for an error of a page."""
    if error.code is ErrorCode.FORBIDDEN:
        return ExportStopped(ExportState.REFUSED, error.message)
    if error.code is ErrorCode.INTERNAL:
        return ExportStopped(ExportState.FAILED, error.message)
    if error.code is ErrorCode.BAD_CURSOR:
        return ExportStopped(ExportState.FAILED, "what can be asked has changed since the export began: start it again")
    if error.code is ErrorCode.LIMIT_EXCEEDED:
        return PageTooLarge(error.message)
    if error.code in RETRYABLE_CODES:
        return PageUnavailable(error.message)
    return ExportStopped(ExportState.FAILED, f"rows are missing: {error.message}")
