"""Declare the three roots, and the authenticated user with the API key of the request."""

from datetime import datetime

import strawberry

from onedoor.schema.annotations import One, allow, owned


@strawberry.type(
    description="The API key of a request. The key itself is shown once, when it is created.",
    directives=[allow("everyone"), owned("platform")],
)
class Key:
    id: strawberry.ID = strawberry.field(description="The public part of the key.")
    created_at: datetime = strawberry.field(description="When the key was created.")
    expires_at: datetime = strawberry.field(description="When the key expires.")


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
    grants: list[str] = strawberry.field(description="The temporary grants that the user holds now.")
    key: One["Key"] = strawberry.field(description="The API key of this request.")


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
