"""An authority, a store and rates in, the ASGI app out: Drive's methods, uploads, and tokens at /token."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.drive import uploads
from demo.drive.content import exported, ranged, stored
from demo.drive.document import Method, found
from demo.drive.failures import Failure, said
from demo.drive.fields import shown
from demo.drive.methods import METHODS, Asked
from demo.drive.parameters import Given, checked
from demo.drive.store import Seen, Store
from demo.drive.tokens import Authority, Denied, Granted, granted, issued, permitted
from demo.drive.uploads import Session, Sessions
from demo.slack.rates import Rates, wait

API, UPLOAD = "/drive/v3/", "/upload/drive/v3/"
VERBS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the server stands on."""

    authority: Authority
    store: Store
    limits: Rates
    sessions: Sessions = field(default_factory=dict)


def app(authority: Authority, store: Store, limits: Rates) -> Starlette:
    here = Place(authority=authority, store=store, limits=limits)

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        try:
            return JSONResponse(issued(authority, form, str(request.url)))
        except Denied as denied:
            return JSONResponse({"error": denied.error, "error_description": str(denied)}, denied.status)

    async def call(request: Request) -> Response:
        try:
            return await answered(here, request)
        except Failure as failure:
            return JSONResponse(said(failure), failure.status)
        except ClientDisconnect:
            return Response(status_code=499)

    return Starlette(
        routes=[Route("/token", token, methods=["POST"]), Route("/{path:path}", call, methods=VERBS)],
    )


async def answered(here: Place, request: Request) -> Response:
    path, upload = request.url.path, request.url.path.startswith(UPLOAD)
    if upload and "upload_id" in request.query_params:
        return await continued(here, request)
    verb, query = await asked(request)
    match = found(verb, path.removeprefix(UPLOAD if upload else API), upload=upload) if API in path else None
    if match is None:
        raise Failure(404, "notFound", "Not Found")
    method, places = match
    who = granted(here.authority, request.headers.get("authorization", ""))
    permitted(who, method.scopes)
    limited(here, method)
    given = checked(method, places, query)
    if upload:
        return await uploaded(here, request, method, who, given)
    return content(here, request, method, who, given) or told(
        method, given, Asked(seen=seen(here, who, given), given=given, body=await body(request, method, verb))
    )


async def asked(request: Request) -> tuple[str, list[tuple[str, str]]]:
    """A question too long for an address may come as a form, under the name of the verb it means."""
    instead = request.headers.get("x-http-method-override")
    if request.method == "POST" and instead == "GET":
        return instead, parse_qsl((await request.body()).decode(), keep_blank_values=True)
    return request.method, request.query_params.multi_items()


async def body(request: Request, method: Method, verb: str) -> Mapping[str, Any]:
    return uploads.json_of(await request.body()) if method.request and verb == request.method else {}


def limited(here: Place, method: Method) -> None:
    """A rate of one method is refused as Drive refuses one person, that of all as it refuses everyone."""
    seconds = wait(here.limits, method.id, time.monotonic())
    if seconds and method.id in here.limits.by_method:
        raise Failure(403, "userRateLimitExceeded", "User Rate Limit Exceeded")
    if seconds:
        raise Failure(429, "rateLimitExceeded", "Rate Limit Exceeded")


def seen(here: Place, who: Granted, given: Given) -> Seen:
    return Seen(store=here.store, email=who.email, drives=bool(given.get("supportsAllDrives")))


def content(here: Place, request: Request, method: Method, who: Granted, given: Given) -> Response | None:
    """Bytes, where bytes are asked for. An export takes no parameter of shared drives: it sees them anyway."""
    if method.id == "files.export":
        view = Seen(store=here.store, email=who.email, drives=True)
        return Response(exported(view.get(given["fileId"]), given["mimeType"]), media_type=given["mimeType"])
    if given.get("alt") != "media" or not method.downloads:
        return None
    document = seen(here, who, given).get(given["fileId"])
    status, octets, headers = ranged(stored(document), request.headers.get("range"))
    return Response(octets, status, {**headers, "content-type": document.content_type})


def told(method: Method, given: Given, wanted: Asked) -> Response:
    if method.id not in METHODS:
        raise Failure(501, "notImplemented", f"This server does not speak {method.id}.")
    answer = METHODS[method.id](wanted)
    if method.response is None:
        return Response(status_code=204)
    return JSONResponse(shown(answer, method.response, given.get("fields")))


async def uploaded(here: Place, request: Request, method: Method, who: Granted, given: Given) -> Response:
    if given.get("uploadType") != "resumable":
        metadata, octets, content_type = await uploads.parts(request, given.get("uploadType", ""))
        view = seen(here, who, given)
        return told(
            method, given, Asked(seen=view, given=given, body=metadata, octets=octets, content_type=content_type)
        )  # fmt: skip
    session = Session(
        method=method, given=given, body=uploads.json_of(await request.body()), granted=who,
        content_type=request.headers.get("x-upload-content-type", "application/octet-stream"), length=length(request),
    )  # fmt: skip
    id = uploads.begun(here.sessions, session)
    address = request.url.include_query_params(upload_id=id)
    return Response(status_code=200, headers={"location": str(address), "x-guploader-uploadid": id})


def length(request: Request) -> int | None:
    said = request.headers.get("x-upload-content-length", "")
    return int(said) if said.isdecimal() else None


async def continued(here: Place, request: Request) -> Response:
    """More of a file, a question how much has come, or its end. An id that nobody was given is not there.

    The address itself opens it: who was given it needs no token.
    """
    session = here.sessions.get(request.query_params["upload_id"])
    if session is None or request.method not in ("PUT", "DELETE"):
        raise Failure(404, "notFound", "Upload session not found")
    if "authorization" in request.headers:
        granted(here.authority, request.headers["authorization"])
    if request.method == "DELETE":
        del here.sessions[request.query_params["upload_id"]]
        return Response(status_code=499)
    if session.done is None:
        span = await uploads.received(session, request)
        if not uploads.complete(session, span):
            return Response(status_code=308, headers=dict(uploads.so_far(session)))
        finish(here, session)
    return JSONResponse(shown(session.done, "File", session.given.get("fields")))


def finish(here: Place, session: Session) -> None:
    wanted = Asked(
        seen=seen(here, session.granted, session.given), given=session.given, body=session.body,
        octets=bytes(session.held), content_type=session.content_type,
    )  # fmt: skip
    session.done = METHODS[session.method.id](wanted)
    session.held.clear()
