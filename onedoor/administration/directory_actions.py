"""Carry out the mutations that decide about syncs with directories, hand people over to them, and claim keys."""

from collections.abc import Mapping
from functools import partial

from auth import separation, users
from auth.directory import claims, people, reports
from auth.groups import Groups
from auth.memberships import IdentitySource
from onedoor.administration.actions import (
    Act,
    ActOutcome,
    AdministrationAction,
    AdministrationCall,
    for_members,
    show_issued_key,
)
from onedoor.connectors.directory import KEY_CLAIM_SOURCE, build_key_claim_connector
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.jobs.tables import JobDatabase
from onedoor.model.catalog import Action
from onedoor.storage.database import MetadataDatabase


def build_directory_actions(database: JobDatabase, groups: Groups, redaction_key: bytes) -> Mapping[str, Action]:
    """Return the actions by root field of `Mutation`."""
    acts: Mapping[str, Act] = {
        "approveDirectorySync": partial(_decide, approve=True),
        "dismissDirectorySync": partial(_decide, approve=False),
        "adoptUserAccount": adopt_user_account,
        "createKeyClaim": create_key_claim,
        "claimKey": claim_key,
    }
    return {
        name: AdministrationAction(act=act, database=database, groups=groups, redaction_key=redaction_key)
        for name, act in acts.items()
    }


def _decide(database: MetadataDatabase, call: AdministrationCall, *, approve: bool) -> ActOutcome:
    reports.decide_halted_sync(database, call.input["sync"], approve=approve, attribution=call.attribution)
    return ActOutcome(row_id=call.input["sync"])


@for_members
def adopt_user_account(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    source = IdentitySource(call.input["source"].lower())
    people.adopt_person(database, call.input["user"], source, call.attribution)
    return ActOutcome(row_id=users.find_user_id(database, call.input["user"]))


@for_members
def create_key_claim(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    """Make a link for an active person, which the server alone shows, to whoever delivers it."""
    user_id, actor = users.find_user_id(database, call.input["user"]), call.principal.person_id
    if user_id == actor:
        raise ConnectorError("rotate your own key with `rotateMyKey`", ErrorCode.FORBIDDEN)
    if separation.has_done(database, actor, user_id, separation.MAKING):
        message = "you have made this account, or chosen its address: ask another administrator to send its link"
        raise ConnectorError(message, ErrorCode.FORBIDDEN)
    claim = claims.replace_claim(database, user_id, call.attribution)
    return ActOutcome(row_id=claim.id, connectors={KEY_CLAIM_SOURCE: build_key_claim_connector(claim)})


def claim_key(database: MetadataDatabase, call: AdministrationCall) -> ActOutcome:
    """Exchange the code of the request for a key."""
    if not call.principal.has_claim:
        message = "this key needs no exchange: send the code of your link in its place"
        raise ConnectorError(message, ErrorCode.FORBIDDEN)
    person_id = call.principal.person_id
    return show_issued_key(claims.redeem_claim(database, call.principal.key_id, person_id, call.attribution))
