"""Run exports as jobs, start them by a mutation, and open their files for download."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from auth.api_keys import is_valid_key
from auth.authentication import Principal
from auth.grants import GrantEnded, HeldGrant
from auth.groups import EVERYONE
from onedoor.errors import ConnectorError, ErrorCode, RequestRejected
from onedoor.exports.columns import build_row_layout, find_lost_column
from onedoor.exports.models import (
    ExportFile,
    ExportPlan,
    ExportRequest,
    ExportState,
    ExportStopped,
    ExportStore,
    ExportSummary,
    Format,
)
from onedoor.exports.plan import RangeLimits, start_export, validate_export
from onedoor.exports.writer import ExportRun, run_export, summarize_export
from onedoor.jobs.codecs import described
from onedoor.jobs.context import JobContext
from onedoor.jobs.declarations import Job, Retries
from onedoor.jobs.models import JobFailed, JobRefused
from onedoor.jobs.service import JobService, build_start_action
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import ExecutionResult

EXPORT_JOB, SHARE_JOB = "Export", "ExportShare"

MAX_SHARES = 3
"""How many workers help with an export of several ranges, beside the one that runs it."""

TIMEOUT_SECONDS = 86_400.0

RETRIES = Retries(times=5, first_seconds=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportInput:
    """The input of the job `Export`."""

    query: str = described("The question: one list at its root.", label="query")
    variables: Mapping[str, Any] | None = described("Its variables.", default=None, label="variables")
    operation_name: str | None = described(
        "Which operation of the document, where it has several.", default=None, label="operationName"
    )
    format: Format = described("What the files are.", label="format", kind="Format")
    all_or_nothing: bool = described("Refused where any of it is withheld.", default=False, label="allOrNothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOutput:
    """The result of the job `Export`."""

    rows: int = described("How many rows there are in all files.", label="rows")
    files: tuple[str, ...] = described(
        "Where each file is downloaded, with the key of who started the export.", label="files"
    )
    left_out: tuple[str, ...] = described(
        "What was asked for and is in no file, each with its reason.", label="leftOut"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportShareInput:
    """The input of the job `ExportShare`, which exports ranges of an export that another job began."""

    export: str = described("Its id.", label="export")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobExportHost:
    """The `ExportHost` that a job is."""

    context: JobContext

    async def load_principal(self) -> Principal | None:
        """Return who started the job while their key is valid too; a schedule has no key."""
        try:
            principal = await self.context.load_principal()
        except JobRefused:
            return None
        key_id = self.context.run.key_id
        if not key_id:
            return principal
        return principal if await self.context.database.run_in_db_thread(is_valid_key, key_id) else None

    def is_cancelled(self) -> bool:
        """Return False: a job is cancelled where it waits, and one that moves to another worker goes on there."""
        return False

    async def report_progress(self, rows: int, total: int | None) -> None:
        self.context.report_progress(rows, total)


def declare_export_jobs(
    store: ExportStore, kept_days: float = 30.0, *, range_limits: RangeLimits | None = None
) -> tuple[Job, ...]:
    """Declare the jobs of exports. Everyone may export what they may query; only an export starts its shares."""

    async def export(context: JobContext, job_input: ExportInput) -> ExportOutput:
        oldest = context.database.metadata.now() - timedelta(days=kept_days)
        await asyncio.to_thread(store.delete_before, oldest)
        try:
            plan = await start_export(
                context.executor,
                store,
                await context.load_principal(),
                context.id,
                parse_job_input(job_input),
                range_limits=range_limits,
            )
        except RequestRejected as rejection:
            raise _map_rejection(rejection) from None
        share_input = ExportShareInput(export=plan.id)
        shares = [
            await context.start_child(SHARE_JOB, share_input, str(number))
            for number in range(min(MAX_SHARES, len(plan.ranges) - 1))
        ]
        summary = await _run_plan(context, store, plan)
        await context.wait_for_children(shares)
        return _build_output(summary)

    async def share(context: JobContext, job_input: ExportShareInput) -> None:
        plan = store.load_plan(job_input.export) if job_input.export == context.run.parent_id else None
        if plan is None:
            raise JobFailed("there is no such export", retryable=False)
        await _run_plan(context, store, plan)

    everyone, nobody = frozenset({EVERYONE}), frozenset[str]()
    return (
        Job(
            name=EXPORT_JOB,
            description="Any question's rows, as files.",
            owner=EVERYONE,
            may_start=everyone,
            may_see=nobody,
            input=ExportInput,
            result=ExportOutput,
            run=export,
            timeout_seconds=TIMEOUT_SECONDS,
            retries=RETRIES,
            has_mutation=False,
        ),
        Job(
            name=SHARE_JOB,
            description="Ranges of an export's rows.",
            owner=EVERYONE,
            may_start=everyone,
            may_see=nobody,
            input=ExportShareInput,
            run=share,
            timeout_seconds=TIMEOUT_SECONDS,
            retries=RETRIES,
            has_mutation=False,
        ),
    )


async def _run_plan(context: JobContext, store: ExportStore, plan: ExportPlan) -> ExportSummary:
    host = JobExportHost(context=context)
    return await run_export(ExportRun(executor=context.executor, store=store, host=host, plan=plan))


def build_export_action(service: JobService, executor: AuditedExecutor) -> Action:
    """Build the action of `exportQuery(input: {query, variables, operationName, format, allOrNothing, ...})`.

    A request that cannot be exported is rejected before there is a job.
    """
    start = build_start_action(service, EXPORT_JOB)

    async def export_query(call: ActionCall, /) -> ActionResult:
        request = _parse_mutation_input(call.arguments["input"])
        try:
            await validate_export(executor, call.principal, request)
        except RequestRejected as rejection:
            raise ConnectorError(rejection.errors[0].message, rejection.errors[0].code) from None
        return await start(call)

    return export_query


def parse_job_input(job_input: ExportInput) -> ExportRequest:
    return ExportRequest(
        text=job_input.query,
        variables=job_input.variables or {},
        operation=job_input.operation_name,
        format=job_input.format,
        all_or_nothing=job_input.all_or_nothing,
    )


def _parse_mutation_input(fields: Mapping[str, Any]) -> ExportRequest:
    return ExportRequest(
        text=fields["query"],
        variables=fields.get("variables") or {},
        operation=fields.get("operationName"),
        format=Format(fields["format"]),
        all_or_nothing=bool(fields.get("allOrNothing")),
    )


def _map_rejection(rejection: RequestRejected) -> Exception:
    error = rejection.errors[0]
    return JobRefused(error.message) if error.code is ErrorCode.FORBIDDEN else JobFailed(error.message, retryable=False)


def _build_output(summary: ExportSummary) -> ExportOutput:
    if summary.state is ExportState.REFUSED:
        raise JobRefused(summary.reason or "it is refused")
    if summary.state is not ExportState.DONE:
        raise JobFailed(summary.reason or "it failed", retryable=False)
    return ExportOutput(
        rows=summary.rows,
        files=tuple(f"/exports/{summary.id}/{file.name}" for file in summary.files),
        left_out=tuple(f"{column.name}: {column.reason}" for column in summary.omitted_columns),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    file: ExportFile
    chunks: AsyncIterator[bytes]
    """Raises ExportStopped where a part is not what was written."""


async def open_download(
    executor: AuditedExecutor, store: ExportStore, principal: Principal, id: str, name: str
) -> Download | None:
    """Open a file of an export for whoever started it, with their present permissions.

    None: there is no such file, or it is not for this principal, who learns no more than that. The audit record says
    which fields the file shows, and how many bytes it has, or which fields are denied now. A file that does not exist
    or is another person's is recorded by the caller.
    """
    plan = store.load_plan(id)
    file = None if plan is None or plan.person != principal.person_id else find_export_file(store, plan, name)
    if plan is None or file is None:
        return None
    planned_columns, size = plan.columns, file.bytes

    def count_served_bytes(result: ExecutionResult) -> int | None:
        cached_plan = result.cached_plan
        columns = () if cached_plan is None else build_row_layout(cached_plan.fields, cached_plan.decisions).columns
        return size if columns and find_lost_column(planned_columns, columns) is None else None

    try:
        await validate_export(executor, principal, plan.request, count_served_bytes)
    except RequestRejected:
        return None
    chunks = _read_export_file(store, plan, file)
    return Download(
        file=file, chunks=_stop_when_ended(executor, principal.grants, chunks) if principal.grants else chunks
    )


def find_export_file(store: ExportStore, plan: ExportPlan, name: str) -> ExportFile | None:
    """Return the file of this name, if the export is done."""
    result = store.load_result(plan.id)
    if result is None or result.state is not ExportState.DONE:
        return None
    return next((file for file in summarize_export(store, plan).files if file.name == name), None)


async def _stop_when_ended(
    executor: AuditedExecutor, held: Sequence[HeldGrant], chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Yield what is read while the grants are held. Raises ExportStopped at the first chunk after."""
    async for chunk in chunks:
        ended = await executor.engine.find_ended_grants(held)
        if ended:
            raise ExportStopped(ExportState.REFUSED, GrantEnded(ended[0]).reason)
        yield chunk


async def _read_export_file(store: ExportStore, plan: ExportPlan, file: ExportFile) -> AsyncIterator[bytes]:
    for part in file.parts:
        async for chunk in store.read_part(plan.id, part):
            yield chunk
