"""A token and rows to the ASGI app: POST /graphql, as GraphQL over HTTP says."""

import hmac
import json
from typing import Any

from graphql import build_schema, graphql_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.directory.rows import Rows
from demo.directory.schema import SDL

NOBODY = {"errors": [{"message": "who are you?", "extensions": {"code": "UNAUTHENTICATED"}}]}
UNREADABLE = {"errors": [{"message": "send JSON with a `query`"}]}


def app(token: str, rows: Rows) -> Starlette:
    schema = build_schema(SDL)

    async def answer(request: Request) -> JSONResponse:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(key.encode(), token.encode()):
            return JSONResponse(NOBODY, 401)
        asked = _asked(await request.body())
        if asked is None:
            return JSONResponse(UNREADABLE, 400)
        told = graphql_sync(
            schema,
            asked["query"],
            rows,
            variable_values=asked.get("variables"),
            operation_name=asked.get("operationName"),
        )
        return JSONResponse(told.formatted)

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"])])


def _asked(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("query"), str) else None
