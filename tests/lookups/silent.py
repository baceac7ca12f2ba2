"""A field that takes something of which nothing is said."""

import strawberry

from schema.arguments import Argument, Looked, Many, taking
from schema.directives import allow


@strawberry.type(description="A room.", directives=[allow("everyone")])
class Room:
    id: strawberry.ID = strawberry.field(description="Its number.")
    heat: Looked[float] = strawberry.field(description="How warm it was.", metadata=taking(window=Argument(str, "")))


@strawberry.type
class Query:
    rooms: Many["Room"] = strawberry.field(description="All rooms.")
