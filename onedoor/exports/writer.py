"""Write the rows of an export into parts that are durable one by one, so that any process can go on after another.

A range is written by whoever holds its claim. A process that dies loses its claim, and the next one goes on after the
last part that the manifest of the range names.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from onedoor.exports.formats import CsvWriter, JsonLinesWriter
from onedoor.exports.models import (
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
from onedoor.exports.pages import (
    RETRY_PAUSES,
    PagePosition,
    PageReader,
    advance,
    build_page_reader,
    check_not_cancelled,
)
from onedoor.exports.storage import build_export_files, hash_file
from onedoor.query.audited import AuditedExecutor

PART_ROWS = 100_000

PART_BYTES = 64 * 2**20
"""A part ends at PART_ROWS or PART_BYTES, whichever comes first: a process that dies loses no more work than that."""

OTHERS_POLL_SECONDS = 0.2
"""How often a process without a free range looks whether the others have ended theirs."""


class PartWriter(Protocol):
    """Writes one part."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write the rows and return about how many bytes the part has now."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRun:
    """One export as one process runs it."""

    executor: AuditedExecutor
    store: ExportStore
    host: ExportHost
    plan: ExportPlan
    part_rows: int = PART_ROWS
    retry_pauses: Sequence[float] = RETRY_PAUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRows:
    """The rows that were written to a part which is not stored yet, and the position after them."""

    rows: int
    position: PagePosition
    is_last: bool


async def run_export(run: ExportRun) -> ExportSummary:
    """Return when the export has ended, in this process or another."""
    id, store = run.plan.id, run.store
    try:
        while store.load_result(id) is None:
            if await _export_free_range(run):
                continue
            if all(_is_done(store.list_parts(id, key_range.number)) for key_range in run.plan.ranges):
                store.add_result(id, ExportResult(state=ExportState.DONE))
                continue
            check_not_cancelled(run.host)
            await asyncio.sleep(OTHERS_POLL_SECONDS)
    except ExportStopped as stopped:
        store.add_result(id, ExportResult(state=stopped.state, reason=stopped.reason))
    return summarize_export(store, run.plan)


def cancel_export(store: ExportStore, id: str) -> ExportResult:
    """End the export: whoever runs it stops at the next page, and its parts are never read."""
    return store.add_result(id, ExportResult(state=ExportState.CANCELLED, reason="it was cancelled"))


def summarize_export(store: ExportStore, plan: ExportPlan) -> ExportSummary:
    """Summarize an export that has ended."""
    result = store.load_result(plan.id)
    assert result is not None
    parts = _list_all_parts(store, plan)
    return ExportSummary(
        id=plan.id,
        state=result.state,
        reason=result.reason,
        rows=sum(part.rows for part in parts),
        files=build_export_files(plan, parts) if result.state is ExportState.DONE else (),
        omitted_columns=plan.omitted_columns,
    )


def _list_all_parts(store: ExportStore, plan: ExportPlan) -> list[ExportPart]:
    return [part for key_range in plan.ranges for part in store.list_parts(plan.id, key_range.number)]


def _is_done(parts: Sequence[ExportPart]) -> bool:
    return bool(parts) and parts[-1].is_last


async def _export_free_range(run: ExportRun) -> bool:
    """Export the first range that no process holds; False: there is none."""
    for key_range in run.plan.ranges:
        if _is_done(run.store.list_parts(run.plan.id, key_range.number)):
            continue
        with run.store.claim_range(run.plan.id, key_range.number) as claimed:
            if claimed and not _is_done(run.store.list_parts(run.plan.id, key_range.number)):
                await _export_range(run, key_range)
                return True
    return False


async def _export_range(run: ExportRun, key_range: KeyRange) -> None:
    """Write the parts that the range lacks, or return when the export has ended elsewhere."""
    id, store = run.plan.id, run.store
    await asyncio.to_thread(store.sweep_range, id, key_range.number)
    parts = list(store.list_parts(id, key_range.number))
    reader = build_page_reader(run.executor, run.host, run.plan, run.retry_pauses)
    try:
        while not _is_done(parts):
            part = await _write_part(run, key_range, reader, parts)
            if part is None:
                return
            parts.append(part)
            rows = sum(part.rows for part in _list_all_parts(store, run.plan))
            check_row_count(run.plan, rows)
            await run.host.report_progress(rows, run.plan.rows)
    finally:
        await reader.close()


ROW_COUNT_SLACK = 100_000
"""Rows that may have been added since an export counted them, where that is more than as many again."""


def check_row_count(plan: ExportPlan, rows: int) -> None:
    """Raise ExportStopped where a list gives so many more rows than it counted that it may never end."""
    if plan.rows is not None and rows > plan.rows + max(plan.rows, ROW_COUNT_SLACK):
        reason = f"the list gave {rows} rows and goes on, but counted {plan.rows} when the export began"
        raise ExportStopped(ExportState.FAILED, reason)


async def _write_part(
    run: ExportRun, key_range: KeyRange, reader: PageReader, earlier: Sequence[ExportPart]
) -> ExportPart | None:
    """Write the next part and return it once it is durable; None: the export has ended elsewhere."""
    number, path = len(earlier) + 1, run.store.new_part_path(run.plan.id, key_range.number)
    with_header = (key_range.number, number) == (1, 1)
    writer = await asyncio.to_thread(_open_part_writer, path, run.plan, with_header)
    try:
        written = await _write_pages(run, reader, writer, _find_position(key_range, reader, earlier))
    finally:
        await asyncio.to_thread(writer.close)
    if written is None:
        return None
    part = ExportPart(
        range_number=key_range.number,
        number=number,
        rows=written.rows,
        bytes=path.stat().st_size,
        sha256=await asyncio.to_thread(hash_file, path),
        cursor=written.position.after,
        is_last=written.is_last,
    )
    await asyncio.to_thread(run.store.add_part, run.plan.id, part, path)
    return part


def _find_position(key_range: KeyRange, reader: PageReader, earlier: Sequence[ExportPart]) -> PagePosition:
    """Return the position after the earlier parts of the range."""
    total = reader.query.total
    return PagePosition(
        key_range=key_range,
        after=earlier[-1].cursor if earlier else key_range.after,
        rows_wanted=None if total is None else total - sum(part.rows for part in earlier),
    )


async def _write_pages(
    run: ExportRun, reader: PageReader, writer: PartWriter, position: PagePosition
) -> WrittenRows | None:
    """Write pages until the part is full; None: the export has ended elsewhere.

    While a page is written the next one is read, also where that belongs to the next part.
    """
    rows, size, is_last = 0, 0, False
    while not is_last and rows < run.part_rows and size < PART_BYTES:
        check_not_cancelled(run.host)
        if run.store.load_result(run.plan.id) is not None:
            return None
        page = await reader.read_page(position)
        position, rows = advance(position, page), rows + len(page.rows)
        is_last = page.is_last or position.rows_wanted == 0
        if not is_last:
            reader.prefetch(position)
        size = await asyncio.to_thread(writer.write, page.rows)
    return WrittenRows(rows=rows, position=position, is_last=is_last)


def _open_part_writer(path: Path, plan: ExportPlan, with_header: bool) -> PartWriter:
    if plan.request.format is Format.CSV:
        return CsvWriter(path, plan.columns, with_header)
    if plan.request.format is Format.JSONL:
        return JsonLinesWriter(path, plan.columns)
    from onedoor.exports.arrow import ArrowWriter, ParquetWriter  # PyArrow is slow to import, and few servers need it

    return (ParquetWriter if plan.request.format is Format.PARQUET else ArrowWriter)(path, plan.columns)
