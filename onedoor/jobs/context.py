"""JobContext: steps, query(), log; buffering."""

import asyncio
import inspect
import re
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Protocol

import orjson

from auth.authentication import Principal
from onedoor.audit.log import AuditLog
from onedoor.audit.record import RANDOM_BYTES, AuditOutcome, build_record_id
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.jobs import codecs, store
from onedoor.jobs.models import ChildResult, JobFailed, JobLogLine, JobRun, JobSettings, LineKind, Notifier
from onedoor.jobs.store import JobFileData
from onedoor.jobs.tables import JobDatabase
from onedoor.query.audited import RequestFacts, build_audit_record, classify_outcome
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, get_partial_result
from onedoor.query.engine import execute

FLUSH_SECONDS = 0.1

MAX_WAITING_LINES = 500
"""Lines that wait to be kept; a script that writes more waits, of a function's own the oldest are dropped."""

UNSAFE_TEXT = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would act on, or a database refuses."""


def replace_unsafe_text(text: str) -> str:
    return UNSAFE_TEXT.sub("\ufffd", text)


@dataclass(slots=True, kw_only=True)
class ProgressBuffer:
    """What one run has to say."""

    database: JobDatabase
    run: JobRun
    settings: JobSettings
    notifier: Notifier
    lines: deque[JobLogLine] = field(default_factory=lambda: deque(maxlen=MAX_WAITING_LINES * 2))
    progress: tuple[float, float | None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    has_room: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    flush_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add_line(self, kind: LineKind, text: str) -> None:
        """Each line of it a line, cut off where it is too long."""
        at = self.database.metadata.now()
        for each in text.split("\n"):
            self.lines.append(
                JobLogLine(
                    at=at, kind=kind, text=replace_unsafe_text(each.rstrip("\r"))[: self.settings.line_characters]
                )
            )
        self.changed.set()

    async def add_line_when_room(self, kind: LineKind, text: str) -> None:
        """As `line`, once there is room."""
        while len(self.lines) >= MAX_WAITING_LINES:
            self.has_room.clear()
            self.changed.set()
            await self.has_room.wait()
        self.add_line(kind, text)

    def set_progress(self, done: float, total: float | None) -> None:
        self.progress = (done, total)
        self.changed.set()

    async def flush_until_finished(self) -> None:
        """Until it is over, and all of it is kept. Raises Lost."""
        while not self.finished.is_set():
            await self.changed.wait()
            await self.flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self.finished.wait()
        await self.flush()

    def finish(self) -> None:
        """There is no more to say."""
        self.finished.set()
        self.changed.set()

    async def flush(self) -> None:
        """All there is, in order. Raises Lost."""
        async with self.flush_lock:
            self.changed.clear()
            lines, progress = tuple(self.lines), self.progress
            self.lines.clear()
            self.progress = None
            self.has_room.set()
            if lines or progress is not None:
                await asyncio.shield(
                    self.database.run_in_db_thread(store.save_progress, self.run, lines, progress, self.settings.lines)
                )
                self.notifier.notify(self.run.id)


JOB_SURFACE = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueryExecutor:
    """The door as jobs come to it."""

    engine: QueryEngine
    audit_log: AuditLog
    redaction_key: bytes


@dataclass(slots=True, kw_only=True)
class JobQuery:
    """One question of one job, under way."""

    executor: JobQueryExecutor
    principal: Principal
    request: GraphQLRequest
    job_id: str
    result: ExecutionResult
    asked_at: datetime
    clock_start: float


async def execute_job_query(
    executor: JobQueryExecutor, principal: Principal, request: GraphQLRequest, job_id: str
) -> ExecutionResult:
    """Nothing is told before its record is durable. Raises JournalUnavailable."""
    one = JobQuery(
        executor=executor, principal=principal, request=request, job_id=job_id, result=ExecutionResult(), asked_at=datetime.now(UTC),
        clock_start=perf_counter(),
    )  # fmt: skip
    try:
        one.result = await execute(executor.engine, principal, request)
    except asyncio.CancelledError as error:
        one.result = get_partial_result(error)
        await asyncio.shield(_audit_job_query(one, AuditOutcome.CANCELLED))
        raise
    except Exception as error:
        one.result = get_partial_result(error)
        await _audit_job_query(one, AuditOutcome.CRASHED)
        raise
    await _audit_job_query(one, classify_outcome(one.result))
    return one.result


async def _audit_job_query(one: JobQuery, came: AuditOutcome) -> None:
    """The job's id stands where a client's own id of its request does."""
    size = len(orjson.dumps(one.result.data, option=orjson.OPT_UTC_Z)) if one.result.data is not None else 0
    visit = RequestFacts(
        id=build_record_id(one.asked_at, secrets.token_bytes(RANDOM_BYTES)),
        received_at=one.asked_at,
        principal=one.principal,
        request=one.request,
        client_request_id=f"job {one.job_id}",
        status=200,
        bytes=size,
        ms=(perf_counter() - one.clock_start) * 1000,
        surface=JOB_SURFACE,
    )
    await one.executor.audit_log.append(
        build_audit_record(one.executor.engine, one.executor.redaction_key, visit, one.result, came)
    )


MAX_FILE_BYTES = 16 << 20

MAX_STEP_CHARACTERS = 4 << 20

MAX_NAME_CHARACTERS = 200

RETRYABLE_CODES = (
    ErrorCode.SOURCE_UNAVAILABLE,
    ErrorCode.SOURCE_OVERLOADED,
    ErrorCode.LIMIT_EXCEEDED,
    ErrorCode.RATE_LIMITED,
)

CHILD_POLL_SECONDS = 1.0
"""How often it is looked whether parts that others run have ended."""


class JobQueryFailed(JobFailed):
    """The door answered with errors; another attempt may do better where a source did not answer."""

    def __init__(self, errors: Sequence[GraphQLErrorInfo]) -> None:
        again = any(each.code in RETRYABLE_CODES for each in errors)
        super().__init__(f"a question was not answered: {errors[0].message}", retryable=again)
        self.faults = tuple(errors)


class ChildJobs(Protocol):
    """How a job starts parts of itself."""

    async def start_child(self, run: JobRun, principal: Principal, job_and_input: tuple[str, Any], key: str) -> str:
        """The id of the part: the same for the same key."""
        ...

    def get_end_event(self, ids: Sequence[str]) -> asyncio.Event:
        """Set when one of these may have ended in this process."""
        ...


@dataclass(slots=True, kw_only=True)
class JobContext:
    """Of one attempt of one job. A finished step is never made again, whatever ends the attempt."""

    run: JobRun
    attempt: int
    database: JobDatabase
    progress_buffer: ProgressBuffer
    executor: JobQueryExecutor
    authorize: Callable[[], Awaitable[Principal]]
    child_jobs: ChildJobs
    cancel_requested: bool = False
    """Somebody wishes its end; it is cancelled where it waits next."""
    step_names: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def started_by(self) -> str:
        """The person's id."""
        return self.run.person_id

    @property
    def engine(self) -> QueryEngine:
        return self.executor.engine

    async def load_principal(self) -> Principal:
        """Who started it, as they are now. Raises Refusal where they may not, any more."""
        return await self.authorize()

    async def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function gave, now or when it was finished before; sync ones run in a thread.

        Names are unique within a job; what is kept is JSON, money, days and times. A step that was under way when
        its worker died is made again: let it find out what it did, where that matters.
        """
        if name in self.step_names or not 0 < len(name) <= MAX_NAME_CHARACTERS:
            raise JobFailed(
                f"two steps are named `{name[:MAX_NAME_CHARACTERS]}`, give each a name of its own", retryable=False
            )
        self.step_names.add(name)
        await self.authorize()
        known = await self.database.run_in_db_thread(store.load_step_result, self.run, name)
        if known is None:
            known = codecs.encode_step_result(await _call_step(function, arguments))
            if len(known) > MAX_STEP_CHARACTERS:
                raise JobFailed(f"a step gives at most {MAX_STEP_CHARACTERS} characters of JSON", retryable=False)
            await self.progress_buffer.flush()
            await self.database.run_in_db_thread(store.save_step_result, self.run, name, known)
        return codecs.decode_step_result(known)

    async def query(self, document: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The data of an answer, as JSON has it. Raises NotAnswered where there is any error."""
        told = await self.execute(document, variables)
        if told.errors:
            raise JobQueryFailed(told.errors)
        return orjson.loads(orjson.dumps(told.data, option=orjson.OPT_UTC_Z))

    async def execute(self, document: str, variables: Mapping[str, Any] | None = None) -> ExecutionResult:
        """The answer, its errors with it. The starter's groups are those they have now."""
        return await execute_job_query(
            self.executor, await self.authorize(), GraphQLRequest(query=document, variables=variables or {}), self.id
        )

    def log(self, text: str) -> None:
        """A line for who may see the job."""
        self.progress_buffer.add_line(LineKind.LOG, text)

    async def log_script_line(self, kind: LineKind, text: str) -> None:
        """A line of a script's."""
        await self.progress_buffer.add_line_when_room(kind, text)

    def report_progress(self, done: float, total: float | None = None) -> None:
        """How far it is, in any unit."""
        self.progress_buffer.set_progress(done, total)

    async def save_file(self, name: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """A file of the job, in place of one of the same name."""
        if len(content) > MAX_FILE_BYTES:
            raise JobFailed(f"a file of a job has at most {MAX_FILE_BYTES} bytes", retryable=False)
        if not 0 < len(name) <= MAX_NAME_CHARACTERS or "/" in name or not name.isprintable():
            raise JobFailed("a file's name is printable, without `/` and of at most 200 characters", retryable=False)
        await self.database.run_in_db_thread(
            store.save_file, self.run, JobFileData(name=name, content_type=content_type, content=content)
        )

    async def start_child(self, name: str, job_input: Any, key: str) -> str:
        """Starts another job as a part of this one, as the same person: once for each key. Gives its id."""
        return await self.child_jobs.start_child(self.run, await self.authorize(), (name, job_input), key)

    async def wait_for_children(self, ids: Sequence[str]) -> list[ChildResult]:
        """What came of these parts, in this order, once all have ended."""
        while True:
            ended = self.child_jobs.get_end_event(ids)
            found = {
                each.id: each for each in await self.database.run_in_db_thread(store.load_child_results, tuple(ids))
            }
            if all(id in found for id in ids):
                return [found[id] for id in ids]
            with suppress(TimeoutError):
                async with asyncio.timeout(CHILD_POLL_SECONDS):
                    await ended.wait()


async def _call_step(function: Callable[..., Any], given: Sequence[Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*given)
    made = await asyncio.to_thread(function, *given)
    return await made if inspect.isawaitable(made) else made
