"""Carry out on record what a terminal changes: who, for whom, why; refused where it cannot be recorded."""

import asyncio
import os
import pwd
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any, Protocol, TypeVar

import click

from auth import users
from auth.attribution import Attribution, check_reason, load_changes
from auth.authentication import Principal
from auth.groups import Groups
from onedoor.administration.actions import describe_changes
from onedoor.audit.acts import ActRecorder
from onedoor.audit.log import AuditLogUnavailable, open_audit_log
from onedoor.audit.record import AuditedChange, Surface, derive_redaction_key, hash_scalar
from onedoor.audit.settings import RecordsSettings
from onedoor.config import AdministrationSettings
from onedoor.connectors.checkpoint_stores import open_sealing
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase

SYSTEM_USER_PREFIX = "os:"
"""Begins the name of a user of the operating system; the id of a person never holds a colon."""

Result = TypeVar("Result")


class AdministrationContext(Protocol):
    """What a command that changes something is given."""

    def load_administration_settings(self) -> AdministrationSettings:
        """Read where users are and where what is done to them is recorded."""
        ...

    def load_records_settings(self) -> RecordsSettings:
        """Read where what is done is recorded, and what seals it."""
        ...

    def open_database(self) -> AbstractContextManager[MetadataDatabase]:
        """Open the metadata database for one command."""
        ...


class RegisterContext(AdministrationContext, Protocol):
    """What a command that changes users and their groups is given."""

    def load_groups(self) -> Groups:
        """Read the company's register of groups."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a command changes that is not in the metadata database, such as a document."""

    type: str
    id: str
    verb: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """Who gives a command, in whose name they say they do, and why."""

    reason: str | None
    email: str | None

    def carry_out(
        self,
        context: AdministrationContext,
        operation: str,
        subjects: Iterable[Subject],
        act: Callable[[Attribution], Result],
    ) -> Result:
        """Carry out a command once its record has begun, and record its end. Raises ConfigurationError."""
        key, subjects = self._derive_key(context), list(subjects)

        def name_subjects(_: str) -> Sequence[AuditedChange]:
            return _build_changes(subjects, "DONE", key)

        return self._record(context, operation, act, name_subjects, _build_changes(subjects, "BEGUN", key))

    def administer(
        self,
        context: AdministrationContext,
        operation: str,
        act: Callable[[MetadataDatabase, Attribution], Result],
    ) -> Result:
        """Carry out a command in the metadata database, which names what was changed under the record.

        Raises ConfigurationError.
        """
        key = self._derive_key(context)
        with context.open_database() as database:

            def name_changes(record_id: str) -> Sequence[AuditedChange]:
                return describe_changes([change for _, change in load_changes(database, [record_id])], key)

            return self._record(context, operation, partial(act, database), name_changes)

    def _record(
        self,
        context: AdministrationContext,
        operation: str,
        act: Callable[[Attribution], Result],
        name_changes: Callable[[str], Sequence[AuditedChange]],
        intended_changes: Sequence[AuditedChange] = (),
    ) -> Result:
        actor = self._name_actor(context)
        reason, now = self._require_reason(), datetime.now(UTC)

        async def record_act(record_id: str) -> tuple[Result, Sequence[AuditedChange]]:
            result = act(Attribution(actor=actor, reason=reason, record_id=record_id))
            return result, name_changes(record_id)

        records = context.load_records_settings()
        audit_log = open_audit_log(records.folder, now, sealing=open_sealing(records.checkpoints))
        recorder = ActRecorder(audit_log=audit_log, surface=Surface.CLI, redaction_key=self._derive_key(context))
        principal = _build_principal(actor, now)
        try:
            return asyncio.run(
                recorder.carry_out(principal, operation, record_act, reason=reason, intended_changes=intended_changes)
            )
        except AuditLogUnavailable:
            message = "nothing was changed, as it could not be recorded: see that there is room where records are kept"
            raise ConfigurationError(message) from None
        finally:
            audit_log.close()
            if audit_log.dropped:
                click.echo("the record says that this began; its end could not be written", err=True)

    def _derive_key(self, context: AdministrationContext) -> bytes:
        return derive_redaction_key(context.load_administration_settings().state.pepper.encode())

    def _name_actor(self, context: AdministrationContext) -> str:
        """Name the user of the operating system, whom no variable of the environment changes, and whom they act as."""
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = str(os.getuid())
        if self.email is None:
            return f"{SYSTEM_USER_PREFIX}{name}"
        with context.open_database() as database:
            return f"{SYSTEM_USER_PREFIX}{name} as {users.find_user_id(database, self.email)}"

    def _require_reason(self) -> str:
        reason = self.reason
        if reason is None and sys.stdin.isatty():
            reason = str(click.prompt("Why? It is put on record", err=True))
        if reason is None:
            raise ConfigurationError("say why, it is put on record: add `--reason`")
        return check_reason(reason)


def on_record(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that changes something the options `--reason` and `--as`, and its administrator."""

    @click.option("--reason", help="Why, for the record. A terminal asks for it; a script must give it.")
    @click.option("--as", "as_email", metavar="EMAIL", help="The person you act as, named in the record beside you.")
    @wraps(command)
    def run(context: Any, *, reason: str | None, as_email: str | None, **options: Any) -> None:
        command(context, Administrator(reason=reason, email=as_email), **options)

    return run


def _build_principal(actor: str, now: datetime) -> Principal:
    return Principal(
        person_id=actor,
        first_name=actor,
        last_name="",
        email="",
        groups=frozenset(),
        grants=(),
        key_id="",
        key_created=now,
        key_expires=now,
    )


def _build_changes(subjects: Iterable[Subject], state: str, key: bytes) -> list[AuditedChange]:
    return [
        AuditedChange(
            id=subject.id, type=subject.type, row=hash_scalar("text", subject.id, key), verb=subject.verb, state=state
        )
        for subject in subjects
    ]
