"""Report what each sync of a directory brought, changed and was refused, and halt one that removes too many people."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, func, insert, select, update

from auth.attribution import Attribution, SubjectChange, name_change
from auth.groups import Groups
from auth.key_format import encode_id
from auth.memberships import IdentitySource
from onedoor.errors import ConfigurationError, OnedoorError
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import (
    directory_change_table,
    directory_person_table,
    directory_progress_table,
    directory_sync_table,
)
from onedoor.storage.tables import user_table

DIRECTORY_REASON = "the directory says so"
"""Why memberships and people change, in their history."""

REMOVAL_WINDOW = timedelta(minutes=10)
"""In which removals are counted together."""

QUIET_PERIOD = timedelta(minutes=5)
"""After which what a directory pushes is another sync."""

RELEASE_PERIOD = timedelta(days=3)
"""For how long an approved removal may be carried out; directories that push try again once a day or more often."""

DETAIL_CHARACTERS_MAX = 500


class SyncState(StrEnum):
    """What became of a sync; the values are stored."""

    DONE = "DONE"
    FAILED = "FAILED"
    HALTED = "HALTED"
    """It would have removed too many people: no removal is carried out until somebody decides."""
    APPROVED = "APPROVED"
    """It was halted, and the people who waited may be removed."""
    DISMISSED = "DISMISSED"
    """It was halted, and the people who waited stay."""


class SyncChangeKind(StrEnum):
    """What a sync did to one person or membership; the values are stored."""

    CREATED = "CREATED"
    CHANGED = "CHANGED"
    ACTIVATED = "ACTIVATED"
    DEACTIVATED = "DEACTIVATED"
    JOINED = "JOINED"
    LEFT = "LEFT"
    REFUSED = "REFUSED"
    """What the directory asked for and did not get; the detail says why."""
    WAITING = "WAITING"
    """A removal that waits until somebody approves the sync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalLimits:
    """How many people a directory may remove within REMOVAL_WINDOW: the share or the number, whichever is more."""

    percent: int = 20
    people: int = 5


class DirectoryRefusal(OnedoorError):
    """A directory asked for what it may not do; the message says what would do."""

    def __init__(self, message: str, subject: str) -> None:
        super().__init__(message)
        self.subject = subject


class RemovalsHalted(DirectoryRefusal):
    """The directory would remove more people than it may; `person_ids` wait."""

    def __init__(self, person_ids: Collection[str]) -> None:
        super().__init__(
            "more people would be removed than a directory may remove in 10 minutes: an administrator must approve", ""
        )
        self.person_ids = tuple(person_ids)


@dataclass(slots=True, kw_only=True)
class Sync:
    """The part of a sync that one transaction carries out, in the name of its directory."""

    connection: Connection
    source: IdentitySource
    groups: Groups
    now: datetime
    attribution: Attribution
    pepper: bytes = field(repr=False)
    limits: RemovalLimits = field(default_factory=RemovalLimits)
    id: str | None = None
    """Of its report; None until there is something to report."""

    def note(
        self,
        kind: SyncChangeKind,
        subject: str,
        *,
        person_id: str | None = None,
        group: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Report one change. `subject` names the person or group to whoever reads the report."""
        self.id = self.id or continue_sync(self.connection, self.source, self.now)
        self.connection.execute(
            insert(directory_change_table).values(
                id=mint_directory_id(), sync_id=self.id, source=self.source, at=self.now, kind=kind, subject=subject,
                person_id=person_id, group_name=group, detail=detail and detail[:DETAIL_CHARACTERS_MAX],
                record_id=self.attribution.record_id,
            )
        )  # fmt: skip


def mint_directory_id() -> str:
    return encode_id(secrets.token_bytes(16))


def lock_source(connection: Connection, source: IdentitySource) -> None:
    """Let one transaction at a time write what a directory says; on SQLite each holds the write lock already."""
    row = select(directory_progress_table.c.source).filter_by(source=source).with_for_update()
    if connection.execute(row).first() is None:
        connection.execute(insert(directory_progress_table).values(source=source, marks="{}"))


def continue_sync(connection: Connection, source: IdentitySource, now: datetime) -> str:
    """Return the id of the report that a push belongs to: the last one, unless the directory was quiet since."""
    table = directory_sync_table.c
    statement = (
        select(table.id)
        .where(table.source == source, table.ended_at > now - QUIET_PERIOD, table.state == SyncState.DONE)
        .order_by(table.started_at.desc())
    )
    id = connection.execute(statement.limit(1)).scalar()
    if id is None:
        return begin_sync(connection, source, now)
    connection.execute(update(directory_sync_table).filter_by(id=id).values(ended_at=now))
    return str(id)


def begin_sync(connection: Connection, source: IdentitySource, now: datetime) -> str:
    id = mint_directory_id()
    values = {"id": id, "source": source, "started_at": now, "ended_at": now, "state": SyncState.DONE}
    connection.execute(insert(directory_sync_table).values(values))
    return id


def check_removals(sync: Sync, person_ids: Collection[str]) -> None:
    """Raise RemovalsHalted where a directory may not remove these people now, all of them or none.

    Who came within the window is not counted: nothing is lost that was there before. What was approved is neither.
    """
    unreleased = [id for id in person_ids if id not in list_released_people(sync)]
    if unreleased and find_halted_sync(sync.connection, sync.source) is not None:
        raise RemovalsHalted(unreleased)
    begin = sync.now - REMOVAL_WINDOW
    counted = sync.connection.execute(
        select(func.count()).where(user_table.c.id.in_(unreleased), user_table.c.created_at <= begin)
    ).scalar_one()
    removed = _count_removed(sync, begin)
    allowed = max(sync.limits.people, (_count_active(sync) + removed) * sync.limits.percent // 100)
    if counted and removed + counted > allowed:
        raise RemovalsHalted(unreleased)


def list_released_people(sync: Sync) -> frozenset[str]:
    """Return the ids of the people whose removal was approved, and not long ago."""
    change, report = directory_change_table.c, directory_sync_table.c
    statement = (
        select(change.person_id)
        .join_from(directory_change_table, directory_sync_table, change.sync_id == report.id)
        .where(change.source == sync.source, change.kind == SyncChangeKind.WAITING)
        .where(report.state == SyncState.APPROVED, report.decided_at > sync.now - RELEASE_PERIOD)
    )
    return frozenset(sync.connection.execute(statement).scalars())


def find_halted_sync(connection: Connection, source: IdentitySource) -> str | None:
    """Return the id of the sync of a directory that waits for a decision; None: none does."""
    statement = select(directory_sync_table.c.id).filter_by(source=source, state=SyncState.HALTED)
    return connection.execute(statement).scalar()


APPROVED_DETAIL = "approved"
"""The detail of a removal that was approved, which is not counted."""


def _count_removed(sync: Sync, begin: datetime) -> int:
    change = directory_change_table.c
    statement = (
        select(func.count(change.person_id.distinct()))
        .join_from(directory_change_table, user_table, change.person_id == user_table.c.id)
        .where(change.source == sync.source, change.kind == SyncChangeKind.DEACTIVATED, change.at > begin)
        .where(user_table.c.created_at <= begin, change.detail.is_(None))
    )
    return sync.connection.execute(statement).scalar_one()


def _count_active(sync: Sync) -> int:
    statement = (
        select(func.count())
        .select_from(directory_person_table)
        .join(user_table)
        .where(directory_person_table.c.source == sync.source, user_table.c.deactivated_at.is_(None))
    )
    return sync.connection.execute(statement).scalar_one()


def report_refusal(sync: Sync, refusal: DirectoryRefusal) -> None:
    """Report what a directory was refused, in a transaction of its own: that of the refusal is rolled back.

    Halted removals wait in the one report that is halted.
    """
    if not isinstance(refusal, RemovalsHalted):
        sync.note(SyncChangeKind.REFUSED, refusal.subject, detail=str(refusal))
        return
    halted = find_halted_sync(sync.connection, sync.source)
    sync.id = halted or sync.id or continue_sync(sync.connection, sync.source, sync.now)
    halt = {"state": SyncState.HALTED, "ended_at": sync.now}
    sync.connection.execute(update(directory_sync_table).filter_by(id=sync.id).values(halt))
    waiting = select(directory_change_table.c.person_id).filter_by(sync_id=sync.id, kind=SyncChangeKind.WAITING)
    known = set(sync.connection.execute(waiting).scalars())
    people = select(user_table.c.id, user_table.c.email).where(user_table.c.id.in_(refusal.person_ids))
    for person in sync.connection.execute(people):
        if person.id not in known:
            sync.note(SyncChangeKind.WAITING, person.email, person_id=person.id)


def decide_halted_sync(
    database: MetadataDatabase, id: str, *, approve: bool, attribution: Attribution
) -> Sequence[str]:
    """Approve or dismiss the removals of a halted sync; return the e-mail addresses of the people who waited.

    What is approved is carried out when the directory asks for it again. Raises ConfigurationError.
    """
    with database.write_transaction() as connection:
        table = directory_sync_table
        row = connection.execute(select(table).filter_by(id=id)).first()
        if row is None:
            raise ConfigurationError(f"there is no sync `{id}`: see `directory syncs`")
        if row.state != SyncState.HALTED:
            raise ConfigurationError(f"the sync `{id}` is not halted: nothing waits for a decision")
        decision = {
            "state": SyncState.APPROVED if approve else SyncState.DISMISSED,
            "decided_by": attribution.actor,
            "decided_reason": attribution.reason,
            "decided_record": attribution.record_id,
            "decided_at": database.now(),
        }
        connection.execute(update(table).filter_by(id=id).values(decision))
        verb = "approve" if approve else "dismiss"
        name_change(connection, attribution, SubjectChange(type="DirectorySync", id=id, verb=verb))
        waiting = select(directory_change_table.c.subject).filter_by(sync_id=id, kind=SyncChangeKind.WAITING)
        return tuple(connection.execute(waiting.order_by(directory_change_table.c.subject)).scalars())


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """A sync of a directory, with how many changes of each kind there were."""

    id: str
    source: IdentitySource
    started_at: datetime
    ended_at: datetime
    state: SyncState
    failure: str | None
    counts: dict[SyncChangeKind, int]


def list_syncs(database: MetadataDatabase, limit: int = 50) -> tuple[SyncReport, ...]:
    """List the last syncs of all directories, the newest first."""
    with database.read_connection() as connection:
        table, change = directory_sync_table.c, directory_change_table.c
        rows = connection.execute(select(directory_sync_table).order_by(table.started_at.desc()).limit(limit)).all()
        counts: dict[str, dict[SyncChangeKind, int]] = {row.id: {} for row in rows}
        counting = select(change.sync_id, change.kind, func.count()).where(change.sync_id.in_(list(counts)))
        for id, kind, count in connection.execute(counting.group_by(change.sync_id, change.kind)):
            counts[id][SyncChangeKind(kind)] = count
    return tuple(
        SyncReport(
            id=row.id, source=IdentitySource(row.source), started_at=row.started_at, ended_at=row.ended_at,
            state=SyncState(row.state), failure=row.failure, counts=counts[row.id],
        )
        for row in rows
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncChange:
    """One change of a sync, as its report says it."""

    at: datetime
    kind: SyncChangeKind
    subject: str
    group: str | None
    detail: str | None


def list_sync_changes(database: MetadataDatabase, id: str) -> tuple[SyncChange, ...]:
    """List what a sync brought, changed and was refused, in order."""
    table = directory_change_table.c
    statement = select(directory_change_table).filter_by(sync_id=id).order_by(table.at, table.subject, table.id)
    with database.read_connection() as connection:
        return tuple(
            SyncChange(
                at=row.at, kind=SyncChangeKind(row.kind), subject=row.subject, group=row.group_name, detail=row.detail
            )
            for row in connection.execute(statement)
        )
