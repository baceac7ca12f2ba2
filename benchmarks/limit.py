"""Serve the limit: no GraphQL, one prepared statement or one batched request, on a bare ASGI server.

`GET /one?17` and so on: the path names the question, what follows is its variable.
"""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import aiohttp
import asyncpg
import orjson
import uvicorn

from demo.servers.run import HOST

CONNECTIONS = 8
HEADERS = [(b"content-type", b"application/json")]
TYPENAME = b'{"data":{"__typename":"Query"}}'
STATEMENTS = {
    "one": """
        SELECT json_build_object('customer', (
            SELECT json_build_object('id', id::text, 'name', name, 'email', email) FROM customer WHERE id = $1::bigint
        ))::text""",
    "music": """
        SELECT json_build_object('artists', json_agg(json_build_object('id', a.id::text, 'name', a.name, 'albums', (
            SELECT coalesce(json_agg(json_build_object('id', b.id::text, 'title', b.title, 'tracks', (
                SELECT coalesce(json_agg(json_build_object(
                    'id', t.id::text, 'title', t.title, 'milliseconds', t.milliseconds, 'unitPrice', t.unit_price::text
                ) ORDER BY t.id), '[]') FROM track t WHERE t.album_id = b.id
            )) ORDER BY b.id), '[]') FROM album b WHERE b.artist_id = a.id
        )) ORDER BY a.id))::text
        FROM (SELECT id, name FROM artist ORDER BY id LIMIT 20) a""",
    "flat": """
        SELECT json_build_object('customers', json_agg(json_build_object(
            'id', c.id::text, 'name', c.name, 'email', c.email, 'city', c.city, 'country', c.country,
            'segment', c.segment, 'credit', c.credit::text, 'createdAt', c.created_at
        ) ORDER BY c.id))::text
        FROM (SELECT * FROM customer ORDER BY id LIMIT $1::bigint) c""",
    "orders": """
        SELECT json_build_object('customers', json_agg(json_build_object('id', c.id::text, 'name', c.name, 'orders', (
            SELECT coalesce(json_agg(json_build_object(
                'id', o.id::text, 'placedAt', o.placed_at, 'total', o.total::text, 'items', (
                    SELECT coalesce(json_agg(json_build_object('quantity', i.quantity, 'product', json_build_object(
                        'id', p.id::text, 'name', p.name, 'price', p.price::text
                    )) ORDER BY i.id), '[]') FROM item i JOIN product p ON p.id = i.product_id WHERE i.order_id = o.id
                )) ORDER BY o.placed_at DESC, o.id), '[]')
            FROM (
                SELECT * FROM orders WHERE customer_id = c.id ORDER BY placed_at DESC, id LIMIT 5
            ) o
        )) ORDER BY c.id))::text
        FROM (SELECT id, name FROM customer ORDER BY id LIMIT 100) c""",
    "sums": """
        SELECT json_build_object('customers', json_agg(json_build_object('id', c.id::text, 'orders', (
            SELECT json_build_object('count', count(*), 'sum', json_build_object('total', sum(o.total)::text))
            FROM orders o WHERE o.customer_id = c.id
        )) ORDER BY c.id))::text
        FROM (SELECT id FROM customer ORDER BY id LIMIT 50) c""",
}
CUSTOMERS = "SELECT id, name, user_id FROM customer ORDER BY id LIMIT 100"

Answer: TypeAlias = Callable[[str], Awaitable[bytes]]


class Limit:
    """Connections are kept and never reset; statements are prepared by the driver at their first use on each."""

    def __init__(self) -> None:
        self.idle: asyncio.Queue[Any] = asyncio.Queue()
        self.session: Any = None
        self.answers: dict[str, Answer] = {
            **{f"/{name}": self.queried(sql) for name, sql in STATEMENTS.items()},
            "/posts": self.posts(os.environ["FORUM"]),
            "/slow": self.posts(os.environ["SLOW_FORUM"]),
            "/users": self.users,
            "/typename": self.typename,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        body = await self.answers[scope["path"]](scope["query_string"].decode())
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": body})

    async def lifespan(self, receive: Any, send: Any) -> None:
        async with AsyncExitStack() as stack:
            await receive()
            self.session = await stack.enter_async_context(aiohttp.ClientSession())
            for _ in range(CONNECTIONS):
                connection = await asyncpg.connect(os.environ["DATABASE"], server_settings={"timezone": "UTC"})
                stack.push_async_callback(connection.close)
                self.idle.put_nowait(connection)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def queried(self, sql: str) -> Answer:
        async def answer(variable: str) -> bytes:
            rows = await self.fetched(sql, *([int(variable)] if variable else []))
            return b'{"data":' + str(rows[0][0]).encode() + b"}"

        return answer

    async def fetched(self, sql: str, *values: Any) -> Any:
        connection = await self.idle.get()
        try:
            return await connection.fetch(sql, *values)
        finally:
            self.idle.put_nowait(connection)

    def posts(self, upstream: str) -> Answer:
        async def answer(_: str) -> bytes:
            posts = await self.fetch_json(f"{upstream}/posts?sort=id&limit=20")
            users = await self.fetch_users(upstream, {post["userId"] for post in posts})
            listed = [{"id": str(post["id"]), "title": post["title"], "user": users[post["userId"]]} for post in posts]
            return orjson.dumps({"data": {"posts": listed}})

        return answer

    async def users(self, _: str) -> bytes:
        rows = await self.fetched(CUSTOMERS)
        users = await self.fetch_users(os.environ["FORUM"], {user for _, _, user in rows})
        listed = [{"id": str(id), "name": name, "user": users[user]} for id, name, user in rows]
        return orjson.dumps({"data": {"customers": listed}})

    async def fetch_users(self, upstream: str, ids: set[int]) -> dict[int, dict[str, Any]]:
        users = await self.fetch_json(f"{upstream}/users?id={','.join(map(str, ids))}")
        return {user["id"]: {"id": str(user["id"]), "name": user["name"], "email": user["email"]} for user in users}

    async def fetch_json(self, url: str) -> Any:
        async with self.session.get(url) as answer:
            return orjson.loads(await answer.read())

    async def typename(self, _: str) -> bytes:
        return TYPENAME


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limit")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    uvicorn.run(Limit(), host=HOST, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
