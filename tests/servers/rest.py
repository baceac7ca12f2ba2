"""Serve tables as an API over real HTTP: equality, keys, orders, limits, and pages of each known kind."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.servers.serving import serve_in_loop

HOST = "127.0.0.1"
MOST = 4
"""Rows of a page, however many are wished."""
MEANT = {"order_by", "limit", "page", "size", "offset", "after"}

Record = Mapping[str, Any]


class Api:
    """`GET /thing?id=1,2&code=x&order_by=-id&limit=3`, `/turned/page/thing?page=2`, `/thing/7`, `/under/code/x/thing`.

    `asked` are the targets of all calls so far.
    """

    def __init__(self, tables: Mapping[str, Sequence[Record]]) -> None:
        self.tables = tables
        self.requests: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.requests.append(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        await self.answer(request)(scope, receive, send)

    def answer(self, request: Request) -> Response:
        match request.url.path.strip("/").split("/"):
            case ["turned", way, name] if name in self.tables:
                return turned(way, self.rows(name, request), request)
            case [name] if name in self.tables:
                return json_response(self.rows(name, request))
            case ["under", column, value, name] if name in self.tables:
                return json_response([row for row in self.rows(name, request) if format_value(row[column]) == value])
            case [name, id] if name in self.tables:
                rows = [row for row in self.tables[name] if str(row["id"]) == id]
                return json_response({"row": rows[0]}) if rows else Response(status_code=404)
        return Response(status_code=404)

    def rows(self, name: str, request: Request) -> list[Record]:
        rows = list(self.tables[name])
        for column in set(request.query_params) - MEANT:
            wanted = [part for item in request.query_params.getlist(column) for part in split(column, item)]
            rows = [row for row in rows if row[column] is not None and format_value(row[column]) in wanted]
        order = [item for item in request.query_params.get("order_by", "").split(",") if item]
        rows.sort(key=cmp_to_key(lambda one, other: compare_records(order, one, other)))
        return rows[: int(request.query_params.get("limit", len(rows)))]


def split(column: str, written: str) -> list[str]:
    """Numbers come with commas between, text one by one."""
    return written.split(",") if column.endswith("id") else [written]


def compare_records(order: Sequence[str], one: Record, other: Record) -> int:
    for sort_key in order:
        mine, theirs = one[sort_key.lstrip("-")], other[sort_key.lstrip("-")]
        if mine != theirs:
            return -1 if (mine < theirs) != sort_key.startswith("-") else 1
    return 0


def turned(way: str, rows: Sequence[Record], request: Request) -> Response:
    given = request.query_params
    size = min(MOST, int(given.get("size", MOST)))
    start = {
        "page": lambda: (int(given.get("page", 1)) - 1) * size,
        "offset": lambda: int(given.get("offset", 0)),
        "cursor": lambda: int(given.get("after", "at0").removeprefix("at")),
        "link": lambda: int(given.get("after", "at0").removeprefix("at")),
    }[way]()
    page, end = rows[start : start + size], start + size
    more = end < len(rows)
    if way == "link":
        url = request.url.include_query_params(after=f"at{end}")
        return json_response({"data": {"rows": page}}, {"link": f'<{url}>; rel="next"'} if more else {})
    return json_response({"data": {"rows": page}, "meta": {"next": f"at{end}" if more else None}})


def json_response(content: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content, default=format_value), media_type="application/json", headers=headers)


def format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | int | float) else value


@asynccontextmanager
async def serve_app(app: ASGIApp) -> AsyncIterator[str]:
    """The url of an app, for as long as the context lasts."""
    async with serve_in_loop(app) as port:
        yield f"http://{HOST}:{port}"
