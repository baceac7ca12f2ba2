"""What is said of every change, whatever was changed."""

from enum import StrEnum

import strawberry


@strawberry.enum(description="What was done to a row.")
class ChangeVerb(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    PUT = "put"
    DELETE = "delete"


@strawberry.enum(
    description="What became of a change: it stands, it was only tried, it was taken back, or it stands though others "
    "of the same request do not."
)
class ChangeState(StrEnum):
    DONE = "DONE"
    TRIED = "TRIED"
    UNDONE = "UNDONE"
    PARTLY = "PARTLY"


@strawberry.type(description="Everything that can be changed. Each change leaves who, when, why, before and after.")
class Mutation:
    """Its fields stand beside the types they change."""


@strawberry.type(description="Everything that can be listened for. Each event is judged anew, for who is listening.")
class Subscription:
    """Its fields stand beside the types they lead to."""
