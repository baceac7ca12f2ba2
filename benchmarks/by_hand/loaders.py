"""Create the DataLoaders of one request."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import ClientSession
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import aliased
from strawberry.dataloader import DataLoader

from benchmarks.by_hand import models

Sessions: TypeAlias = async_sessionmaker[AsyncSession]
Load: TypeAlias = Callable[[list[Any]], Awaitable[list[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstreams:
    """Where the forum is, and the slow one."""

    session: ClientSession
    forum: str
    slow_forum: str


class Context(dict[str, Any]):
    """A mapping, as Strawberry's router wants it: the sessions, the upstreams and the loaders by name."""

    def __init__(self, sessions: Sessions, upstreams: Upstreams) -> None:
        super().__init__(
            sessions=sessions,
            upstreams=upstreams,
            albums=DataLoader(load_fn=children(sessions, models.Album, "artist_id")),
            tracks=DataLoader(load_fn=children(sessions, models.Track, "album_id")),
            orders=DataLoader(load_fn=latest_orders(sessions)),
            totals=DataLoader(load_fn=order_totals(sessions)),
            items=DataLoader(load_fn=children(sessions, models.Item, "order_id")),
            products=DataLoader(load_fn=products(sessions)),
            users=DataLoader(load_fn=users(upstreams.session, upstreams.forum)),
            slow_users=DataLoader(load_fn=users(upstreams.session, upstreams.slow_forum)),
        )


async def scalars(sessions: Sessions, statement: Select[Any]) -> Sequence[Any]:
    async with sessions() as session:
        return (await session.scalars(statement)).all()


def children(sessions: Sessions, model: Any, column: str) -> Load:
    async def load(keys: list[Any]) -> list[Any]:
        parent = getattr(model, column)
        by_parent: dict[int, list[Any]] = defaultdict(list)
        for row in await scalars(sessions, select(model).where(parent.in_(keys)).order_by(model.id)):
            by_parent[getattr(row, column)].append(row)
        return [by_parent[key] for key in keys]

    return load


def latest_orders(sessions: Sessions) -> Load:
    """Keys are a customer's id and how many of their orders are wanted."""

    async def load(keys: list[Any]) -> list[Any]:
        order = models.Order
        newest = (order.placed_at.desc(), order.id)
        place = func.row_number().over(partition_by=order.customer_id, order_by=newest).label("place")
        ranked = select(order, place).where(order.customer_id.in_([key for key, _ in keys])).subquery()
        ranked_order = aliased(order, ranked)
        wanted = select(ranked_order).where(ranked.c.place <= max(last for _, last in keys)).order_by(ranked.c.place)
        by_customer: dict[int, list[Any]] = defaultdict(list)
        for row in await scalars(sessions, wanted):
            by_customer[row.customer_id].append(row)
        return [by_customer[key][:last] for key, last in keys]

    return load


def order_totals(sessions: Sessions) -> Load:
    async def load(keys: list[Any]) -> list[Any]:
        order = models.Order
        totals = select(order.customer_id, func.count(), func.sum(order.total)).group_by(order.customer_id)
        async with sessions() as session:
            rows = (await session.execute(totals.where(order.customer_id.in_(keys)))).all()
        results = {customer: (count, total) for customer, count, total in rows}
        return [results.get(key, (0, None)) for key in keys]

    return load


def products(sessions: Sessions) -> Load:
    async def load(keys: list[Any]) -> list[Any]:
        rows = await scalars(sessions, select(models.Product).where(models.Product.id.in_(keys)))
        results = {row.id: row for row in rows}
        return [results.get(key) for key in keys]

    return load


def users(session: ClientSession, upstream: str) -> Load:
    async def load(keys: list[Any]) -> list[Any]:
        async with session.get(f"{upstream}/users?id={','.join(map(str, keys))}") as answer:
            results = {user["id"]: user for user in await answer.json()}
        return [results.get(key) for key in keys]

    return load
