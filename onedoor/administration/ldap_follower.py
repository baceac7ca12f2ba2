"""Read an LDAP directory again and again, in one process at a time, and carry out on record what has changed."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from auth.attribution import UNATTRIBUTED
from auth.directory import ldap_sync
from auth.directory.ldap_client import LdapClient, LdapReading, LdapUnavailable
from auth.directory.ldap_sync import SyncPlan
from auth.directory.settings import LdapSettings
from onedoor.administration.directory_acts import DirectoryActs
from onedoor.audit.log import AuditLogUnavailable
from onedoor.runtime.concurrency import run_periodically

log = logging.getLogger("onedoor.directory")

TURN_PERIOD = timedelta(minutes=3)
"""For how long a process that syncs keeps others from it after its last sign of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapFollower:
    """Follows one directory."""

    acts: DirectoryActs
    client: LdapClient
    settings: LdapSettings
    holder: str = field(default_factory=lambda: secrets.token_hex(8))
    """Tells this process from others that follow the same directory."""

    async def run_pass(self) -> None:
        """Sync once, unless another process does; what fails now is left to the next pass."""
        try:
            if await self._take_turn():
                await self._sync(replace(self.acts, before_each=self._take_turn))
        except LdapUnavailable as reason:
            log.warning("%s", reason)
            with suppress(SQLAlchemyError):
                await asyncio.to_thread(ldap_sync.report_failure, self.acts.database, str(reason))
        except (SQLAlchemyError, AuditLogUnavailable) as reason:
            log.warning("the directory could not be followed: %s", type(reason).__name__)
        except Exception as reason:
            log.error("a sync with the directory crashed: %s", type(reason).__name__)

    async def close(self) -> None:
        """Let another process follow the directory at once."""
        with suppress(SQLAlchemyError):
            await asyncio.to_thread(ldap_sync.give_turn_back, self.acts.database, self.holder)

    async def _take_turn(self) -> bool:
        period = max(TURN_PERIOD, 2 * timedelta(seconds=self.settings.interval_seconds))
        return await asyncio.to_thread(ldap_sync.take_turn, self.acts.database, self.holder, period)

    async def _sync(self, acts: DirectoryActs) -> None:
        """Read what has changed, let people and groups follow it, and go on from there next time."""
        reading = await self._read()
        plan = await asyncio.to_thread(ldap_sync.plan_sync, acts.database, reading)
        report_id = None if plan.is_empty else await asyncio.to_thread(ldap_sync.begin_report, acts.database)
        waits = report_id is not None and await self._carry_out_plan(acts, plan, report_id)
        is_due = reading.is_whole or report_id is not None
        if is_due or await asyncio.to_thread(ldap_sync.has_released_losses, acts.database):
            await acts.change_memberships(report_id, ldap_sync.hold_losses)
        await asyncio.to_thread(ldap_sync.end_sync, acts.database, reading, report_id=report_id, waits=waits)

    async def _read(self) -> LdapReading:
        progress = await asyncio.to_thread(ldap_sync.load_progress, self.acts.database)
        whole_after = timedelta(seconds=self.settings.compare_seconds)
        is_due = progress.compared_at is None or self.acts.database.now() - progress.compared_at >= whole_after
        return await asyncio.to_thread(self.client.read, None if is_due else progress.marks)

    async def _carry_out_plan(self, acts: DirectoryActs, plan: SyncPlan, report_id: str) -> bool:
        """Carry a plan out, and return whether people wait who would have been removed."""
        people = ldap_sync.list_leaving_people(plan)
        allowed = await asyncio.to_thread(self._allow_removals, people, report_id)
        for ids in ldap_sync.split_ids(ldap_sync.list_removable_users(plan, allowed)):
            await acts.carry_out("ldap remove users", partial(ldap_sync.remove_users, plan=plan, ids=ids), report_id)
        for ids in ldap_sync.split_ids(sorted(plan.changed)):
            await acts.carry_out("ldap write users", partial(ldap_sync.write_users, plan=plan, ids=ids), report_id)
        await acts.carry_out("ldap write groups", partial(ldap_sync.write_groups, plan=plan), report_id)
        return not allowed.issuperset(people)

    def _allow_removals(self, people: Sequence[str], report_id: str) -> frozenset[str]:
        with self.acts.database.write_transaction() as connection:
            return ldap_sync.allow_removals(self.acts.open_sync(connection, report_id, UNATTRIBUTED), people)


@asynccontextmanager
async def follow_ldap(follower: LdapFollower) -> AsyncIterator[None]:
    """Follow a directory until left."""
    task = asyncio.create_task(run_periodically(follower.run_pass, follower.settings.interval_seconds))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await follower.close()


def build_ldap_follower(settings: LdapSettings, acts: DirectoryActs) -> LdapFollower:
    """Build what follows the directory of the settings. Raises ConfigurationError."""
    return LdapFollower(acts=acts, client=LdapClient(settings), settings=settings)
