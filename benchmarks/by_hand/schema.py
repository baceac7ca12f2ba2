"""Define the schema: types over the ORM's rows, and a resolver for each relationship."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry
from sqlalchemy import select
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.types import Info

from benchmarks.by_hand import models
from benchmarks.by_hand.loaders import Upstreams, scalars


@strawberry.type
class Track:
    id: strawberry.ID
    title: str
    milliseconds: int
    unit_price: Decimal


@strawberry.type
class Album:
    id: strawberry.ID
    title: str

    @strawberry.field
    async def tracks(self, info: Info) -> list[Track]:
        return await info.context["tracks"].load(self.id)  # type: ignore[no-any-return]


@strawberry.type
class Artist:
    id: strawberry.ID
    name: str

    @strawberry.field
    async def albums(self, info: Info) -> list[Album]:
        return await info.context["albums"].load(self.id)  # type: ignore[no-any-return]


@strawberry.type
class Product:
    id: strawberry.ID
    name: str
    price: Decimal


@strawberry.type
class Item:
    quantity: int
    product_id: strawberry.Private[int]

    @strawberry.field
    async def product(self, info: Info) -> Product | None:
        return await info.context["products"].load(self.product_id)  # type: ignore[no-any-return]


@strawberry.type
class Order:
    id: strawberry.ID
    placed_at: datetime
    status: str
    total: Decimal

    @strawberry.field
    async def items(self, info: Info) -> list[Item]:
        return await info.context["items"].load(self.id)  # type: ignore[no-any-return]


@strawberry.type
class Sums:
    total: Decimal | None


@strawberry.type
class OrderTotals:
    count: int
    sum: Sums


@strawberry.type
class User:
    id: strawberry.ID
    name: str
    email: str


@strawberry.type
class Customer:
    id: strawberry.ID
    name: str
    email: str | None
    city: str
    country: str
    segment: str
    credit: Decimal | None
    created_at: datetime
    user_id: strawberry.Private[int]

    @strawberry.field
    async def orders(self, info: Info, last: int) -> list[Order]:
        return await info.context["orders"].load((self.id, last))  # type: ignore[no-any-return]

    @strawberry.field
    async def order_totals(self, info: Info) -> OrderTotals:
        count, total = await info.context["totals"].load(self.id)
        return OrderTotals(count=count, sum=Sums(total=total))

    @strawberry.field
    async def user(self, info: Info) -> User | None:
        return user_of(await info.context["users"].load(self.user_id))


@strawberry.type
class Post:
    id: strawberry.ID
    title: str
    author: strawberry.Private[int]
    loader: strawberry.Private[str]

    @strawberry.field
    async def user(self, info: Info) -> User | None:
        return user_of(await info.context[self.loader].load(self.author))


def user_of(fetched: dict[str, Any] | None) -> User | None:
    return None if fetched is None else User(id=fetched["id"], name=fetched["name"], email=fetched["email"])


async def posts_of(upstreams: Upstreams, upstream: str, first: int, loader: str) -> list[Post]:
    async with upstreams.session.get(f"{upstream}/posts?sort=id&limit={first}") as answer:
        body = await answer.json()
    return [Post(id=item["id"], title=item["title"], author=item["userId"], loader=loader) for item in body]


@strawberry.type
class Query:
    @strawberry.field
    async def customer(self, info: Info, id: strawberry.ID) -> Customer | None:
        async with info.context["sessions"]() as session:
            return await session.get(models.Customer, int(id))  # type: ignore[no-any-return]

    @strawberry.field
    async def customers(self, info: Info, first: int) -> list[Customer]:
        statement = select(models.Customer).order_by(models.Customer.id).limit(first)
        return await scalars(info.context["sessions"], statement)  # type: ignore[return-value]

    @strawberry.field
    async def artists(self, info: Info, first: int) -> list[Artist]:
        statement = select(models.Artist).order_by(models.Artist.id).limit(first)
        return await scalars(info.context["sessions"], statement)  # type: ignore[return-value]

    @strawberry.field
    async def posts(self, info: Info, first: int) -> list[Post]:
        upstreams = info.context["upstreams"]
        return await posts_of(upstreams, upstreams.forum, first, "users")

    @strawberry.field
    async def slow_posts(self, info: Info, first: int) -> list[Post]:
        upstreams = info.context["upstreams"]
        return await posts_of(upstreams, upstreams.slow_forum, first, "slow_users")


CACHES = (lambda: ParserCache(maxsize=100), lambda: ValidationCache(maxsize=100))
SCHEMA = strawberry.Schema(query=Query, extensions=CACHES)
