"""Report what each sync of a directory brought, changed and was refused, and halt one that removes too many people."""

import secrets
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, func, insert, select, update

from auth.attribution import Attribution, SubjectChange, name_change
from auth.groups import ACCESS_REVIEW, USER_ADMINISTRATION, Groups
from auth.key_format import encode_id
from auth.memberships import IdentitySource
from auth.separation import list_linked_users
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode, OnedoorError
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import (
    directory_change_table,
    directory_person_table,
    directory_progress_table,
    directory_sync_table,
)
from onedoor.storage.tables import membership_table, user_table

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
    """How many people a directory may remove within REMOVAL_WINDOW: the share or the number, whichever is more.

    The share is that of its active people, or of the people whom it has put into a functional group.
    """

    percent: int = 20
    people: int = 5


class DirectoryRefusal(OnedoorError):
    """A directory asked for what it may not do; the message says what would do."""

    def __init__(self, message: str, subject: str) -> None:
        super().__init__(message)
        self.subject = subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """That a directory takes a person out of a functional group, or out of the company: `group` is None."""

    person_id: str
    group: str | None = None


class RemovalsHalted(DirectoryRefusal):
    """The directory would remove more people than it may, as a whole or from a group; the removals wait."""

    def __init__(self, removals: Collection[Removal]) -> None:
        groups = " and ".join(
            f"`{group}`" for group in sorted({removal.group for removal in removals if removal.group})
        )
        super().__init__(
            f"more people would be removed{' from ' if groups else ''}{groups} than a directory may remove in 10 "
            "minutes: an administrator must approve",
            "",
        )
        self.removals = tuple(removals)


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
    released = list_released_people(sync)
    unreleased = [id for id in person_ids if id not in released]
    removals = [Removal(person_id=id) for id in unreleased]
    if unreleased and find_halted_sync(sync.connection, sync.source) is not None:
        raise RemovalsHalted(removals)
    begin = sync.now - REMOVAL_WINDOW
    counted = sync.connection.execute(
        select(func.count()).where(user_table.c.id.in_(unreleased), user_table.c.created_at <= begin)
    ).scalar_one()
    removed = _count_removed(sync, begin)
    if counted and removed + counted > _count_allowed(sync, _count_active(sync) + removed):
        raise RemovalsHalted(removals)


def list_excessive_losses(sync: Sync, losses: Collection[Removal]) -> Sequence[Removal]:
    """Return those of the memberships that a directory may not end now: for each group, all or none.

    Who is deactivated, and who joined within the window, is not counted, and nor is what was approved.
    """
    by_group: dict[str, set[str]] = {}
    for loss in losses:
        by_group.setdefault(str(loss.group), set()).add(loss.person_id)
    excessive: list[Removal] = []
    for group, person_ids in sorted(by_group.items()):
        unreleased = person_ids - list_released_people(sync, group)
        if _is_excessive_loss(sync, group, unreleased):
            excessive += [Removal(person_id=id, group=group) for id in sorted(unreleased)]
    return excessive


def _is_excessive_loss(sync: Sync, group: str, person_ids: Collection[str]) -> bool:
    begin = sync.now - REMOVAL_WINDOW
    members = (
        select(membership_table.c.person_id, membership_table.c.since)
        .join_from(membership_table, user_table)
        .where(membership_table.c.source == sync.source, membership_table.c.group_name == group)
        .where(user_table.c.deactivated_at.is_(None))
    )
    rows = sync.connection.execute(members).all()
    counted = sum(row.person_id in person_ids and row.since <= begin for row in rows)
    if counted and _waits_for_decision(sync, group):
        return True
    lost = _count_lost(sync, group, begin)
    return bool(counted) and lost + counted > _count_allowed(sync, len(rows) + lost)


def _waits_for_decision(sync: Sync, group: str) -> bool:
    """Whether somebody is already waiting to be taken out of a group."""
    halted = find_halted_sync(sync.connection, sync.source)
    waiting = select(directory_change_table.c.id).filter_by(
        sync_id=halted, kind=SyncChangeKind.WAITING, group_name=group
    )
    return halted is not None and sync.connection.execute(waiting.limit(1)).first() is not None


def _count_allowed(sync: Sync, present: int) -> int:
    return max(sync.limits.people, present * sync.limits.percent // 100)


def list_released_people(sync: Sync, group: str | None = None) -> frozenset[str]:
    """Return the ids of the people whose removal, from a group or as a whole, was approved, and not long ago."""
    change, report = directory_change_table.c, directory_sync_table.c
    statement = (
        select(change.person_id)
        .join_from(directory_change_table, directory_sync_table, change.sync_id == report.id)
        .where(change.source == sync.source, change.kind == SyncChangeKind.WAITING)
        .where(change.group_name.is_not_distinct_from(group))
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


def _count_lost(sync: Sync, group: str, begin: datetime) -> int:
    change = directory_change_table.c
    statement = (
        select(func.count(change.person_id.distinct()))
        .join_from(directory_change_table, user_table, change.person_id == user_table.c.id)
        .where(change.source == sync.source, change.kind == SyncChangeKind.LEFT, change.group_name == group)
        .where(change.at > begin, change.detail.is_(None), user_table.c.deactivated_at.is_(None))
    )
    return int(sync.connection.execute(statement).scalar_one())


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
    waiting = select(directory_change_table).filter_by(sync_id=sync.id, kind=SyncChangeKind.WAITING)
    known = {Removal(person_id=row.person_id, group=row.group_name) for row in sync.connection.execute(waiting)}
    ids = {removal.person_id for removal in refusal.removals}
    people = select(user_table.c.id, user_table.c.email).where(user_table.c.id.in_(ids))
    emails = {row.id: row.email for row in sync.connection.execute(people)}
    for removal in refusal.removals:
        if removal not in known:
            email = emails[removal.person_id]
            sync.note(SyncChangeKind.WAITING, email, person_id=removal.person_id, group=removal.group)


def decide_halted_sync(
    database: MetadataDatabase, id: str, *, approve: bool, attribution: Attribution
) -> Sequence[str]:
    """Approve or dismiss the removals of a halted sync; return who waited, by e-mail address, and for which group.

    What is approved is carried out when the directory asks for it again, also of whoever approves: that serves nobody.
    Raises ConfigurationError, or ConnectorError for who would dismiss their own removal.
    """
    with database.write_transaction() as connection:
        table = directory_sync_table
        row = connection.execute(select(table).filter_by(id=id)).first()
        if row is None:
            raise ConfigurationError(f"there is no sync `{id}`: see `directory syncs`")
        if row.state != SyncState.HALTED:
            raise ConfigurationError(f"the sync `{id}` is not halted: nothing waits for a decision")
        waiting = connection.execute(
            select(directory_change_table).filter_by(sync_id=id, kind=SyncChangeKind.WAITING)
        ).all()
        if not approve and attribution.actor is not None:
            _require_uninvolved(connection, attribution.actor, {change.person_id for change in waiting})
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
        return tuple(sorted(f"{change.subject} {change.group_name or ''}".strip() for change in waiting))


def _require_uninvolved(connection: Connection, actor: str, waiting_ids: Set[str]) -> None:
    """Raise ConnectorError where whoever would dismiss a removal may be among those who are to be removed."""
    if not waiting_ids.isdisjoint({actor, *list_linked_users(connection, actor)}):
        raise ConnectorError(
            "you wait to be removed, or an account does that you made or that made yours: ask another member of "
            f"`{USER_ADMINISTRATION}` or `{ACCESS_REVIEW}` to dismiss this",
            ErrorCode.FORBIDDEN,
        )


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
