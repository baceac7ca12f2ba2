"""Houses with jobs of the tests: one in this process, or workers of their own over the same state."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import select

from auth import people
from auth.caller import Caller
from auth.state import State, opened
from engine.desk import Desk, desk
from engine.house import House as Built
from records.journal import opened as journal_opened
from records.redact import records_key
from resolvers import job as bound_jobs
from resolvers import query as bound
from resolvers.query import asking, nobody
from schema import job, query
from schema.build import build
from sources.jobs import JobsSource, nobodys
from work import tables
from work.asking import Asking
from work.declared import Job
from work.register import registered
from work.shelf import Shelf
from work.words import OPEN, Running, Start
from work.works import Works
from work.works import opened as works_opened

PEPPER = b"a pepper of at least thirty-two characters"
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02
QUICK = Running(poll_seconds=0.05, lease_seconds=3.0)


@dataclass(slots=True, kw_only=True)
class Heard:
    """A notifier that remembers."""

    ids: list[str] = field(default_factory=list)

    def told(self, job_id: str) -> None:
        self.ids.append(job_id)


@dataclass(slots=True, kw_only=True)
class House:
    """All of it in this process."""

    state: State
    shelf: Shelf
    desk: Desk
    works: Works
    records: Path
    heard: Heard

    async def start(self, job: str, given: Any, *groups: str, **more: Any) -> str:
        return await self.works.starting.start(Start(job=job, caller=member(self.state, *groups), input=given, **more))

    async def ended(self, id: str, seconds: float = PATIENCE_SECONDS) -> Mapping[str, Any]:
        """Its row, once it has ended."""
        return await until(lambda: self.row(id), lambda row: row["state"] not in OPEN, seconds)

    def row(self, id: str) -> Mapping[str, Any]:
        return row_of(self.state, id)

    def lines(self, id: str) -> list[tuple[str, str]]:
        return lines_of(self.state, id)


def row_of(state: State, id: str) -> Mapping[str, Any]:
    with state.reading() as connection:
        return dict(connection.execute(select(tables.job).where(tables.job.c.id == id)).one()._mapping)


def lines_of(state: State, id: str) -> list[tuple[str, str]]:
    line = tables.job_line
    with state.reading() as connection:
        wanted = select(line.c.kind, line.c.text).where(line.c.job_id == id).order_by(line.c.number)
        return [tuple(row) for row in connection.execute(wanted)]


async def until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = PATIENCE_SECONDS) -> Any:
    """What `look` gives once it is good; the deadline is for what never comes."""
    deadline = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < deadline, f"it never came: {found}"
        await asyncio.sleep(LOOK_SECONDS)
    return found


def member(state: State, *groups: str, email: str = "ada@acme.example") -> Caller:
    """A person of the state in these groups, made where they are not there yet."""
    known = {each.email: each for each in people.listed(state)}
    if email not in known:
        people.create(state, first_name="Ada", last_name="Lovelace", email=email)
    for group in groups:
        people.join(state, email, group)
    found = next(each for each in people.listed(state) if each.email == email)
    now = datetime.now(UTC)
    return Caller(
        person_id=found.id, first_name=found.first_name, last_name=found.last_name, email=found.email,
        groups=frozenset(found.groups), grants=(), key_id="Key012345678", key_created=now, key_expires=now,
    )  # fmt: skip


@cache
def small() -> Built:
    """Of the person who asks and of jobs, and nothing else."""
    schema, rules = build((query, job))
    return Built(
        schema=schema, rules=rules, bindings={each.type: each for each in (*bound.BINDINGS, *bound_jobs.BINDINGS)},
        sources={"caller": nobody(), "jobs": nobodys()}, cursor_secret=b"a secret of the tests", version="1",
    )  # fmt: skip


@asynccontextmanager
async def house(
    folder: Path,
    jobs: tuple[Job, ...],
    *,
    url: str | None = None,
    running: Running = QUICK,
    at_once: bool = False,
    now: Callable[[], datetime] | None = None,
    built: Callable[[], Built] = small,
) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        clock = {} if now is None else {"now": now}
        state = opened(url or f"sqlite:///{folder}/state.sqlite", PEPPER, **clock)
        stack.callback(state.close)
        shelf = Shelf(state=state)
        stack.callback(shelf.close)
        records = folder / "records"
        records.mkdir(exist_ok=True)
        journal = journal_opened(records, datetime.now(UTC))
        stack.push_async_callback(asyncio.to_thread, journal.close)
        declared = registered(jobs)

        def own(caller: Caller) -> dict[str, Any]:
            return {"caller": asking(caller), "jobs": JobsSource(shelf, declared, caller)}

        at = desk(built(), own, time.monotonic)
        heard = Heard()
        works = await stack.enter_async_context(
            works_opened(
                declared, shelf, Asking(desk=at, journal=journal, records_key=records_key(PEPPER)), running,
                notifier=heard, at_once=at_once,
            )
        )  # fmt: skip
        yield House(state=state, shelf=shelf, desk=at, works=works, records=records, heard=heard)
