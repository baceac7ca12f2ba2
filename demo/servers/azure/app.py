"""Azure Files + Blob emulator."""

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from uuid import uuid4
from xml.etree.ElementTree import Element, SubElement, tostring

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.data import files as data_files
from demo.data.files import Stored
from demo.data.random import NOW
from demo.servers.azure import protocol
from demo.servers.azure.protocol import (
    VERSION,
    Account,
    Call,
    Kept,
    Refusal,
    Reply,
    Root,
    asked,
    changed,
    copied,
    held,
    lease,
    matched,
    metadata,
    root_of,
    served,
    told,
)
from demo.servers.slack.app import Rates, wait

MOST = 5000

ASKED = {"prefix": "Prefix", "marker": "Marker", "maxresults": "MaxResults"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """`within`: the element that holds the entries. `entry`: an entry's own, and its properties."""

    within: str
    entry: Callable[[Kept], tuple[str, Mapping[str, str]]]
    said: Mapping[str, str] = field(default_factory=dict)


def page(account: Account, call: Call, found: Mapping[str, Kept], form: Form) -> Reply:
    """Of what is found, by the name it is listed under, sorted by that: as many as are wanted from the marker on."""
    start, most = opened(call.query.get("marker", "")), limit(account, call)
    names = [name for name in sorted(found) if name >= start]
    root = Element("EnumerationResults", {"ServiceEndpoint": f"{call.scheme}://{call.headers['host']}/", **form.said})
    for each in ASKED.keys() & call.query.keys():
        SubElement(root, ASKED[each]).text = call.query[each]
    entries = SubElement(root, form.within)
    for name in names[:most]:
        write(entries, name, *form.entry(found[name]))
    SubElement(root, "NextMarker").text = closed(names[most]) if len(names) > most else None
    body = b'<?xml version="1.0" encoding="utf-8"?>' + tostring(root)
    return Reply(headers={"content-type": "application/xml"}, body=body)


def write(entries: Element, name: str, kind: str, properties: Mapping[str, str]) -> None:
    """A name that XML cannot hold is percent-encoded, and says so."""
    one = SubElement(entries, kind)
    plain = name.isprintable()
    SubElement(one, "Name", {} if plain else {"Encoded": "true"}).text = name if plain else quote(name)
    told = SubElement(one, "Properties")
    for key, value in properties.items():
        SubElement(told, key).text = value


def limit(account: Account, call: Call) -> int:
    text = call.query.get("maxresults", str(MOST))
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise Refusal(
            400, "OutOfRangeQueryParameterValue", "A query parameter's value is outside the permissible range."
        )
    return min(int(text), account.page)


def opened(marker: str) -> str:
    try:
        return urlsafe_b64decode(marker).decode()
    except ValueError:
        raise Refusal(400, "InvalidQueryParameterValue", "Value for a query parameter is invalid.") from None


def closed(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode()


def dated(kept: Kept) -> dict[str, str]:
    return {"Last-Modified": format_datetime(kept.modified, usegmt=True), "Etag": kept.etag}


BLOB = {"x-ms-blob-type": "BlockBlob", "x-ms-server-encrypted": "true"}


def list_containers(call: Call, account: Account) -> Reply:
    prefix = call.query.get("prefix", "")
    found = {name: root.top for name, root in account.roots.items() if name.startswith(prefix)}
    return page(account, call, found, Form(within="Containers", entry=lambda kept: ("Container", dated(kept))))


def create_container(call: Call, account: Account) -> Reply:
    if call.parts[0] in account.roots:
        raise Refusal(409, "ContainerAlreadyExists", "The specified container already exists.")
    account.roots[call.parts[0]] = Root(top=Kept(name=call.parts[0]))
    return Reply(status=201, headers=told(account.roots[call.parts[0]].top))


def container(call: Call, account: Account) -> Reply:
    return Reply(headers=told(root_of(account, call).top))


def list_blobs(call: Call, account: Account) -> Reply:
    if "delimiter" in call.query:
        raise Refusal(
            400, "UnsupportedQueryParameter", "A query parameter specified in the request URI is not supported."
        )
    prefix, root = call.query.get("prefix", ""), root_of(account, call)
    found = {name: kept for name, kept in root.kept.items() if name.startswith(prefix)}
    return page(account, call, found, Form(within="Blobs", entry=entry, said={"ContainerName": root.top.name}))


def entry(kept: Kept) -> tuple[str, Mapping[str, str]]:
    said = dated(kept)
    size, media = str(len(kept.body or b"")), kept.content_type
    return "Blob", {**said, "Content-Length": size, "Content-Type": media, "BlobType": "BlockBlob"}


def put_blob(call: Call, account: Account) -> Reply:
    """A block blob at once, or a copy of one; blocks and other kinds of blobs are not kept here."""
    root = root_of(account, call)
    matched(call, root.kept.get(call.name))
    if "x-ms-copy-source" in call.headers:
        root.kept[call.name] = copied(call, account, call.name)
        return Reply(status=202, headers=told(root.kept[call.name], **{"x-ms-copy-status": "success"}))
    if call.headers.get("x-ms-blob-type") != "BlockBlob":
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    media = call.headers.get("x-ms-blob-content-type") or call.headers.get("content-type")
    kept = Kept(
        name=call.name, body=bytearray(call.body), content_type=media or "application/octet-stream",
        metadata=metadata(call),
    )  # fmt: skip
    root.kept[call.name] = kept
    return Reply(status=201, headers=told(kept))


def blob(call: Call, account: Account) -> Reply:
    return served(call, blob_of(call, account), **BLOB)


def delete_blob(call: Call, account: Account) -> Reply:
    found = blob_of(call, account)
    matched(call, found)
    del root_of(account, call).kept[found.name]
    return Reply(status=202)


def blob_of(call: Call, account: Account) -> Kept:
    found = root_of(account, call).kept.get(call.name)
    if found is None:
        raise Refusal(404, "BlobNotFound", "The specified blob does not exist.")
    return found


FILE = {"x-ms-type": "File", "x-ms-server-encrypted": "true"}

INCLUDED = {"Last-Modified": "timestamps", "Etag": "etag"}

QUOTA_GB = "5120"


def list_shares(call: Call, account: Account) -> Reply:
    prefix = call.query.get("prefix", "")
    found = {name: root.top for name, root in account.roots.items() if name.startswith(prefix)}
    form = Form(within="Shares", entry=lambda kept: ("Share", {**dated(kept), "Quota": QUOTA_GB}))
    return page(account, call, found, form)


def create_share(call: Call, account: Account) -> Reply:
    if call.parts[0] in account.roots:
        raise Refusal(409, "ShareAlreadyExists", "The specified share already exists.")
    account.roots[call.parts[0]] = Root(top=Kept(name=call.parts[0]))
    return Reply(status=201, headers=told(account.roots[call.parts[0]].top))


def share(call: Call, account: Account) -> Reply:
    return Reply(headers=told(root_of(account, call).top, **{"x-ms-share-quota": QUOTA_GB}))


def list_directory(call: Call, account: Account) -> Reply:
    root, prefix = root_of(account, call), call.query.get("prefix", "").lower()
    within = f"{directory_of(call, account).name}/" if call.name else ""
    found = {
        kept.name[len(within) :]: kept
        for key, kept in root.kept.items()
        if key.startswith(within.lower() + prefix) and "/" not in key[len(within) :]
    }
    said = {"ShareName": root.top.name, "DirectoryPath": within.removesuffix("/")}
    shown = partial(shares_entry, included=frozenset(call.query.get("include", "").lower().split(",")))
    return page(account, call, found, Form(within="Entries", entry=shown, said=said))


def shares_entry(kept: Kept, included: frozenset[str]) -> tuple[str, Mapping[str, str]]:
    """Times and ETags are told only if they are asked for."""
    told = {name: value for name, value in dated(kept).items() if INCLUDED[name] in included}
    if kept.body is None:
        return "Directory", told
    return "File", {"Content-Length": str(len(kept.body)), **told}


def create_directory(call: Call, account: Account) -> Reply:
    made = Kept(name=placed(call, account))
    if call.name.lower() in root_of(account, call).kept:
        raise Refusal(409, "ResourceAlreadyExists", "The specified resource already exists.")
    root_of(account, call).kept[call.name.lower()] = made
    return Reply(status=201, headers=told(made))


def directory(call: Call, account: Account) -> Reply:
    return Reply(headers=told(directory_of(call, account), **{"x-ms-type": "Directory"}))


def create_file(call: Call, account: Account) -> Reply:
    """Of zeros, in the size that is said; octets are put into it by ranges."""
    if (before := root_of(account, call).kept.get(call.name.lower())) is not None:
        held(call, before)
    if "x-ms-copy-source" in call.headers:
        copy = copied(call, account, placed(call, account))
        root_of(account, call).kept[call.name.lower()] = copy
        return Reply(status=202, headers=told(copy, **{"x-ms-copy-status": "success"}))
    size = call.headers.get("x-ms-content-length", "")
    if call.headers.get("x-ms-type") != "file" or not size.isdecimal():
        raise Refusal(
            400, "MissingRequiredHeader", "An HTTP header that's mandatory for this request is not specified."
        )
    media = call.headers.get("x-ms-content-type", "application/octet-stream")
    made = Kept(name=placed(call, account), body=bytearray(int(size)), content_type=media, metadata=metadata(call))
    root_of(account, call).kept[call.name.lower()] = made
    return Reply(status=201, headers=told(made))


def put_range(call: Call, account: Account) -> Reply:
    kept, extent = file_of(call, account), asked(call)
    held(call, kept)
    assert kept.body is not None
    if extent is None or call.headers.get("x-ms-write") != "update" or extent[1] - extent[0] != len(call.body):
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    if extent[1] > len(kept.body):
        raise Refusal(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    kept.body[extent[0] : extent[1]] = call.body
    changed(kept)
    return Reply(status=201, headers=told(kept))


def file(call: Call, account: Account) -> Reply:
    return served(call, file_of(call, account), **FILE)


def delete_file(call: Call, account: Account) -> Reply:
    held(call, file_of(call, account))
    del root_of(account, call).kept[call.name.lower()]
    return Reply(status=202)


def rename_file(call: Call, account: Account) -> Reply:
    """From a name in the same share; over what stands there only where that is said."""
    root, source = root_of(account, call), urlsplit(call.headers.get("x-ms-file-rename-source", "")).path.split("/")
    found = root.kept.get("/".join(map(unquote, source[3:])).lower())
    if found is None or found.body is None or source[1:3] != [account.name, root.top.name]:
        raise Refusal(404, "ResourceNotFound", "The specified resource does not exist.")
    before = root.kept.get(call.name.lower())
    if before is not None:
        if call.headers.get("x-ms-file-rename-replace-if-exists") != "true" or before.body is None:
            raise Refusal(409, "ResourceAlreadyExists", "The specified resource already exists.")
        held(call, before, "x-ms-destination-lease-id")
    name = placed(call, account)
    del root.kept[found.name.lower()]
    found.name = name
    changed(found)
    root.kept[call.name.lower()] = found
    return Reply(headers=told(found))


def lease_file(call: Call, account: Account) -> Reply:
    return lease(call, file_of(call, account))


def placed(call: Call, account: Account) -> str:
    """The name of what is made, under its parent's as that is written."""
    above, slash, name = call.name.rpartition("/")
    parent = root_of(account, call).kept.get(above.lower())
    if slash and (parent is None or parent.body is not None):
        raise Refusal(404, "ParentNotFound", "The specified parent path does not exist.")
    return f"{parent.name}/{name}" if parent is not None else name


def file_of(call: Call, account: Account) -> Kept:
    return of_kind(call, account, directory=False)


def directory_of(call: Call, account: Account) -> Kept:
    return of_kind(call, account, directory=True) if call.name else root_of(account, call).top


def of_kind(call: Call, account: Account, *, directory: bool) -> Kept:
    found = root_of(account, call).kept.get(call.name.lower())
    if found is None:
        raise Refusal(404, "ResourceNotFound", "The specified resource does not exist.")
    if (found.body is None) != directory:
        raise Refusal(409, "ResourceTypeMismatch", "The specified resource type does not match the existing resource.")
    return found


Act: TypeAlias = Callable[[Call, Account], Reply]

READS = ("GET", "HEAD")

Asked: TypeAlias = tuple[str, str, str, str]
"""What is called, a (s)ervice, a (c)ontainer or an (o)bject in it; the method, `restype` and `comp`."""

Opens: TypeAlias = tuple[Act, str]
"""What is done, and the permissions of which one will do."""

SHARES: Mapping[Asked, Opens] = {
    ("s", "GET", "", "list"): (list_shares, "l"),
    ("c", "PUT", "share", ""): (create_share, "cw"),
    **{("c", each, "share", ""): (share, "r") for each in READS},
    **{(level, "GET", "directory", "list"): (list_directory, "l") for level in "co"},
    **{(level, each, "directory", ""): (directory, "r") for each in READS for level in "co"},
    ("o", "PUT", "directory", ""): (create_directory, "cw"),
    ("o", "PUT", "", ""): (create_file, "cw"),
    ("o", "PUT", "", "range"): (put_range, "w"),
    ("o", "PUT", "", "rename"): (rename_file, "w"),
    ("o", "PUT", "", "lease"): (lease_file, "w"),
    **{("o", each, "", ""): (file, "r") for each in READS},
    ("o", "DELETE", "", ""): (delete_file, "d"),
}

BLOBS: Mapping[Asked, Opens] = {
    ("s", "GET", "", "list"): (list_containers, "l"),
    ("c", "PUT", "container", ""): (create_container, "cw"),
    **{("c", each, "container", ""): (container, "r") for each in READS},
    ("c", "GET", "container", "list"): (list_blobs, "l"),
    ("o", "PUT", "", ""): (put_blob, "cw"),
    **{("o", each, "", ""): (blob, "r") for each in READS},
    ("o", "DELETE", "", ""): (delete_blob, "d"),
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
        protocol.shared_check(asked, account, (permissions, level), now)
    elif "authorization" in asked.headers:
        protocol.check(asked, account, now)
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


FILES_ACCOUNT, BLOB_ACCOUNT = "acmefiles", "acmeblobs"

SHARE, CONTAINER = "acme-documents", "acme-exports"


def accounts(files_key: bytes, blob_key: bytes, scale: float, page: int) -> tuple[Account, Account]:
    files = Account(service="file", name=FILES_ACCOUNT, key=files_key, page=page)
    files.roots[SHARE] = Root(top=top(SHARE), kept=in_directories(list(data_files.stored_documents(scale))))
    blobs = Account(service="blob", name=BLOB_ACCOUNT, key=blob_key, page=page)
    blobs.roots[CONTAINER] = Root(
        top=top(CONTAINER), kept={each.path: kept(each) for each in data_files.exports(scale)}
    )
    return files, blobs


def top(name: str) -> Kept:
    return Kept(name=name, modified=NOW, etag="0x8DE0000000000000")


def kept(given: Stored) -> Kept:
    return Kept(
        name=given.path, body=bytearray(given.body), content_type=given.content_type, modified=given.modified,
        etag=given.version,
    )  # fmt: skip


def in_directories(files: list[Stored]) -> dict[str, Kept]:
    """The files, and every directory on the way to them."""
    found = {each.path.lower(): kept(each) for each in files}
    for each in files:
        steps = each.path.split("/")
        for count in range(1, len(steps)):
            path = "/".join(steps[:count])
            found.setdefault(path.lower(), Kept(name=path, modified=NOW, etag="0x8DE0000000000001"))
    return found
