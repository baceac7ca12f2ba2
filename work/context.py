"""What a job's function is handed: its steps, the door, its log, its files, its parts."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from auth.caller import Caller
from engine.desk import Answer, Desk, Question
from engine.errors import Code, Fault
from work import kept, store
from work.asking import Asking, asked
from work.notes import Notes
from work.shelf import Shelf
from work.store import Kept
from work.words import Ended, Failure, LineKind, Run

FILE_BYTES = 16 << 20
STEP_CHARACTERS = 4 << 20
NAME_MOST = 200
PASSING = (Code.SOURCE_UNAVAILABLE, Code.SOURCE_OVERLOADED, Code.LIMIT_EXCEEDED, Code.RATE_LIMITED)
PARTS_SECONDS = 1.0
"""How often it is looked whether parts that others run have ended."""


class NotAnswered(Failure):
    """The door answered with errors; another attempt may do better where a source did not answer."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        again = any(each.code in PASSING for each in faults)
        super().__init__(f"a question was not answered: {faults[0].message}", again=again)
        self.faults = tuple(faults)


class Parts(Protocol):
    """How a job starts parts of itself."""

    async def part(self, run: Run, caller: Caller, wanted: tuple[str, Any], key: str) -> str:
        """The id of the part: the same for the same key."""
        ...

    def ended(self, ids: Sequence[str]) -> asyncio.Event:
        """Set when one of these may have ended in this process."""
        ...


@dataclass(slots=True, kw_only=True)
class Context:
    """Of one attempt of one job. A finished step is never made again, whatever ends the attempt."""

    run: Run
    attempt: int
    shelf: Shelf
    notes: Notes
    asking: Asking
    judge: Callable[[], Awaitable[Caller]]
    branches: Parts
    cancelled: bool = False
    """Somebody wishes its end; it is cancelled where it waits next."""
    names: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def started_by(self) -> str:
        """The person's id."""
        return self.run.person_id

    @property
    def desk(self) -> Desk:
        return self.asking.desk

    async def caller(self) -> Caller:
        """Who started it, as they are now. Raises Refusal where they may not, any more."""
        return await self.judge()

    async def step(self, name: str, function: Callable[..., Any], *given: Any) -> Any:
        """What the function gave, now or when it was finished before; sync ones run in a thread.

        Names are unique within a job; what is kept is JSON, money, days and times. A step that was under way when
        its worker died is made again: let it find out what it did, where that matters.
        """
        if name in self.names or not 0 < len(name) <= NAME_MOST:
            raise Failure(f"two steps are named `{name[:NAME_MOST]}`, give each a name of its own", again=False)
        self.names.add(name)
        await self.judge()
        known = await self.shelf.do(store.step, self.run, name)
        if known is None:
            known = kept.kept(await _made(function, given))
            if len(known) > STEP_CHARACTERS:
                raise Failure(f"a step gives at most {STEP_CHARACTERS} characters of JSON", again=False)
            await self.notes.keep()
            await self.shelf.do(store.stepped, self.run, name, known)
        return kept.told(known)

    async def ask(self, text: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The data of an answer, as JSON has it. Raises NotAnswered where there is any error."""
        told = await self.told(text, variables)
        if told.faults:
            raise NotAnswered(told.faults)
        return orjson.loads(orjson.dumps(told.data, option=orjson.OPT_UTC_Z))

    async def told(self, text: str, variables: Mapping[str, Any] | None = None) -> Answer:
        """The answer, its errors with it. The starter's groups are those they have now."""
        return await asked(self.asking, await self.judge(), Question(text=text, variables=variables or {}), self.id)

    def log(self, text: str) -> None:
        """A line for who may see the job."""
        self.notes.line(LineKind.LOG, text)

    async def said(self, kind: LineKind, text: str) -> None:
        """A line of a script's."""
        await self.notes.said(kind, text)

    def progress(self, done: float, total: float | None = None) -> None:
        """How far it is, in any unit."""
        self.notes.far(done, total)

    async def file(self, name: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """A file of the job, in place of one of the same name."""
        if len(content) > FILE_BYTES:
            raise Failure(f"a file of a job has at most {FILE_BYTES} bytes", again=False)
        if not 0 < len(name) <= NAME_MOST or "/" in name or not name.isprintable():
            raise Failure("a file's name is printable, without `/` and of at most 200 characters", again=False)
        await self.shelf.do(store.filed, self.run, Kept(name=name, content_type=content_type, content=content))

    async def part(self, name: str, given: Any, key: str) -> str:
        """Starts another job as a part of this one, as the same person: once for each key. Gives its id."""
        return await self.branches.part(self.run, await self.judge(), (name, given), key)

    async def parts(self, ids: Sequence[str]) -> list[Ended]:
        """What came of these parts, in this order, once all have ended."""
        while True:
            ended = self.branches.ended(ids)
            found = {each.id: each for each in await self.shelf.do(store.parts, tuple(ids))}
            if all(id in found for id in ids):
                return [found[id] for id in ids]
            with suppress(TimeoutError):
                async with asyncio.timeout(PARTS_SECONDS):
                    await ended.wait()


async def _made(function: Callable[..., Any], given: Sequence[Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*given)
    made = await asyncio.to_thread(function, *given)
    return await made if inspect.isawaitable(made) else made
