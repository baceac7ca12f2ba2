"""A small schema that can be changed: lamps, which one may light, and whose price not all may see."""

import strawberry

from onedoor.schema.annotations import ById, Many, One, allow, owned, with_input


@strawberry.type(description="A lamp.", directives=[allow("sales", "finance", "support"), owned("lighting")])
class Lamp:
    id: strawberry.ID = strawberry.field(description="Which one.")
    lit: bool = strawberry.field(description="Whether it shines.")
    price: int | None = strawberry.field(description="What it cost.", directives=[allow("finance")])


@strawberry.input(description="A lamp to light.")
class LightInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    lit: bool = strawberry.field(description="Whether it is to shine.")
    note: str | None = strawberry.field(description="What is said of it.")
    price: int | None = strawberry.field(description="What it costs from now on.", directives=[allow("finance")])


@strawberry.type(description="All lamps.")
class Query:
    lamp: ById["Lamp"] = strawberry.field(description="One lamp.")
    lamps: Many["Lamp"] = strawberry.field(description="All of them.")


@strawberry.type(description="What may be done to them.")
class Mutation:
    light: One["Lamp"] = strawberry.field(
        description="Lights one.",
        directives=[allow("sales", "finance"), owned("lighting")],
        metadata=with_input(LightInput),
    )


@strawberry.type(description="What happens to them.")
class Subscription:
    lit: One["Lamp"] = strawberry.field(description="A lamp, whenever one is lit.")
