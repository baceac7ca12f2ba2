"""Declare what syncs with the company's directory did, and the mutations by which they are decided and keys claimed."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import ById, Many, One, allow, owned, with_input
from onedoor.schema.builtin.administration import REASON, USER, IssuedApiKey, UserAccount
from onedoor.schema.builtin.me import MembershipSource

READERS = allow("user-administration", "access-review", "audit")

ADMINISTRATORS = allow("user-administration")

DECIDERS = allow("user-administration", "access-review")

EVERYONE = allow("everyone")

OWNED = owned("platform")


@strawberry.enum(description="What became of a sync with a directory.")
class DirectorySyncState(StrEnum):
    DONE = "DONE"
    FAILED = "FAILED"
    HALTED = "HALTED"
    APPROVED = "APPROVED"
    DISMISSED = "DISMISSED"


@strawberry.enum(description="What a sync did to one person or membership.")
class DirectoryChangeKind(StrEnum):
    CREATED = "CREATED"
    CHANGED = "CHANGED"
    ACTIVATED = "ACTIVATED"
    DEACTIVATED = "DEACTIVATED"
    JOINED = "JOINED"
    LEFT = "LEFT"
    REFUSED = "REFUSED"
    WAITING = "WAITING"


@strawberry.type(description="A sync with the company's directory.", directives=[READERS, OWNED])
class DirectorySync:
    id: strawberry.ID = strawberry.field(description="The id of the sync.")
    source: MembershipSource = strawberry.field(description="Which directory.")
    started_at: datetime = strawberry.field(description="When it began.")
    ended_at: datetime = strawberry.field(description="When it ended; of a directory that pushes, when it last came.")
    state: DirectorySyncState = strawberry.field(description="What became of it.")
    failure: str | None = strawberry.field(description="Why it failed, if it did.")
    decided_by: str | None = strawberry.field(description="Who decided about it, if it was halted.")
    decided_reason: str | None = strawberry.field(description="Why they decided so.")
    decided_at: datetime | None = strawberry.field(description="When they decided.")
    changes: Many["DirectoryChange"] = strawberry.field(description="What it brought, changed and was refused.")


@strawberry.type(description="What a sync did to one person or membership.", directives=[READERS, OWNED])
class DirectoryChange:
    id: strawberry.ID = strawberry.field(description="The id of the change.")
    at: datetime = strawberry.field(description="When it was made.")
    kind: DirectoryChangeKind = strawberry.field(description="What was done.")
    subject: str = strawberry.field(description="The e-mail address of the person, or what the directory calls them.")
    group: str | None = strawberry.field(description="The functional group that was joined or left.")
    detail: str | None = strawberry.field(description="Why it was refused.")
    record: str | None = strawberry.field(description="The id of the audit record.")
    sync: One["DirectorySync"] = strawberry.field(description="The sync.")
    account: One["UserAccount"] = strawberry.field(description="The user, if there is one.")


@strawberry.type(description="A user as a directory has them.", directives=[READERS, OWNED])
class DirectoryUser:
    id: strawberry.ID = strawberry.field(description="The id by which the directory knows the user here.")
    source: MembershipSource = strawberry.field(description="Which directory.")
    external_id: str | None = strawberry.field(description="The directory's own id of the user.")
    user_name: str = strawberry.field(description="What the directory calls the user.")
    active: bool = strawberry.field(description="Whether the directory has the user as active.")
    created_at: datetime = strawberry.field(description="When the directory first named the user.")
    modified_at: datetime = strawberry.field(description="When the directory last changed the user.")
    account: One["UserAccount"] = strawberry.field(description="The person, if the user is one.")


@strawberry.type(description="A group as a directory has it; it feeds functional groups.", directives=[READERS, OWNED])
class DirectoryGroup:
    id: strawberry.ID = strawberry.field(description="The id by which the directory knows the group here.")
    source: MembershipSource = strawberry.field(description="Which directory.")
    external_id: str | None = strawberry.field(description="The directory's own id of the group.")
    display_name: str = strawberry.field(description="What the directory calls the group.")
    created_at: datetime = strawberry.field(description="When the directory first named the group.")
    modified_at: datetime = strawberry.field(description="When the directory last changed the group.")


@strawberry.type(
    description="A link by which a person gets their key, which the server alone shows: whoever has it has the key.",
    directives=[ADMINISTRATORS, OWNED],
)
class KeyClaim:
    id: strawberry.ID = strawberry.field(description="The id of the code in the link.")
    email: str = strawberry.field(description="The e-mail address of the person.")
    expires_at: datetime = strawberry.field(description="Until when the link is valid.")


@strawberry.type
class Query:
    directory_sync: ById["DirectorySync"] = strawberry.field(description="The sync with this id.")
    directory_syncs: Many["DirectorySync"] = strawberry.field(description="All syncs with directories.")
    directory_users: Many["DirectoryUser"] = strawberry.field(description="All users of directories.")
    directory_groups: Many["DirectoryGroup"] = strawberry.field(description="All groups of directories.")


@strawberry.input(description="The halted sync to approve.")
class ApproveDirectorySyncInput:
    sync: str = strawberry.field(description="The id of the sync.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The halted sync to dismiss.")
class DismissDirectorySyncInput:
    sync: str = strawberry.field(description="The id of the sync.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The person to hand over to a directory.")
class AdoptUserAccountInput:
    user: str = strawberry.field(description=USER)
    source: MembershipSource = strawberry.field(description="Which directory.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The person to make a link for.")
class CreateKeyClaimInput:
    user: str = strawberry.field(description=USER)
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="Nothing: the code that came as a key says it all.")
class ClaimKeyInput:
    reason: str | None = strawberry.field(description=REASON)


@strawberry.type
class Mutation:
    approve_directory_sync: One["DirectorySync"] = strawberry.field(
        description="Lets a directory remove the people who wait in a halted sync, within three days.",
        directives=[DECIDERS, OWNED],
        metadata=with_input(ApproveDirectorySyncInput),
    )
    dismiss_directory_sync: One["DirectorySync"] = strawberry.field(
        description="Keeps the people who wait in a halted sync; the directory may remove people again.",
        directives=[DECIDERS, OWNED],
        metadata=with_input(DismissDirectorySyncInput),
    )
    adopt_user_account: One["UserAccount"] = strawberry.field(
        description="Hands a person over to a directory, which then updates and deactivates them.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(AdoptUserAccountInput),
    )
    create_key_claim: One["KeyClaim"] = strawberry.field(
        description="Makes a link by which a person gets their key, and ends the one before. No answer shows it: the "
        "server prints it for whatever sends it, to the address that somebody else has given the person.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(CreateKeyClaimInput),
    )
    claim_key: One["IssuedApiKey"] = strawberry.field(
        description="Exchanges the code that came as a key for the key of its person, once.",
        directives=[EVERYONE, OWNED],
        metadata=with_input(ClaimKeyInput),
    )
