"""Declare users, their memberships and keys, and the mutations by which they are administered."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import ById, Json, Many, One, allow, owned, with_input
from onedoor.schema.builtin.me import MembershipSource

READERS = allow("user-administration", "access-review", "audit")

ADMINISTRATORS = allow("user-administration")

REVIEWERS = allow("user-administration", "access-review")

EVERYONE = allow("everyone")

OWNED = owned("platform")

USER = "The user, by id or e-mail address; a service by its name."

REASON = "Why, for those who read the records: 1 to 1,000 characters."


@strawberry.type(
    description="A user: a person, or a service for which a group answers.",
    directives=[READERS, OWNED],
)
class UserAccount:
    id: strawberry.ID = strawberry.field(description="The id of the user, as in audit records.")
    first_name: str = strawberry.field(description="The given name; of a service, its name.")
    last_name: str = strawberry.field(description="The family name; of a service, nothing.")
    email: str = strawberry.field(description="The e-mail address; of a service, its name.")
    folded_email: str = strawberry.field(
        description="The address as addresses are compared: without its case, and NFKC."
    )
    owner_group: str | None = strawberry.field(description="Of a service, the group that answers for it.")
    attributes: Json = strawberry.field(
        description="What row rules compare columns with: an object of lists of texts, by name."
    )
    created_at: datetime = strawberry.field(description="When the user was created.")
    deactivated_at: datetime | None = strawberry.field(description="When the user was deactivated, unless active.")
    memberships: Many["GroupMembership"] = strawberry.field(
        description="The memberships of groups that count: none of a deactivated user."
    )
    keys: Many["ApiKey"] = strawberry.field(description="The keys that the user ever had.")
    changes: Many["AdministrativeChange"] = strawberry.field(
        description="What was changed of the user, the memberships and the keys."
    )


@strawberry.type(
    description="That an active user is in a group, as one source says.",
    directives=[READERS, OWNED],
)
class GroupMembership:
    id: strawberry.ID = strawberry.field(description="The ids of the user, the group and the source.")
    group: str = strawberry.field(description="The name of the functional group.")
    source: MembershipSource = strawberry.field(description="What says so.")
    since: datetime = strawberry.field(description="Since when it has said so.")
    confirmed_at: datetime = strawberry.field(description="When it last said so.")
    account: One["UserAccount"] = strawberry.field(description="The user.")


@strawberry.type(
    description="An API key, without its secret, which is shown once and stored nowhere.",
    directives=[READERS, OWNED],
)
class ApiKey:
    id: strawberry.ID = strawberry.field(description="The public part of the key, as in audit records.")
    secret: int = strawberry.field(description="The number of its secret: 1 at first, and one more with each rotation.")
    created_at: datetime = strawberry.field(description="When the key was created.")
    expires_at: datetime = strawberry.field(description="When the key expires; rotating it does not move the date.")
    revoked_at: datetime | None = strawberry.field(description="When the key was revoked, if it was.")
    rotated_at: datetime | None = strawberry.field(description="When it was last given another secret.")
    former_secret_until: datetime | None = strawberry.field(
        description="Until when the secret before is valid, once the one after it has been used."
    )
    used_at: datetime | None = strawberry.field(description="When the key was last used, to the minute.")
    account: One["UserAccount"] = strawberry.field(description="The user whose key it is.")


@strawberry.type(
    description="What was changed of a user, a membership or a key, under one audit record.",
    directives=[READERS, OWNED],
)
class AdministrativeChange:
    id: strawberry.ID = strawberry.field(description="The ids of the record and of what was changed.")
    record: str = strawberry.field(description="The id of the audit record.")
    subject_type: str = strawberry.field(description="What was changed: a `User`, a `Membership` or a `Key`.")
    subject: str = strawberry.field(description="The id of it; of a membership, those of the user and the group.")
    verb: str = strawberry.field(description="What was done to it.")
    at: datetime = strawberry.field(description="When it was done.")
    actor: str | None = strawberry.field(
        description="Who did it: the id of a person or a directory, or a user of the operating system."
    )
    reason: str | None = strawberry.field(description="Why, in the words of who did it.")
    account: One["UserAccount"] = strawberry.field(description="The user whom it concerns.")


@strawberry.type(
    description="A key just issued, or a new secret of it. No other answer shows it.",
    directives=[EVERYONE, OWNED],
)
class IssuedApiKey:
    id: strawberry.ID = strawberry.field(description="The public part of the key.")
    key: str = strawberry.field(description="The whole key, as its user sends it: keep it now.")
    secret: int = strawberry.field(description="The number of its secret.")
    expires_at: datetime = strawberry.field(description="When the key expires.")


@strawberry.enum(description="What a line of an import comes to, or would come to.")
class ImportOutcome(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    REFUSED = "REFUSED"


@strawberry.type(
    description="What an import of people came to: applied as a whole, or not at all.",
    directives=[ADMINISTRATORS, OWNED],
)
class UserImport:
    id: strawberry.ID = strawberry.field(description="The id of the audit record of the import.")
    applied: bool = strawberry.field(description="Whether it was applied: no line was refused, and it was no dry run.")
    created: int = strawberry.field(description="How many people are new.")
    updated: int = strawberry.field(description="How many people were brought up to date.")
    unchanged: int = strawberry.field(description="How many people were as the file says.")
    refused: int = strawberry.field(description="How many lines were refused.")
    lines: Many["UserImportLine"] = strawberry.field(description="What each line came to.")


@strawberry.type(
    description="What one line of an import came to.",
    directives=[ADMINISTRATORS, OWNED],
)
class UserImportLine:
    id: strawberry.ID = strawberry.field(description="The id of the import and the number of the line.")
    line: int = strawberry.field(description="The number of the line in the file, whose first line names the columns.")
    email: str = strawberry.field(description="The e-mail address on the line.")
    outcome: ImportOutcome = strawberry.field(description="What it came to.")
    message: str | None = strawberry.field(description="Why it was refused, or what was brought up to date.")


@strawberry.type
class Query:
    user_account: ById["UserAccount"] = strawberry.field(description="The user with this id.")
    user_accounts: Many["UserAccount"] = strawberry.field(description="All users, services and deactivated ones too.")
    group_memberships: Many["GroupMembership"] = strawberry.field(description="All memberships that count.")
    api_keys: Many["ApiKey"] = strawberry.field(description="All keys that there ever were.")
    administrative_changes: Many["AdministrativeChange"] = strawberry.field(
        description="What was ever changed of users, memberships and keys."
    )


@strawberry.input(description="An attribute of a user.", directives=[ADMINISTRATORS, OWNED])
class AttributeInput:
    name: str = strawberry.field(description="Its name, of letters, digits and `_`.")
    values: list[str] = strawberry.field(description="Its values, in place of those before; none removes it.")


@strawberry.input(description="The person to create.")
class CreateUserAccountInput:
    first_name: str = strawberry.field(description="The given name.")
    last_name: str = strawberry.field(description="The family name.")
    email: str = strawberry.field(description="The e-mail address.")
    groups: list[str] | None = strawberry.field(description="The functional groups beside `everyone`.")
    attributes: list[AttributeInput] | None = strawberry.field(description="What row rules compare columns with.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The service to create.")
class CreateServiceAccountInput:
    name: str = strawberry.field(description="Its name: small letters, digits and `-`.")
    owner_group: str = strawberry.field(description="The functional group that answers for it.")
    groups: list[str] | None = strawberry.field(description="The functional groups beside `everyone`.")
    attributes: list[AttributeInput] | None = strawberry.field(description="What row rules compare columns with.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The person to rename.")
class RenameUserAccountInput:
    user: str = strawberry.field(description=USER)
    first_name: str = strawberry.field(description="The given name.")
    last_name: str = strawberry.field(description="The family name.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The person whose address to change.")
class ChangeUserAccountEmailInput:
    user: str = strawberry.field(description=USER)
    email: str = strawberry.field(description="The new e-mail address.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The user whose attributes to set.")
class SetUserAccountAttributesInput:
    user: str = strawberry.field(description=USER)
    attributes: list[AttributeInput] = strawberry.field(description="The attributes; those not named stay.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The user to deactivate.")
class DeactivateUserAccountInput:
    user: str = strawberry.field(description=USER)
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The user to activate again.")
class ActivateUserAccountInput:
    user: str = strawberry.field(description=USER)
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The user and the groups to add them to.")
class JoinGroupsInput:
    user: str = strawberry.field(description=USER)
    groups: list[str] = strawberry.field(description="The functional groups, by name.")
    until: datetime | None = strawberry.field(
        description="When it ends: each group is then a grant, as short as those that are asked for."
    )
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The user and the groups to remove them from.")
class LeaveGroupsInput:
    user: str = strawberry.field(description=USER)
    groups: list[str] = strawberry.field(description="The functional groups, by name.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The service to issue a key to.")
class CreateServiceKeyInput:
    service: str = strawberry.field(description="The service, by name or id.")
    days: int | None = strawberry.field(description="How many days it lasts: 90 if not given.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The service whose key to rotate.")
class RotateServiceKeyInput:
    service: str = strawberry.field(description="The service, by name or id.")
    grace_hours: float | None = strawberry.field(
        description="How long the secret before is valid after the first use of the new one: 1 hour if not given."
    )
    at_once: bool | None = strawberry.field(description="Whether to refuse the secret before within a second.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="How to rotate the key of this request.")
class RotateMyKeyInput:
    grace_hours: float | None = strawberry.field(
        description="How long the secret of this request is valid after the first use of the new one: 1 hour if not "
        "given."
    )
    reason: str | None = strawberry.field(description=REASON)


@strawberry.input(description="The user whose key to extend.")
class ExtendApiKeyInput:
    user: str = strawberry.field(description=USER)
    days: int = strawberry.field(description="How many days it is to last from now.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The key to revoke.")
class RevokeApiKeyInput:
    key: str = strawberry.field(description="The key, by its id, or by the id or e-mail address of its user.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="The people to import.")
class ImportUserAccountsInput:
    csv: str = strawberry.field(
        description="A CSV file. Its first line names the columns: `email`, `first_name`, `last_name`, and if you like "
        "`groups` and `attribute:NAME`, whose values are divided by blanks."
    )
    dry_run: bool | None = strawberry.field(description="Report what would be changed, and change nothing.")
    reason: str = strawberry.field(description=REASON)


@strawberry.type
class Mutation:
    create_user_account: One["UserAccount"] = strawberry.field(
        description="Creates a person, without a key.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(CreateUserAccountInput),
    )
    create_service_account: One["UserAccount"] = strawberry.field(
        description="Creates a service, without a key.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(CreateServiceAccountInput),
    )
    rename_user_account: One["UserAccount"] = strawberry.field(
        description="Gives a person another name.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(RenameUserAccountInput),
    )
    change_user_account_email: One["UserAccount"] = strawberry.field(
        description="Gives a person another e-mail address who has no key and sees nothing yet.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(ChangeUserAccountEmailInput),
    )
    set_user_account_attributes: One["UserAccount"] = strawberry.field(
        description="Sets attributes of a user.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(SetUserAccountAttributesInput),
    )
    deactivate_user_account: One["UserAccount"] = strawberry.field(
        description="Deactivates a user and revokes the key, within a second.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(DeactivateUserAccountInput),
    )
    activate_user_account: One["UserAccount"] = strawberry.field(
        description="Activates a user again, without a key and in the groups they were in, but for the sensitive ones "
        "that an administrator had given.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(ActivateUserAccountInput),
    )
    join_groups: One["UserAccount"] = strawberry.field(
        description="Adds a user to groups that are not sensitive, within a second; nobody adds themselves.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(JoinGroupsInput),
    )
    leave_groups: One["UserAccount"] = strawberry.field(
        description="Removes a user from groups, within a second: from all of them or none.",
        directives=[REVIEWERS, OWNED],
        metadata=with_input(LeaveGroupsInput),
    )
    create_service_key: One["IssuedApiKey"] = strawberry.field(
        description="Issues a key to a service without a valid one, and shows it this once, to a member of the group "
        "that answers for it who has not let it into a group.",
        directives=[EVERYONE, OWNED],
        metadata=with_input(CreateServiceKeyInput),
    )
    rotate_service_key: One["IssuedApiKey"] = strawberry.field(
        description="Gives the key of a service another secret, and shows it this once, to a member of the group that "
        "answers for it who has not let it into a group.",
        directives=[EVERYONE, OWNED],
        metadata=with_input(RotateServiceKeyInput),
    )
    rotate_my_key: One["IssuedApiKey"] = strawberry.field(
        description="Gives the key of this request another secret, and shows it this once; id and expiry stay.",
        directives=[EVERYONE, OWNED],
        metadata=with_input(RotateMyKeyInput),
    )
    extend_api_key: One["ApiKey"] = strawberry.field(
        description="Lets a user's key last longer; its secret stays.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(ExtendApiKeyInput),
    )
    revoke_api_key: One["ApiKey"] = strawberry.field(
        description="Revokes a key for good, within a second.",
        directives=[REVIEWERS, OWNED],
        metadata=with_input(RevokeApiKeyInput),
    )
    import_user_accounts: One["UserImport"] = strawberry.field(
        description="Creates people from a CSV file, or brings those there are up to date: all of its lines or none. "
        "Nobody is deactivated and no group is left.",
        directives=[ADMINISTRATORS, OWNED],
        metadata=with_input(ImportUserAccountsInput),
    )
