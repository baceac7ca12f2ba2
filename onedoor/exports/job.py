"""The export job, its mutation, downloads."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from auth.authentication import Principal, is_valid_key, look_up_key
from auth.policy import EVERYONE
from onedoor.errors import ConnectorError, ErrorCode, RequestRejected
from onedoor.exports.audited_query import AuditedExecutor
from onedoor.exports.models import (
    ExportFile,
    ExportPlan,
    ExportRequest,
    ExportState,
    ExportStore,
    ExportSummary,
    Format,
)
from onedoor.exports.plan import build_row_layout, find_lost_column, start_export, validate_export
from onedoor.exports.writer import ExportRun, run_export, summarize_export
from onedoor.jobs import service as jobs_service
from onedoor.jobs.codecs import described
from onedoor.jobs.context import JobContext
from onedoor.jobs.declarations import Job, Retries
from onedoor.jobs.models import JobFailed, JobRefused
from onedoor.jobs.service import JobService
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.query.context import ExecutionResult

EXPORT_JOB, SHARE_JOB = "Export", "ExportShare"

MAX_SHARES = 3
"""Workers that an export in several ranges asks for, beside the one that runs it."""

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportInput:
    """A question, and how its rows are written."""

    query: str = described("The question: one list at its root.", label="query")
    variables: Mapping[str, Any] | None = described("Its variables.", default=None, label="variables")
    operation_name: str | None = described(
        "Which operation of the document, where it has several.", default=None, label="operationName"
    )
    format: Format = described("What the files are.", label="format", kind="Format")
    all_or_nothing: bool = described("Refused where any of it is withheld.", default=False, label="allOrNothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOutput:
    """What came of it."""

    rows: int = described("How many rows there are in all files.", label="rows")
    files: tuple[str, ...] = described(
        "Where each file is downloaded, with the key of who started the export.", label="files"
    )
    left_out: tuple[str, ...] = described(
        "What was asked for and is in no file, each with its reason.", label="leftOut"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportShareInput:
    """Which export is shared."""

    export: str = described("Its id.", label="export")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobExportHost:
    """A job as an export knows it."""

    context: JobContext

    async def load_principal(self) -> Principal | None:
        """Who started it, while their key opens the door, too; a schedule has none."""
        try:
            caller = await self.context.load_principal()
        except JobRefused:
            return None
        key = self.context.run.key_id
        found = await self.context.database.run_in_db_thread(look_up_key, key) if key else None
        shut = key and (found is None or not is_valid_key(found, self.context.database.metadata.now()))
        return None if shut else caller

    def is_cancelled(self) -> bool:
        """A job is cancelled where it waits; one that moves to another worker goes on there."""
        return False

    async def report_progress(self, rows: int, total: int | None) -> None:
        self.context.report_progress(rows, total)


def declare_export_jobs(store: ExportStore, kept_days: float = 30.0) -> tuple[Job, ...]:
    """Everybody may export what they may ask; a share of an export is started by the export alone."""

    async def run(context: JobContext, given: ExportInput) -> ExportOutput:
        await asyncio.to_thread(store.delete_before, context.database.metadata.now() - timedelta(days=kept_days))
        try:
            stated = await start_export(
                _build_executor(context), store, await context.load_principal(), context.id, parse_job_input(given)
            )
        except RequestRejected as refusal:
            raise _map_rejection(refusal) from None
        shares = range(min(MAX_SHARES, len(stated.ranges) - 1))
        begun = [
            await context.start_child(SHARE_JOB, ExportShareInput(export=stated.id), str(number)) for number in shares
        ]
        made = await _export(context, stated)
        await context.wait_for_children(begun)
        return _build_output(made)

    async def share(context: JobContext, given: ExportShareInput) -> None:
        stated = store.load_plan(given.export) if given.export == context.run.parent_id else None
        if stated is None:
            raise JobFailed("there is no such export", retryable=False)
        await _export(context, stated)

    async def _export(context: JobContext, stated: ExportPlan) -> ExportSummary:
        return await run_export(
            ExportRun(executor=_build_executor(context), store=store, host=JobExportHost(context=context), plan=stated)
        )

    everyone, nobody = frozenset({EVERYONE}), frozenset[str]()
    again, listed = Retries(times=5, first_seconds=1.0), False
    return (
        Job(name=EXPORT_JOB, description="Any question's rows, as files.", owner=EVERYONE, may_start=everyone, may_see=nobody,
            input=ExportInput, result=ExportOutput, run=run, timeout_seconds=DAY_SECONDS, retries=again, has_mutation=listed),
        Job(name=SHARE_JOB, description="Ranges of an export's rows.", owner=EVERYONE, may_start=everyone, may_see=nobody,
            input=ExportShareInput, run=share, timeout_seconds=DAY_SECONDS, retries=again, has_mutation=listed),
    )  # fmt: skip


def build_export_action(service: JobService, executor: AuditedExecutor) -> Action:
    """`exportQuery(input: {query, variables, operationName, format, allOrNothing, idempotencyKey, reason})`.

    What cannot be exported is refused here, before there is a job.
    """
    begin = jobs_service.build_start_action(service, EXPORT_JOB)

    async def action(act: ActionCall) -> ActionResult:
        given = act.arguments["input"]
        try:
            await validate_export(executor, act.principal, _parse_mutation_fields(given))
        except RequestRejected as refusal:
            raise ConnectorError(refusal.errors[0].message, refusal.errors[0].code) from None
        return await begin(act)

    return action


def parse_job_input(job_input: ExportInput) -> ExportRequest:
    return ExportRequest(
        text=job_input.query,
        variables=job_input.variables or {},
        operation=job_input.operation_name,
        format=job_input.format,
        all_or_nothing=job_input.all_or_nothing,
    )


def _parse_mutation_fields(given: Mapping[str, Any]) -> ExportRequest:
    return ExportRequest(
        text=given["query"],
        variables=given.get("variables") or {},
        operation=given.get("operationName"),
        format=Format(given["format"]),
        all_or_nothing=bool(given.get("allOrNothing")),
    )


def _build_executor(context: JobContext) -> AuditedExecutor:
    asking = context.executor
    return AuditedExecutor(engine=asking.engine, audit_log=asking.audit_log, redaction_key=asking.redaction_key)


def _map_rejection(refusal: RequestRejected) -> Exception:
    first = refusal.errors[0]
    return JobRefused(first.message) if first.code is ErrorCode.FORBIDDEN else JobFailed(first.message, retryable=False)


def _build_output(made: ExportSummary) -> ExportOutput:
    if made.state is ExportState.REFUSED:
        raise JobRefused(made.reason or "it is refused")
    if made.state is not ExportState.DONE:
        raise JobFailed(made.reason or "it failed", retryable=False)
    return ExportOutput(
        rows=made.rows,
        files=tuple(f"/exports/{made.id}/{each.name}" for each in made.files),
        left_out=tuple(f"{each.name}: {each.reason}" for each in made.left_out),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    file: ExportFile
    chunks: AsyncIterator[bytes]
    """Raises Stopped where a part is not what was written."""


async def open_download(
    executor: AuditedExecutor, store: ExportStore, principal: Principal, id: str, name: str
) -> Download | None:
    """None: there is no such file, or it is not for this caller, who is told no more than that.

    The record says which fields the file shows them, and how many bytes. Where the file is not for them now, it says
    what is withheld. Where there is none, or it is another's, nothing is recorded here.
    """
    stated = store.load_plan(id)
    file = None if stated is None or stated.person != principal.person_id else find_export_file(store, stated, name)
    if stated is None or file is None:
        return None
    held = stated, file

    def reads(told: ExecutionResult) -> int | None:
        compiled = told.cached_plan
        now = () if compiled is None else build_row_layout(compiled.fields, compiled.decisions).columns
        return held[1].bytes if now and find_lost_column(held[0].columns, now) is None else None

    try:
        await validate_export(executor, principal, stated.wish, reads)
    except RequestRejected:
        return None
    return Download(file=file, chunks=_read_export_file(store, stated, file))


def find_export_file(store: ExportStore, plan: ExportPlan, name: str) -> ExportFile | None:
    """The file of this name, of an export that is done."""
    ended = store.load_result(plan.id)
    if ended is None or ended.state is not ExportState.DONE:
        return None
    return next((each for each in summarize_export(store, plan).files if each.name == name), None)


async def _read_export_file(store: ExportStore, stated: ExportPlan, file: ExportFile) -> AsyncIterator[bytes]:
    for part in file.parts:
        async for chunk in store.read_part(stated.id, part):
            yield chunk
