"""Give a job its context: durable steps, queries as its starter, a log, progress, files and child jobs."""

import asyncio
import inspect
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from auth.authentication import Principal
from onedoor.audit.record import Surface
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.jobs import codecs, store
from onedoor.jobs.models import (
    ChildResult,
    JobFailed,
    JobFileData,
    JobLogLine,
    JobRun,
    JobSettings,
    LineKind,
    Notifier,
    Progress,
)
from onedoor.jobs.reads import RecordingExecutor
from onedoor.jobs.tables import JobDatabase
from onedoor.query.context import ExecutionResult, GraphQLRequest
from onedoor.runtime.concurrency import wait_for_event
from onedoor.spi.csv_cells import encode_csv, format_cell

FLUSH_SECONDS = 0.1

MAX_WAITING_LINES = 500
"""How many lines may wait to be stored. A script that writes more waits; of a function's log the oldest are dropped."""

MAX_FILE_BYTES = 16 << 20

MAX_STEP_CHARACTERS = 4 << 20

MAX_NAME_CHARACTERS = 200

CHILD_POLL_SECONDS = 1.0
"""How often a job looks whether child jobs that other processes run have ended."""

RETRYABLE_CODES = frozenset(
    {
        ErrorCode.SOURCE_UNAVAILABLE,
        ErrorCode.SOURCE_OVERLOADED,
        ErrorCode.LIMIT_EXCEEDED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.INTERNAL,
    }
)

_origin_id: ContextVar[str | None] = ContextVar("origin_id", default=None)

UNSAFE_TEXT = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""The characters that a terminal would act on, or that a database refuses."""


def get_origin_id() -> str | None:
    """Return the id of the job whose query is executed here; None: the request is no job's."""
    return _origin_id.get()


def replace_unsafe_text(text: str) -> str:
    return UNSAFE_TEXT.sub("\ufffd", text)


class JobQueryFailed(JobFailed):
    """A query of a job returned errors; another attempt may succeed where a source was not available."""

    def __init__(self, errors: Sequence[GraphQLErrorInfo]) -> None:
        retryable = any(error.code in RETRYABLE_CODES for error in errors)
        super().__init__(f"a query failed: {errors[0].message}", retryable=retryable)
        self.errors = tuple(errors)


class ChildJobs(Protocol):
    """Starts child jobs and says when they end."""

    async def start_child(self, run: JobRun, principal: Principal, name: str, job_input: Any, key: str) -> str:
        """Start a job as a child of the run and return its id, which is the same for the same key."""
        ...

    def get_end_event(self, ids: Sequence[str]) -> asyncio.Event:
        """Return an event that is set when one of these jobs may have ended in this process."""
        ...


@dataclass(slots=True, kw_only=True)
class ProgressBuffer:
    """The log lines and the progress of one run that wait to be stored."""

    database: JobDatabase
    run: JobRun
    settings: JobSettings
    notifier: Notifier
    _lines: deque[JobLogLine] = field(default_factory=lambda: deque(maxlen=MAX_WAITING_LINES * 2), init=False)
    _progress: Progress | None = field(default=None, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _has_room: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _finished: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _flush_lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def add_line(self, kind: LineKind, text: str) -> None:
        """Add each line of the text, cut off where it is too long."""
        now = self.database.metadata.now()
        for line in text.split("\n"):
            safe = replace_unsafe_text(line.rstrip("\r"))[: self.settings.line_characters]
            self._lines.append(JobLogLine(at=now, kind=kind, text=safe))
        self._changed.set()

    async def add_line_when_room(self, kind: LineKind, text: str) -> None:
        while len(self._lines) >= MAX_WAITING_LINES:
            self._has_room.clear()
            self._changed.set()
            await self._has_room.wait()
        self.add_line(kind, text)

    def set_progress(self, done: float, total: float | None) -> None:
        self._progress = Progress(done=done, total=total)
        self._changed.set()

    async def flush_until_finished(self) -> None:
        """Store what is added until `finish` is called and everything is stored. Raises RunLost."""
        while not self._finished.is_set():
            await self._changed.wait()
            await self.flush()
            await wait_for_event(self._finished, FLUSH_SECONDS)
        await self.flush()

    def finish(self) -> None:
        """Say that nothing more will be added."""
        self._finished.set()
        self._changed.set()

    async def flush(self) -> None:
        """Store everything that waits, in order. Raises RunLost."""
        async with self._flush_lock:
            self._changed.clear()
            lines, progress = tuple(self._lines), self._progress
            self._lines.clear()
            self._progress = None
            self._has_room.set()
            if lines or progress is not None:
                await asyncio.shield(
                    self.database.run_in_db_thread(store.save_progress, self.run, lines, progress, self.settings.lines)
                )
                self.notifier.notify(self.run.id)


@dataclass(slots=True, kw_only=True)
class JobContext:
    """What one attempt of a job works with. A finished step is never executed again, whatever ends the attempt."""

    run: JobRun
    attempt: int
    database: JobDatabase
    progress_buffer: ProgressBuffer
    executor: RecordingExecutor
    authorize: Callable[[], Awaitable[Principal]]
    child_jobs: ChildJobs
    cancel_requested: bool = False
    """Somebody cancelled the job: the attempt is cancelled where it waits next."""
    _step_names: set[str] = field(default_factory=set, init=False)

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def started_by(self) -> str:
        """The person's id."""
        return self.run.person_id

    async def load_principal(self) -> Principal:
        """Return who started the job, with their present groups. Raises JobRefused where they may not any more."""
        return await self.authorize()

    async def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the function gives, or gave when the step was finished before; sync functions run in a thread.

        Names are unique within a job; a result is JSON, money, days and times. A step that was under way when its
        worker died is executed again: where that matters, the function must find out what it did.
        """
        if name in self._step_names or not 0 < len(name) <= MAX_NAME_CHARACTERS:
            raise JobFailed(
                f"two steps are named `{name[:MAX_NAME_CHARACTERS]}`, give each a name of its own", retryable=False
            )
        self._step_names.add(name)
        await self.authorize()
        result = await self.database.run_in_db_thread(store.load_step_result, self.run, name)
        if result is None:
            result = codecs.encode_step_result(await _call_step(function, arguments))
            if len(result) > MAX_STEP_CHARACTERS:
                raise JobFailed(f"a step gives at most {MAX_STEP_CHARACTERS} characters of JSON", retryable=False)
            await self.progress_buffer.flush()
            await self.database.run_in_db_thread(store.save_step_result, self.run, name, result)
        return codecs.decode_step_result(result)

    async def query(self, document: str, variables: Mapping[str, Any] | None = None) -> Any:
        """Return the data of a reply, as JSON has it. Raises JobQueryFailed where there is any error."""
        result = await self.execute(document, variables)
        if result.errors:
            raise JobQueryFailed(result.errors)
        return orjson.loads(orjson.dumps(result.data, option=orjson.OPT_UTC_Z))

    async def execute(self, document: str, variables: Mapping[str, Any] | None = None) -> ExecutionResult:
        """Execute a query as whoever started the job, with their present groups."""
        request = GraphQLRequest(query=document, variables=variables or {})
        principal, origin = await self.executor.wait_for_budgets(self.authorize), _origin_id.set(self.id)
        try:
            return await self.executor.run(principal, request, surface=Surface.JOB, client_request_id=f"job {self.id}")
        finally:
            _origin_id.reset(origin)

    def log(self, text: str) -> None:
        """Add lines to the job's log, which is for everyone who may see the job."""
        self.progress_buffer.add_line(LineKind.LOG, text)

    async def log_script_line(self, kind: LineKind, text: str) -> None:
        await self.progress_buffer.add_line_when_room(kind, text)

    def report_progress(self, done: float, total: float | None = None) -> None:
        """Report how far the job is, in any unit."""
        self.progress_buffer.set_progress(done, total)

    async def save_file(self, name: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Store a file of the job, in place of one of the same name."""
        if len(content) > MAX_FILE_BYTES:
            raise JobFailed(f"a file of a job has at most {MAX_FILE_BYTES} bytes", retryable=False)
        if not 0 < len(name) <= MAX_NAME_CHARACTERS or "/" in name or not name.isprintable():
            raise JobFailed("a file's name is printable, without `/` and of at most 200 characters", retryable=False)
        file = JobFileData(name=name, content_type=content_type, content=content)
        await self.database.run_in_db_thread(store.save_file, self.run, file)

    async def save_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Store a table as a file of the job; a text that a spreadsheet would compute is marked, as in exports."""
        cells = [[format_cell(value) for value in row] for row in (header, *rows)]
        await self.save_file(name, encode_csv(cells, line_end="\n"), "text/csv")

    async def start_child(self, name: str, job_input: Any, key: str) -> str:
        """Start another job as a child of this one, as the same person, once for each key. Returns its id."""
        return await self.child_jobs.start_child(self.run, await self.authorize(), name, job_input, key)

    async def wait_for_children(self, ids: Sequence[str]) -> list[ChildResult]:
        """Return the results of these child jobs, in this order, once all have ended."""
        while True:
            ended = self.child_jobs.get_end_event(ids)
            loaded = await self.database.run_in_db_thread(store.load_child_results, tuple(ids))
            results = {result.id: result for result in loaded}
            if results.keys() >= set(ids):
                await self.executor.reads.add_reads_of(ids)
                return [results[id] for id in ids]
            await wait_for_event(ended, CHILD_POLL_SECONDS)


async def _call_step(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    return await result if inspect.isawaitable(result) else result
