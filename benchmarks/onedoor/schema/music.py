"""Define artists, albums and tracks."""

from decimal import Decimal

import strawberry

from onedoor.schema import ById, Many, allow, owned


@strawberry.type(description="Who made the music.", directives=[allow("marketing", "sales"), owned("music")])
class Artist:
    id: strawberry.ID = strawberry.field(description="The artist's number.")
    name: str = strawberry.field(description="The artist's name.")
    albums: Many["Album"] = strawberry.field(description="What the artist released.")


@strawberry.type(description="A release.", directives=[allow("marketing", "sales"), owned("music")])
class Album:
    id: strawberry.ID = strawberry.field(description="The album's number.")
    title: str = strawberry.field(description="Its title.")
    tracks: Many["Track"] = strawberry.field(description="What is on it.")


@strawberry.type(description="One piece of an album.", directives=[allow("marketing", "sales"), owned("music")])
class Track:
    id: strawberry.ID = strawberry.field(description="The track's number.")
    title: str = strawberry.field(description="Its title.")
    milliseconds: int = strawberry.field(description="How long it is.")
    unit_price: Decimal | None = strawberry.field(description="What it costs, in euros.", directives=[allow("sales")])


@strawberry.type
class Query:
    artist: ById["Artist"] = strawberry.field(description="The artist with this number.")
    artists: Many["Artist"] = strawberry.field(description="All artists.")
