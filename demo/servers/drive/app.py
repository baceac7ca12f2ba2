"""Serve the methods of Google Drive's API."""

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

from demo.data.files import FOLDER, Document, build_drive_id
from demo.servers.drive import auth
from demo.servers.drive import store as drive_store
from demo.servers.drive.auth import (
    Authority,
    Sessions,
    TokenDenied,
    TokenGrant,
    UploadSession,
    check_scopes,
    find_grant,
    issue_token,
)
from demo.servers.drive.search import apply_mask, compile_relevance, compile_search
from demo.servers.drive.store import (
    DriveFailure,
    DriveStore,
    Method,
    Parameters,
    PersonView,
    build_forbidden,
    build_invalid,
    change_document,
    check_parameters,
    cut_page,
    cut_range,
    export_document,
    find_method,
    format_failure,
    format_file,
    format_user,
    get_content,
    get_now,
    put_document,
    remove_document,
)
from demo.servers.slack.app import MethodRates, count_call

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
class DriveCall:
    """A call with its JSON body and, for an upload, the bytes and their type."""

    view: PersonView
    parameters: Parameters
    body: Mapping[str, Any]
    content: bytes | None = None
    content_type: str | None = None


def about_get(call: DriveCall) -> Answer:
    if "fields" not in call.parameters:
        raise DriveFailure(400, "required", "The 'fields' parameter is required for this method.", "fields")
    return {"kind": "drive#about", "user": format_user(call.view, call.view.email), "canCreateDrives": False}


def files_list(call: DriveCall) -> Answer:
    seen, given = call.view, call.parameters
    finds = compile_search(given["q"], seen) if given.get("q") else lambda document: True
    wanted = compile_corpora(call)
    rows = [item for item in seen.listed() if wanted(item) and finds(item)]
    rows.sort(key=choose_order(given))
    shown, more = cut_page(rows, given, LISTED)
    files = [format_file(seen, item) for item in shown]
    return {"kind": "drive#fileList", "incompleteSearch": False, "files": files, **more}


def choose_order(parameters: Parameters) -> Callable[[Document], Any]:
    """Order a full text search by relevance, which is the only order that Drive allows for it."""
    relevant = compile_relevance(parameters["q"]) if parameters.get("q") else None
    if relevant is not None and parameters.get("orderBy"):
        raise DriveFailure(403, "forbidden", "Sorting is not supported for queries with fullText terms.", "orderBy")
    return relevant or cmp_to_key(compile_order(parameters.get("orderBy", "")))


def compile_corpora(call: DriveCall) -> Callable[[Document], bool]:
    """Compile the corpora into a test: the person's own files and those shared with them, or one shared drive."""
    given, seen = call.parameters, call.view
    corpora, drive = given.get("corpora", "user"), given.get("driveId")
    if corpora not in ("user", "drive", "domain", "allDrives"):
        raise build_invalid("corpora", corpora)
    if (corpora == "drive") != (drive is not None):
        raise DriveFailure(400, "invalid", "The driveId and corpora parameters go together.", "corpora")
    if drive is not None:
        if not (given.get("includeItemsFromAllDrives") and given.get("supportsAllDrives")):
            raise DriveFailure(403, "teamDrivesParentLimit", "Shared drives must be supported and included.", "corpora")
        seen.get(drive)
    return lambda document: document.drive == drive or corpora == "allDrives"


def compile_order(text: str) -> Callable[[Document, Document], int]:
    """Compare by each key in turn."""
    keys = [part.split() for part in text.split(",") if part.strip()]
    if any(key not in SORTS or rest not in ([], ["desc"]) for key, *rest in keys):
        raise build_invalid("orderBy", text)

    def compared(document: Document, other: Document) -> int:
        for key, *rest in keys:
            mine, theirs = SORTS[key](document), SORTS[key](other)
            if mine != theirs:
                return (-1 if mine < theirs else 1) * (-1 if rest else 1)
        return 0

    return compared


def files_get(call: DriveCall) -> Answer:
    return format_file(call.view, call.view.get(call.parameters["fileId"]))


def files_create(call: DriveCall) -> Answer:
    """Create a file in its folder, or in the person's root; a Google type without bytes is an empty file."""
    seen, body = call.view, call.body
    parents = body.get("parents", ["root"])
    if len(parents) != 1:
        raise DriveFailure(400, "invalid", "A file must have exactly one parent.", "parents")
    parent = seen.writable(parents[0])
    if parent.content_type != FOLDER:
        raise DriveFailure(403, "parentNotAFolder", "The specified parent is not a folder.", "parents")
    document = Document(
        id=build_new_id(seen),
        name=body.get("name", "Untitled"),
        parent=parent.id,
        modified=get_now(),
        drive=parent.drive,
        content_type=body.get("mimeType") or call.content_type or "application/octet-stream",
        owner=None if parent.drive else seen.email,
        body=call.content or b"",
        properties=merge_properties({}, body),
    )
    return format_file(seen, put_document(seen.store, document))


def files_update(call: DriveCall) -> Answer:
    """Change a file's name, type, folder, bytes, or whether it is in the trash."""
    seen, body, given = call.view, call.body, call.parameters
    before = seen.writable(given["fileId"])
    moved = {"parent": seen.writable(given["addParents"]).id} if "addParents" in given else {}
    after = change_document(
        seen.store,
        before,
        name=body.get("name", before.name),
        trashed=body.get("trashed", before.trashed),
        content_type=body.get("mimeType", before.content_type),
        body=before.body if call.content is None else call.content,
        properties=merge_properties(before.properties, body),
        **moved,
    )
    trash_contents(seen, after)
    return format_file(seen, after)


def files_copy(call: DriveCall) -> Answer:
    """Copy a file with its properties, to the same folder if none is named."""
    seen, body, origin = call.view, call.body, call.view.get(call.parameters["fileId"])
    if origin.content_type == FOLDER:
        raise build_forbidden()
    parent = seen.writable(body.get("parents", [origin.parent])[0])
    document = Document(
        id=build_new_id(seen), name=body.get("name", f"Copy of {origin.name}"), parent=parent.id, modified=get_now(),
        drive=parent.drive, content_type=body.get("mimeType", origin.content_type), body=origin.body,
        owner=None if parent.drive else seen.email, properties=merge_properties(origin.properties, body),
    )  # fmt: skip
    return format_file(seen, put_document(seen.store, document))


def merge_properties(before: Mapping[str, str], body: Mapping[str, Any]) -> Mapping[str, str]:
    """Merge properties; one without a value is removed. Raises DriveFailure."""
    app_properties = {**before, **body.get("appProperties", {})}
    results = {name: value for name, value in app_properties.items() if value is not None}
    if len(results) > PROPERTIES or any(len(f"{name}{value}".encode()) > PROPERTY for name, value in results.items()):
        raise DriveFailure(403, "propertiesLimitExceeded", "The properties are too many, or too long.")
    return results


def trash_contents(view: PersonView, document: Document) -> None:
    """Move what lies in a folder to the trash with it, or back."""
    for item in [item for item in view.documents.values() if item.parent == document.id]:
        if item.trashed != document.trashed:
            trash_contents(view, put_document(view.store, replace(item, trashed=document.trashed)))


def files_delete(call: DriveCall) -> Answer:
    result = call.view.get(call.parameters["fileId"])
    if call.view.role(result) not in ("owner", "organizer"):
        raise build_forbidden()
    remove_document(call.view.store, result)
    return {}


def files_generate_ids(call: DriveCall) -> Answer:
    start = len(call.view.documents)
    ids = [build_drive_id(f"generated {start} {turn}") for turn in range(call.parameters["count"])]
    return {"kind": "drive#generatedIds", "space": call.parameters["space"], "ids": ids}


def drives_list(call: DriveCall) -> Answer:
    seen = replace(call.view, drives=True)
    documents = [
        document for document in seen.documents.values() if document.id == document.drive and seen.sees(document)
    ]
    shown, more = cut_page(documents, call.parameters, 10)
    return {"kind": "drive#driveList", "drives": [format_drive(item) for item in shown], **more}


def drives_get(call: DriveCall) -> Answer:
    result = replace(call.view, drives=True).get(call.parameters["driveId"])
    if result.id != result.drive:
        raise DriveFailure(404, "notFound", f"Shared drive not found: {result.id}", "driveId")
    return format_drive(result)


def format_drive(document: Document) -> Answer:
    return {"kind": "drive#drive", "id": document.id, "name": document.name}


def build_new_id(view: PersonView) -> str:
    return build_drive_id(f"made {len(view.store.versions)}")


METHODS: Mapping[str, Callable[[DriveCall], Answer]] = {
    "about.get": about_get,
    "files.list": files_list,
    "files.get": files_get,
    "files.create": files_create,
    "files.update": files_update,
    "files.copy": files_copy,
    "files.delete": files_delete,
    "files.generateIds": files_generate_ids,
    "drives.list": drives_list,
    "drives.get": drives_get,
    "permissions.list": lambda call: drive_store.list_permissions(call.view, call.parameters),
    "permissions.get": lambda call: drive_store.get_permission(call.view, call.parameters),
    "permissions.create": lambda call: drive_store.create_permission(call.view, call.parameters, call.body),
    "permissions.delete": lambda call: drive_store.delete_permission(call.view, call.parameters),
}

API, UPLOAD = "/drive/v3/", "/upload/drive/v3/"

VERBS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveServer:
    """What the server needs: accounts, data, rate limits and open uploads."""

    authority: Authority
    store: DriveStore
    limits: MethodRates
    sessions: Sessions = field(default_factory=dict)


def app(authority: Authority, store: DriveStore, limits: MethodRates) -> Starlette:
    here = DriveServer(authority=authority, store=store, limits=limits)

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        try:
            return JSONResponse(issue_token(authority, form, str(request.url)))
        except TokenDenied as denied:
            return JSONResponse({"error": denied.error, "error_description": str(denied)}, denied.status)

    async def call(request: Request) -> Response:
        try:
            return await answer_call(here, request)
        except DriveFailure as failure:
            return JSONResponse(format_failure(failure), failure.status)
        except ClientDisconnect:
            return Response(status_code=499)

    return Starlette(
        routes=[Route("/token", token, methods=["POST"]), Route("/{path:path}", call, methods=VERBS)],
    )


async def answer_call(server: DriveServer, request: Request) -> Response:
    path, upload = request.url.path, request.url.path.startswith(UPLOAD)
    if upload and "upload_id" in request.query_params:
        return await continue_upload(server, request)
    verb, query = await read_query(request)
    match = find_method(verb, path.removeprefix(UPLOAD if upload else API), upload=upload) if API in path else None
    if match is None:
        raise DriveFailure(404, "notFound", "Not Found")
    method, places = match
    who = find_grant(server.authority, request.headers.get("authorization", ""))
    check_scopes(who, method.scopes)
    check_rate(server, method)
    given = check_parameters(method, places, query)
    if upload:
        return await answer_upload(server, request, method, who, given)
    return answer_content(server, request, method, who, given) or answer_method(
        method,
        given,
        DriveCall(view=build_view(server, who, given), parameters=given, body=await read_body(request, method, verb)),
    )


async def read_query(request: Request) -> tuple[str, list[tuple[str, str]]]:
    """Return method and query; a question too long for a URL may come as a form of the method it names."""
    instead = request.headers.get("x-http-method-override")
    if request.method == "POST" and instead == "GET":
        return instead, parse_qsl((await request.body()).decode(), keep_blank_values=True)
    return request.method, request.query_params.multi_items()


async def read_body(request: Request, method: Method, verb: str) -> Mapping[str, Any]:
    return auth.parse_json_object(await request.body()) if method.request and verb == request.method else {}


def check_rate(server: DriveServer, method: Method) -> None:
    """Refuse over the rate of one method as Drive refuses one person, and over that of all as it refuses everyone."""
    seconds = count_call(server.limits, method.id, time.monotonic())
    if seconds and method.id in server.limits.by_method:
        raise DriveFailure(403, "userRateLimitExceeded", "User Rate Limit Exceeded")
    if seconds:
        raise DriveFailure(429, "rateLimitExceeded", "Rate Limit Exceeded")


def build_view(server: DriveServer, who: TokenGrant, parameters: Parameters) -> PersonView:
    return PersonView(store=server.store, email=who.email, drives=bool(parameters.get("supportsAllDrives")))


def answer_content(
    server: DriveServer, request: Request, method: Method, who: TokenGrant, parameters: Parameters
) -> Response | None:
    """Return bytes if they are asked for; an export sees shared drives without a parameter."""
    if method.id == "files.export":
        view = PersonView(store=server.store, email=who.email, drives=True)
        return Response(
            export_document(view.get(parameters["fileId"]), parameters["mimeType"]), media_type=parameters["mimeType"]
        )
    if parameters.get("alt") != "media" or not method.downloads:
        return None
    document = build_view(server, who, parameters).get(parameters["fileId"])
    status, octets, headers = cut_range(get_content(document), request.headers.get("range"))
    return Response(octets, status, {**headers, "content-type": document.content_type})


def answer_method(method: Method, parameters: Parameters, wanted: DriveCall) -> Response:
    if method.id not in METHODS:
        raise DriveFailure(501, "notImplemented", f"This server does not speak {method.id}.")
    answer = METHODS[method.id](wanted)
    if method.response is None:
        return Response(status_code=204)
    return JSONResponse(apply_mask(answer, method.response, parameters.get("fields")))


async def answer_upload(
    server: DriveServer, request: Request, method: Method, who: TokenGrant, parameters: Parameters
) -> Response:
    if parameters.get("uploadType") != "resumable":
        metadata, octets, content_type = await auth.split_upload(request, parameters.get("uploadType", ""))
        view = build_view(server, who, parameters)
        return answer_method(
            method,
            parameters,
            DriveCall(view=view, parameters=parameters, body=metadata, content=octets, content_type=content_type),
        )
    session = UploadSession(
        method=method,
        parameters=parameters,
        body=auth.parse_json_object(await request.body()),
        grant=who,
        content_type=request.headers.get("x-upload-content-type", "application/octet-stream"),
        length=parse_length(request),
    )
    id = auth.open_session(server.sessions, session)
    address = request.url.include_query_params(upload_id=id)
    return Response(status_code=200, headers={"location": str(address), "x-guploader-uploadid": id})


def parse_length(request: Request) -> int | None:
    header = request.headers.get("x-upload-content-length", "")
    return int(header) if header.isdecimal() else None


async def continue_upload(server: DriveServer, request: Request) -> Response:
    """Take more of a file, answer how much has come, or end the upload.

    The URL itself opens the session: whoever has it needs no token.
    """
    session = server.sessions.get(request.query_params["upload_id"])
    if session is None or request.method not in ("PUT", "DELETE"):
        raise DriveFailure(404, "notFound", "Upload session not found")
    if "authorization" in request.headers:
        find_grant(server.authority, request.headers["authorization"])
    if request.method == "DELETE":
        del server.sessions[request.query_params["upload_id"]]
        return Response(status_code=499)
    if session.done is None:
        span = await auth.receive_content(session, request)
        if not auth.is_complete(session, span):
            return Response(status_code=308, headers=dict(auth.build_progress_headers(session)))
        finish_upload(server, session)
    return JSONResponse(apply_mask(session.done, "File", session.parameters.get("fields")))


def finish_upload(server: DriveServer, session: UploadSession) -> None:
    call = DriveCall(
        view=build_view(server, session.grant, session.parameters), parameters=session.parameters, body=session.body,
        content=bytes(session.content), content_type=session.content_type,
    )  # fmt: skip
    session.done = METHODS[session.method.id](call)
    session.content.clear()
