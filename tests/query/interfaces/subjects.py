"""Define an interface over three sources: one type is open, one denied to most, one has a denied field."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import BigInt, ById, Many, One, allow, owned

READERS = ("people", "sales", "finance")
OPEN = [allow(*READERS), owned("tests")]


@strawberry.enum(description="Where a paper lies.")
class Shelf(StrEnum):
    RED = "RED"
    GREEN = "GREEN"
    BLUE = "BLUE"


@strawberry.interface(description="A paper, wherever it lies.", directives=OPEN)
class Paper:
    id: strawberry.ID = strawberry.field(description="The shelf, and its number there.")
    shelf: Shelf = strawberry.field(description="Where it lies.")
    name: str | None = strawberry.field(description="Not unique.")
    size: BigInt | None = strawberry.field(description="How long it is.")
    dated: datetime | None = strawberry.field(description="When it was written.")
    owner: One["Person"] = strawberry.field(description="Whose it is.")


@strawberry.type(description="On the red shelf.", directives=OPEN)
class RedPaper(Paper):
    ink: str | None = strawberry.field(description="What it is written with.")


@strawberry.type(description="On the green shelf, where not all may know sizes.", directives=OPEN)
class GreenPaper(Paper):
    size: BigInt | None = strawberry.field(description="How long it is.", directives=[allow("finance", "people")])


@strawberry.type(description="On the blue shelf, which is not for all.", directives=[allow("people"), owned("tests")])
class BluePaper(Paper):
    secret: str | None = strawberry.field(description="What only some may read.")


@strawberry.type(description="Someone with papers.", directives=[allow("everyone"), owned("tests")])
class Person:
    id: strawberry.ID = strawberry.field(description="A number.")
    name: str | None = strawberry.field(description="Not unique.")
    papers: Many["Paper"] = strawberry.field(description="What is theirs.")
    favourite: One["Paper"] = strawberry.field(description="The first of theirs.")


@strawberry.type
class Query:
    paper: ById["Paper"] = strawberry.field(description="The paper with this id.")
    papers: Many["Paper"] = strawberry.field(description="All papers.")
    people: Many["Person"] = strawberry.field(description="Everybody.")
