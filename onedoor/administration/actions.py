"""Carry out the mutations of users, memberships and keys with the functions that the commands of a terminal call."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial, wraps
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from auth import api_keys, separation, users
from auth.attribution import Attribution, SubjectChange, check_reason, load_changes
from auth.authentication import Principal
from auth.groups import EVERYONE, USER_ADMINISTRATION, Groups, Sensitivity
from auth.key_format import DEFAULT_KEY_DAYS
from auth.memberships import IdentitySource
from auth.user_import import import_users
from onedoor.audit.record import AuditedChange, hash_scalar
from onedoor.connectors.administration import (
    IMPORT_SOURCE,
    ISSUED_KEY_SOURCE,
    build_import_connector,
    build_issued_key_connector,
)
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode
from onedoor.jobs.tables import JobDatabase
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.mutations.record_recovery import FindChanges, RecordedChange
from onedoor.query.engine import build_audit_facts
from onedoor.spi.connector import Connector
from onedoor.storage.database import MetadataDatabase

UNANSWERED = "the metadata database does not answer, so the change may or may not be made: look, then ask again"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministrationCall:
    """A mutation under way: who, with which input, and under which record."""

    principal: Principal
    input: Mapping[str, Any]
    groups: Groups
    attribution: Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class ActOutcome:
    """What an act came to: the row that its field shows, and the connectors that show what is stored nowhere."""

    row_id: str
    connectors: Mapping[str, Connector] = field(default_factory=dict)


Act: TypeAlias = Callable[[MetadataDatabase, AdministrationCall], ActOutcome]
"""Blocks. Raises ConfigurationError, in whose transaction nothing was changed, or ConnectorError."""


def build_administration_actions(
    acts: Mapping[str, Act], *, database: JobDatabase, groups: Groups, redaction_key: bytes
) -> Mapping[str, Action]:
    """Return the actions of acts by root field of `Mutation`."""
    return {
        name: AdministrationAction(act=act, database=database, groups=groups, redaction_key=redaction_key)
        for name, act in acts.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministrationAction:
    """The `Action` of one act, which ends with the changes that the metadata database holds under its record."""

    act: Act
    database: JobDatabase
    groups: Groups
    redaction_key: bytes = field(repr=False)
    """Keys the hashes that stand for ids in audit records."""

    async def __call__(self, call: ActionCall, /) -> ActionResult:
        try:
            administration_call = self._build_call(call)
            outcome = await self.database.run_in_db_thread(self.act, administration_call)
            changes = await self.database.run_in_db_thread(load_changes, [call.record_id])
        except ConfigurationError as reason:
            raise ConnectorError(str(reason), ErrorCode.BAD_USER_INPUT) from None
        except SQLAlchemyError:
            raise ConnectorError(UNANSWERED, ErrorCode.CHANGE_UNSETTLED) from None
        return ActionResult(
            row_id=outcome.row_id,
            connectors=outcome.connectors,
            audit_facts=build_audit_facts(describe_changes([change for _, change in changes], self.redaction_key)),
        )

    def _build_call(self, call: ActionCall) -> AdministrationCall:
        fields = call.arguments["input"]
        reason = fields.get("reason")
        return AdministrationCall(
            principal=call.principal,
            input=fields,
            groups=self.groups,
            attribution=Attribution(
                actor=call.principal.person_id,
                reason=None if reason is None else check_reason(reason),
                record_id=call.record_id,
            ),
        )


def describe_changes(
    changes: Iterable[SubjectChange], redaction_key: bytes, state: str = "DONE"
) -> Sequence[AuditedChange]:
    """Describe what was changed under one record as audit records do: each subject once, with all that was done."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        verbs.setdefault((change.type, change.id), []).append(change.verb)
    return [
        AuditedChange(
            id=id, type=type, row=hash_scalar("text", id, redaction_key), verb=" ".join(sorted(done)), state=state
        )
        for (type, id), done in verbs.items()
    ]


def build_administration_search(database: JobDatabase, redaction_key: bytes) -> FindChanges:
    """Search what was changed under records whose process ended before it could say so."""

    async def find_changes(record_ids: Sequence[str]) -> Sequence[RecordedChange]:
        loaded = await database.run_in_db_thread(load_changes, record_ids)
        return [
            RecordedChange(record_id, described)
            for record_id, group in groupby(loaded, key=itemgetter(0))
            for described in describe_changes([change for _, change in group], redaction_key)
        ]

    return find_changes


def for_members(act: Act) -> Act:
    """Let an act that outlasts a grant be carried out by members of `user-administration` alone."""

    @wraps(act)
    def carry_out(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
        if USER_ADMINISTRATION in {grant.group for grant in call.principal.grants}:
            message = f"your grant of `{USER_ADMINISTRATION}` ends, and this would not: ask a member of that group"
            raise ConnectorError(message, ErrorCode.FORBIDDEN)
        return act(database, call)

    return carry_out


@for_members
def create_user_account(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    user = users.create_user(
        database,
        first_name=call.input["firstName"],
        last_name=call.input["lastName"],
        email=call.input["email"],
        groups=_read_groups(call),
        attributes=_read_attributes(call),
        attribution=call.attribution,
    )
    return ActOutcome(row_id=user.id)


@for_members
def create_service_account(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    owner_group, groups, attributes = call.input["ownerGroup"], _read_groups(call), _read_attributes(call)
    call.groups.require(owner_group)
    if owner_group in call.principal.groups and (groups or attributes):
        raise _build_widening_error()
    service = users.create_service(
        database,
        name=call.input["name"],
        owner_group=owner_group,
        groups=groups,
        attributes=attributes,
        attribution=call.attribution,
    )
    return ActOutcome(row_id=service.id)


def rename_user_account(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    names = {"first_name": call.input["firstName"], "last_name": call.input["lastName"]}
    users.rename_user(database, call.input["user"], **names, attribution=call.attribution)
    return _show_user(database, call)


@for_members
def change_user_account_email(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    """Change the address of who sees nothing yet: it is where their key goes."""
    user = users.load_user(database, call.input["user"])
    if user.groups != (EVERYONE,) or user.attributes or api_keys.has_valid_key(database, user.id):
        raise ConnectorError(
            "an address is where a key goes, and this user has one, or groups, or attributes: their directory changes "
            "it, or `users change-email` at the server",
            ErrorCode.FORBIDDEN,
        )
    users.change_email(database, user.id, call.input["email"], call.attribution)
    return ActOutcome(row_id=user.id)


@for_members
def set_user_account_attributes(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    id = find_user_to_widen(database, call)
    users.set_attributes(database, id, _read_attributes(call), call.attribution)
    return ActOutcome(row_id=id)


def deactivate_user_account(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    users.deactivate_user(database, call.input["user"], call.attribution)
    return _show_user(database, call)


@for_members
def activate_user_account(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    """Activate a user in the groups they were in, but for the sensitive ones that an administrator had given."""
    user = users.load_user(database, call.input["user"])
    given = [item.group for item in user.memberships if item.source is IdentitySource.LOCAL]
    sensitive = [group for group in given if group in call.groups.names and is_sensitive(call.groups, group)]
    if user.deactivated_at is not None:
        users.leave_group(database, user.id, *sensitive, attribution=call.attribution)
    return ActOutcome(row_id=users.activate_user(database, user.id, call.attribution).id)


@for_members
def join_groups(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    id, groups = find_user_to_widen(database, call), _read_groups(call)
    users.join_group(database, id, *groups, attribution=call.attribution)
    return ActOutcome(row_id=id)


def leave_groups(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    users.leave_group(database, call.input["user"], *call.input["groups"], attribution=call.attribution)
    return _show_user(database, call)


def create_service_key(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    service_id, days = _find_own_service(database, call), _read_option(call, "days", DEFAULT_KEY_DAYS)
    return show_issued_key(api_keys.create_key(database, service_id, days=days, attribution=call.attribution))


def rotate_service_key(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    service_id, grace = _find_own_service(database, call), _read_grace(call)
    return show_issued_key(api_keys.rotate_key(database, service_id, grace=grace, attribution=call.attribution))


def rotate_my_key(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    return show_issued_key(
        api_keys.rotate_key(
            database,
            call.principal.person_id,
            grace=_read_grace(call),
            used_secret=call.principal.secret,
            attribution=call.attribution,
        )
    )


@for_members
def extend_api_key(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    key_id = api_keys.find_key_id(database, call.input["user"], "extend: create one")
    api_keys.extend_key(database, call.input["user"], days=call.input["days"], attribution=call.attribution)
    return ActOutcome(row_id=key_id)


def revoke_api_key(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    key_id = api_keys.resolve_key_id(database, call.input["key"])
    api_keys.revoke_key(database, key_id, call.attribution)
    return ActOutcome(row_id=key_id)


@for_members
def import_user_accounts(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    report = import_users(
        database,
        call.input["csv"],
        partial(require_ordinary_group, call.groups),
        call.attribution,
        dry_run=_read_option(call, "dryRun", False),
    )
    id = str(call.attribution.record_id)
    return ActOutcome(row_id=id, connectors={IMPORT_SOURCE: build_import_connector(id, report)})


ACTS: Mapping[str, Act] = {
    "createUserAccount": create_user_account,
    "createServiceAccount": create_service_account,
    "renameUserAccount": rename_user_account,
    "changeUserAccountEmail": change_user_account_email,
    "setUserAccountAttributes": set_user_account_attributes,
    "deactivateUserAccount": deactivate_user_account,
    "activateUserAccount": activate_user_account,
    "joinGroups": join_groups,
    "leaveGroups": leave_groups,
    "createServiceKey": create_service_key,
    "rotateServiceKey": rotate_service_key,
    "rotateMyKey": rotate_my_key,
    "extendApiKey": extend_api_key,
    "revokeApiKey": revoke_api_key,
    "importUserAccounts": import_user_accounts,
}


def is_sensitive(groups: Groups, group: str) -> bool:
    return groups[group].sensitivity is Sensitivity.SENSITIVE


def require_ordinary_group(groups: Groups, group: str) -> None:
    """Raise ConfigurationError for a group that is not registered, and for one whose approvers are to be asked."""
    groups.require(group)
    if is_sensitive(groups, group):
        raise ConfigurationError(
            f"`{group}` is sensitive, so its approvers decide: ask them with `requestMembership`, or have the person "
            "ask with `requestAccess`"
        )


def find_another_user(database: MetadataDatabase, call: AdministrationCall) -> str:
    """Return the id of the user, unless whoever asks may act as them: another one asks."""
    user, actor = users.load_user(database, call.input["user"]), call.principal.person_id
    is_own_service = user.owner_group is not None and user.owner_group in call.principal.groups
    if user.id == actor or is_own_service or separation.has_done(database, actor, user.id, separation.SHOWING):
        raise _build_widening_error()
    return user.id


def find_user_to_widen(database: MetadataDatabase, call: AdministrationCall) -> str:
    """Return the id of the user to give groups or attributes, unless another one is to do so."""
    id = find_another_user(database, call)
    with database.read_connection() as connection:
        actor, now = call.principal.person_id, database.now()
        refusal = separation.explain_refused_widening(connection, actor, id, now)
    if refusal is not None:
        raise ConnectorError(refusal, ErrorCode.FORBIDDEN)
    return id


def _build_widening_error() -> ConnectorError:
    return ConnectorError(separation.WIDENING_REFUSED, ErrorCode.FORBIDDEN)


def _find_own_service(database: MetadataDatabase, call: AdministrationCall) -> str:
    """Return the id of the service whose key to show to a member of the group that answers for it."""
    service, principal = users.load_user(database, call.input["service"]), call.principal
    if service.owner_group is None or service.owner_group not in principal.groups:
        raise ConnectorError("only the group that answers for a service is shown its key", ErrorCode.FORBIDDEN)
    if service.owner_group in {grant.group for grant in principal.grants}:
        raise ConnectorError("a grant ends, and a key would not: ask a member of its group", ErrorCode.FORBIDDEN)
    if separation.has_done(database, principal.person_id, service.id, separation.GIVING):
        message = "you have given this service what it sees: ask another member of the group that answers for it"
        raise ConnectorError(message, ErrorCode.FORBIDDEN)
    return service.id


def _show_user(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    return ActOutcome(row_id=users.find_user_id(database, call.input["user"]))


def show_issued_key(issued: api_keys.IssuedKey) -> ActOutcome:
    """Show a key in the one answer that does."""
    return ActOutcome(row_id=issued.id, connectors={ISSUED_KEY_SOURCE: build_issued_key_connector(issued)})


def _read_option(call: AdministrationCall, name: str, default: Any) -> Any:
    return default if call.input.get(name) is None else call.input[name]


def _read_groups(call: AdministrationCall) -> Sequence[str]:
    """Return the groups of the input. Raises ConfigurationError for one that an administrator may not give alone."""
    groups: Sequence[str] = _read_option(call, "groups", ())
    for group in groups:
        require_ordinary_group(call.groups, group)
    return groups


def _read_attributes(call: AdministrationCall) -> users.Attributes:
    return {item["name"]: tuple(item["values"]) for item in _read_option(call, "attributes", ())}


def _read_grace(call: AdministrationCall) -> timedelta | None:
    """Return how long the former secret lives after the first use of the new one; None: no more."""
    if _read_option(call, "atOnce", False):
        return None
    hours = call.input.get("graceHours")
    return api_keys.DEFAULT_GRACE if hours is None else timedelta(hours=hours)
