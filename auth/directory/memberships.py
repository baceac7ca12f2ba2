"""Feed functional groups from the groups of a directory, as `from` in groups.toml says, nested groups flattened."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from itertools import islice

import orjson
from sqlalchemy import Connection, select, update
from sqlalchemy.engine import Row

from auth.directory.reports import (
    APPROVED_DETAIL,
    Removal,
    RemovalsHalted,
    Sync,
    SyncChangeKind,
    list_excessive_losses,
    list_released_people,
)
from auth.groups import Groups
from auth.memberships import IdentitySource, MembershipKey, confirm_membership, end_membership
from onedoor.storage.directory_tables import directory_group_table, directory_member_table, directory_user_table
from onedoor.storage.tables import membership_table, user_table

IDS_PER_STATEMENT = 500

ID_PATTERN = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|00g[0-9A-Za-z]{17}")
"""The ids of groups in Entra ID and LDAP, and in Okta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipChange:
    """That a person is to join a functional group, or to leave it, as a directory says."""

    person_id: str
    email: str
    group: str
    joins: bool


def refresh_memberships(sync: Sync, user_ids: Collection[str]) -> None:
    """Let these users of a directory be in the functional groups that its groups feed, and in no others by it.

    Raises RemovalsHalted.
    """
    changes = find_membership_changes(sync.connection, sync.source, sync.groups, user_ids)
    if waiting := list_excessive_losses(sync, list_losses(changes)):
        raise RemovalsHalted(waiting)
    apply_membership_changes(sync, changes)


def list_losses(changes: Iterable[MembershipChange]) -> Sequence[Removal]:
    return [Removal(person_id=change.person_id, group=change.group) for change in changes if not change.joins]


def find_membership_changes(
    connection: Connection, source: IdentitySource, groups: Groups, user_ids: Collection[str]
) -> Sequence[MembershipChange]:
    """Find what is to change in the memberships of these users, so that they are in what their groups feed."""
    fed_groups, parents = _map_fed_groups(connection, source, groups), _load_parents(connection, source)
    changes = []
    for ids in _split(sorted(user_ids)):
        direct = _load_direct_groups(connection, ids)
        rows = connection.execute(
            select(directory_user_table.c.id, directory_user_table.c.active, user_table.c.id, user_table.c.email)
            .join_from(directory_user_table, user_table, directory_user_table.c.person_id == user_table.c.id)
            .where(directory_user_table.c.id.in_(ids))
        ).all()
        current = _load_memberships(connection, source, [person_id for _, _, person_id, _ in rows])
        for id, active, person_id, email in rows:
            reached = close_upwards(direct.get(id, ()), parents) if active else frozenset()
            wanted = {group for directory_group in reached for group in fed_groups.get(directory_group, ())}
            changes += [
                MembershipChange(person_id=person_id, email=email, group=group, joins=group in wanted)
                for group in sorted(wanted ^ current.get(person_id, set()))
            ]
    return changes


def apply_membership_changes(sync: Sync, changes: Iterable[MembershipChange]) -> None:
    """Carry changes out and report them, those that were approved as such."""
    released = cache(partial(list_released_people, sync))
    for change in changes:
        key = MembershipKey(person_id=change.person_id, group=change.group, source=sync.source)
        act, kind = (
            (confirm_membership, SyncChangeKind.JOINED) if change.joins else (end_membership, SyncChangeKind.LEFT)
        )
        if act(sync.connection, key, now=sync.now, attribution=sync.attribution):
            is_approved = not change.joins and change.person_id in released(change.group)
            detail = APPROVED_DETAIL if is_approved else None
            sync.note(kind, change.email, person_id=change.person_id, group=change.group, detail=detail)


def confirm_memberships(connection: Connection, source: IdentitySource, now: datetime) -> None:
    """Confirm every membership that a directory gave: it is there, and has not said otherwise."""
    connection.execute(update(membership_table).filter_by(source=source).values(confirmed_at=now))


def list_users_below(connection: Connection, group_ids: Iterable[str]) -> frozenset[str]:
    """Return the ids of the users who are in groups of a directory, directly or through groups in them."""
    users, seen, waiting = set[str](), set[str](), set(group_ids)
    while waiting:
        seen |= waiting
        found = set[str]()
        for ids in _split(sorted(waiting)):
            statement = select(directory_member_table).where(directory_member_table.c.group_id.in_(ids))
            for row in connection.execute(statement):
                (found if row.is_group else users).add(row.member_id)
        waiting = found - seen
    return frozenset(users)


def list_linked_users(connection: Connection, source: IdentitySource) -> frozenset[str]:
    """Return the ids of a directory's users who are people here."""
    table = directory_user_table.c
    statement = select(table.id).where(table.source == source, table.person_id.is_not(None))
    return frozenset(connection.execute(statement).scalars())


def close_upwards(direct: Iterable[str], parents: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return these groups and all that they are in. Groups that are in each other in a circle end it, too."""
    seen, waiting = set[str](), set(direct)
    while waiting:
        seen |= waiting
        waiting = {parent for id in waiting for parent in parents.get(id, ())} - seen
    return frozenset(seen)


def normalize_dn(name: str) -> str:
    """Return a distinguished name as all ways to write it have in common, or any other text as it is."""
    if "=" not in name:
        return name
    return ",".join(part.strip() for part in name.replace(" =", "=").replace("= ", "=").split(",")).casefold()


def list_names(row: Row[tuple[object, ...]]) -> frozenset[str]:
    """Return what `from` may call a group of a directory: its name, the directory's id of it, or its DN.

    Whoever makes a group chooses its name: one that looks like an id or a DN names nothing.
    """
    dn = orjson.loads(row.resource).get("dn") if row.source == IdentitySource.LDAP else None
    name = None if ID_PATTERN.fullmatch(row.display_name) or "=" in row.display_name else row.display_name
    return frozenset(name for name in (name, row.external_id, dn and normalize_dn(dn)) if name)


def _map_fed_groups(connection: Connection, source: IdentitySource, groups: Groups) -> Mapping[str, Collection[str]]:
    """Map the id of each directory group to the functional groups that it feeds."""
    fed: dict[str, set[str]] = {}
    for group in groups:
        for name in group.directory_groups:
            for spelled in {name, normalize_dn(name)}:
                fed.setdefault(spelled, set()).add(group.name)
    rows = connection.execute(select(directory_group_table).filter_by(source=source))
    return {row.id: {group for name in list_names(row) for group in fed.get(name, ())} for row in rows}


def _load_parents(connection: Connection, source: IdentitySource) -> Mapping[str, Collection[str]]:
    parents: dict[str, set[str]] = {}
    statement = (
        select(directory_member_table.c.group_id, directory_member_table.c.member_id)
        .join_from(directory_member_table, directory_group_table)
        .where(directory_group_table.c.source == source, directory_member_table.c.is_group)
    )
    for group_id, member_id in connection.execute(statement):
        parents.setdefault(member_id, set()).add(group_id)
    return parents


def _load_direct_groups(connection: Connection, user_ids: Collection[str]) -> Mapping[str, Collection[str]]:
    direct: dict[str, set[str]] = {}
    statement = select(directory_member_table).where(directory_member_table.c.member_id.in_(user_ids))
    for row in connection.execute(statement):
        direct.setdefault(row.member_id, set()).add(row.group_id)
    return direct


def _load_memberships(
    connection: Connection, source: IdentitySource, person_ids: Collection[str]
) -> Mapping[str, set[str]]:
    memberships: dict[str, set[str]] = {}
    statement = select(membership_table).where(
        membership_table.c.source == source, membership_table.c.person_id.in_(person_ids)
    )
    for row in connection.execute(statement):
        memberships.setdefault(row.person_id, set()).add(row.group_name)
    return memberships


def _split(ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield ids in parts of as many as one statement may take."""
    iterator = iter(ids)
    while part := list(islice(iterator, IDS_PER_STATEMENT)):
        yield part
