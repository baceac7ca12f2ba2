"""Define a lookup with an argument that has no description."""

import strawberry

from onedoor.schema.annotations import Argument, Looked, Many, allow, with_arguments


@strawberry.type(description="A room.", directives=[allow("everyone")])
class Room:
    id: strawberry.ID = strawberry.field(description="Its number.")
    heat: Looked[float] = strawberry.field(
        description="How warm it was.", metadata=with_arguments(window=Argument(str, ""))
    )


@strawberry.type
class Query:
    rooms: Many["Room"] = strawberry.field(description="All rooms.")
