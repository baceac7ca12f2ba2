"""Declare the enums that every change has."""

from enum import StrEnum

import strawberry


@strawberry.enum(description="What a change does to a row.")
class ChangeVerb(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    PUT = "put"
    DELETE = "delete"


@strawberry.enum(
    description="How a change ended: it was applied, it was only tried, it was undone, or it was applied while "
    "others of the same request were not."
)
class ChangeState(StrEnum):
    DONE = "DONE"
    TRIED = "TRIED"
    UNDONE = "UNDONE"
    PARTLY = "PARTLY"
