"""Define rooms whose temperature, tags and letters are lookups in another source."""

from enum import StrEnum

import strawberry

from onedoor.schema.annotations import Argument, Looked, Many, allow, owned, with_arguments


@strawberry.enum(description="How long.")
class Window(StrEnum):
    MINUTE = "1m"
    HOUR = "1h"


@strawberry.input(description="What a letter must say.", directives=[allow("everyone")])
class Saying:
    word: str = strawberry.field(description="This word.")
    times: int | None = strawberry.field(description="So often.")


WINDOW = with_arguments(window=Argument(Window, "Over how long.", Window.HOUR))


@strawberry.type(description="A room.", directives=[allow("everyone"), owned("house keeping")])
class Room:
    id: strawberry.ID = strawberry.field(description="Its number.")
    floor: int = strawberry.field(description="Where it is.")
    heat: Looked[float] = strawberry.field(description="How warm it was.", metadata=WINDOW)
    tags: Looked[list[str]] = strawberry.field(description="What hangs there.")
    secret_heat: Looked[float] = strawberry.field(
        description="The same, for a few.", directives=[allow("finance")], metadata=WINDOW
    )
    letter: Looked[str] = strawberry.field(
        description="What lies there.",
        metadata=with_arguments(
            most=Argument(int, "So many characters.", None),
            words=Argument(list[str], "Which words it has.", None),
            saying=Argument(list[Saying], "What it says.", None),
        ),
    )


@strawberry.type
class Query:
    rooms: Many["Room"] = strawberry.field(description="All rooms.")
