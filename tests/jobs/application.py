"""Open applications with jobs in this process, over databases that other processes may share."""

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

from auth import users
from auth.authentication import Principal
from auth.grant_store import GrantChecker
from onedoor.audit.log import open_audit_log
from onedoor.audit.record import derive_redaction_key
from onedoor.connectors import jobs as connectors_jobs
from onedoor.connectors import principal
from onedoor.connectors.jobs import JobsConnector, build_unbound_jobs_connector
from onedoor.connectors.principal import build_empty_principal_connector, build_principal_connector
from onedoor.jobs.declarations import Job
from onedoor.jobs.models import OPEN_STATES, JobSettings, StartRequest
from onedoor.jobs.registry import register_jobs
from onedoor.jobs.tables import JobDatabase, job_file_table, job_line_table, job_table
from onedoor.jobs.worker import JobRuntime, open_job_runtime
from onedoor.model.catalog import Catalog
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import QueryEngine, build_query_engine
from onedoor.schema.builder import build_schema_and_policy
from onedoor.schema.builtin import jobs as builtin_jobs
from onedoor.schema.builtin import me
from onedoor.storage.database import MetadataDatabase, open_database, utc_now
from tests import acme
from tests.metadata import copy_sqlite

PEPPER = b"a pepper of at least thirty-two characters"
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.02
QUICK_SETTINGS = JobSettings(poll_seconds=0.05, lease_seconds=3.0)


@dataclass(slots=True, kw_only=True)
class RecordingNotifier:
    """A notifier that records the ids of the jobs that changed."""

    ids: list[str] = field(default_factory=list)

    def notify(self, job_id: str) -> None:
        self.ids.append(job_id)


@dataclass(slots=True, kw_only=True)
class JobApplication:
    """An application with jobs, in this process."""

    database: MetadataDatabase
    engine: QueryEngine
    executor: AuditedExecutor
    runtime: JobRuntime
    notifier: RecordingNotifier
    records: Path

    async def start(self, job: str, job_input: Any, *groups: str, **options: Any) -> str:
        principal = make_member(self.database, *groups)
        request = StartRequest(job_name=job, principal=principal, input=job_input, **options)
        return await self.runtime.service.start(request)

    async def wait_ended(self, id: str, seconds: float = PATIENCE_SECONDS) -> Mapping[str, Any]:
        """Return the job's row once the job has ended."""
        return await wait_until(lambda: self.row(id), lambda row: row["state"] not in OPEN_STATES, seconds)

    def row(self, id: str) -> Mapping[str, Any]:
        with self.database.read_connection() as connection:
            return dict(connection.execute(select(job_table).where(job_table.c.id == id)).one()._mapping)

    def rows(self) -> list[dict[str, Any]]:
        with self.database.read_connection() as connection:
            return [
                dict(row._mapping) for row in connection.execute(select(job_table).order_by(job_table.c.created_at))
            ]

    def file(self, id: str, name: str) -> bytes | None:
        named = select(job_file_table.c.content).where(job_file_table.c.job_id == id, job_file_table.c.name == name)
        with self.database.read_connection() as connection:
            content: bytes | None = connection.execute(named).scalar_one_or_none()
        return content

    def lines(self, id: str) -> list[tuple[str, str]]:
        lines = select(job_line_table.c.kind, job_line_table.c.text).where(job_line_table.c.job_id == id)
        with self.database.read_connection() as connection:
            return [(row.kind, row.text) for row in connection.execute(lines.order_by(job_line_table.c.number))]


async def wait_until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what `look` gives once it is good. The deadline is for what never comes."""
    deadline = time.monotonic() + seconds
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"it never came: {seen}"
        await asyncio.sleep(LOOK_SECONDS)
    return seen


def make_member(database: MetadataDatabase, *groups: str, email: str = "ada@acme.example") -> Principal:
    """Return a person in these groups, created where there is none with this address."""
    if email not in {user.email for user in users.list_users(database)}:
        users.create_user(database, first_name="Ada", last_name="Lovelace", email=email)
    for group in groups:
        users.join_group(database, email, group)
    user = next(user for user in users.list_users(database) if user.email == email)
    now = datetime.now(UTC)
    return Principal(
        person_id=user.id,
        first_name=user.first_name,
        last_name=user.last_name,
        email=user.email,
        groups=frozenset(user.groups),
        grants=(),
        key_id="Key012345678",
        key_created=now,
        key_expires=now,
    )


@cache
def build_small_catalog() -> Catalog:
    """Build a catalog of the caller and of jobs, and of nothing else."""
    schema, policy = build_schema_and_policy((me, builtin_jobs))
    return Catalog(
        schema=schema,
        policy=policy,
        mappings={mapping.type: mapping for mapping in (*principal.MAPPINGS, *connectors_jobs.MAPPINGS)},
        connectors={"caller": build_empty_principal_connector(), "jobs": build_unbound_jobs_connector()},
        cursor_secret=b"a secret of the tests",
        version="1",
    )


@asynccontextmanager
async def open_application(
    folder: Path,
    jobs: tuple[Job, ...],
    *,
    url: str | None = None,
    settings: JobSettings = QUICK_SETTINGS,
    at_once: bool = False,
    now: Callable[[], datetime] = utc_now,
    build_catalog: Callable[[], Catalog] = build_small_catalog,
) -> AsyncIterator[JobApplication]:
    async with AsyncExitStack() as stack:
        database = open_database(url or copy_sqlite(folder), PEPPER, now=now)
        stack.callback(database.close)
        job_database = JobDatabase(metadata=database)
        stack.callback(job_database.close)
        records = folder / "records"
        records.mkdir(exist_ok=True)
        audit_log = open_audit_log(records, datetime.now(UTC))
        stack.push_async_callback(asyncio.to_thread, audit_log.close)
        registered = register_jobs(jobs, acme.GROUPS)

        catalog = build_catalog()

        def build_personal_connectors(caller: Principal) -> dict[str, Any]:
            return {
                "caller": build_principal_connector(caller),
                "jobs": JobsConnector(job_database, registered, caller, catalog.policy),
            }

        grant_checker = GrantChecker(database)
        stack.callback(grant_checker.close)
        engine = build_query_engine(
            catalog, build_personal_connectors, time.monotonic, find_ended_grants=grant_checker.find_ended
        )
        executor = AuditedExecutor(engine=engine, audit_log=audit_log, redaction_key=derive_redaction_key(PEPPER))
        notifier = RecordingNotifier()
        runtime = await stack.enter_async_context(
            open_job_runtime(
                registered, job_database, executor, settings, groups=acme.GROUPS, notifier=notifier, at_once=at_once
            )
        )
        yield JobApplication(
            database=database, engine=engine, executor=executor, runtime=runtime, notifier=notifier, records=records
        )
