"""A token, an organization and rates to the ASGI app: who may call, how often, and what has not changed."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from itertools import starmap
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from demo.github.account import Organization
from demo.github.paths import PATHS, Absent, Answer, Call
from demo.github.rates import Rates, counted, headers
from demo.github.telling import TOLD, Rejected
from demo.world.github import log

LOGS = "/_logs"
SIGNED = "sig"


def app(token: str, here: Organization, limits: Rates, *, reads: bool = False) -> Starlette:
    """Whole bodies have an ETag, and asked for again with it cost nothing, as GitHub's do; `reads`: the token may."""

    def route(path: str) -> Route:
        async def call(request: Request) -> Response:
            return answered(path, request)

        return Route(path, call, methods=["GET", "HEAD"])

    def telling(method: str, path: str) -> Route:
        async def call(request: Request) -> Response:
            if refusal := refused(request, token, limits):
                return refusal
            if reads:
                return problem(403, "Resource not accessible by personal access token", headers(limits))
            call = Call(here=here, root=str(request.base_url).rstrip("/"), url=request.url, places=request.path_params)
            return told(TOLD[method, path], call, await request.body(), headers(limits))

        return Route(path, call, methods=[method])

    def answered(path: str, request: Request) -> Response:
        if refusal := refused(request, token, limits):
            return refusal
        call = Call(here=here, root=str(request.base_url).rstrip("/"), url=request.url, places=request.path_params)
        try:
            found = PATHS[path](call, dict(request.query_params))
        except Absent:
            return problem(404, "Not Found", headers(limits))
        return fresh(found, request, limits)

    async def logged(request: Request) -> Response:
        """Of a job, to whoever has the url that was signed; a token is neither asked for nor wanted."""
        repo, number = request.path_params["repo"], request.path_params["job"]
        if not hmac.compare_digest(request.query_params.get(SIGNED, ""), signed(token, repo, number)):
            return Response(status_code=403)
        return PlainTextResponse(log(*here.jobs[repo, number]))

    async def logs(request: Request) -> Response:
        if refusal := refused(request, token, limits):
            return refusal
        repo, number = request.path_params["repo"].lower(), request.path_params["job"]
        if request.path_params["owner"].lower() != "acme" or (repo, number) not in here.jobs:
            return problem(404, "Not Found", headers(limits))
        place = f"{request.base_url}{LOGS[1:]}/{repo}/{number}?{SIGNED}={signed(token, repo, number)}"
        return Response(status_code=302, headers={"location": place, **headers(limits)})

    async def absent(request: Request) -> Response:
        return refused(request, token, limits) or problem(404, "Not Found", headers(limits))

    return Starlette(
        routes=[
            *starmap(telling, TOLD),
            *map(route, PATHS),
            Route("/repos/{owner}/{repo}/actions/jobs/{job:int}/logs", logs),
            Route(f"{LOGS}/{{repo}}/{{job:int}}", logged),
            Route("/{rest:path}", absent, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )


def told(act: Callable[[Call, Any], Answer], call: Call, body: bytes, more: Mapping[str, str]) -> Response:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        return problem(400, "Problems parsing JSON", more)
    if not isinstance(given, dict):
        return problem(400, "Body should be a JSON object", more)
    try:
        found = act(call, given)
    except Absent:
        return problem(404, "Not Found", more)
    except Rejected as rejected:
        return problem(rejected.status, rejected.message, more, *rejected.errors)
    said = b"" if found.said is None else json.dumps(found.said, ensure_ascii=False).encode()
    return Response(said, found.status, dict(more), "application/json; charset=utf-8")


def refused(request: Request, token: str, limits: Rates) -> Response | None:
    """The answer to who may not call, or has called too often; in the order in which GitHub looks."""
    if not request.headers.get("user-agent"):
        return problem(403, "Request forbidden by administrative rules. Please make sure it has a User-Agent header")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if not given:
        return problem(401, "Requires authentication")
    if scheme.lower() not in ("bearer", "token") or not hmac.compare_digest(given.encode(), token.encode()):
        return problem(401, "Bad credentials")
    if not counted(limits, time.time()):
        return problem(403, "API rate limit exceeded for user ID 1.", headers(limits))
    return None


def problem(status: int, message: str, more: Mapping[str, str] | None = None, *errors: Mapping[str, str]) -> Response:
    said: dict[str, Any] = {
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": str(status),
    }
    if errors:
        said["errors"] = [dict(each) for each in errors]
    return Response(json.dumps(said), status, dict(more or {}), "application/json; charset=utf-8")


def fresh(found: Answer, request: Request, limits: Rates) -> Response:
    body: bytes = json.dumps(found.said, ensure_ascii=False).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()}"'
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        limits.used -= 1
        return Response(status_code=304, headers={"etag": tag, **headers(limits)})
    more: dict[str, Any] = {"etag": tag, "x-github-media-type": "github.v3; format=json", **headers(limits)}
    return Response(body, 200, {**more, **found.headers}, "application/json; charset=utf-8")


def signed(token: str, repo: str, job: int) -> str:
    return hmac.digest(token.encode(), f"{repo} {job}".encode(), "sha256").hex()
