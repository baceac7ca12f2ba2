"""A process that runs jobs: says that it lives, hears who wishes their end, and takes over from those that died."""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from engine.errors import Code, SourceFailed
from records.record import RANDOM_BYTES, record_id
from work import store, sweeping, timely
from work.queue import Hired, Taken
from work.runner import Runner
from work.starting import Starting
from work.sweeping import Worker as Other
from work.words import Dispatch, JobState

log = logging.getLogger("onedoor.work")
BEATS = 4
"""Of a lease: so often a worker says that it lives."""
PATIENCE = 0.75
CATCH_UP = timedelta(hours=1)
"""So long after its time a schedule is still kept, where nobody was there."""
FORGET_SECONDS = 3600.0
Round: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Worker:
    """Launches the queue once there is something to run; until then it costs a look a lease."""

    starting: Starting
    runner: Runner
    id: str = ""
    clock: Callable[[], float] = time.monotonic
    launched: bool = False
    taken: bool = False
    beaten: float = 0.0
    swept: float = 0.0
    looked: float = 0.0
    forgot: float = -FORGET_SECONDS
    wished: bool = False
    scheduled: datetime | None = None
    others: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By worker, its last beat and when we saw it first."""
    strays: set[tuple[str, int]] = field(default_factory=set)

    async def work(self, *, at_once: bool) -> None:
        """Until it is cancelled. `at_once`: whether there is something to run or not."""
        self.wished = at_once
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rounds(self._living, self._rest))
            group.create_task(self._rounds(self._turn, self._pause))

    async def _rounds(self, turn: Round, pause: Round) -> None:
        """Whatever goes wrong, the next round may do better."""
        while True:
            try:
                await turn()
            except SQLAlchemyError as error:
                log.error("the state did not answer: %s", type(error).__name__)
            except Exception as error:
                log.error("a round of the worker failed: %s", type(error).__name__, exc_info=error)
            await pause()

    def _seconds(self) -> float:
        running = self.starting.running
        return running.poll_seconds if self.launched else running.lease_seconds / BEATS

    async def _rest(self) -> None:
        await asyncio.sleep(self._seconds())

    async def _pause(self) -> None:
        """Until the next round, or until there is something to run and nobody here who does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds()):
                await (asyncio.Event() if self.launched or self.taken else self.starting.wanted).wait()

    async def _living(self) -> None:
        """Who is not heard of for long lets go of what it runs, before others take it."""
        if not self.launched:
            return
        if self.clock() - self.beaten > self.starting.running.lease_seconds * PATIENCE:
            for each in self.runner.under.values():
                each.stop()
        await self._watched()
        if self.clock() - self.beaten > self.starting.running.lease_seconds / BEATS:
            await self._beat()

    async def _turn(self) -> None:
        await self._timely()
        if self.launched:
            if self.clock() - self.swept > self.starting.running.lease_seconds / BEATS:
                await self.sweep()
            return
        wished = self.wished or self.starting.wanted.is_set()
        self.starting.wanted.clear()
        if not self.taken and (wished or await self.starting.shelf.do(sweeping.unfinished)):
            await self.launch()

    async def launch(self) -> None:
        """From now on this process is handed jobs."""
        starting = self.starting
        await self._appeared()
        hired = Hired(hand=self.runner.run, loop=asyncio.get_running_loop())
        try:
            await asyncio.to_thread(starting.queue.serve, hired, self.id, starting.release, starting.running)
        except Exception as reason:
            await starting.shelf.do(sweeping.gone, self.id)
            if not isinstance(reason, Taken):
                raise
            self.taken = True
            log.warning("another house runs jobs in this process: this one only starts them")
            return
        self.launched = True
        await self.sweep()

    async def _appeared(self) -> None:
        self.id = record_id(self.starting.shelf.state.now(), secrets.token_bytes(RANDOM_BYTES))
        self.runner.worker = self.id
        await self.starting.shelf.do(sweeping.appeared, self.id, socket.gethostname(), self.starting.release)
        self.beaten = self.clock()

    async def _beat(self) -> None:
        """Who was taken for dead has lost all it ran; its name stays, as the queue knows it by that."""
        if not await self.starting.shelf.do(sweeping.heard, self.id):
            for each in self.runner.under.values():
                each.stop()
            state = self.starting.shelf
            await state.do(sweeping.appeared, self.id, socket.gethostname(), self.starting.release)
        self.beaten = self.clock()

    async def _watched(self) -> None:
        """Ends what somebody wishes to end; what stands as ours and is not under way is to be run anew."""
        wished = await self.starting.shelf.do(sweeping.wished, self.id)
        ours = {each.id: each for each in wished}
        for under in list(self.runner.under.values()):
            known = ours.get(under.run.id)
            if known is not None and known.epoch == under.run.epoch and known.cancelled_by is not None:
                under.stop(known.cancelled_by)
        strays = {(each.id, each.epoch) for each in wished if each.id not in self.runner.under}
        for id, epoch in strays & self.strays:
            await self._again(Dispatch(id=id, epoch=epoch, part=False, release=""), JobState.RUNNING, taken_over=True)
        self.strays = strays

    async def sweep(self) -> None:
        """Takes over from the dead, and tells the queue what it never heard."""
        self.swept = self.clock()
        shelf, starting = self.starting.shelf, self.starting
        await self._buried(await shelf.do(sweeping.workers))
        for each in await shelf.do(sweeping.orphans):
            await self._again(each, JobState.RUNNING, taken_over=True)
        for each in await shelf.do(sweeping.unheard):
            await starting.dispatch(each)
        await self._reconciled()
        for alone in await shelf.do(sweeping.turns):
            await starting.over("", await shelf.do(store.next_alone, alone))
        if self.clock() - self.forgot > FORGET_SECONDS:
            before = shelf.state.now() - timedelta(days=starting.running.kept_days)
            gone = await shelf.do(sweeping.forgotten, before)
            await asyncio.to_thread(starting.queue.forget, gone)
            self.forgot = self.clock()

    async def _buried(self, workers: list[Other]) -> None:
        """A worker is dead whose beat stayed the same for a lease, by our clock: those of machines differ."""
        now, known = self.clock(), self.others
        if now - self.looked > self.starting.running.lease_seconds:
            known = {}  # it was us who could not look, and they may not have been able to say anything either
        self.looked = now
        self.others = {
            each.id: known[each.id] if known.get(each.id, (None,))[0] == each.beat else (each.beat, now)
            for each in workers
            if each.id != self.id
        }
        for id, (beat, since) in self.others.items():
            late = now - since > self.starting.running.lease_seconds
            if late and await self.starting.shelf.do(sweeping.gone, id, beat):
                log.warning("the worker %s is dead", id)

    async def _reconciled(self) -> None:
        """A run that the queue has lost, has ended or gave to who died before claiming it, is queued anew."""
        shelf, starting = self.starting.shelf, self.starting
        queued = await shelf.do(sweeping.queued)
        if not queued:
            return
        seen = await asyncio.to_thread(starting.queue.seen, queued)
        workers = await shelf.do(sweeping.workers)
        alive, releases = {each.id for each in workers}, {each.release for each in workers}
        for each in queued:
            found = seen.get(each.workflow)
            dead = found is None or found.over or (found.worker is not None and found.worker not in alive)
            if dead or each.release not in releases:
                await self._again(each, JobState.QUEUED)

    async def _again(self, run: Dispatch, was: JobState, *, taken_over: bool = False) -> None:
        starting = self.starting
        again = await starting.shelf.do(store.requeued, run, was, starting.release, taken_over=taken_over)
        if again is not None:
            starting.notifier.told(run.id)
            await starting.dispatch(again)

    async def _timely(self) -> None:
        """What is due is started by every process that is there, and is one job all the same."""
        now = self.starting.shelf.state.now()
        try:
            for start in timely.due(self.starting.jobs, self.scheduled or now - CATCH_UP, now):
                await self.starting.start(start)
        except SourceFailed as failed:
            log.error("a job on schedule could not be started: %s", failed.reason)
            if failed.code is Code.SOURCE_UNAVAILABLE:
                return
        self.scheduled = now

    async def close(self) -> None:
        """What is under way ends, and is others' to run."""
        left = await self.runner.stop()
        if not self.launched:
            return
        with suppress(SQLAlchemyError):
            for each in left:
                await self._again(each, JobState.RUNNING)
            await self.starting.shelf.do(sweeping.gone, self.id)
        await asyncio.to_thread(self.starting.queue.rest)
        self.launched = False
