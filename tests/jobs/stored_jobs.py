"""Store jobs of several people in several states, and read them through the connector of one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auth.authentication import Principal
from onedoor.audit.record import build_record_id
from onedoor.connectors.jobs import JobsConnector
from onedoor.jobs import store
from onedoor.jobs.models import JobFileData, JobLogLine, JobRun, LineKind, Progress, RunResult, RunState
from onedoor.jobs.registry import compute_job_version, register_jobs
from onedoor.jobs.tables import JobDatabase
from onedoor.storage.database import MetadataDatabase, open_database
from tests import acme
from tests.jobs.application import PEPPER, build_small_catalog
from tests.jobs.sample_jobs import JOBS
from tests.metadata import copy_sqlite

AT = datetime(2026, 11, 1, tzinfo=UTC)
PEOPLE = ("P1", "P2", "P3")
NAMES = ("Walk", "Ask", "Sleep")


@contextmanager
def open_stored_jobs(folder: Path, *groups: str, url: str | None = None) -> Iterator[JobsConnector]:
    """Open the connector of P1 in these groups, by default those of an auditor."""
    state = open_database(url or copy_sqlite(folder), PEPPER)
    job_database = JobDatabase(metadata=state)
    try:
        store_jobs(state)
        caller: Principal = acme.caller(*(groups or ("audit", "finance")))
        yield JobsConnector(job_database, register_jobs(JOBS, acme.GROUPS), caller, build_small_catalog().policy)
    finally:
        job_database.close()
        state.close()


def store_jobs(state: MetadataDatabase) -> None:
    jobs = register_jobs(JOBS, acme.GROUPS)
    for number in range(12):
        name, person = NAMES[number % 3], PEOPLE[number // 4]
        row = {
            "id": build_record_id(AT + timedelta(minutes=number), bytes(9)),
            "name": name,
            "person_id": person,
            "person_name": f"Person {person} é",
            "key_id": None,
            "record_id": None,
            "reason": None if number % 2 else "why",
            "idempotency_key": None,
            "parent_id": None,
            "input": "{}",
            "version": compute_job_version(jobs[name]),
            "release": "r",
            "alone": None,
            "created_at": AT + timedelta(minutes=number),
        }
        id, _ = store.add_job(state, row, 100)
        if number % 4:
            store_run(state, id, number)


def store_run(state: MetadataDatabase, id: str, number: int) -> None:
    run = store.claim_run(state, id, 0, "W")
    assert run is not None
    kinds = (LineKind.LOG, LineKind.OUTPUT, LineKind.ERROR)
    lines = [JobLogLine(at=AT, kind=kinds[item % 3], text=f"line {item}") for item in range(number)]
    store.save_progress(state, run, lines, Progress(done=float(number), total=None if number % 3 else 12.0), 8)
    store.save_file(state, run, JobFileData(name=f"é{number}.txt", content_type="text/plain", content=b"a" * number))
    store.save_file(state, run, JobFileData(name="raw", content_type="application/octet-stream", content=b"\xff\xfe"))
    if number % 4 > 1:
        store_end(state, run, number)


def store_end(state: MetadataDatabase, run: JobRun, number: int) -> None:
    good = RunResult(state=RunState.SUCCEEDED, result={"number": number})
    store.end_run(state, run, good if number % 4 == 2 else RunResult(state=RunState.FAILED, reason="not good"))
