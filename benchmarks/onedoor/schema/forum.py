"""Define the posts and users of a forum, from a fast and from a slow REST API."""

import strawberry

from onedoor.schema import Many, One, allow, owned


@strawberry.type(description="What someone wrote.", directives=[allow("everyone"), owned("forum")])
class Post:
    id: strawberry.ID = strawberry.field(description="The post's number.")
    title: str = strawberry.field(description="Its title.")
    user: One["User"] = strawberry.field(description="Who wrote it.")


@strawberry.type(description="Who writes.", directives=[allow("everyone"), owned("forum")])
class User:
    id: strawberry.ID = strawberry.field(description="The user's number.")
    name: str = strawberry.field(description="Their name.")
    email: str | None = strawberry.field(description="Their address.", directives=[allow("support", "sales")])


@strawberry.type(description="A post of the slow upstream.", directives=[allow("everyone"), owned("forum")])
class SlowPost:
    id: strawberry.ID = strawberry.field(description="The post's number.")
    title: str = strawberry.field(description="Its title.")
    user: One["SlowUser"] = strawberry.field(description="Who wrote it.")


@strawberry.type(description="A user of the slow upstream.", directives=[allow("everyone"), owned("forum")])
class SlowUser:
    id: strawberry.ID = strawberry.field(description="The user's number.")
    name: str = strawberry.field(description="Their name.")
    email: str | None = strawberry.field(description="Their address.", directives=[allow("support", "sales")])


@strawberry.type
class Query:
    posts: Many["Post"] = strawberry.field(description="All posts.")
    slow_posts: Many["SlowPost"] = strawberry.field(description="All posts of the slow upstream.")
