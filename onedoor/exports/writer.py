"""Pages -> parts, resumable."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from auth.authentication import Principal
from onedoor.audit.log import AuditLogUnavailable
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.exports.audited_query import AuditedExecutor, execute_audited
from onedoor.exports.models import (
    ExportColumn,
    ExportHost,
    ExportPart,
    ExportPlan,
    ExportResult,
    ExportState,
    ExportStopped,
    ExportStore,
    ExportSummary,
    Format,
    KeyRange,
)
from onedoor.exports.plan import (
    PAGE_ALIAS,
    PagedQuery,
    RowLayout,
    build_paged_query,
    build_row_layout,
    find_lost_column,
    list_omitted_columns,
)
from onedoor.exports.storage import build_export_files, hash_file
from onedoor.query.context import CachedPlan, ExecutionResult
from onedoor.storage.database import MetadataDatabaseUnavailable

ColumnValues = Sequence[Any]


def extract_rows(data: Mapping[str, Any], layout: RowLayout) -> list[dict[str, Any]]:
    """The rows of one answer's data."""
    listed: Any = data
    for key in layout.path:
        listed = listed[key]
    return listed if layout.node_key is None else [each[layout.node_key] for each in listed]


def extract_columns(rows: Sequence[Mapping[str, Any]], columns: Sequence[ExportColumn]) -> list[ColumnValues]:
    """By column, a value for each row: of lists of rows, a list of objects by the names of its inner columns."""
    levels: dict[tuple[str, ...], ColumnValues] = {(): rows}
    return [_nest_objects(_read_path(levels, each.path), each) for each in columns]


def build_objects(rows: Sequence[Mapping[str, Any]], columns: Sequence[ExportColumn]) -> list[dict[str, Any]]:
    names = [each.name for each in columns]
    return [dict(zip(names, each, strict=True)) for each in zip(*extract_columns(rows, columns), strict=True)]


def _read_path(levels: dict[tuple[str, ...], ColumnValues], path: tuple[str, ...]) -> ColumnValues:
    """What stands at a path in each row; below a null, and in rows of a type that has no such field, null."""
    known = levels.get(path)
    if known is None:
        above, key = _read_path(levels, path[:-1]), path[-1]
        try:
            known = [each[key] for each in above]
        except (KeyError, TypeError):
            known = [None if each is None else each.get(key) for each in above]
        levels[path] = known
    return known


def _nest_objects(column: ColumnValues, of: ExportColumn) -> ColumnValues:
    if not of.inner:
        return column
    return [
        None if each is None else build_objects([row for row in each if row is not None], of.inner) for each in column
    ]


RETRY_PAUSES = (0.1, 0.3, 1.0, 3.0, 5.0, 5.0)
"""Seconds before a page that did not come is asked again; after them the export fails."""

RETRYABLE_ERRORS = frozenset(
    {ErrorCode.SOURCE_UNAVAILABLE, ErrorCode.SOURCE_OVERLOADED, ErrorCode.RATE_LIMITED, ErrorCode.AUDIT_UNAVAILABLE}
)
"""What may go better a moment later."""

ACCESS_LOST = "who started the export is shut out, or their key opens no more"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPage:
    rows: Sequence[dict[str, Any]]
    cursor: str | None
    """Of its last row."""
    is_last: bool
    """No row follows."""


PagePosition: TypeAlias = tuple[KeyRange, str | None, int | None]
"""A range, the cursor of the row before, and how many rows are still wanted of it; None: all."""


class PageUnavailable(Exception):
    """The page did not come; it may, if it is asked for again, or for less."""

    def __init__(self, reason: str, *, ask_for_less: bool) -> None:
        super().__init__(reason)
        self.reason, self.less = reason, ask_for_less


@dataclass(slots=True, kw_only=True)
class PageReader:
    """The pages of one stated export, one after another."""

    executor: AuditedExecutor
    host: ExportHost
    plan: ExportPlan
    query: PagedQuery
    page_size: int
    """The most rows asked for at once; it shrinks where so many cost too much."""
    known_layout: dict[int, tuple[CachedPlan, RowLayout]] = field(default_factory=dict)
    """By id of what a question came to, where its rows are: the last one alone."""
    prefetched: tuple[PagePosition, asyncio.Task[ExportPage]] | None = None
    """The page that is asked for while the one before it is written."""

    async def read_page(self, position: PagePosition) -> ExportPage:
        """Raises Stopped where the export cannot go on."""
        if self.prefetched is None or self.prefetched[0] != position:
            self.prefetch(position)
        assert self.prefetched is not None
        (_, coming), self.prefetched = self.prefetched, None
        return await coming

    def prefetch(self, position: PagePosition) -> None:
        """Begins to ask for a page that will be wanted."""
        self.prefetched = position, asyncio.create_task(self.read_with_retries(*position))

    async def close(self) -> None:
        """What was asked for ahead and is not wanted ends before this returns; its record is made all the same."""
        if self.prefetched is not None:
            self.prefetched[1].cancel()
            await asyncio.gather(self.prefetched[1], return_exceptions=True)
            self.prefetched = None

    async def read_with_retries(self, key_range: KeyRange, after: str | None, row_limit: int | None) -> ExportPage:
        for pause in (*RETRY_PAUSES, None):
            try:
                return await self.read_shrinking(key_range, after, row_limit)
            except PageUnavailable as reason:
                if pause is None:
                    raise ExportStopped(ExportState.FAILED, f"rows are missing: {reason.reason}") from None
            await self.wait_before_retry(pause)
        raise AssertionError("unreachable")

    async def wait_before_retry(self, seconds: float) -> None:
        if self.host.is_cancelled():
            raise ExportStopped(ExportState.CANCELLED, "it was cancelled")
        await asyncio.sleep(seconds)

    async def read_shrinking(self, key_range: KeyRange, after: str | None, row_limit: int | None) -> ExportPage:
        while True:
            size = self.page_size if row_limit is None else min(self.page_size, row_limit)
            try:
                return await self.read_once(key_range, after, size)
            except PageUnavailable as reason:
                if not reason.less or size <= 1:
                    raise
                self.page_size = size // 2

    async def read_once(self, key_range: KeyRange, after: str | None, size: int) -> ExportPage:
        if size == 0:
            return ExportPage(rows=(), cursor=after, is_last=True)
        try:
            told = await execute_audited(
                self.executor, await self.load_principal(), self.query.build_page_request(size, after, key_range.before)
            )
        except AuditLogUnavailable as reason:
            raise PageUnavailable(str(reason), ask_for_less=False) from None
        where = self.check_result(told)
        listed = (told.data or {})[self.query.list_key]
        came = extract_rows(told.data or {}, where)
        if len(came) > size:
            raise ExportStopped(ExportState.FAILED, "the list gave more rows than it was asked for")
        end = (listed[PAGE_ALIAS] or {}).get("endCursor")
        if came and end is None:
            raise PageUnavailable("the list did not say where its page ends", ask_for_less=False)
        return ExportPage(rows=came, cursor=end or after, is_last=len(came) < size)

    async def load_principal(self) -> Principal:
        """As the key stands now."""
        try:
            caller = await self.host.load_principal()
        except MetadataDatabaseUnavailable:
            raise PageUnavailable("keys cannot be checked now", ask_for_less=False) from None
        if caller is None:
            raise ExportStopped(ExportState.REFUSED, ACCESS_LOST)
        return caller

    def check_result(self, result: ExecutionResult) -> RowLayout:
        """Where the rows of an answer are, if it is whole: all columns still allowed, and nothing of them missing."""
        if result.cached_plan is None or result.rejected:
            raise _map_page_error(result.errors[0])
        where = self.find_layout(result.cached_plan)
        gone = find_lost_column(self.plan.columns, where.columns)
        if gone is not None:
            reasons = {
                each.name: each.reason
                for each in list_omitted_columns(where.denied, result.cached_plan.decisions, result.errors)
            }
            raise ExportStopped(
                ExportState.REFUSED, f"`{gone}` may be seen no longer: {reasons.get(gone, 'its group was left')}"
            )
        known = {each.position for each in self.plan.left_out}
        for each in result.errors:
            if each.code is not ErrorCode.FORBIDDEN:
                raise _map_page_error(each)
            if str((each.extensions or {}).get("position")) not in known:
                raise ExportStopped(ExportState.REFUSED, each.message)
        if result.data is None or result.data.get(self.query.list_key) is None:
            raise ExportStopped(ExportState.FAILED, f"`{self.query.list_key}` gave nothing, and did not say why")
        return where

    def find_layout(self, compiled: CachedPlan) -> RowLayout:
        known = self.known_layout.get(id(compiled))
        if known is None:
            known = compiled, build_row_layout(compiled.fields, compiled.decisions)
            self.known_layout = {id(compiled): known}
        return known[1]


def build_page_reader(executor: AuditedExecutor, host: ExportHost, plan: ExportPlan) -> PageReader:
    """Begins with as many rows as anybody may ask for at once."""
    house = executor.engine.catalog
    try:
        one = build_paged_query(plan.wish, house.limits)
    except RequestRejected as refusal:
        raise _map_page_error(refusal.errors[0]) from None
    return PageReader(executor=executor, host=host, plan=plan, query=one, page_size=house.limits.first_max)


def _map_page_error(fault: GraphQLErrorInfo) -> Exception:
    if fault.code is ErrorCode.FORBIDDEN:
        return ExportStopped(ExportState.REFUSED, fault.message)
    if fault.code is ErrorCode.BAD_CURSOR:
        return ExportStopped(ExportState.FAILED, "what can be asked has changed since the export began: start it again")
    if fault.code in RETRYABLE_ERRORS or fault.code is ErrorCode.LIMIT_EXCEEDED:
        return PageUnavailable(fault.message, ask_for_less=fault.code is ErrorCode.LIMIT_EXCEEDED)
    return ExportStopped(ExportState.FAILED, f"rows are missing: {fault.message}")


PART_ROWS = 100_000

PART_BYTES = 64 * 2**20
"""Where a part ends: at whichever comes first. A process that dies loses no more work than this."""

OTHERS_POLL_SECONDS = 0.2
"""How often who has no range left looks what became of those of others."""


class PartWriter(Protocol):
    """Writes one part."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """About how many bytes the part has now."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRun:
    """One export, as one process runs it."""

    executor: AuditedExecutor
    store: ExportStore
    host: ExportHost
    plan: ExportPlan
    part_rows: int = PART_ROWS


async def run_export(run: ExportRun) -> ExportSummary:
    """Returns when it has ended, by this process or by another."""
    id, store = run.plan.id, run.store
    try:
        while store.load_result(id) is None:
            if not await _export_free_range(run):
                if all(_is_done(store.list_parts(id, each.number)) for each in run.plan.ranges):
                    store.add_result(id, ExportResult(state=ExportState.DONE))
                else:
                    await _wait_for_others(run)
    except ExportStopped as stopped:
        store.add_result(id, ExportResult(state=stopped.state, reason=stopped.reason))
    return summarize_export(run.store, run.plan)


def cancel_export(store: ExportStore, id: str) -> ExportResult:
    """Whoever runs it stops at the next page; what was written stays unread."""
    return store.add_result(id, ExportResult(state=ExportState.CANCELLED, reason="it was cancelled"))


def summarize_export(store: ExportStore, plan: ExportPlan) -> ExportSummary:
    """Of an export that ended."""
    ending = store.load_result(plan.id)
    assert ending is not None
    parts = [part for each in plan.ranges for part in store.list_parts(plan.id, each.number)]
    return ExportSummary(
        id=plan.id,
        state=ending.state,
        reason=ending.reason,
        rows=sum(each.rows for each in parts),
        files=build_export_files(plan, parts) if ending.state is ExportState.DONE else (),
        left_out=plan.left_out,
    )


def _is_done(parts: Sequence[ExportPart]) -> bool:
    return bool(parts) and parts[-1].last


async def _export_free_range(run: ExportRun) -> bool:
    """Does the first range that nobody does; False: there is none."""
    for each in run.plan.ranges:
        if _is_done(run.store.list_parts(run.plan.id, each.number)):
            continue
        with run.store.claim_range(run.plan.id, each.number) as ours:
            if ours and not _is_done(run.store.list_parts(run.plan.id, each.number)):
                await _export_range(run, each)
                return True
    return False


async def _wait_for_others(run: ExportRun) -> None:
    if run.host.is_cancelled():
        raise ExportStopped(ExportState.CANCELLED, "it was cancelled")
    await asyncio.sleep(OTHERS_POLL_SECONDS)


async def _export_range(run: ExportRun, of: KeyRange) -> None:
    """From where its manifest ends to its last row, or until the export has ended elsewhere."""
    id, store = run.plan.id, run.store
    await asyncio.to_thread(store.sweep_range, id, of.number)
    parts = list(store.list_parts(id, of.number))
    asking = build_page_reader(run.executor, run.host, run.plan)
    try:
        await _write_parts(run, of, asking, parts)
    finally:
        await asking.close()


async def _write_parts(run: ExportRun, of: KeyRange, asking: PageReader, parts: list[ExportPart]) -> None:
    while not _is_done(parts):
        part = await _write_part(run, of, asking, parts)
        if part is None:
            return
        parts.append(part)
        done = (each.rows for every in run.plan.ranges for each in run.store.list_parts(run.plan.id, every.number))
        await run.host.report_progress(sum(done), run.plan.rows)


async def _write_part(
    run: ExportRun, of: KeyRange, asking: PageReader, before: Sequence[ExportPart]
) -> ExportPart | None:
    """The next part, durable; None where the export has ended meanwhile.

    While a page is written the next is asked for, be it of the next part.
    """
    number, place = len(before) + 1, run.store.new_part_path(run.plan.id, of.number)
    after = before[-1].cursor if before else of.after
    left = None if asking.query.total is None else asking.query.total - sum(each.rows for each in before)
    writer = await asyncio.to_thread(_open_writer, place, run.plan, (of.number, number) == (1, 1))
    written, rows, last = 0, 0, False
    try:
        while not last and rows < run.part_rows and written < PART_BYTES:
            if _has_ended(run):
                return None
            page = await asking.read_page((of, after, left))
            after, rows, left = page.cursor, rows + len(page.rows), None if left is None else left - len(page.rows)
            last = page.is_last or left == 0
            if not last:
                asking.prefetch((of, after, left))
            written = await asyncio.to_thread(writer.write, page.rows)
    finally:
        await asyncio.to_thread(writer.close)
    told = {"range": of.number, "number": number, "rows": rows, "cursor": after, "last": last}
    return await asyncio.to_thread(partial(_keep_part, run, place, **told))


def _has_ended(run: ExportRun) -> bool:
    """Whether it has ended meanwhile, by another process; raises Stopped where nobody wants it."""
    if run.host.is_cancelled():
        raise ExportStopped(ExportState.CANCELLED, "it was cancelled")
    return run.store.load_result(run.plan.id) is not None


def _keep_part(run: ExportRun, place: Path, **told: Any) -> ExportPart:
    part = ExportPart(bytes=place.stat().st_size, sha256=hash_file(place), **told)
    run.store.keep_part(run.plan.id, part, place)
    return part


WRITER_MODULES: Mapping[Format, str] = {
    Format.CSV: "onedoor.exports.formats",
    Format.JSONL: "onedoor.exports.formats",
    Format.PARQUET: "onedoor.exports.formats",
    Format.ARROW: "onedoor.exports.formats",
}
"""Imported when a format is first written: not every door has what its libraries take."""


def _open_writer(path: Path, stated: ExportPlan, head: bool) -> PartWriter:
    format = stated.wish.format
    made: Callable[..., PartWriter] = import_module(WRITER_MODULES[format]).Writer
    return made(path, stated.columns, head, format)
