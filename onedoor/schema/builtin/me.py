"""Declare the three roots, and the caller who asks."""

from datetime import datetime

import strawberry

from onedoor.schema.annotations import One, allow, owned


@strawberry.type(
    description="The API key a request came with. The key itself is shown once, when it is made.",
    directives=[allow("everyone"), owned("platform")],
)
class Key:
    id: strawberry.ID = strawberry.field(description="The public part of the key.")
    created_at: datetime = strawberry.field(description="When the key was made.")
    expires_at: datetime = strawberry.field(description="When the key stops opening the door.")


@strawberry.type(
    description="The person the door thinks is asking.",
    directives=[allow("everyone"), owned("platform")],
)
class Me:
    id: strawberry.ID = strawberry.field(description="The person's id, as the audit records name it.")
    first_name: str = strawberry.field(description="Given name.")
    last_name: str = strawberry.field(description="Family name.")
    email: str = strawberry.field(description="The address the person is known by.")
    groups: list[str] = strawberry.field(description="The functional groups the person is in, sorted.")
    grants: list[str] = strawberry.field(description="The temporary grants the person holds now.")
    key: One["Key"] = strawberry.field(description="The key this request came with.")


@strawberry.type(description="Everything that can be asked.")
class Query:
    me: One["Me"] = strawberry.field(description="Who the door thinks is asking.")


@strawberry.type(description="Everything that can be changed. Each change leaves who, when, why, before and after.")
class Mutation:
    """Its fields stand beside the types they change."""


@strawberry.type(description="Everything that can be listened for. Each event is judged anew, for who is listening.")
class Subscription:
    """Its fields stand beside the types they lead to."""
