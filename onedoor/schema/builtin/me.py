"""Declare the three roots, and the authenticated user with the API key of the request."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import Json, Many, One, allow, owned


@strawberry.type(
    description="The API key of a request. The key itself is shown once, when it is created.",
    directives=[allow("everyone"), owned("platform")],
)
class Key:
    id: strawberry.ID = strawberry.field(description="The public part of the key.")
    created_at: datetime = strawberry.field(description="When the key was created.")
    expires_at: datetime = strawberry.field(description="When the key expires; rotating it does not move the date.")
    secret: int | None = strawberry.field(
        description="The number of the secret that was sent: 1 at first, and one more with each rotation."
    )
    used_at: datetime | None = strawberry.field(description="When the key was last used before, to the minute.")


@strawberry.enum(description="What says that a user is in a group: an administrator, or a directory.")
class MembershipSource(StrEnum):
    LOCAL = "local"
    SCIM = "scim"
    LDAP = "ldap"
    OIDC = "oidc"


@strawberry.type(
    description="That the authenticated user is in a group, as one source says.",
    directives=[allow("everyone"), owned("platform")],
)
class MyMembership:
    id: strawberry.ID = strawberry.field(description="The group and the source.")
    group: str = strawberry.field(description="The name of the functional group.")
    source: MembershipSource = strawberry.field(description="What says so.")
    since: datetime = strawberry.field(description="Since when it has said so.")
    confirmed_at: datetime = strawberry.field(
        description="When it last said so; one that a directory has not confirmed for long may count no more."
    )


@strawberry.type(
    description="A budget: how much may be used within any minute. A request over it is refused.",
    directives=[allow("everyone"), owned("platform")],
)
class Budget:
    name: str = strawberry.field(description="The setting of it, such as `budgets.keys.rows`.")
    unit: str = strawberry.field(description="What is counted: requests, cost, rows, bytes or seconds.")
    per_minute: float = strawberry.field(description="How much may be used within any minute.")
    used: float = strawberry.field(description="How much was used within the last minute.")
    left: float = strawberry.field(description="How much is left now.")
    enforced: bool = strawberry.field(description="Whether requests over it are refused; otherwise it is measured.")


@strawberry.type(
    description="The authenticated user.",
    directives=[allow("everyone"), owned("platform")],
)
class Me:
    id: strawberry.ID = strawberry.field(description="The id of the user, as in audit records.")
    first_name: str = strawberry.field(description="The given name.")
    last_name: str = strawberry.field(description="The family name.")
    email: str = strawberry.field(description="The e-mail address of the user.")
    groups: list[str] = strawberry.field(description="The functional groups of the user, sorted.")
    memberships: Many["MyMembership"] = strawberry.field(description="Where the groups come from.")
    is_admin: bool = strawberry.field(
        description="Whether the user administers users and keys, in `user-administration`. It opens no data."
    )
    attributes: Json = strawberry.field(
        description="What row rules compare columns with: an object of lists of texts, by name."
    )
    owner_group: str | None = strawberry.field(description="Of a service, the group that answers for it.")
    grants: list[str] = strawberry.field(description="The temporary grants that the user holds now.")
    key: One["Key"] = strawberry.field(description="The API key of this request.")
    budgets: Many["Budget"] = strawberry.field(
        description="The budgets of the user and of the key of this request, with what is left of them."
    )


@strawberry.type(description="Everything that can be queried.")
class Query:
    me: One["Me"] = strawberry.field(description="The authenticated user.")


@strawberry.type(
    description="Everything that can be changed. "
    "Each change records who made it, when and why, and the row before and after."
)
class Mutation:
    """Holds no field of its own: they are declared beside the types they change."""


@strawberry.type(description="Everything that can be subscribed to. Each event is authorized anew for its subscriber.")
class Subscription:
    """Holds no field of its own: they are declared beside the types they lead to."""
