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

from auth import users
from auth.authentication import Principal
from onedoor.audit.log import open_audit_log
from onedoor.audit.record import derive_redaction_key
from onedoor.connectors import jobs as connectors_jobs
from onedoor.connectors import principal
from onedoor.connectors.jobs import JobsConnector, build_unbound_jobs_connector
from onedoor.connectors.principal import build_empty_principal_connector, build_principal_connector
from onedoor.jobs import tables
from onedoor.jobs.declarations import Job
from onedoor.jobs.models import OPEN_STATES, JobSettings, StartRequest
from onedoor.jobs.registry import register_jobs
from onedoor.jobs.tables import JobDatabase
from onedoor.jobs.worker import JobRuntime, open_job_runtime
from onedoor.model.catalog import Catalog
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import QueryEngine, build_query_engine
from onedoor.schema.builder import build_schema_and_policy
from onedoor.schema.builtin import jobs as builtin_jobs
from onedoor.schema.builtin import me
from onedoor.storage.database import MetadataDatabase, open_database
from tests import acme

PEPPER = b"a pepper of at least thirty-two characters"
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02
QUICK = JobSettings(poll_seconds=0.05, lease_seconds=3.0)


@dataclass(slots=True, kw_only=True)
class Heard:
    """A notifier that remembers."""

    ids: list[str] = field(default_factory=list)

    def notify(self, job_id: str) -> None:
        self.ids.append(job_id)


@dataclass(slots=True, kw_only=True)
class House:
    """All of it in this process."""

    state: MetadataDatabase
    shelf: JobDatabase
    desk: QueryEngine
    works: JobRuntime
    records: Path
    heard: Heard

    async def start(self, job: str, given: Any, *groups: str, **more: Any) -> str:
        return await self.works.service.start(
            StartRequest(job_name=job, principal=member(self.state, *groups), input=given, **more)
        )

    async def ended(self, id: str, seconds: float = PATIENCE_SECONDS) -> Mapping[str, Any]:
        """Its row, once it has ended."""
        return await until(lambda: self.row(id), lambda row: row["state"] not in OPEN_STATES, seconds)

    def row(self, id: str) -> Mapping[str, Any]:
        return row_of(self.state, id)

    def file(self, id: str, name: str) -> bytes | None:
        file = tables.job_file_table
        with self.state.read_connection() as connection:
            named = select(file.c.content).where(file.c.job_id == id, file.c.name == name)
            return connection.execute(named).scalar_one_or_none()

    def lines(self, id: str) -> list[tuple[str, str]]:
        return lines_of(self.state, id)


def row_of(state: MetadataDatabase, id: str) -> Mapping[str, Any]:
    with state.read_connection() as connection:
        return dict(connection.execute(select(tables.job_table).where(tables.job_table.c.id == id)).one()._mapping)


def lines_of(state: MetadataDatabase, id: str) -> list[tuple[str, str]]:
    line = tables.job_line_table
    with state.read_connection() as connection:
        wanted = select(line.c.kind, line.c.text).where(line.c.job_id == id).order_by(line.c.number)
        return [tuple(row) for row in connection.execute(wanted)]


async def until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = PATIENCE_SECONDS) -> Any:
    """What `look` gives once it is good; the deadline is for what never comes."""
    deadline = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < deadline, f"it never came: {found}"
        await asyncio.sleep(LOOK_SECONDS)
    return found


def member(state: MetadataDatabase, *groups: str, email: str = "ada@acme.example") -> Principal:
    """A person of the state in these groups, made where they are not there yet."""
    known = {each.email: each for each in users.list_users(state)}
    if email not in known:
        users.create_user(state, first_name="Ada", last_name="Lovelace", email=email)
    for group in groups:
        users.join_group(state, email, group)
    found = next(each for each in users.list_users(state) if each.email == email)
    now = datetime.now(UTC)
    return Principal(
        person_id=found.id,
        first_name=found.first_name,
        last_name=found.last_name,
        email=found.email,
        groups=frozenset(found.groups),
        grants=(),
        key_id="Key012345678",
        key_created=now,
        key_expires=now,
    )


@cache
def small() -> Catalog:
    """Of the person who asks and of jobs, and nothing else."""
    schema, rules = build_schema_and_policy((me, builtin_jobs))
    return Catalog(
        schema=schema,
        policy=rules,
        mappings={each.type: each for each in (*principal.MAPPINGS, *connectors_jobs.MAPPINGS)},
        connectors={"caller": build_empty_principal_connector(), "jobs": build_unbound_jobs_connector()},
        cursor_secret=b"a secret of the tests",
        version="1",
    )


@asynccontextmanager
async def house(
    folder: Path,
    jobs: tuple[Job, ...],
    *,
    url: str | None = None,
    running: JobSettings = QUICK,
    at_once: bool = False,
    now: Callable[[], datetime] | None = None,
    built: Callable[[], Catalog] = small,
) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        clock = {} if now is None else {"now": now}
        state = open_database(url or f"sqlite:///{folder}/state.sqlite", PEPPER, **clock)
        stack.callback(state.close)
        shelf = JobDatabase(metadata=state)
        stack.callback(shelf.close)
        records = folder / "records"
        records.mkdir(exist_ok=True)
        journal = open_audit_log(records, datetime.now(UTC))
        stack.push_async_callback(asyncio.to_thread, journal.close)
        declared = register_jobs(jobs, acme.GROUPS)

        def own(caller: Principal) -> dict[str, Any]:
            return {"caller": build_principal_connector(caller), "jobs": JobsConnector(shelf, declared, caller)}

        at = build_query_engine(built(), own, time.monotonic)
        heard = Heard()
        works = await stack.enter_async_context(
            open_job_runtime(
                declared,
                shelf,
                AuditedExecutor(engine=at, audit_log=journal, redaction_key=derive_redaction_key(PEPPER)),
                running,
                groups=acme.GROUPS,
                notifier=heard,
                at_once=at_once,
            )
        )
        yield House(state=state, shelf=shelf, desk=at, works=works, records=records, heard=heard)
