"""A token, a workspace and rates to the ASGI app: /api/<method> by GET, form or JSON."""

import hmac
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.slack.methods import METHODS
from demo.slack.paging import Failure, Params
from demo.slack.rates import Rates, wait
from demo.slack.scopes import ALL, SCOPES
from demo.slack.workspace import Workspace


def app(token: str, here: Workspace, limits: Rates, scopes: frozenset[str] = ALL) -> Starlette:
    """Replies are 200 even when they refuse, as Slack's are; only a call too many is a 429."""

    async def call(request: Request) -> JSONResponse:
        method = request.path_params["method"]
        if seconds := wait(limits, method, time.monotonic()):
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(seconds)})
        try:
            return JSONResponse({"ok": True} | answer(method, await params_of(request), token, scoped))
        except Failure as failure:
            return JSONResponse({"ok": False, "error": str(failure), **failure.more})

    scoped = replace(here, scopes=scopes)

    return Starlette(routes=[Route("/api/{method}", call, methods=["GET", "POST"])])


def answer(method: str, params: Params, token: str, here: Workspace) -> dict[str, Any]:
    if method not in METHODS:
        raise Failure("unknown_method")
    if not (given := params.get("token")):
        raise Failure("not_authed")
    if not hmac.compare_digest(str(given).encode(), token.encode()):
        raise Failure("invalid_auth")
    if (needed := SCOPES.get(method)) and needed not in here.scopes:
        raise Failure("missing_scope", needed=needed, provided=",".join(sorted(here.scopes)))
    return METHODS[method](here, params)


async def params_of(request: Request) -> Params:
    """The query, the form or JSON body, and the token from wherever it was given."""
    params: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        params |= json_of(await request.body())
    else:
        params |= dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    return params | ({"token": bearer} if bearer else {})


def json_of(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        raise Failure("invalid_json") from None
    if not isinstance(given, dict):
        raise Failure("json_not_object")
    return given
