"""Runs in the state: started, claimed, noted, ended, cancelled. What a run writes counts only while it holds its epoch.

All of it blocks: call it in a thread.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from auth.state import State
from auth.tables import Moment
from work.tables import job, job_file, job_line, job_step
from work.words import OPEN, Dispatch, End, Ended, JobState, Line, Lost, Run

TRIES = 5
"""Of a transaction that met another one about the same key."""


class Reused(Exception):
    """The idempotency key stands for another job, or for one with another input."""


class TooMany(Exception):
    """The person has as many jobs that have not ended as one may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file of a job."""

    name: str
    content_type: str
    content: bytes


def added(state: State, row: Mapping[str, Any], most: int) -> tuple[str, Dispatch | None]:
    """The job's id, and what is to be dispatched, if its turn is now. Raises Reused, TooMany."""
    for _ in range(TRIES):
        try:
            with state.writing() as connection:
                return _added(connection, row, most)
        except IntegrityError:
            continue
    raise RuntimeError("a job could not be added beside others")


def _added(connection: Connection, row: Mapping[str, Any], most: int) -> tuple[str, Dispatch | None]:
    if row["idempotency_key"] is not None:
        mine = and_(job.c.person_id == row["person_id"], job.c.idempotency_key == row["idempotency_key"])
        known = connection.execute(select(job.c.id, job.c.name, job.c.input).where(mine)).first()
        if known is not None:
            if (known.name, known.input) != (row["name"], row["input"]):
                raise Reused
            return known.id, None
    theirs = and_(job.c.person_id == row["person_id"], job.c.parent_id.is_(None), job.c.state.in_(OPEN))
    if connection.execute(select(func.count()).select_from(job).where(theirs)).scalar_one() >= most:
        raise TooMany
    others = select(job.c.id).where(job.c.alone == row["alone"], job.c.state.in_(OPEN)).limit(1)
    free = row["alone"] is None or connection.execute(others).first() is None
    connection.execute(
        insert(job).values(
            **row, state=JobState.QUEUED if free else JobState.WAITING, alone_now=row["alone"] if free else None,
            epoch=0, dispatched=False, attempts=0, failures=0, takeovers=0, lines=0,
        )
    )  # fmt: skip
    part = row["parent_id"] is not None
    return row["id"], Dispatch(id=row["id"], epoch=0, part=part, release=row["release"]) if free else None


def dispatched(state: State, dispatch: Dispatch) -> None:
    """Notes that the queue has it."""
    with state.writing() as connection:
        connection.execute(update(job).where(_epoch(dispatch)).values(dispatched=True))


def claimed(state: State, id: str, epoch: int, worker: str) -> Run | None:
    """The run, which is then this worker's; None where it is not to be run, any more."""
    with state.writing() as connection:
        mine = (job.c.id == id, job.c.epoch == epoch, job.c.state == JobState.QUEUED)
        begun = func.coalesce(job.c.started_at, literal(state.now(), Moment()))
        taken = update(job).where(*mine).values(state=JobState.RUNNING, worker_id=worker, started_at=begun)
        if connection.execute(taken).rowcount != 1:
            return None
        row = connection.execute(select(job).where(job.c.id == id)).one()
    return Run(
        id=row.id, epoch=row.epoch, name=row.name, person_id=row.person_id, key_id=row.key_id,
        created_at=row.created_at, input=orjson.loads(row.input), attempts=row.attempts, failures=row.failures,
        takeovers=row.takeovers, parent=row.parent_id, version=row.version,
        cancelled_by=row.cancelled_by,
    )  # fmt: skip


def begun(state: State, run: Run) -> None:
    """Another attempt. Raises Lost."""
    with state.writing() as connection:
        _held(connection, run)
        connection.execute(update(job).where(job.c.id == run.id).values(attempts=job.c.attempts + 1, due_at=None))


def failed(state: State, run: Run, due: datetime) -> None:
    """The attempt failed, and the next is due. Raises Lost."""
    with state.writing() as connection:
        _held(connection, run)
        connection.execute(update(job).where(job.c.id == run.id).values(failures=job.c.failures + 1, due_at=due))


def due(state: State, run: Run) -> datetime | None:
    """When the next attempt may begin, where one before failed."""
    with state.reading() as connection:
        found: datetime | None = connection.execute(select(job.c.due_at).where(job.c.id == run.id)).scalar_one()
    return found


def noted(
    state: State, run: Run, lines: Sequence[Line], progress: tuple[float, float | None] | None, most: int
) -> None:
    """Lines and progress, of which at most `most` lines stay. Raises Lost."""
    with state.writing() as connection:
        before = _held(connection, run)
        rows = [
            {"job_id": run.id, "number": before + place, "at": each.at, "kind": each.kind, "text": each.text}
            for place, each in enumerate(lines, 1)
        ]
        if rows:
            connection.execute(insert(job_line), rows)
        values: dict[str, Any] = {"lines": before + len(rows)}
        if progress is not None:
            values |= {"done": progress[0], "total": progress[1]}
        connection.execute(update(job).where(job.c.id == run.id).values(**values))
        old = and_(job_line.c.job_id == run.id, job_line.c.number <= before + len(rows) - most)
        connection.execute(delete(job_line).where(old))


def step(state: State, run: Run, name: str) -> str | None:
    """What a finished step gave."""
    with state.reading() as connection:
        mine = (job_step.c.job_id == run.id, job_step.c.name == name)
        found: str | None = connection.execute(select(job_step.c.result).where(*mine)).scalar_one_or_none()
    return found


def stepped(state: State, run: Run, name: str, result: str) -> None:
    """A step is finished. Raises Lost."""
    with state.writing() as connection:
        _held(connection, run)
        connection.execute(insert(job_step).values(job_id=run.id, name=name, result=result, at=state.now()))


def filed(state: State, run: Run, file: Kept) -> None:
    """A file of the job, in place of one of the same name. Raises Lost."""
    with state.writing() as connection:
        _held(connection, run)
        connection.execute(delete(job_file).where(job_file.c.job_id == run.id, job_file.c.name == file.name))
        connection.execute(
            insert(job_file).values(
                job_id=run.id, name=file.name, content_type=file.content_type, content=file.content,
                size=len(file.content), sha256=hashlib.sha256(file.content).hexdigest(), at=state.now(),
            )
        )  # fmt: skip


def ended(state: State, run: Run, end: End) -> Dispatch | None:
    """It is over, and what waited for it is to be dispatched. Raises Lost."""
    with state.writing() as connection:
        _held(connection, run)
        result = None if end.result is None else orjson.dumps(end.result).decode()
        connection.execute(
            update(job)
            .where(job.c.id == run.id)
            .values(
                state=end.state, result=result, error=end.reason, ended_at=state.now(), alone_now=None, worker_id=None,
                due_at=None,
            )
        )  # fmt: skip
        alone = connection.execute(select(job.c.alone).where(job.c.id == run.id)).scalar_one()
    return None if alone is None else next_alone(state, alone)


def next_alone(state: State, alone: str) -> Dispatch | None:
    """The oldest that waits for its turn, where nobody has it; several processes may ask at once."""
    try:
        with state.writing() as connection:
            if connection.execute(select(job.c.id).where(job.c.alone_now == alone)).first() is not None:
                return None
            waits = (job.c.alone == alone, job.c.state == JobState.WAITING)
            row = connection.execute(select(job).where(*waits).order_by(job.c.created_at, job.c.id).limit(1)).first()
            if row is None:
                return None
            turn = update(job).where(job.c.id == row.id, job.c.state == JobState.WAITING)
            taken = connection.execute(turn.values(state=JobState.QUEUED, alone_now=alone, dispatched=False)).rowcount
    except IntegrityError:
        return None
    part = row.parent_id is not None
    return Dispatch(id=row.id, epoch=row.epoch, part=part, release=row.release) if taken == 1 else None


def requeued(state: State, of: Dispatch, was: JobState, release: str, *, taken_over: bool = False) -> Dispatch | None:
    """The job's next run, in place of one that was given up, lost or left by a dead worker; None: another did so."""
    with state.writing() as connection:
        again = (
            update(job)
            .where(_epoch(of), job.c.state == was)
            .values(
                state=JobState.QUEUED, epoch=of.epoch + 1, worker_id=None, dispatched=False, release=release,
                takeovers=job.c.takeovers + int(taken_over),
            )
        )  # fmt: skip
        if connection.execute(again).rowcount != 1:
            return None
        part = connection.execute(select(job.c.parent_id).where(job.c.id == of.id)).scalar_one() is not None
    return Dispatch(id=of.id, epoch=of.epoch + 1, part=part, release=release)


def cancelled(state: State, id: str, by: str) -> list[Dispatch]:
    """Ends a job that does not run yet, and wishes the end of one that does, its parts too; whose turn it then is."""
    now = state.now()
    with state.writing() as connection:
        those = (job.c.id == id) | (job.c.parent_id == id)
        wish = update(job).where(those, job.c.state.in_(OPEN), job.c.cancel_at.is_(None))
        connection.execute(wish.values(cancel_at=now, cancelled_by=by))
        still = and_(those, job.c.state.in_((JobState.WAITING, JobState.QUEUED)))
        freed = connection.execute(select(job.c.alone_now).where(still)).scalars().all()
        over = {"state": JobState.CANCELLED, "ended_at": now, "alone_now": None, "error": f"{by} cancelled it"}
        connection.execute(update(job).where(still).values(**over, epoch=job.c.epoch + 1))
    found = (next_alone(state, each) for each in freed if each is not None)
    return [each for each in found if each is not None]


def parts(state: State, ids: Sequence[str]) -> list[Ended]:
    """What came of those that have ended."""
    with state.reading() as connection:
        rows = connection.execute(select(job).where(job.c.id.in_(ids), job.c.state.not_in(OPEN))).all()
    return [
        Ended(
            id=row.id, state=JobState(row.state), result=None if row.result is None else orjson.loads(row.result),
            reason=row.error,
        )
        for row in rows
    ]  # fmt: skip


def _epoch(dispatch: Dispatch) -> ColumnElement[bool]:
    return and_(job.c.id == dispatch.id, job.c.epoch == dispatch.epoch)


def _held(connection: Connection, run: Run) -> int:
    """The number of the job's last line, its row locked. Raises Lost where the run is not the job's any more."""
    mine = select(job.c.lines).where(job.c.id == run.id, job.c.epoch == run.epoch, job.c.state == JobState.RUNNING)
    lines = connection.execute(mine.with_for_update()).scalar_one_or_none()
    if lines is None:
        raise Lost
    return int(lines)
