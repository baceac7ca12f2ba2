"""Serve a REST API of posts and users: `python -m benchmarks.upstream --port 0 --delay 5`.

`GET /posts?sort=id&limit=20` is a list in the order of its ids; `GET /users?id=1,2,3` are the users named.
"""

import argparse
import asyncio
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn

from benchmarks.tables import USERS
from demo.servers.run import HOST

POSTS = 100
AUTHORS = 10
HEADERS = [(b"content-type", b"application/json")]


def post(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "userId": number % AUTHORS + 1,
        "title": f"Post {number}: what the forum has to say",
        "body": f"This is what post {number} is about. " * 5,
    }


def user(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"User {number}",
        "username": f"user{number}",
        "email": f"user{number}@forum.example",
        "company": {"name": f"Company {number % 40}"},
    }


POST_LIST = [orjson.dumps(post(number)) for number in range(1, POSTS + 1)]
USER_BY_ID = {str(number): orjson.dumps(user(number)) for number in range(1, USERS + 1)}


def posts(query: dict[str, list[str]]) -> list[bytes]:
    return POST_LIST[: int(query.get("limit", [str(POSTS)])[0])]


def users(query: dict[str, list[str]]) -> list[bytes]:
    if "id" not in query:
        return list(USER_BY_ID.values())
    return [USER_BY_ID[part] for part in query["id"][0].split(",") if part in USER_BY_ID]


LISTS = {"/posts": posts, "/users": users}


class Upstream:
    """`delay`: seconds that every answer takes."""

    def __init__(self, delay: float) -> None:
        self.delay = delay

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        listed = LISTS[scope["path"]](parse_qs(scope["query_string"].decode()))
        body = b"[" + b",".join(listed) + b"]"
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds that every answer takes")
    chosen = parser.parse_args()
    app = Upstream(chosen.delay / 1000)
    uvicorn.run(app, host=HOST, port=chosen.port, lifespan="off", log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
