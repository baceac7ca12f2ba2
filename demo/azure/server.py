"""Accounts, by the first step of a path, and a rate to the ASGI app that answers for them."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote
from uuid import uuid4
from xml.etree.ElementTree import Element, SubElement, tostring

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.azure import blobs, shared, shares, signed
from demo.azure.words import VERSION, Account, Call, Refusal, Reply
from demo.slack.rates import Rates, wait

Act: TypeAlias = Callable[[Call, Account], Reply]
READS = ("GET", "HEAD")
Asked: TypeAlias = tuple[str, str, str, str]
"""What is called, a (s)ervice, a (c)ontainer or an (o)bject in it; the method, `restype` and `comp`."""
Opens: TypeAlias = tuple[Act, str]
"""What is done, and the permissions of which one will do."""
SHARES: Mapping[Asked, Opens] = {
    ("s", "GET", "", "list"): (shares.list_shares, "l"),
    ("c", "PUT", "share", ""): (shares.create_share, "cw"),
    **{("c", each, "share", ""): (shares.share, "r") for each in READS},
    **{(level, "GET", "directory", "list"): (shares.list_directory, "l") for level in "co"},
    **{(level, each, "directory", ""): (shares.directory, "r") for each in READS for level in "co"},
    ("o", "PUT", "directory", ""): (shares.create_directory, "cw"),
    ("o", "PUT", "", ""): (shares.create_file, "cw"),
    ("o", "PUT", "", "range"): (shares.put_range, "w"),
    ("o", "PUT", "", "rename"): (shares.rename_file, "w"),
    ("o", "PUT", "", "lease"): (shares.lease_file, "w"),
    **{("o", each, "", ""): (shares.file, "r") for each in READS},
    ("o", "DELETE", "", ""): (shares.delete_file, "d"),
}
BLOBS: Mapping[Asked, Opens] = {
    ("s", "GET", "", "list"): (blobs.list_containers, "l"),
    ("c", "PUT", "container", ""): (blobs.create_container, "cw"),
    **{("c", each, "container", ""): (blobs.container, "r") for each in READS},
    ("c", "GET", "container", "list"): (blobs.list_blobs, "l"),
    ("o", "PUT", "", ""): (blobs.put_blob, "cw"),
    **{("o", each, "", ""): (blobs.blob, "r") for each in READS},
    ("o", "DELETE", "", ""): (blobs.delete_blob, "d"),
}
ACTS = {"file": SHARES, "blob": BLOBS}


def app(accounts: Sequence[Account], limits: Rates) -> Starlette:
    named = {account.name: account for account in accounts}

    async def called(request: Request) -> Response:
        id = str(uuid4())
        try:
            path = request.scope["raw_path"].decode("ascii")
            account = named.get(path.split("/")[1])
            if account is None:
                raise Refusal(404, "ResourceNotFound", "The specified resource does not exist.")
            if wait(limits, account.service, time.monotonic()):
                raise Refusal(503, "ServerBusy", "The server is currently unable to receive requests.")
            reply = answer(call(request, path, await request.body()), account, datetime.now(UTC))
        except Refusal as refusal:
            reply = refused(refusal, id)
        about = {"x-ms-request-id": id, "x-ms-version": request.headers.get("x-ms-version", VERSION)}
        if "x-ms-client-request-id" in request.headers:
            about["x-ms-client-request-id"] = request.headers["x-ms-client-request-id"]
        return Response(reply.body, reply.status, {**reply.headers, **about})

    return Starlette(routes=[Route("/{path:path}", called, methods=["GET", "HEAD", "PUT", "DELETE"])])


def call(request: Request, path: str, body: bytes) -> Call:
    rest = path.removeprefix("/").partition("/")[2]
    return Call(
        method=request.method,
        path=path,
        parts=tuple(unquote(part) for part in rest.split("/")) if rest else (),
        query=dict(parse_qsl(request.scope["query_string"].decode("ascii"), keep_blank_values=True)),
        headers=dict(request.headers),
        body=body,
        scheme=request.url.scheme,
    )


def answer(asked: Call, account: Account, now: datetime) -> Reply:
    """Who cannot show who they are hears nothing of what is kept. Raises Refusal."""
    level = "sco"[min(len(asked.parts), 2)]
    found = ACTS[account.service].get(
        (level, asked.method, asked.query.get("restype", ""), asked.query.get("comp", ""))
    )
    permissions = found[1] if found else ""
    if "sig" in asked.query:
        shared.check(asked, account, (permissions, level), now)
    elif "authorization" in asked.headers:
        signed.check(asked, account, now)
    else:
        raise Refusal(401, "NoAuthenticationInformation", "Server failed to authenticate the request.")
    if found is None:
        raise Refusal(405, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
    return found[0](asked, account)


def refused(refusal: Refusal, id: str) -> Reply:
    root = Element("Error")
    SubElement(root, "Code").text = refusal.code
    SubElement(root, "Message").text = f"{refusal.sentence}\nRequestId:{id}\nTime:{datetime.now(UTC).isoformat()}"
    headers = {"content-type": "application/xml", "x-ms-error-code": refusal.code}
    body = b'<?xml version="1.0" encoding="utf-8"?>' + tostring(root)
    return Reply(status=refusal.status, headers=headers, body=body)
