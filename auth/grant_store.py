"""Keep grants in the metadata database, which every process and replica goes by; the rules are in `auth.grants`."""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, func, insert, or_, select, text, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import SQLAlchemyError

from auth import grants
from auth.attribution import Attribution, SubjectChange, name_change
from auth.grants import (
    OPEN_STATES,
    AccessRequest,
    Electorate,
    Grant,
    GrantEnding,
    GrantRefused,
    GrantState,
    GrantStep,
    HeldGrant,
    LastTurn,
    settle,
)
from auth.groups import ACCESS_REVIEW, Groups, find_groups
from auth.key_format import encode_id
from auth.memberships import MembershipKey, confirm_membership, read_membership
from auth.separation import list_linked_users
from onedoor.errors import ErrorCode
from onedoor.storage.database import TIMEOUT_SECONDS, MetadataDatabase, MetadataDatabaseUnavailable
from onedoor.storage.tables import (
    GRANT_IS_ACTIVE,
    grant_table,
    membership_period_table,
    membership_table,
    user_table,
)

GRANTS_LOCK = 0x0D02
"""PostgreSQL's advisory lock that lets one process at a time take a step of any grant, as SQLite's write lock does."""

OPEN_REQUESTS_MAX = 20
"""How many requests of one person may be open at once."""

GRANT_TYPE = "Grant"
"""What audit records call a grant that changes."""

FORCED_BY_ONE = "force-return by one approver"
"""What audit records call a forced return where there was no second approver."""

CHECK_THREADS = 2

IS_OPEN = grant_table.c.state.in_(sorted(OPEN_STATES))

FOR_GOOD = timedelta(0)
"""What the column of durations holds where a group is asked for good."""

STEPS = ("requested", "decided", "ended")
"""The steps that a row holds, each in four columns."""


TakeStep: TypeAlias = Callable[[Connection, Grant], Grant]
"""Takes a step of a grant. Raises GrantRefused."""


def mint_grant_id() -> str:
    return encode_id(secrets.token_bytes(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantStore:
    """The grants of the registered groups. Every method blocks."""

    database: MetadataDatabase
    groups: Groups

    def request(self, id: str, request: AccessRequest, step: GrantStep) -> Grant:
        """Store a request for a group. Raises GrantRefused."""
        with self._transaction() as connection:
            self._require_free(connection, request)
            own = _load_grants(connection, grant_table.c.person_id == request.person_id, IS_OPEN)
            if len(own) >= OPEN_REQUESTS_MAX:
                limit = f"{OPEN_REQUESTS_MAX} requests of yours are open"
                raise GrantRefused(f"{limit}, which is the most: withdraw one", ErrorCode.LIMIT_EXCEEDED)
            requested = grants.request_grant(id, request, step, own)
            deciding = self._list_approvers(connection, requested.group) - {requested.person_id, step.actor}
            if not deciding - _list_linked_users(connection, requested):
                raise GrantRefused(
                    f"nobody may approve access to `{requested.group}`: "
                    f"have another of its approvers join `{ACCESS_REVIEW}`",
                    ErrorCode.CANNOT_ANSWER,
                )
            connection.execute(insert(grant_table).values(_dump_grant(requested)))
            _name_step(connection, requested, "request", step)
            return requested

    def lend(self, requests: Mapping[str, AccessRequest], step: GrantStep) -> Sequence[Grant]:
        """Request and approve by id, all or none, as the administrator who takes the step. Raises GrantRefused."""
        assert step.actor is not None
        with self._transaction() as connection:
            for id, request in requests.items():
                self._require_free(connection, request)
                own = _load_grants(connection, grant_table.c.person_id == request.person_id, IS_OPEN)
                lent = grants.lend(id, request, step, own)
                connection.execute(insert(grant_table).values(_dump_grant(lent)))
                _name_step(connection, lent, "lend", step)
            self._settle(connection)
            return [_require_grant(connection, id) for id in requests]

    def approve(self, id: str, step: GrantStep) -> Grant:
        """Approve a request as one of the approvers of its group. Raises GrantRefused."""
        return self._take_step(id, "approve", step, partial(self._decide, step=step, decide=grants.approve))

    def deny(self, id: str, step: GrantStep) -> Grant:
        """Deny a request as one of the approvers of its group. Raises GrantRefused."""
        return self._take_step(id, "deny", step, partial(self._decide, step=step, decide=grants.deny))

    def give_back(self, id: str, step: GrantStep) -> Grant:
        """Return or withdraw a grant as its holder; the next in the queue has it then. Raises GrantRefused."""
        return self._take_step(id, "return", step, lambda _, grant: grants.give_back(grant, step))

    def force_return(self, id: str, step: GrantStep) -> Grant:
        """Take a grant back as one of the approvers, once enough of them do. Raises GrantRefused."""
        return self._take_step(
            id,
            "force-return",
            step,
            lambda connection, grant: grants.force_return(grant, step, self._load_electorate(connection, grant)),
        )

    def settle(self) -> Sequence[Grant]:
        """Take every step that is due by itself, and return the grants that took one.

        Raises MetadataDatabaseUnavailable.
        """
        try:
            with self.database.read_connection() as connection:
                if not self._list_due(connection):
                    return ()
            with self._transaction() as connection:
                return self._settle(connection)
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason

    def list_approvers(self, group: str) -> frozenset[str]:
        """Return the ids of those who decide on requests for a group."""
        with self.database.read_connection() as connection:
            return self._list_approvers(connection, group)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self.database.write_transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": GRANTS_LOCK})
            yield connection

    def _take_step(self, id: str, verb: str, step: GrantStep, take: TakeStep) -> Grant:
        """Take a step between what is due before it and what it makes due, all in one transaction."""
        with self._transaction() as connection:
            self._settle(connection)
            grant = _require_grant(connection, id)
            taken = take(connection, grant)
            _write_grant(connection, taken)
            if taken.state is GrantState.JOINED:
                self._join(connection, taken, step)
            _name_step(connection, taken, FORCED_BY_ONE if grants.is_forced_by_one(taken) else verb, step)
            self._settle(connection)
            return _require_grant(connection, id)

    def _decide(
        self,
        connection: Connection,
        grant: Grant,
        *,
        step: GrantStep,
        decide: Callable[[Grant, GrantStep, Set[str]], Grant],
    ) -> Grant:
        if step.actor in _list_linked_users(connection, grant):
            raise GrantRefused(
                "whoever made an account or saw its key does not decide with it: ask another approver",
                ErrorCode.FORBIDDEN,
            )
        return decide(grant, step, self._list_approvers(connection, grant.group))

    def _join(self, connection: Connection, grant: Grant, step: GrantStep) -> None:
        """Let the person of a grant into its group for good, as the approver who takes the step."""
        key = MembershipKey(person_id=grant.person_id, group=grant.group)
        confirm_membership(connection, key, now=self.database.now(), attribution=_build_attribution(step))

    def _settle(self, connection: Connection) -> Sequence[Grant]:
        """Write what is due; what ended is written before what begins in its place."""
        due = self._list_due(connection)
        for grant in due:
            _write_grant(connection, grant)
        return due

    def _list_due(self, connection: Connection) -> Sequence[Grant]:
        open_grants = _load_grants(connection, IS_OPEN)
        due = settle(
            open_grants,
            groups={group.name: group for group in self.groups},
            active_people=_list_active_people(connection, {grant.person_id for grant in open_grants}),
            last_turns=_load_last_turns(connection, {grant.group for grant in open_grants}),
            now=self.database.now(),
        )
        return tuple(due)

    def _name_approvers(self, group: str) -> Sequence[str]:
        """Return the groups of which an approver must be in one; none: `access-review` is enough."""
        return self.groups[group].approvers if group in self.groups.names else ()

    def _list_approvers(self, connection: Connection, group: str) -> frozenset[str]:
        """Return the active members of `access-review` who are in a group of approvers, if the register names any."""
        reviewers, named = self._list_members(connection, (ACCESS_REVIEW,)), self._name_approvers(group)
        return reviewers & self._list_members(connection, named) if named else reviewers

    def _load_electorate(self, connection: Connection, grant: Grant) -> Electorate:
        """Load who counts where a grant is taken back."""
        named, asked_at = self._name_approvers(grant.group), grant.requested.at
        former = _list_former_members(connection, (ACCESS_REVIEW,), asked_at)
        return Electorate(
            current=self._list_approvers(connection, grant.group),
            former=former & _list_former_members(connection, named, asked_at) if named else former,
            let_in_by=_map_who_let_in(connection, (ACCESS_REVIEW, *named), asked_at),
        )

    def _list_members(self, connection: Connection, names: Sequence[str]) -> frozenset[str]:
        """Return the ids of the active people whose membership of one of these groups counts now."""
        memberships = (
            select(membership_table)
            .join(user_table)
            .where(
                membership_table.c.group_name.in_(names),
                user_table.c.deactivated_at.is_(None),
                user_table.c.owner_group.is_(None),
            )
        )
        now = self.database.now()
        return frozenset(
            row.person_id
            for row in connection.execute(memberships)
            if find_groups(self.groups, [read_membership(row)], now)
        )

    def _require_free(self, connection: Connection, request: AccessRequest) -> None:
        """Raise GrantRefused for who is in the group already, and who can hold no grant."""
        person = connection.execute(select(user_table).filter_by(id=request.person_id)).first()
        if person is None or person.deactivated_at is not None:
            raise GrantRefused("whoever is deactivated can hold no grant", ErrorCode.NOT_FOUND)
        if person.owner_group is not None and request.duration is not None:
            raise GrantRefused("a service holds no grant: have its owner put it into the group", ErrorCode.FORBIDDEN)
        if request.person_id in self._list_members(connection, (request.group.name,)):
            raise GrantRefused(f"`{person.email}` is in `{request.group.name}` already: there is nothing to ask for")


def find_grant(database: MetadataDatabase, id: str) -> Grant:
    """Return the grant with this id. Raises GrantRefused."""
    with database.read_connection() as connection:
        return _require_grant(connection, id)


def list_grants(
    database: MetadataDatabase, *, person_id: str | None = None, only_open: bool = False
) -> Sequence[Grant]:
    """List grants in the order in which they were requested, of one person or of all."""
    conditions: list[ColumnElement[bool]] = [IS_OPEN] if only_open else []
    if person_id is not None:
        conditions.append(grant_table.c.person_id == person_id)
    with database.read_connection() as connection:
        return _load_grants(connection, *conditions)


def load_held_grants(connection: Connection, person_id: str, now: datetime) -> tuple[HeldGrant, ...]:
    """Return the grants that a person holds now, by group."""
    held = _select_held(now).where(grant_table.c.person_id == person_id).order_by(grant_table.c.group_name)
    return tuple(map(_parse_held_grant, connection.execute(held)))


class GrantChecker:
    """Finds out, before each call to a source, whether grants have ended, in threads of its own."""

    def __init__(self, database: MetadataDatabase) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="onedoor-grants")

    async def find_ended(self, held: Sequence[HeldGrant]) -> Sequence[HeldGrant]:
        """Return those of the grants that have ended. Raises MetadataDatabaseUnavailable."""
        look_up = partial(find_ended_grants, self._database, held)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except (SQLAlchemyError, TimeoutError):
            raise MetadataDatabaseUnavailable("the metadata database does not answer") from None

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def list_held_grants(database: MetadataDatabase, person_id: str) -> tuple[HeldGrant, ...]:
    """Return the grants that a person holds now, by group."""
    with database.read_connection() as connection:
        return load_held_grants(connection, person_id, database.now())


def find_ended_grants(database: MetadataDatabase, held: Sequence[HeldGrant]) -> Sequence[HeldGrant]:
    """Return those of the grants that have ended: nobody holds them now under their fencing token."""
    current = _select_held(database.now()).where(grant_table.c.id.in_([grant.id for grant in held]))
    with database.read_connection() as connection:
        tokens = {row.id: row.fencing_token for row in connection.execute(current)}
    return [grant for grant in held if tokens.get(grant.id) != grant.fencing_token]


def are_tokens_current(connection: Connection, tokens: Mapping[str, int], now: datetime) -> bool:
    """Whether grants, by id, are held now under these fencing tokens; none of them ends before the transaction does."""
    current = _select_held(now).where(grant_table.c.id.in_(list(tokens))).with_for_update(read=True)
    held = {row.id: row.fencing_token for row in connection.execute(current)} if tokens else {}
    return held == dict(tokens)


def _select_held(now: datetime) -> Select[Any]:
    """Select what is held now: a grant whose end has come gives nothing, though nobody has settled it yet."""
    columns = (grant_table.c.id, grant_table.c.group_name, grant_table.c.ends_at, grant_table.c.fencing_token)
    return select(*columns).where(GRANT_IS_ACTIVE, grant_table.c.ends_at > now)


def _parse_held_grant(row: Row[Any]) -> HeldGrant:
    return HeldGrant(id=row.id, group=row.group_name, ends_at=row.ends_at, fencing_token=row.fencing_token)


def _list_active_people(connection: Connection, ids: Set[str]) -> frozenset[str]:
    people = select(user_table.c.id).where(user_table.c.id.in_(sorted(ids)), user_table.c.deactivated_at.is_(None))
    return frozenset(connection.execute(people).scalars()) if ids else frozenset()


def _list_former_members(connection: Connection, names: Sequence[str], at: datetime) -> frozenset[str]:
    """Return the ids of the people who were in one of these groups at a time."""
    period = membership_period_table.c
    people = (
        select(period.person_id)
        .join_from(membership_period_table, user_table)
        .where(period.group_name.in_(names), period.since <= at, or_(period.until.is_(None), period.until > at))
        .where(user_table.c.owner_group.is_(None))
    )
    return frozenset(connection.execute(people).scalars())


def _map_who_let_in(connection: Connection, names: Sequence[str], since: datetime) -> Mapping[str, frozenset[str]]:
    """Map the ids of those who have joined one of these groups since a time to those who let them in."""
    period = membership_period_table.c
    joined = select(period.person_id, period.added_by).where(period.group_name.in_(names), period.since > since)
    let_in_by: dict[str, frozenset[str]] = {}
    for person_id, added_by in connection.execute(joined.where(period.added_by.is_not(None))):
        let_in_by[person_id] = let_in_by.get(person_id, frozenset()) | {added_by}
    return let_in_by


def _load_last_turns(connection: Connection, groups: Set[str]) -> dict[str, LastTurn]:
    newest = (
        select(grant_table.c.group_name, func.max(grant_table.c.fencing_token).label("token"))
        .where(grant_table.c.group_name.in_(sorted(groups)), grant_table.c.fencing_token.is_not(None))
        .group_by(grant_table.c.group_name)
        .subquery()
    )
    is_newest = (grant_table.c.group_name == newest.c.group_name) & (grant_table.c.fencing_token == newest.c.token)
    turns = select(grant_table.c.group_name, grant_table.c.person_id, grant_table.c.fencing_token).join(
        newest, is_newest
    )
    return {
        row.group_name: LastTurn(person_id=row.person_id, fencing_token=row.fencing_token)
        for row in connection.execute(turns)
    }


def _load_grants(connection: Connection, *conditions: Any) -> Sequence[Grant]:
    statement = select(grant_table).where(*conditions).order_by(grant_table.c.requested_at, grant_table.c.id)
    return [_parse_grant(row) for row in connection.execute(statement)]


def _require_grant(connection: Connection, id: str) -> Grant:
    row = connection.execute(select(grant_table).where(grant_table.c.id == id)).first()
    if row is None:
        raise GrantRefused("there is no grant with this id", ErrorCode.NOT_FOUND)
    return _parse_grant(row)


def _list_linked_users(connection: Connection, grant: Grant) -> frozenset[str]:
    """Return the ids of those who may be one person with whom a grant is for, or with whoever asked for it."""
    asking = {grant.person_id, grant.requested.actor} - {None}
    return frozenset[str]().union(*(list_linked_users(connection, str(id)) for id in asking))


def _name_step(connection: Connection, grant: Grant, verb: str, step: GrantStep) -> None:
    change = SubjectChange(type=GRANT_TYPE, id=grant.id, verb=verb, person_id=grant.person_id)
    name_change(connection, _build_attribution(step), change)


def _build_attribution(step: GrantStep) -> Attribution:
    return Attribution(actor=step.actor, reason=step.reason, record_id=step.record_id, at=step.at)


def _write_grant(connection: Connection, grant: Grant) -> None:
    connection.execute(update(grant_table).where(grant_table.c.id == grant.id).values(_dump_grant(grant)))


def _dump_grant(grant: Grant) -> dict[str, Any]:
    steps = {name: getattr(grant, name) or GrantStep(at=None) for name in STEPS}  # type: ignore[arg-type]
    return {
        "id": grant.id,
        "group_name": grant.group,
        "person_id": grant.person_id,
        "state": str(grant.state),
        "starts_at": grant.starts_at,
        "duration": grant.duration or FOR_GOOD,
        "active_since": grant.active_since,
        "ends_at": grant.ends_at,
        "slot": None if grant.fencing_token is None else "" if grant.is_exclusive else grant.person_id,
        "fencing_token": grant.fencing_token,
        "forced_by": " ".join(grant.forced_by),
        "ending": None if grant.ending is None else str(grant.ending),
        **{f"{name}_at": step.at for name, step in steps.items()},
        **{f"{name}_by": step.actor for name, step in steps.items()},
        **{f"{name}_reason": step.reason for name, step in steps.items()},
        **{f"{name}_record": step.record_id for name, step in steps.items()},
    }


def _parse_grant(row: Row[Any]) -> Grant:
    requested, decided, ended = (_parse_step(row, name) for name in STEPS)
    assert requested is not None
    return Grant(
        id=row.id,
        group=row.group_name,
        person_id=row.person_id,
        state=GrantState(row.state),
        requested=requested,
        starts_at=row.starts_at,
        duration=row.duration or None,
        decided=decided,
        active_since=row.active_since,
        ends_at=row.ends_at,
        is_exclusive=row.slot == "",
        fencing_token=row.fencing_token,
        ended=ended,
        ending=None if row.ending is None else GrantEnding(row.ending),
        forced_by=tuple(row.forced_by.split()),
    )


def _parse_step(row: Row[Any], name: str) -> GrantStep | None:
    members = row._mapping
    if members[f"{name}_at"] is None:
        return None
    return GrantStep(
        at=members[f"{name}_at"],
        actor=members[f"{name}_by"],
        reason=members[f"{name}_reason"],
        record_id=members[f"{name}_record"],
    )
