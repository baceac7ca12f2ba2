"""Jobs of several people in several states, as a source of one of them; and a state that holds them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auth.caller import Caller
from auth.state import State, opened
from records.record import record_id
from sources.jobs import JobsSource
from tests import acme
from tests.jobs.declared import JOBS
from tests.jobs.houses import PEPPER
from work import store
from work.register import registered, version
from work.shelf import Shelf
from work.store import Kept
from work.words import End, JobState, Line, LineKind, Run

AT = datetime(2026, 11, 1, tzinfo=UTC)
PEOPLE = ("P1", "P2", "P3")
NAMES = ("Walk", "Ask", "Sleep")


@contextmanager
def some(folder: Path, *groups: str, url: str | None = None) -> Iterator[JobsSource]:
    """As P1 in these groups sees them, by default who audits."""
    state = opened(url or f"sqlite:///{folder}/state.sqlite", PEPPER)
    shelf = Shelf(state=state)
    try:
        fill(state)
        caller: Caller = acme.caller(*(groups or ("audit", "finance")))
        yield JobsSource(shelf, registered(JOBS), caller)
    finally:
        shelf.close()
        state.close()


def fill(state: State) -> None:
    jobs = registered(JOBS)
    for number in range(12):
        name, person = NAMES[number % 3], PEOPLE[number // 4]
        row = {
            "id": record_id(AT + timedelta(minutes=number), bytes(9)), "name": name, "person_id": person,
            "person_name": f"Person {person} é", "key_id": None, "record_id": None,
            "reason": None if number % 2 else "why", "idempotency_key": None, "parent_id": None, "input": "{}",
            "version": version(jobs[name]), "release": "r", "alone": None, "created_at": AT + timedelta(minutes=number),
        }  # fmt: skip
        id, _ = store.added(state, row, 100)
        if number % 4:
            ran(state, id, number)


def ran(state: State, id: str, number: int) -> None:
    run = store.claimed(state, id, 0, "W")
    assert run is not None
    kinds = (LineKind.LOG, LineKind.OUTPUT, LineKind.ERROR)
    lines = [Line(at=AT, kind=kinds[each % 3], text=f"line {each}") for each in range(number)]
    store.noted(state, run, lines, (float(number), None if number % 3 else 12.0), 8)
    store.filed(state, run, Kept(name=f"é{number}.txt", content_type="text/plain", content=b"a" * number))
    store.filed(state, run, Kept(name="raw", content_type="application/octet-stream", content=b"\xff\xfe"))
    if number % 4 > 1:
        end(state, run, number)


def end(state: State, run: Run, number: int) -> None:
    good = End(state=JobState.SUCCEEDED, result={"number": number})
    store.ended(state, run, good if number % 4 == 2 else End(state=JobState.FAILED, reason="not good"))
