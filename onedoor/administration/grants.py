"""Take the steps of grants: those of people as mutations, and those of time once a second."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from auth.grant_store import GrantStore, mint_grant_id
from auth.grants import AccessRequest, Grant, GrantRefused, GrantStep, build_duration
from onedoor.administration.actions import (
    Act,
    ActOutcome,
    AdministrationCall,
    find_another_user,
    find_user_to_widen,
    for_members,
    join_groups,
    require_ordinary_group,
)
from onedoor.errors import ConnectorError
from onedoor.runtime.concurrency import run_periodically
from onedoor.storage.database import MetadataDatabase, MetadataDatabaseUnavailable

LOG = logging.getLogger("onedoor.grants")

SETTLE_SECONDS = 1.0
"""How long the next in a queue may wait after a grant has ended; what has ended gives nothing at once."""

DEFAULT_HOURS = 1.0


async def settle_periodically(store: GrantStore) -> None:
    """Take every step that is due by itself, in any number of processes, until it is cancelled."""

    async def settle() -> None:
        try:
            await asyncio.to_thread(store.settle)
        except MetadataDatabaseUnavailable as reason:
            LOG.warning("grants are settled later: %s", reason)

    await run_periodically(settle, SETTLE_SECONDS)


def request_access(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    call.groups.require(call.input["group"])
    hours = call.input.get("hours")
    asked = AccessRequest(
        person_id=call.principal.person_id,
        group=call.groups[call.input["group"]],
        duration=build_duration(DEFAULT_HOURS if hours is None else hours),
        starts_at=call.input.get("startsAt"),
    )
    with _explaining_refusals():
        grant = _build_store(database, call).request(mint_grant_id(), asked, _build_step(database, call))
    return ActOutcome(row_id=grant.id)


@for_members
def request_membership(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    """Ask for a group for somebody else for good: its approvers decide."""
    call.groups.require(call.input["group"])
    person_id = find_another_user(database, call)
    asked = AccessRequest(person_id=person_id, group=call.groups[call.input["group"]], duration=None)
    with _explaining_refusals():
        grant = _build_store(database, call).request(mint_grant_id(), asked, _build_step(database, call))
    return ActOutcome(row_id=grant.id)


def approve_access(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    return _take_step(database, call, GrantStore.approve)


def deny_access(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    return _take_step(database, call, GrantStore.deny)


def return_access(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    return _take_step(database, call, GrantStore.give_back)


def force_return_access(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    return _take_step(database, call, GrantStore.force_return)


@for_members
def join_groups_until(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    """Add a user to groups, until a time if one is given: then each is a grant that the administrator approves."""
    until = call.input.get("until")
    if until is None:
        return join_groups(database, call)
    person_id, duration = find_user_to_widen(database, call), until - database.now()
    for group in call.input["groups"]:
        require_ordinary_group(call.groups, group)
    requests = {
        mint_grant_id(): AccessRequest(person_id=person_id, group=call.groups[group], duration=duration)
        for group in call.input["groups"]
    }
    with _explaining_refusals():
        _build_store(database, call).lend(requests, _build_step(database, call))
    return ActOutcome(row_id=person_id)


GRANT_ACTS: Mapping[str, Act] = {
    "requestAccess": request_access,
    "requestMembership": request_membership,
    "approveAccess": approve_access,
    "denyAccess": deny_access,
    "returnAccess": return_access,
    "forceReturnAccess": force_return_access,
    "joinGroups": join_groups_until,
}
"""By root field of `Mutation`; `joinGroups` takes the place of the act that knows no time."""


def _take_step(
    database: MetadataDatabase, call: AdministrationCall, take: Callable[[GrantStore, str, GrantStep], Grant]
) -> ActOutcome:
    with _explaining_refusals():
        grant = take(_build_store(database, call), str(call.input["grant"]), _build_step(database, call))
    return ActOutcome(row_id=grant.id)


@contextmanager
def _explaining_refusals() -> Iterator[None]:
    try:
        yield
    except GrantRefused as refusal:
        raise ConnectorError(refusal.reason, refusal.code) from None


def _build_store(database: MetadataDatabase, call: AdministrationCall) -> GrantStore:
    return GrantStore(database=database, groups=call.groups)


def _build_step(database: MetadataDatabase, call: AdministrationCall) -> GrantStep:
    return GrantStep(
        at=database.now(),
        actor=call.principal.person_id,
        reason=call.attribution.reason,
        record_id=call.attribution.record_id,
    )
