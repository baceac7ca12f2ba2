"""Begin, confirm and end memberships of groups, each by the source that says so, and keep their history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from auth.attribution import Attribution, SubjectChange, name_change
from onedoor.storage.tables import membership_period_table, membership_table


class IdentitySource(StrEnum):
    """What says that a user is in a group. A source adds and ends its own memberships alone."""

    LOCAL = "local"
    """An administrator."""
    SCIM = "scim"
    LDAP = "ldap"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """That a user is in a group, by one source, which last said so at `confirmed_at`."""

    group: str
    source: IdentitySource
    since: datetime
    confirmed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipPeriod:
    """One stay of a user in a group; `until` is None while it lasts."""

    email: str
    group: str
    source: IdentitySource
    since: datetime
    added: Attribution
    until: datetime | None
    removed: Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipKey:
    """Which membership: whose, of which group, and what says so."""

    person_id: str
    group: str
    source: IdentitySource = IdentitySource.LOCAL

    def to_columns(self) -> Mapping[str, str]:
        return {"person_id": self.person_id, "group_name": self.group, "source": self.source}


def confirm_membership(connection: Connection, key: MembershipKey, *, now: datetime, attribution: Attribution) -> bool:
    """Say that a user is in a group, and return whether this source did not say so before."""
    confirmed = update(membership_table).filter_by(**key.to_columns()).values(confirmed_at=now)
    if connection.execute(confirmed).rowcount:
        return False
    connection.execute(insert(membership_table).values(**key.to_columns(), since=now, confirmed_at=now))
    begin_membership_period(connection, key, since=now, attribution=attribution)
    return True


def end_membership(connection: Connection, key: MembershipKey, *, now: datetime, attribution: Attribution) -> bool:
    """End what a source said of a user and a group, and return whether it had said so."""
    if connection.execute(delete(membership_table).filter_by(**key.to_columns())).rowcount == 0:
        return False
    end_membership_periods(connection, key.to_columns(), until=now, attribution=attribution)
    name_change(connection, attribution, _build_change(key, "delete"))
    return True


def begin_membership_period(
    connection: Connection, key: MembershipKey, *, since: datetime, attribution: Attribution
) -> None:
    """Begin the stay of a user in a group, in which they are by `membership_table`."""
    connection.execute(
        insert(membership_period_table).values(
            **key.to_columns(),
            since=since,
            added_by=attribution.actor,
            added_reason=attribution.reason,
            added_record=attribution.record_id,
        )
    )
    name_change(connection, attribution, _build_change(key, "create"))


def end_membership_periods(
    connection: Connection, where: Mapping[str, str], *, until: datetime, attribution: Attribution
) -> None:
    """End the stays that last and whose columns have these values."""
    connection.execute(
        update(membership_period_table)
        .filter_by(until=None, **where)
        .values(
            until=until,
            removed_by=attribution.actor,
            removed_reason=attribution.reason,
            removed_record=attribution.record_id,
        )
    )


def _build_change(key: MembershipKey, verb: str) -> SubjectChange:
    subject = f"{key.person_id}/{key.group}"
    return SubjectChange(type="Membership", id=subject, verb=verb, person_id=key.person_id)


def load_memberships(connection: Connection, ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
    """Load the memberships of users by id, each by group and source."""
    statement = select(membership_table).order_by(membership_table.c.group_name, membership_table.c.source)
    if len(ids) == 1:
        statement = statement.filter_by(person_id=ids[0])
    memberships: dict[str, list[Membership]] = {}
    for row in connection.execute(statement):
        memberships.setdefault(row.person_id, []).append(read_membership(row))
    return {id: tuple(memberships.get(id, ())) for id in ids}


def read_membership(row: Any) -> Membership:
    """Read a membership from a row of `membership_table`."""
    return Membership(
        group=row.group_name,
        source=IdentitySource(row.source),
        since=row.since,
        confirmed_at=row.confirmed_at,
    )
