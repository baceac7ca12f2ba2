"""Lend functional groups for a limited time: the states of a grant, and the rules that move it from one to the next.

Everything here is a pure function of values; `auth.grant_store` keeps grants in the metadata database.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from auth.groups import EVERYONE, HOURS_MAX, FunctionalGroup
from onedoor.errors import ConnectorError, ErrorCode, OnedoorError

UNDECIDED_MAX = timedelta(days=7)
"""How long a request waits for a decision, and an approved one for its turn, before it lapses."""

START_AHEAD_MAX = timedelta(days=30)

REASON_CHARACTERS_MAX = 1_000

FORCED_RETURN_APPROVERS = 2


class GrantState(StrEnum):
    """How far a grant has come; the values stand in the metadata database and in the schema."""

    REQUESTED = "REQUESTED"
    """Nobody has decided yet."""
    WAITING = "WAITING"
    """It is approved, and waits for its start or its turn."""
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"
    JOINED = "JOINED"
    """It was asked for good, and is a membership since its approval."""
    DENIED = "DENIED"
    WITHDRAWN = "WITHDRAWN"
    """Whoever asked took it back before it was active."""
    LAPSED = "LAPSED"
    """It was not decided in time, or its turn did not come."""


WAITING_STATES = frozenset({GrantState.REQUESTED, GrantState.WAITING})

OPEN_STATES = WAITING_STATES | {GrantState.ACTIVE}


class GrantEnding(StrEnum):
    """How an active grant ended; the values stand in the metadata database and in the schema."""

    EXPIRED = "EXPIRED"
    RETURNED = "RETURNED"
    FORCED = "FORCED"
    """Approvers took it back."""
    REVOKED = "REVOKED"
    """Its holder was deactivated, or its group is not registered any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantStep:
    """One step of a grant: when it was taken, by whom and why, and the audit record that says so.

    `actor` is the id of a person, or a user of the operating system; None where time took the step.
    """

    at: datetime
    actor: str | None = None
    reason: str | None = None
    record_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A group that a person holds for a limited time, from the request for it to its end.

    `duration` counts from the moment at which it becomes active; None: it is asked for good. The fencing token is then
    one more than that of the grant of its group before.
    """

    id: str
    group: str
    person_id: str
    state: GrantState
    requested: GrantStep
    starts_at: datetime
    """It is not active before."""
    duration: timedelta | None
    decided: GrantStep | None = None
    active_since: datetime | None = None
    ends_at: datetime | None = None
    is_exclusive: bool = False
    """Whether nobody else held the group while it was active."""
    fencing_token: int | None = None
    ended: GrantStep | None = None
    ending: GrantEnding | None = None
    forced_by: tuple[str, ...] = ()
    """The approvers who want it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGrant:
    """A grant as its holder acts under it; from `ends_at` on it gives nothing."""

    id: str
    group: str
    ends_at: datetime
    fencing_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """What somebody asks for: a group, for how long, and from when on."""

    person_id: str
    group: FunctionalGroup
    duration: timedelta | None
    """None: for good, as a membership."""
    starts_at: datetime | None = None
    """None: at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTurn:
    """Who held a group last, or holds it now, and under which fencing token."""

    person_id: str
    fencing_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Electorate:
    """The approvers who count where a grant is taken back, so that whoever forces it chooses nobody who counts."""

    current: frozenset[str]
    former: frozenset[str]
    """Those there were when the grant was asked for: who is no approver any more counts among those it takes."""
    let_in_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By id of who has become an approver since, who let them in."""

    def list_let_in_by(self, forced_by: Iterable[str]) -> frozenset[str]:
        """Return the ids of those who have become approvers since by one of these."""
        deciding = set(forced_by)
        return frozenset(id for id, by in self.let_in_by.items() if by & deciding) - self.former


class GrantRefused(OnedoorError):
    """A step that the rules do not allow. `reason` is safe to show a client."""

    def __init__(self, reason: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class GrantEnded(ConnectorError):
    """A grant has ended under which something was done, which goes no further."""

    def __init__(self, grant: HeldGrant) -> None:
        reason = f"your grant `{grant.id}` of `{grant.group}` has ended: ask for access again with `requestAccess`"
        super().__init__(reason, ErrorCode.FORBIDDEN)


def request_grant(id: str, request: AccessRequest, step: GrantStep, own_grants: Iterable[Grant]) -> Grant:
    """Return the grant that is asked for; `own_grants` are those that the person has. Raises GrantRefused."""
    group, starts_at = request.group, request.starts_at or step.at
    _require_reason(step)
    if group.name == EVERYONE:
        raise GrantRefused(f"everybody is in `{EVERYONE}`: ask for the group that a denial names")
    if request.duration is None:
        _require_membership_counts(group)
    elif not timedelta(0) < request.duration <= group.grant_max:
        limit = f"`{group.name}` is lent for {format_hours(group.grant_max)} at most"
        raise GrantRefused(f"{limit}: ask for more than nothing and no longer than that")
    if starts_at > step.at + START_AHEAD_MAX:
        raise GrantRefused(f"a grant starts within {START_AHEAD_MAX.days} days: ask for an earlier start")
    for grant in own_grants:
        if grant.group == group.name and grant.state in WAITING_STATES:
            raise GrantRefused(
                f"the request `{grant.id}` for `{group.name}` is open: wait for it, or have it withdrawn",
                ErrorCode.ALREADY_EXISTS,
            )
    return Grant(
        id=id,
        group=group.name,
        person_id=request.person_id,
        state=GrantState.REQUESTED,
        requested=step,
        starts_at=max(starts_at, step.at),
        duration=request.duration,
    )


def lend(id: str, request: AccessRequest, step: GrantStep, own_grants: Iterable[Grant]) -> Grant:
    """Return a grant that is requested and approved in one step, by an administrator. Raises GrantRefused."""
    requested = request_grant(id, request, step, own_grants)
    _require_other_than_holder(requested, step)
    return replace(requested, state=GrantState.WAITING, decided=step)


def approve(grant: Grant, step: GrantStep, approvers: Set[str]) -> Grant:
    """Approve a request; it is active when `settle` finds that its turn has come. Raises GrantRefused."""
    _require_undecided(grant)
    _require_decider(grant, step, approvers)
    return replace(grant, state=GrantState.WAITING if grant.duration else GrantState.JOINED, decided=step)


def deny(grant: Grant, step: GrantStep, approvers: Set[str]) -> Grant:
    """Deny a request. Raises GrantRefused."""
    _require_undecided(grant)
    _require_decider(grant, step, approvers)
    _require_reason(step)
    return replace(grant, state=GrantState.DENIED, decided=step)


def give_back(grant: Grant, step: GrantStep) -> Grant:
    """Return an active grant early, or withdraw one that is not active yet. Raises GrantRefused."""
    if step.actor != grant.person_id:
        raise GrantRefused("only its holder gives a grant back: approvers force its return", ErrorCode.FORBIDDEN)
    if grant.state in WAITING_STATES:
        return replace(grant, state=GrantState.WITHDRAWN, ended=step)
    _require_active(grant)
    return end_grant(grant, GrantEnding.RETURNED, step)


def force_return(grant: Grant, step: GrantStep, electorate: Electorate) -> Grant:
    """Note that an approver wants a grant back, and end it once enough of them do.

    That is FORCED_RETURN_APPROVERS, or the one there is beside its holder. Raises GrantRefused.
    """
    _require_active(grant)
    _require_approver(grant, step, electorate.current)
    _require_reason(step)
    assert step.actor is not None
    forced_by = tuple(dict.fromkeys((*grant.forced_by, step.actor)))
    noted = replace(grant, forced_by=forced_by)
    counted = electorate.current - electorate.list_let_in_by(forced_by) - {grant.person_id}
    needed = min(FORCED_RETURN_APPROVERS, len((counted | electorate.former) - {grant.person_id}))
    is_enough = len(counted.intersection(forced_by)) >= max(needed, 1)
    return end_grant(noted, GrantEnding.FORCED, step) if is_enough else noted


def is_forced_by_one(grant: Grant) -> bool:
    """Whether a single approver forced the return, as there was no second; the record says so."""
    return grant.ending is GrantEnding.FORCED and len(grant.forced_by) < FORCED_RETURN_APPROVERS


def end_grant(grant: Grant, ending: GrantEnding, step: GrantStep) -> Grant:
    return replace(grant, state=GrantState.ENDED, ending=ending, ended=step)


def settle(
    grants: Iterable[Grant],
    *,
    groups: Mapping[str, FunctionalGroup],
    active_people: Set[str],
    last_turns: Mapping[str, LastTurn],
    now: datetime,
) -> Iterator[Grant]:
    """Yield each open grant that changes by itself, as it is now: it ends, it lapses, its turn has come.

    `groups` are those that are registered, `last_turns` those of each group. Settling what is settled yields nothing.
    """
    remaining = defaultdict[str, list[Grant]](list)
    for grant in grants:
        closed = _close(grant, is_valid=grant.person_id in active_people and grant.group in groups, now=now)
        if closed is not None:
            yield closed
        elif grant.state in OPEN_STATES:
            remaining[grant.group].append(grant)
    for name, open_grants in remaining.items():
        yield from _take_turns(groups[name], open_grants, last_turns.get(name), now)


def _close(grant: Grant, *, is_valid: bool, now: datetime) -> Grant | None:
    """Return an open grant whose time is over, or that nobody may have any more; None: it stays open."""
    if grant.state is GrantState.ACTIVE:
        assert grant.ends_at is not None
        if grant.ends_at <= now:
            return end_grant(grant, GrantEnding.EXPIRED, GrantStep(at=grant.ends_at))
        return None if is_valid else end_grant(grant, GrantEnding.REVOKED, GrantStep(at=now))
    if grant.state in WAITING_STATES and (not is_valid or now - _since(grant) > UNDECIDED_MAX):
        return replace(grant, state=GrantState.LAPSED, ended=GrantStep(at=now))
    return None


def _take_turns(
    group: FunctionalGroup, open_grants: Sequence[Grant], last_turn: LastTurn | None, now: datetime
) -> Iterator[Grant]:
    """Yield the grants of one group that become active now.

    Law: they come in the order in which they were ready, but nobody has an exclusive group twice in a row while
    somebody else waits for it.
    """
    ready = [grant for grant in open_grants if grant.state is GrantState.WAITING and grant.starts_at <= now]
    queue = sorted(ready, key=lambda grant: (_since(grant), grant.requested.at, grant.id))
    holders = {grant.person_id for grant in open_grants if grant.state is GrantState.ACTIVE}
    token = last_turn.fencing_token if last_turn else 0
    if group.exclusive or any(grant.is_exclusive for grant in open_grants if grant.state is GrantState.ACTIVE):
        others = [grant for grant in queue if last_turn is None or grant.person_id != last_turn.person_id]
        queue = [] if holders else (others or queue)[:1]
    for grant in queue:
        if grant.person_id not in holders:
            holders.add(grant.person_id)
            token += 1
            yield _activate(grant, group, token, now)


def _activate(grant: Grant, group: FunctionalGroup, token: int, now: datetime) -> Grant:
    assert grant.duration is not None
    return replace(
        grant,
        state=GrantState.ACTIVE,
        active_since=now,
        ends_at=now + min(grant.duration, group.grant_max),
        is_exclusive=group.exclusive,
        fencing_token=token,
    )


def _since(grant: Grant) -> datetime:
    """Return since when a grant waits for what it waits for."""
    return max(grant.starts_at, (grant.decided or grant.requested).at)


def find_ended(held: Iterable[HeldGrant], now: datetime) -> Sequence[HeldGrant]:
    """Return those of the grants whose end has come."""
    return [grant for grant in held if grant.ends_at <= now]


def build_duration(hours: float) -> timedelta:
    """Return so many hours, however many somebody asks for."""
    return timedelta(hours=max(-HOURS_MAX, min(hours, HOURS_MAX)))


def format_hours(duration: timedelta) -> str:
    """Return a duration as people say it."""
    hours = duration / timedelta(hours=1)
    return f"{hours:g} hour{'s'[: hours != 1]}"


def _require_reason(step: GrantStep) -> None:
    reason = step.reason or ""
    if not reason.strip() or not reason.isprintable() or len(reason) > REASON_CHARACTERS_MAX:
        raise GrantRefused(f"say why in 1 to {REASON_CHARACTERS_MAX:,} printable characters: it is put on record")


def _require_undecided(grant: Grant) -> None:
    if grant.state is not GrantState.REQUESTED:
        raise GrantRefused(f"`{grant.id}` is {grant.state} already: only what is REQUESTED is decided")


def _require_active(grant: Grant) -> None:
    if grant.state is not GrantState.ACTIVE:
        raise GrantRefused(f"`{grant.id}` is {grant.state}: only what is ACTIVE is returned")


def _require_membership_counts(group: FunctionalGroup) -> None:
    if group.exclusive:
        raise GrantRefused(f"`{group.name}` has one holder at a time: have them ask for it with `requestAccess`")


def _require_other_than_holder(grant: Grant, step: GrantStep) -> None:
    if step.actor == grant.person_id:
        raise GrantRefused("nobody decides on access of their own: ask another approver", ErrorCode.FORBIDDEN)


def _require_decider(grant: Grant, step: GrantStep, approvers: Set[str]) -> None:
    _require_approver(grant, step, approvers)
    if step.actor == grant.requested.actor:
        raise GrantRefused("nobody decides on what they asked for: ask another approver", ErrorCode.FORBIDDEN)


def _require_approver(grant: Grant, step: GrantStep, approvers: Set[str]) -> None:
    _require_other_than_holder(grant, step)
    if step.actor not in approvers:
        raise GrantRefused(f"access to `{grant.group}` is decided by its approvers: ask them", ErrorCode.FORBIDDEN)
