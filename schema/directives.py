"""The directives a type or field carries: who may see it, and who answers for it."""

import strawberry
from strawberry.schema_directive import Location

GUARDED = [
    Location.OBJECT,
    Location.INTERFACE,
    Location.FIELD_DEFINITION,
    Location.ARGUMENT_DEFINITION,
    Location.INPUT_OBJECT,
    Location.INPUT_FIELD_DEFINITION,
]


@strawberry.schema_directive(locations=GUARDED, description="Any one of these functional groups will do.")
class Allow:
    groups: list[str]


@strawberry.schema_directive(
    locations=[Location.OBJECT, Location.INTERFACE, Location.FIELD_DEFINITION, Location.INPUT_OBJECT],
    description="The team that answers for what is here.",
)
class Owned:
    by: str


def allow(*groups: str) -> Allow:
    return Allow(groups=list(groups))


def owned(by: str) -> Owned:
    return Owned(by=by)
