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
