"""Google Drive emulator."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cmp_to_key
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.data.files import FOLDER, Document, drive_id
from demo.servers.drive import auth
from demo.servers.drive import store as drive_store
from demo.servers.drive.auth import Authority, Denied, Granted, Session, Sessions, granted, issued, permitted
from demo.servers.drive.search import relevance, search, shown
from demo.servers.drive.store import (
    Failure,
    Given,
    Method,
    Seen,
    Store,
    changed,
    checked,
    exported,
    file_json,
    forbidden,
    found,
    invalid,
    now,
    page,
    put,
    ranged,
    removed,
    said,
    stored,
    user_json,
)
from demo.servers.slack.app import Rates, wait

Answer: TypeAlias = dict[str, Any]

LISTED = 100

PROPERTIES, PROPERTY = 30, 124
"""How many a file has of one application, and the bytes of one, its name included."""

SORTS: Mapping[str, Callable[[Document], Any]] = {
    "name": lambda document: document.name.lower(),
    "name_natural": lambda document: document.name.lower(),
    "modifiedTime": lambda document: document.modified,
    "recency": lambda document: document.modified,
    "quotaBytesUsed": lambda document: len(document.body),
    "folder": lambda document: document.content_type != FOLDER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`body` is the JSON that came with it; `octets` and their type what was uploaded, None: nothing was."""

    seen: Seen
    given: Given
    body: Mapping[str, Any]
    octets: bytes | None = None
    content_type: str | None = None


def about(asked: Asked) -> Answer:
    if "fields" not in asked.given:
        raise Failure(400, "required", "The 'fields' parameter is required for this method.", "fields")
    return {"kind": "drive#about", "user": user_json(asked.seen, asked.seen.email), "canCreateDrives": False}


def files_list(asked: Asked) -> Answer:
    seen, given = asked.seen, asked.given
    finds = search(given["q"], seen) if given.get("q") else lambda document: True
    wanted = within(asked)
    rows = [each for each in seen.listed() if wanted(each) and finds(each)]
    rows.sort(key=ordering(given))
    shown, more = page(rows, given, LISTED)
    files = [file_json(seen, each) for each in shown]
    return {"kind": "drive#fileList", "incompleteSearch": False, "files": files, **more}


def ordering(given: Given) -> Callable[[Document], Any]:
    """What is found by what it says comes in Drive's own order, and in no other."""
    relevant = relevance(given["q"]) if given.get("q") else None
    if relevant is not None and given.get("orderBy"):
        raise Failure(403, "forbidden", "Sorting is not supported for queries with fullText terms.", "orderBy")
    return relevant or cmp_to_key(sorting(given.get("orderBy", "")))


def within(asked: Asked) -> Callable[[Document], bool]:
    """By corpora: one's own and what is shared with one, or one shared drive."""
    given, seen = asked.given, asked.seen
    corpora, drive = given.get("corpora", "user"), given.get("driveId")
    if corpora not in ("user", "drive", "domain", "allDrives"):
        raise invalid("corpora", corpora)
    if (corpora == "drive") != (drive is not None):
        raise Failure(400, "invalid", "The driveId and corpora parameters go together.", "corpora")
    if drive is not None:
        if not (given.get("includeItemsFromAllDrives") and given.get("supportsAllDrives")):
            raise Failure(403, "teamDrivesParentLimit", "Shared drives must be supported and included.", "corpora")
        seen.get(drive)
    return lambda document: document.drive == drive or corpora == "allDrives"


def sorting(text: str) -> Callable[[Document, Document], int]:
    """By each key in turn, then as they came in."""
    keys = [part.split() for part in text.split(",") if part.strip()]
    if any(key not in SORTS or rest not in ([], ["desc"]) for key, *rest in keys):
        raise invalid("orderBy", text)

    def compared(one: Document, other: Document) -> int:
        for key, *rest in keys:
            mine, theirs = SORTS[key](one), SORTS[key](other)
            if mine != theirs:
                return (-1 if mine < theirs else 1) * (-1 if rest else 1)
        return 0

    return compared


def files_get(asked: Asked) -> Answer:
    return file_json(asked.seen, asked.seen.get(asked.given["fileId"]))


def files_create(asked: Asked) -> Answer:
    """In the folder that it names, or one's own; a Google type without bytes is an empty one."""
    seen, body = asked.seen, asked.body
    parents = body.get("parents", ["root"])
    if len(parents) != 1:
        raise Failure(400, "invalid", "A file must have exactly one parent.", "parents")
    parent = seen.writable(parents[0])
    if parent.content_type != FOLDER:
        raise Failure(403, "parentNotAFolder", "The specified parent is not a folder.", "parents")
    made = Document(
        id=fresh(seen), name=body.get("name", "Untitled"), parent=parent.id, modified=now(), drive=parent.drive,
        content_type=body.get("mimeType") or asked.content_type or "application/octet-stream",
        owner=None if parent.drive else seen.email, body=asked.octets or b"", properties=kept({}, body),
    )  # fmt: skip
    return file_json(seen, put(seen.store, made))


def files_update(asked: Asked) -> Answer:
    """Its name, its type, whether it is in the trash, where it lies, and its bytes."""
    seen, body, given = asked.seen, asked.body, asked.given
    before = seen.writable(given["fileId"])
    moved = {"parent": seen.writable(given["addParents"]).id} if "addParents" in given else {}
    after = changed(
        seen.store, before, name=body.get("name", before.name), trashed=body.get("trashed", before.trashed),
        content_type=body.get("mimeType", before.content_type),
        body=before.body if asked.octets is None else asked.octets, properties=kept(before.properties, body), **moved,
    )  # fmt: skip
    trash(seen, after)
    return file_json(seen, after)


def files_copy(asked: Asked) -> Answer:
    """With what is kept of the file for the application; in the same folder where none is named."""
    seen, body, origin = asked.seen, asked.body, asked.seen.get(asked.given["fileId"])
    if origin.content_type == FOLDER:
        raise forbidden()
    parent = seen.writable(body.get("parents", [origin.parent])[0])
    made = Document(
        id=fresh(seen), name=body.get("name", f"Copy of {origin.name}"), parent=parent.id, modified=now(),
        drive=parent.drive, content_type=body.get("mimeType", origin.content_type), body=origin.body,
        owner=None if parent.drive else seen.email, properties=kept(origin.properties, body),
    )  # fmt: skip
    return file_json(seen, put(seen.store, made))


def kept(before: Mapping[str, str], body: Mapping[str, Any]) -> Mapping[str, str]:
    """A property of no value is no more."""
    said = {**before, **body.get("appProperties", {})}
    found = {name: value for name, value in said.items() if value is not None}
    if len(found) > PROPERTIES or any(len(f"{name}{value}".encode()) > PROPERTY for name, value in found.items()):
        raise Failure(403, "propertiesLimitExceeded", "The properties are too many, or too long.")
    return found


def trash(seen: Seen, document: Document) -> None:
    """What lies in a folder goes with it."""
    for each in [each for each in seen.documents.values() if each.parent == document.id]:
        if each.trashed != document.trashed:
            trash(seen, put(seen.store, replace(each, trashed=document.trashed)))


def files_delete(asked: Asked) -> Answer:
    found = asked.seen.get(asked.given["fileId"])
    if asked.seen.role(found) not in ("owner", "organizer"):
        raise forbidden()
    removed(asked.seen.store, found)
    return {}


def generate_ids(asked: Asked) -> Answer:
    start = len(asked.seen.documents)
    ids = [drive_id(f"generated {start} {turn}") for turn in range(asked.given["count"])]
    return {"kind": "drive#generatedIds", "space": asked.given["space"], "ids": ids}


def drives_list(asked: Asked) -> Answer:
    seen = replace(asked.seen, drives=True)
    found = [each for each in seen.documents.values() if each.id == each.drive and seen.sees(each)]
    shown, more = page(found, asked.given, 10)
    return {"kind": "drive#driveList", "drives": [drive_json(each) for each in shown], **more}


def drives_get(asked: Asked) -> Answer:
    found = replace(asked.seen, drives=True).get(asked.given["driveId"])
    if found.id != found.drive:
        raise Failure(404, "notFound", f"Shared drive not found: {found.id}", "driveId")
    return drive_json(found)


def drive_json(document: Document) -> Answer:
    return {"kind": "drive#drive", "id": document.id, "name": document.name}


def fresh(seen: Seen) -> str:
    return drive_id(f"made {len(seen.store.versions)}")


METHODS: Mapping[str, Callable[[Asked], Answer]] = {
    "about.get": about,
    "files.list": files_list,
    "files.get": files_get,
    "files.create": files_create,
    "files.update": files_update,
    "files.copy": files_copy,
    "files.delete": files_delete,
    "files.generateIds": generate_ids,
    "drives.list": drives_list,
    "drives.get": drives_get,
    "permissions.list": lambda asked: drive_store.listed(asked.seen, asked.given),
    "permissions.get": lambda asked: drive_store.one(asked.seen, asked.given),
    "permissions.create": lambda asked: drive_store.created(asked.seen, asked.given, asked.body),
    "permissions.delete": lambda asked: drive_store.deleted(asked.seen, asked.given),
}

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
    return auth.json_of(await request.body()) if method.request and verb == request.method else {}


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
        metadata, octets, content_type = await auth.parts(request, given.get("uploadType", ""))
        view = seen(here, who, given)
        return told(
            method, given, Asked(seen=view, given=given, body=metadata, octets=octets, content_type=content_type)
        )  # fmt: skip
    session = Session(
        method=method, given=given, body=auth.json_of(await request.body()), granted=who,
        content_type=request.headers.get("x-upload-content-type", "application/octet-stream"), length=length(request),
    )  # fmt: skip
    id = auth.begun(here.sessions, session)
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
        span = await auth.received(session, request)
        if not auth.complete(session, span):
            return Response(status_code=308, headers=dict(auth.so_far(session)))
        finish(here, session)
    return JSONResponse(shown(session.done, "File", session.given.get("fields")))


def finish(here: Place, session: Session) -> None:
    wanted = Asked(
        seen=seen(here, session.granted, session.given), given=session.given, body=session.body,
        octets=bytes(session.held), content_type=session.content_type,
    )  # fmt: skip
    session.done = METHODS[session.method.id](wanted)
    session.held.clear()
