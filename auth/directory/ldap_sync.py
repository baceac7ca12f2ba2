"""Carry out what an LDAP directory says: who came, changed or left, and who is in which group."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Row

from auth.attribution import SubjectChange, name_change
from auth.directory.ldap_client import LdapGroup, LdapMarks, LdapReading, LdapUser
from auth.directory.memberships import (
    MembershipChange,
    confirm_memberships,
    list_losses,
    normalize_dn,
    refresh_memberships,
)
from auth.directory.people import apply_account, remove_person
from auth.directory.reports import (
    RELEASE_PERIOD,
    DirectoryRefusal,
    Removal,
    RemovalsHalted,
    Sync,
    SyncChangeKind,
    SyncState,
    begin_sync,
    check_removals,
    list_excessive_losses,
    list_released_people,
    lock_source,
    mint_directory_id,
    report_refusal,
)
from auth.memberships import IdentitySource
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import (
    directory_change_table,
    directory_group_table,
    directory_member_table,
    directory_progress_table,
    directory_sync_table,
    directory_user_table,
)
from onedoor.storage.tables import membership_table

SOURCE = IdentitySource.LDAP

USERS_PER_TRANSACTION = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapProgress:
    """How far the directory was read, and when it was last read whole."""

    marks: LdapMarks | None
    compared_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUser:
    """A user of the directory as it was last read."""

    id: str
    person_id: str | None
    active: bool
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """What is to be done so that people follow a reading."""

    leaving: Mapping[str, StoredUser]
    """By the directory's id, those who are no longer there."""
    disabled: Mapping[str, LdapUser]
    changed: Mapping[str, LdapUser]
    """New ones and others, all of whom are active."""
    groups: Mapping[str, LdapGroup]
    gone_groups: frozenset[str]
    stored: Mapping[str, StoredUser]

    @property
    def is_empty(self) -> bool:
        return not (self.leaving or self.disabled or self.changed or self.groups or self.gone_groups)


def plan_sync(database: MetadataDatabase, reading: LdapReading) -> SyncPlan:
    """Compare a reading with what was last read."""
    stored, groups = _load_stored_users(database), _load_stored_groups(database)
    gone = (stored.keys() | groups.keys()) - reading.users.keys() - reading.groups.keys()
    gone = gone if reading.is_whole else gone & reading.gone_ids
    changed = {id: user for id, user in reading.users.items() if _has_changed(user, stored.get(id), reading.is_whole)}
    return SyncPlan(
        leaving={id: stored[id] for id in sorted(gone & stored.keys())},
        disabled={id: user for id, user in changed.items() if not user.account.active},
        changed={id: user for id, user in changed.items() if user.account.active},
        groups={id: group for id, group in reading.groups.items() if groups.get(id) != _dump_group(group)},
        gone_groups=frozenset(gone & groups.keys()),
        stored=stored,
    )


def _has_changed(user: LdapUser, stored: StoredUser | None, retries: bool) -> bool:
    if stored is None:
        return user.account.active
    was_refused = retries and stored.person_id is None and user.account.active
    return was_refused or stored.active != user.account.active or stored.document != _dump_user(user)


def list_leaving_people(plan: SyncPlan) -> Sequence[str]:
    """List the ids of the people whom a plan would deactivate."""
    rows = [*plan.leaving.values(), *(plan.stored[id] for id in plan.disabled if id in plan.stored)]
    return sorted({row.person_id for row in rows if row.person_id is not None and row.active})


def list_removable_users(plan: SyncPlan, allowed: Collection[str]) -> Sequence[str]:
    """List the directory's ids of the users who left or are disabled, but for those whose people wait."""
    known = {**plan.leaving, **{id: plan.stored[id] for id in plan.disabled if id in plan.stored}}
    return sorted(id for id, row in known.items() if not row.active or row.person_id in {None, *allowed})


def allow_removals(sync: Sync, people: Sequence[str]) -> frozenset[str]:
    """Return the ids of those people who may be deactivated now; the others wait for an approval."""
    try:
        check_removals(sync, people)
    except RemovalsHalted as halted:
        report_refusal(sync, halted)
        return frozenset(people) & list_released_people(sync)
    return frozenset(people)


def hold_losses(sync: Sync, changes: Sequence[MembershipChange]) -> Sequence[MembershipChange]:
    """Return the changes that may be made now; the others wait for an approval."""
    waiting = frozenset(list_excessive_losses(sync, list_losses(changes)))
    if not waiting:
        return changes
    report_refusal(sync, RemovalsHalted(sorted(waiting, key=lambda loss: (loss.group, loss.person_id))))
    return [
        change
        for change in changes
        if change.joins or Removal(person_id=change.person_id, group=change.group) not in waiting
    ]


def has_released_losses(database: MetadataDatabase) -> bool:
    """Whether memberships are there whose end was approved, and not long ago."""
    change, report, membership = directory_change_table.c, directory_sync_table.c, membership_table.c
    is_membership = (
        (membership.person_id == change.person_id)
        & (membership.group_name == change.group_name)
        & (membership.source == SOURCE)
    )
    statement = (
        select(change.id)
        .join_from(directory_change_table, directory_sync_table, change.sync_id == report.id)
        .join(membership_table, is_membership)
        .where(change.source == SOURCE, change.kind == SyncChangeKind.WAITING)
        .where(report.state == SyncState.APPROVED, report.decided_at > database.now() - RELEASE_PERIOD)
    )
    with database.read_connection() as connection:
        return connection.execute(statement.limit(1)).first() is not None


def remove_users(sync: Sync, *, plan: SyncPlan, ids: Collection[str]) -> None:
    """Deactivate the people of users who left or are disabled, and end what the directory gave them."""
    for id in ids:
        row = plan.stored[id]
        if row.person_id is not None:
            remove_person(sync, row.person_id)
        values = {"active": False, "modified_at": sync.now}
        sync.connection.execute(update(directory_user_table).filter_by(id=row.id).values(values))
        refresh_memberships(sync, [row.id])
        if id in plan.leaving:
            sync.connection.execute(delete(directory_member_table).filter_by(member_id=row.id))
            sync.connection.execute(delete(directory_user_table).filter_by(id=row.id))
        else:
            _store_user(sync, plan.disabled[id], row)
        _name_change(sync, "DirectoryUser", row.id, "delete" if id in plan.leaving else "update")


def write_users(sync: Sync, *, plan: SyncPlan, ids: Collection[str]) -> None:
    """Store users and let their people become what they say; one that is refused is reported and left out."""
    for id in ids:
        user = plan.changed[id]
        try:
            with sync.connection.begin_nested():
                _write_user(sync, user, plan.stored.get(id))
        except DirectoryRefusal as refusal:
            report_refusal(sync, refusal)


def _write_user(sync: Sync, user: LdapUser, stored: StoredUser | None) -> None:
    id = _store_user(sync, user, stored)
    was_active = stored is not None and stored.active
    known_id = None if stored is None else stored.person_id
    person_id = apply_account(sync, user.account, person_id=known_id, was_active=was_active)
    if person_id is not None and known_id is None:
        sync.connection.execute(update(directory_user_table).filter_by(id=id).values(person_id=person_id))
    _name_change(sync, "DirectoryUser", id, "create" if stored is None else "update")


def _store_user(sync: Sync, user: LdapUser, stored: StoredUser | None) -> str:
    values = {
        "user_name": user.dn, "user_name_folded": normalize_dn(user.dn), "active": user.account.active,
        "resource": _dump_user(user), "modified_at": sync.now,
    }  # fmt: skip
    if stored is not None:
        changed = {**values, "version": directory_user_table.c.version + 1}
        sync.connection.execute(update(directory_user_table).filter_by(id=stored.id).values(changed))
        return stored.id
    id = mint_directory_id()
    fixed = {"id": id, "source": SOURCE, "external_id": user.id, "version": 1, "created_at": sync.now}
    sync.connection.execute(insert(directory_user_table).values({**fixed, **values}))
    return id


def write_groups(sync: Sync, plan: SyncPlan) -> None:
    """Store groups, delete those that are gone, and find anew who is a direct member of which."""
    ids = {row.external_id: row.id for row in _list_groups(sync)}
    for external_id, group in plan.groups.items():
        values = {"display_name": group.name, "resource": _dump_group(group), "modified_at": sync.now}
        if external_id in ids:
            changed = {**values, "version": directory_group_table.c.version + 1}
            sync.connection.execute(update(directory_group_table).filter_by(id=ids[external_id]).values(changed))
            _name_change(sync, "DirectoryGroup", ids[external_id], "update")
            continue
        id = mint_directory_id()
        fixed = {"id": id, "source": SOURCE, "external_id": external_id, "version": 1, "created_at": sync.now}
        sync.connection.execute(insert(directory_group_table).values({**fixed, **values}))
        _name_change(sync, "DirectoryGroup", id, "create")
    for external_id in plan.gone_groups:
        id = ids[external_id]
        of_group = (directory_member_table.c.group_id == id) | (directory_member_table.c.member_id == id)
        sync.connection.execute(delete(directory_member_table).where(of_group))
        sync.connection.execute(delete(directory_group_table).filter_by(id=id))
        _name_change(sync, "DirectoryGroup", id, "delete")
    _rebuild_members(sync)


def _rebuild_members(sync: Sync) -> None:
    """Resolve the DNs of members: a user may come after the group that names them, or be called otherwise since."""
    groups = _list_groups(sync)
    users = sync.connection.execute(
        select(directory_user_table.c.id, directory_user_table.c.user_name_folded).filter_by(source=SOURCE)
    )
    named = {row.user_name_folded: (row.id, False) for row in users}
    documents = {row.id: orjson.loads(row.resource) for row in groups}
    named |= {normalize_dn(document["dn"]): (id, True) for id, document in documents.items()}
    wanted = {
        (id, *named[member]) for id, document in documents.items() for member in document["members"] if member in named
    }
    rows = sync.connection.execute(
        select(directory_member_table).where(directory_member_table.c.group_id.in_(list(documents)))
    )
    stored = {(row.group_id, row.member_id, row.is_group) for row in rows}
    for group_id, member_id, _ in stored - wanted:
        sync.connection.execute(delete(directory_member_table).filter_by(group_id=group_id, member_id=member_id))
    added = [
        {"group_id": group_id, "member_id": member_id, "is_group": is_group}
        for group_id, member_id, is_group in wanted - stored
    ]
    if added:
        sync.connection.execute(insert(directory_member_table), added)


def _list_groups(sync: Sync) -> Sequence[Row[Any]]:
    return sync.connection.execute(select(directory_group_table).filter_by(source=SOURCE)).all()


def _load_stored_users(database: MetadataDatabase) -> Mapping[str, StoredUser]:
    with database.read_connection() as connection:
        rows = connection.execute(select(directory_user_table).filter_by(source=SOURCE)).all()
    return {
        row.external_id: StoredUser(id=row.id, person_id=row.person_id, active=row.active, document=row.resource)
        for row in rows
    }


def _load_stored_groups(database: MetadataDatabase) -> Mapping[str, str]:
    with database.read_connection() as connection:
        rows = connection.execute(select(directory_group_table).filter_by(source=SOURCE)).all()
    return {row.external_id: row.resource for row in rows}


def _dump_user(user: LdapUser) -> str:
    return orjson.dumps({"dn": user.dn, **asdict(user.account)}, option=orjson.OPT_SORT_KEYS).decode()


def _dump_group(group: LdapGroup) -> str:
    document = {"dn": group.dn, "name": group.name, "members": group.members}
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


def _name_change(sync: Sync, type: str, id: str, verb: str) -> None:
    name_change(sync.connection, sync.attribution, SubjectChange(type=type, id=id, verb=verb))


def split_ids(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ids in parts of as many as one transaction takes."""
    for start in range(0, len(ids), USERS_PER_TRANSACTION):
        yield ids[start : start + USERS_PER_TRANSACTION]


def load_progress(database: MetadataDatabase) -> LdapProgress:
    with database.read_connection() as connection:
        row = connection.execute(select(directory_progress_table).filter_by(source=SOURCE)).first()
    marks = None if row is None else orjson.loads(row.marks)
    return LdapProgress(
        marks=LdapMarks(**marks) if marks else None, compared_at=None if row is None else row.compared_at
    )


def take_turn(database: MetadataDatabase, holder: str, period: timedelta) -> bool:
    """Say that a process reads the directory for this long, and return whether none other does."""
    with database.write_transaction() as connection:
        lock_source(connection, SOURCE)
        row = connection.execute(select(directory_progress_table).filter_by(source=SOURCE)).one()
        now = database.now()
        if row.holder not in (None, holder) and row.held_until > now:
            return False
        held = {"holder": holder, "held_until": now + period}
        connection.execute(update(directory_progress_table).filter_by(source=SOURCE).values(held))
    return True


def give_turn_back(database: MetadataDatabase, holder: str) -> None:
    """Let another process read the directory from now on."""
    with database.write_transaction() as connection:
        held = update(directory_progress_table).filter_by(source=SOURCE, holder=holder)
        connection.execute(held.values(holder=None, held_until=None))


def end_sync(database: MetadataDatabase, reading: LdapReading, *, report_id: str | None, waits: bool) -> None:
    """Confirm what the directory said, and go on from there next time; where people wait, read the same again."""
    with database.write_transaction() as connection:
        lock_source(connection, SOURCE)
        now = database.now()
        confirm_memberships(connection, SOURCE, now)
        if report_id is not None:
            connection.execute(update(directory_sync_table).filter_by(id=report_id).values(ended_at=now))
        if not waits:
            marks = {"marks": orjson.dumps(asdict(reading.marks)).decode()}
            compared = {"compared_at": now} if reading.is_whole else {}
            progress = update(directory_progress_table).filter_by(source=SOURCE)
            connection.execute(progress.values({**marks, **compared}))


def begin_report(database: MetadataDatabase) -> str:
    with database.write_transaction() as connection:
        return begin_sync(connection, SOURCE, database.now())


def report_failure(database: MetadataDatabase, message: str) -> None:
    """Report that the directory could not be read, once for as long as it cannot."""
    with database.write_transaction() as connection:
        table, now = directory_sync_table, database.now()
        last = connection.execute(
            select(table).filter_by(source=SOURCE).order_by(table.c.started_at.desc()).limit(1)
        ).first()
        if last is not None and (last.state, last.failure) == (SyncState.FAILED, message):
            connection.execute(update(table).filter_by(id=last.id).values(ended_at=now))
            return
        id = begin_sync(connection, SOURCE, now)
        connection.execute(update(table).filter_by(id=id).values(state=SyncState.FAILED, failure=message))
