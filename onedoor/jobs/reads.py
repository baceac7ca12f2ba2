"""Keep what each run of a job has read, and decide by it who is shown what came of the run.

What a job leaves (result, files, lines, progress, error) may hold whatever its queries returned, so it is shown to
those alone who may read every coordinate of those queries now, by the same `decide` that judges a query.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from auth.authentication import Principal
from auth.policy import AccessPolicy, Decision, SchemaCoordinate, decide
from onedoor.audit.record import Surface
from onedoor.jobs.models import JobRun
from onedoor.jobs.store import STARTER_ALONE, add_reads, add_reads_of, list_reads
from onedoor.jobs.tables import JobDatabase, job_read_table, job_table
from onedoor.model.catalog import Catalog
from onedoor.model.reader import build_all_rows_coordinate
from onedoor.query.audited import AuditedExecutor, CountServedBytes
from onedoor.query.authorize import list_read_coordinates
from onedoor.query.context import CachedPlan, ExecutionResult, GraphQLRequest
from onedoor.query.visible_rows import list_ruled_types
from onedoor.storage.database import MetadataDatabase

JOBS_SOURCE = "jobs"
"""The source of the types `Job`, `JobLine` and `JobFile`, which shows each principal rows of their own."""


@dataclass(slots=True, kw_only=True)
class ReadRecorder:
    """Keeps with one run what it has read, before the run is given any of it."""

    database: JobDatabase
    run: JobRun
    _known: set[str] = field(default_factory=set, init=False)

    async def add_result(self, executor: AuditedExecutor, principal: Principal, result: ExecutionResult) -> None:
        """Keep what the result of a query was made of. Raises RunLost."""
        if result.cached_plan is None:
            return
        catalog, plan = result.cached_plan.catalog, result.cached_plan
        coordinates = list_read_coordinates(catalog.schema, catalog.policy, plan.fields, plan.decisions)
        reads = {".".join(coordinate) for coordinate in (*coordinates, *list_read_rows(catalog, plan, principal))}
        if any(scan.source == JOBS_SOURCE for scan in result.scan_stats):
            reads |= await self.database.run_in_db_thread(load_allowed_reads, catalog.policy, principal.groups)
            reads.add(STARTER_ALONE)
        if not reads <= self._known:
            await self.database.run_in_db_thread(add_reads, self.run, reads)
            self._known |= reads

    async def add_reads_of(self, ids: Sequence[str]) -> None:
        """Keep what other jobs have read, as their results may hold it. Raises RunLost."""
        await self.database.run_in_db_thread(add_reads_of, self.run, ids)


def list_read_rows(catalog: Catalog, plan: CachedPlan, principal: Principal) -> Iterator[tuple[str, ...]]:
    """Yield what is needed to see the rows that a query reads: all of a type, or else to be who started the job."""
    for mapping in list_ruled_types(catalog, plan.plan):
        coordinate = build_all_rows_coordinate(mapping.type)
        yield coordinate if decide(catalog.policy, coordinate, principal.groups).allowed else (STARTER_ALONE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingExecutor(AuditedExecutor):
    """The executor of one run: whatever a query may have read is kept with the run before its result is returned."""

    reads: ReadRecorder

    async def run(
        self,
        principal: Principal,
        request: GraphQLRequest,
        *,
        surface: Surface,
        client_request_id: str | None = None,
        count_served_bytes: CountServedBytes | None = None,
    ) -> ExecutionResult:
        """Execute a request as `AuditedExecutor.run` does. Raises RunLost, too."""
        result = await AuditedExecutor.run(
            self,
            principal,
            request,
            surface=surface,
            client_request_id=client_request_id,
            count_served_bytes=count_served_bytes,
        )
        await self.reads.add_result(self, principal, result)
        return result


def load_allowed_reads(database: MetadataDatabase, policy: AccessPolicy, groups: frozenset[str]) -> frozenset[str]:
    """Return all coordinates that any job has read and these groups may read."""
    with database.read_connection() as connection:
        reads = list_reads(connection)
    return frozenset(reads) - find_denied_reads(policy, groups, reads).keys() - {STARTER_ALONE}


def find_denied_reads(policy: AccessPolicy, groups: frozenset[str], reads: Collection[str]) -> Mapping[str, Decision]:
    """Return the denials of what the groups may not read; a coordinate that the schema has no more is denied to all."""
    decisions = {
        read: decide(policy, cast(SchemaCoordinate, tuple(read.split("."))), groups)
        for read in reads
        if read != STARTER_ALONE
    }
    return {read: decision for read, decision in decisions.items() if not decision.allowed}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDenials:
    """What one principal may not read of all that jobs have read, as conditions on rows of `job`."""

    principal: Principal
    denials: Mapping[str, Decision]

    @property
    def deny_input(self) -> ColumnElement[bool]:
        """Whether the input of a job is denied, which it has from the job that started it."""
        return self._select_denied().where(job_read_table.c.by_starter).correlate(job_table).exists()

    @property
    def deny_outcome(self) -> ColumnElement[bool]:
        """Whether what came of a job is denied."""
        not_own = job_table.c.person_id != self.principal.person_id
        is_unknown = and_(not_own, job_table.c.reads_known.is_(False), job_table.c.attempts > 0)
        return or_(self._select_denied().correlate(job_table).exists(), is_unknown)

    def list_denials(self, connection: Connection, ids: Collection[str]) -> tuple[Decision, ...]:
        """Return the denials for which something of these jobs is denied, in order of their coordinates."""
        statement = self._select_denied().where(job_table.c.id.in_(ids)).distinct()
        reads = set(connection.execute(statement).scalars()) or {STARTER_ALONE}
        return tuple(self.denials.get(read) or Decision((read,), None) for read in sorted(reads))

    def _select_denied(self) -> Select[Any]:
        is_denied = job_read_table.c.coordinate.in_(self.denials)
        not_own = job_table.c.person_id != self.principal.person_id
        is_alone = and_(job_read_table.c.coordinate == STARTER_ALONE, not_own)
        denied = select(job_read_table.c.coordinate).where(job_read_table.c.job_id == job_table.c.id)
        return denied.where(or_(is_denied, is_alone))


def load_read_denials(connection: Connection, policy: AccessPolicy, principal: Principal) -> ReadDenials:
    """Decide all that jobs have read for one principal."""
    denials = find_denied_reads(policy, principal.groups, list_reads(connection))
    return ReadDenials(principal=principal, denials=denials)
