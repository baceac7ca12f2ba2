"""Carry out on record what a directory says, outside any request: in transactions of their own, each with a record."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from auth.attribution import UNATTRIBUTED, Attribution, load_changes
from auth.authentication import build_directory_principal, name_directory
from auth.directory.memberships import (
    MembershipChange,
    apply_membership_changes,
    find_membership_changes,
    list_linked_users,
)
from auth.directory.reports import DIRECTORY_REASON, RemovalLimits, Sync, lock_source
from auth.groups import Groups
from auth.memberships import IdentitySource
from onedoor.administration.actions import describe_changes
from onedoor.audit.acts import ActRecorder
from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import AuditedChange
from onedoor.storage.database import MetadataDatabase

log = logging.getLogger("onedoor.directory")

CHANGES_PER_TRANSACTION = 200

HoldChanges: TypeAlias = Callable[[Sync, Sequence[MembershipChange]], Sequence[MembershipChange]]
"""Returns those of the changes that may be made, and reports the others."""


async def do_nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryActs:
    """Carries out the acts of one directory. Raises SQLAlchemyError, AuditLogUnavailable."""

    database: MetadataDatabase
    source: IdentitySource
    groups: Groups
    limits: RemovalLimits
    recorder: ActRecorder
    before_each: Callable[[], Awaitable[object]] = field(default=do_nothing)
    """Awaited before each act."""

    async def carry_out(self, operation: str, act: Callable[[Sync], None], report_id: str | None = None) -> None:
        """Carry out one transaction once its record has begun; the record's end names what was changed."""
        await self.before_each()

        async def record_act(record_id: str) -> tuple[None, Sequence[AuditedChange]]:
            await asyncio.to_thread(self._run, act, report_id, record_id)
            changes = await asyncio.to_thread(load_changes, self.database, [record_id])
            return None, describe_changes([change for _, change in changes], self.recorder.redaction_key)

        principal = build_directory_principal(self.source, self.database.now())
        await self.recorder.carry_out(principal, operation, record_act, reason=DIRECTORY_REASON)

    async def change_memberships(
        self, report_id: str | None = None, hold: HoldChanges = lambda _, changes: changes
    ) -> None:
        """Let everybody from the directory be in the functional groups that its groups feed now.

        `hold` returns the changes that may be made now.
        """
        changes = await asyncio.to_thread(self._find_membership_changes, report_id, hold)
        for start in range(0, len(changes), CHANGES_PER_TRANSACTION):
            part = changes[start : start + CHANGES_PER_TRANSACTION]
            act = partial(apply_membership_changes, changes=part)
            await self.carry_out(f"{self.source} change memberships", act, report_id)

    async def follow_register(self) -> None:
        """Let memberships follow what groups.toml says since the last start; what fails is left to the next."""
        try:
            await self.change_memberships()
        except (SQLAlchemyError, AuditLogUnavailable) as reason:
            log.warning("memberships could not follow groups.toml: %s", type(reason).__name__)

    def open_sync(self, connection: Connection, report_id: str | None, attribution: Attribution) -> Sync:
        """Open a part of a sync, in a transaction of the caller."""
        lock_source(connection, self.source)
        return Sync(
            connection=connection, source=self.source, groups=self.groups, now=self.database.now(),
            attribution=attribution, pepper=self.database.pepper, limits=self.limits, id=report_id,
        )  # fmt: skip

    def _run(self, act: Callable[[Sync], None], report_id: str | None, record_id: str) -> None:
        attribution = Attribution(actor=name_directory(self.source), reason=DIRECTORY_REASON, record_id=record_id)
        with self.database.write_transaction() as connection:
            act(self.open_sync(connection, report_id, attribution))

    def _find_membership_changes(self, report_id: str | None, hold: HoldChanges) -> Sequence[MembershipChange]:
        with self.database.read_connection() as connection:
            ids = list_linked_users(connection, self.source)
            changes = find_membership_changes(connection, self.source, self.groups, ids)
        if not changes:
            return ()
        with self.database.write_transaction() as connection:
            return hold(self.open_sync(connection, report_id, UNATTRIBUTED), changes)
