"""One dispatch in, its job run: attempt after attempt, until it ends, is cancelled, or is another worker's."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from records.journal import JournalUnavailable
from work import script, store
from work.asking import Asking
from work.context import Context, Parts
from work.declared import Job, Retries, Script
from work.kinds import Misfit, made, plain
from work.notes import Notes, shown
from work.persons import caller_of
from work.register import version
from work.shelf import Shelf
from work.words import Dispatch, End, Failure, JobState, Lost, Notifier, Refusal, Run, Running

log = logging.getLogger("onedoor.work")
TAKEOVERS_MOST = 20
"""Workers that may die of one job; one more, and it is given up."""
STOP_SECONDS = 12.0
"""What a cancelled attempt may take to tidy up."""
LOGGED_MOST = 600
REASON_MOST = 1_000
WHOLE = "the job it is a part of"


@dataclass(slots=True, kw_only=True)
class Under:
    """A run that is under way here; `task` is cancelled where `stopped` says why."""

    run: Run
    task: "asyncio.Task[None]"
    context: Context | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled_by: str | None = None
    lost: bool = False

    def stop(self, cancelled_by: str | None = None) -> None:
        """By a person; or by nobody: then another worker is to run it."""
        if not self.stopped.is_set():
            self.cancelled_by, self.lost = cancelled_by, cancelled_by is None
            if self.context is not None:
                self.context.cancelled = True
            self.stopped.set()


@dataclass(slots=True, kw_only=True)
class Runner:
    """Runs what this process is handed."""

    jobs: Mapping[str, Job]
    shelf: Shelf
    asking: Asking
    running: Running
    notifier: Notifier
    branches: Parts
    worker: str = ""
    ended: Callable[[str, Dispatch | None], Awaitable[None]]
    """Told of a job that ended, and of what waited for it."""
    closing: bool = False
    under: dict[str, Under] = field(default_factory=dict)

    async def run(self, id: str, epoch: int) -> None:
        """Never raises: what cannot be settled now is found by those who sweep."""
        if self.closing:
            return
        try:
            run = await self.shelf.do(store.claimed, id, epoch, self.worker)
            if run is not None and not self.closing:  # what was claimed just then is found to be nobody's
                await self._under(run)
        except Lost:
            log.warning("the job %s is run elsewhere", id)
        except (SQLAlchemyError, JournalUnavailable) as reason:
            log.error("the job %s is left to be swept up: %s", id, _where(reason))

    async def _under(self, run: Run) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.under[run.id] = under = Under(run=run, task=task)
        self.notifier.told(run.id)
        try:
            end = await self._end(under)
            if end is not None:
                freed = await self.shelf.do(store.ended, run, end)
                self.notifier.told(run.id)
                if end.state is not JobState.SUCCEEDED and run.parent is None:
                    await self.shelf.do(store.cancelled, run.id, WHOLE)
                await self.ended(run.id, freed)
        finally:
            del self.under[run.id]

    async def _end(self, under: Under) -> End | None:
        """How it ended; None where it goes on elsewhere."""
        job = self.jobs.get(under.run.name)
        if job is None or (why := _given_up(job, under.run)):
            return End(state=JobState.FAILED, reason=why if job else "there is no such job any more")
        if under.run.cancelled_by is not None:
            return _cancelled(under.run.cancelled_by)
        failures = under.run.failures
        for attempt in range(under.run.attempts + 1, under.run.attempts + 1_000_000):
            failure = await self._tried(under, job, attempt)
            if not isinstance(failure, Failure):
                return failure
            if not failure.again or failures >= job.retries.times:
                return End(state=JobState.FAILED, reason=shown(failure.reason)[:REASON_MOST])
            due = self.shelf.state.now() + timedelta(seconds=_pause(job.retries, failures))
            failures += 1
            await self.shelf.do(store.failed, under.run, due)
        raise AssertionError("unreachable")

    async def _tried(self, under: Under, job: Job, attempt: int) -> End | Failure | None:
        """One attempt, when it is due; whoever wishes its end is heard at once."""
        notes = Notes(shelf=self.shelf, run=under.run, running=self.running, notifier=self.notifier)
        keeping = asyncio.ensure_future(notes.keeping())
        work = asyncio.ensure_future(self._attempted(under, job, attempt, notes))
        stopped = asyncio.ensure_future(under.stopped.wait())
        try:
            await asyncio.wait((work, stopped, keeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await _over(work)
            notes.end()
            await asyncio.wait((keeping,))
        if keeping.exception() is not None or under.lost:
            return None
        if under.cancelled_by is not None and not _good(work):
            return _cancelled(under.cancelled_by)
        return work.result()

    async def _attempted(self, under: Under, job: Job, attempt: int, notes: Notes) -> End | Failure:
        limit = asyncio.timeout(job.timeout_seconds)
        try:
            await self._due(under.run)
            judge = partial(self.shelf.do, caller_of, self.jobs, under.run)
            await judge()
            await self.shelf.do(store.begun, under.run)
            under.context = context = Context(
                run=under.run, attempt=attempt, shelf=self.shelf, notes=notes, asking=self.asking, judge=judge,
                branches=self.branches,
            )  # fmt: skip
            self.notifier.told(under.run.id)
            async with limit:
                return End(state=JobState.SUCCEEDED, result=await _called(job, context))
        except Refusal as refusal:
            return End(state=JobState.REFUSED, reason=refusal.reason)
        except Failure as failure:
            return failure
        except (Lost, SQLAlchemyError, JournalUnavailable):
            raise
        except TimeoutError:
            if under.context is not None and limit.expired():
                return Failure(f"it took longer than its timeout of {job.timeout_seconds:g} seconds")
            return Failure("something it waited for took too long")
        except Exception as error:
            log.error("the job %s failed: %s", under.run.id, _where(error))
            return Failure("it failed; where is in the log of who runs it")

    async def _due(self, run: Run) -> None:
        due = await self.shelf.do(store.due, run)
        if due is not None:
            await asyncio.sleep(max(0.0, (due - self.shelf.state.now()).total_seconds()))

    async def stop(self) -> Sequence[Dispatch]:
        """Ends what is under way, and begins nothing any more; what others are to run."""
        self.closing = True
        stopping = list(self.under.values())
        for each in stopping:
            each.stop()
        if stopping:
            await asyncio.wait([each.task for each in stopping], timeout=STOP_SECONDS)
        return [dispatch_of(each.run) for each in stopping]


def dispatch_of(run: Run) -> Dispatch:
    return Dispatch(id=run.id, epoch=run.epoch, part=run.parent is not None, release="")


async def _called(job: Job, context: Context) -> Any:
    """The result, as JSON has it."""
    try:
        given = made(job.input, context.run.input)
    except Misfit as reason:
        raise Failure(f"its input does not fit: {reason}", again=False) from None
    result = await script.run(job, context, given) if isinstance(job.run, Script) else await job.run(context, given)
    if job.result is None:
        return None
    try:
        return plain(result)
    except (Misfit, TypeError, AttributeError):
        raise Failure("its result is not what it is declared to be", again=False) from None


def _cancelled(by: str) -> End:
    return End(state=JobState.CANCELLED, reason=f"{by} cancelled it")


def _pause(retries: Retries, failures: int) -> float:
    return float(min(retries.first_seconds * retries.factor**failures, retries.most_seconds))


def _given_up(job: Job, run: Run) -> str | None:
    if version(job) != run.version:
        return "what it takes or gives was declared anew since it was started: start it again"
    if run.takeovers > TAKEOVERS_MOST:
        return f"more than {TAKEOVERS_MOST} workers died while they ran it"
    return None


async def _over(work: "asyncio.Future[Any]") -> None:
    """Cancelled where it has not ended, and waited for; one that will not be cancelled is left behind."""
    if not work.done():
        work.cancel()
        await asyncio.wait((work,), timeout=STOP_SECONDS)
    if work.done() and not work.cancelled():
        work.exception()


def _good(work: "asyncio.Future[Any]") -> bool:
    return work.done() and not work.cancelled() and work.exception() is None


def _where(error: BaseException) -> str:
    """The kind of error and where it was; its message may hold values, so it stays out."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
    return f"{type(error).__name__} at {places}"[:LOGGED_MOST]
