"""Define a small chain of shops with every scalar and every sort of relationship, open to everyone."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import BigInt, ById, Many, One, allow, owned

OPEN = [allow("everyone"), owned("tests")]


@strawberry.enum(description="What a shop is.")
class ShopKind(StrEnum):
    STREET = "STREET"
    MALL = "MALL"
    AIRPORT = "AIRPORT"


@strawberry.enum(description="Why something came back.")
class Reason(StrEnum):
    BROKEN = "BROKEN"
    LATE = "LATE"
    UNLOVED = "UNLOVED"


@strawberry.type(description="A part of the world.", directives=OPEN)
class Region:
    id: strawberry.ID = strawberry.field(description="Its code.")
    name: str | None = strawberry.field(description="Not unique.")
    area: float | None = strawberry.field(description="In square kilometres.")
    founded: date | None = strawberry.field(description="Since when.")
    parent: One["Region"] = strawberry.field(description="What it is part of.")
    parts: Many["Region"] = strawberry.field(description="Its parts.")
    shops: Many["Shop"] = strawberry.field(description="The shops there.")
    namesake: One["Region"] = strawberry.field(description="Of those with its name, the one whose code comes first.")


@strawberry.type(description="A shop.", directives=OPEN)
class Shop:
    id: strawberry.ID = strawberry.field(description="Its number.")
    name: str | None = strawberry.field(description="Not unique.")
    kind: ShopKind | None = strawberry.field(description="What it is.")
    rating: float | None = strawberry.field(description="What people think.")
    open: bool | None = strawberry.field(description="Whether it is.")
    opened: date | None = strawberry.field(description="Since when.")
    region: One["Region"] = strawberry.field(description="Where it is.")
    sales: Many["Sale"] = strawberry.field(description="What it sold.")
    staff: Many["Person"] = strawberry.field(description="Who works there.")


@strawberry.type(description="Something sold.", directives=OPEN)
class Sale:
    id: strawberry.ID = strawberry.field(description="The shop and the number.")
    number: str = strawberry.field(description="Unique in its shop.")
    total: Decimal | None = strawberry.field(description="In euros.")
    pieces: int | None = strawberry.field(description="How many.")
    stamp: BigInt = strawberry.field(description="Of the till.")
    sold_at: datetime | None = strawberry.field(description="When.")
    paid: bool | None = strawberry.field(description="Whether it is.")
    shop: One["Shop"] = strawberry.field(description="Where.")
    item: One["Item"] = strawberry.field(description="What; of several with its sku, the one whose id comes first.")
    returns: Many["Return"] = strawberry.field(description="What came back of it.")


@strawberry.type(description="Something to sell.", directives=OPEN)
class Item:
    id: strawberry.ID = strawberry.field(description="Its code.")
    sku: str | None = strawberry.field(description="Not unique.")
    price: Decimal | None = strawberry.field(description="In euros.")
    weight: float | None = strawberry.field(description="In kilos.")
    sizes: int | None = strawberry.field(description="How many there are.")
    tags: list[str] | None = strawberry.field(description="What it goes by.")
    sales: Many["Sale"] = strawberry.field(description="Where its sku was sold.")


@strawberry.type(description="Something that came back.", directives=OPEN)
class Return:
    id: strawberry.ID = strawberry.field(description="Its number.")
    amount: Decimal | None = strawberry.field(description="In euros.")
    day: date | None = strawberry.field(description="When.")
    reason: Reason | None = strawberry.field(description="Why.")
    sale: One["Sale"] = strawberry.field(description="Of what.")
    person: One["Person"] = strawberry.field(description="Who took it.")


@strawberry.type(description="Someone who works in a shop.", directives=OPEN)
class Person:
    id: strawberry.ID = strawberry.field(description="Their number.")
    name: str | None = strawberry.field(description="Not unique.")
    salary: Decimal | None = strawberry.field(description="In euros.")
    grade: int | None = strawberry.field(description="Between colleagues.")
    hired_at: datetime | None = strawberry.field(description="When.")
    boss: One["Person"] = strawberry.field(description="Who they report to.")
    reports: Many["Person"] = strawberry.field(description="Who reports to them.")
    shop: One["Shop"] = strawberry.field(description="Where.")
    returns: Many["Return"] = strawberry.field(description="What they took back.")


@strawberry.type
class Query:
    region: ById["Region"] = strawberry.field(description="One.")
    regions: Many["Region"] = strawberry.field(description="All.")
    shop: ById["Shop"] = strawberry.field(description="One.")
    shops: Many["Shop"] = strawberry.field(description="All.")
    sale: ById["Sale"] = strawberry.field(description="One.")
    sales: Many["Sale"] = strawberry.field(description="All.")
    item: ById["Item"] = strawberry.field(description="One.")
    items: Many["Item"] = strawberry.field(description="All.")
    return_: ById["Return"] = strawberry.field(description="One.", name="return")
    returns: Many["Return"] = strawberry.field(description="All.")
    person: ById["Person"] = strawberry.field(description="One.")
    people: Many["Person"] = strawberry.field(description="All.")
