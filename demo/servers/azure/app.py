"""Serve the operations of Azure Files and Azure Blob Storage."""

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
from demo.data.files import AzureFile
from demo.data.random import NOW
from demo.servers.azure import protocol
from demo.servers.azure.protocol import (
    VERSION,
    Account,
    Call,
    Refusal,
    Reply,
    Root,
    StoredItem,
    build_item_headers,
    change_lease,
    check_conditions,
    check_lease,
    copy_item,
    find_root,
    mark_changed,
    parse_range,
    read_metadata,
    serve_content,
)
from demo.servers.slack.app import MethodRates, count_call

MOST = 5000

ASKED = {"prefix": "Prefix", "marker": "Marker", "maxresults": "MaxResults"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingForm:
    """`within` names the element that holds the entries; `entry` describes one."""

    within: str
    entry: Callable[[StoredItem], tuple[str, Mapping[str, str]]]
    attributes: Mapping[str, str] = field(default_factory=dict)


def build_page(account: Account, call: Call, items: Mapping[str, StoredItem], form: ListingForm) -> Reply:
    """Build a page of a sorted listing from the marker on."""
    start, most = decode_marker(call.query.get("marker", "")), get_page_limit(account, call)
    names = [name for name in sorted(items) if name >= start]
    root = Element(
        "EnumerationResults", {"ServiceEndpoint": f"{call.scheme}://{call.headers['host']}/", **form.attributes}
    )
    for item in ASKED.keys() & call.query.keys():
        SubElement(root, ASKED[item]).text = call.query[item]
    entries = SubElement(root, form.within)
    for name in names[:most]:
        write_entry(entries, name, *form.entry(items[name]))
    SubElement(root, "NextMarker").text = encode_marker(names[most]) if len(names) > most else None
    body = b'<?xml version="1.0" encoding="utf-8"?>' + tostring(root)
    return Reply(headers={"content-type": "application/xml"}, body=body)


def write_entry(entries: Element, name: str, kind: str, properties: Mapping[str, str]) -> None:
    """Write an entry, with its name percent-encoded and marked so if XML cannot hold it."""
    one = SubElement(entries, kind)
    plain = name.isprintable()
    SubElement(one, "Name", {} if plain else {"Encoded": "true"}).text = name if plain else quote(name)
    element = SubElement(one, "Properties")
    for key, value in properties.items():
        SubElement(element, key).text = value


def get_page_limit(account: Account, call: Call) -> int:
    text = call.query.get("maxresults", str(MOST))
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise Refusal(
            400, "OutOfRangeQueryParameterValue", "A query parameter's value is outside the permissible range."
        )
    return min(int(text), account.page)


def decode_marker(marker: str) -> str:
    try:
        return urlsafe_b64decode(marker).decode()
    except ValueError:
        raise Refusal(400, "InvalidQueryParameterValue", "Value for a query parameter is invalid.") from None


def encode_marker(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode()


def list_properties(item: StoredItem) -> dict[str, str]:
    return {"Last-Modified": format_datetime(item.modified, usegmt=True), "Etag": item.etag}


BLOB = {"x-ms-blob-type": "BlockBlob", "x-ms-server-encrypted": "true"}


def list_containers(call: Call, account: Account) -> Reply:
    prefix = call.query.get("prefix", "")
    results = {name: root.top for name, root in account.roots.items() if name.startswith(prefix)}
    return build_page(
        account,
        call,
        results,
        ListingForm(within="Containers", entry=lambda kept: ("Container", list_properties(kept))),
    )


def create_container(call: Call, account: Account) -> Reply:
    if call.parts[0] in account.roots:
        raise Refusal(409, "ContainerAlreadyExists", "The specified container already exists.")
    account.roots[call.parts[0]] = Root(top=StoredItem(name=call.parts[0]))
    return Reply(status=201, headers=build_item_headers(account.roots[call.parts[0]].top))


def check_container(call: Call, account: Account) -> Reply:
    return Reply(headers=build_item_headers(find_root(account, call).top))


def list_blobs(call: Call, account: Account) -> Reply:
    if "delimiter" in call.query:
        raise Refusal(
            400, "UnsupportedQueryParameter", "A query parameter specified in the request URI is not supported."
        )
    prefix, root = call.query.get("prefix", ""), find_root(account, call)
    results = {name: kept for name, kept in root.kept.items() if name.startswith(prefix)}
    return build_page(
        account,
        call,
        results,
        ListingForm(within="Blobs", entry=describe_blob, attributes={"ContainerName": root.top.name}),
    )


def describe_blob(item: StoredItem) -> tuple[str, Mapping[str, str]]:
    properties = list_properties(item)
    size, media = str(len(item.body or b"")), item.content_type
    return "Blob", {**properties, "Content-Length": size, "Content-Type": media, "BlobType": "BlockBlob"}


def put_blob(call: Call, account: Account) -> Reply:
    """Write or copy a block blob at once; blocks and other kinds of blobs are not supported."""
    root = find_root(account, call)
    check_conditions(call, root.kept.get(call.name))
    if "x-ms-copy-source" in call.headers:
        root.kept[call.name] = copy_item(call, account, call.name)
        return Reply(status=202, headers=build_item_headers(root.kept[call.name], **{"x-ms-copy-status": "success"}))
    if call.headers.get("x-ms-blob-type") != "BlockBlob":
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    media = call.headers.get("x-ms-blob-content-type") or call.headers.get("content-type")
    item = StoredItem(
        name=call.name, body=bytearray(call.body), content_type=media or "application/octet-stream",
        metadata=read_metadata(call),
    )  # fmt: skip
    root.kept[call.name] = item
    return Reply(status=201, headers=build_item_headers(item))


def serve_blob(call: Call, account: Account) -> Reply:
    return serve_content(call, find_blob(call, account), **BLOB)


def delete_blob(call: Call, account: Account) -> Reply:
    blob = find_blob(call, account)
    check_conditions(call, blob)
    del find_root(account, call).kept[blob.name]
    return Reply(status=202)


def find_blob(call: Call, account: Account) -> StoredItem:
    result = find_root(account, call).kept.get(call.name)
    if result is None:
        raise Refusal(404, "BlobNotFound", "The specified blob does not exist.")
    return result


FILE = {"x-ms-type": "File", "x-ms-server-encrypted": "true"}

INCLUDED = {"Last-Modified": "timestamps", "Etag": "etag"}

QUOTA_GB = "5120"


def list_shares(call: Call, account: Account) -> Reply:
    prefix = call.query.get("prefix", "")
    results = {name: root.top for name, root in account.roots.items() if name.startswith(prefix)}
    form = ListingForm(within="Shares", entry=lambda kept: ("Share", {**list_properties(kept), "Quota": QUOTA_GB}))
    return build_page(account, call, results, form)


def create_share(call: Call, account: Account) -> Reply:
    if call.parts[0] in account.roots:
        raise Refusal(409, "ShareAlreadyExists", "The specified share already exists.")
    account.roots[call.parts[0]] = Root(top=StoredItem(name=call.parts[0]))
    return Reply(status=201, headers=build_item_headers(account.roots[call.parts[0]].top))


def check_share(call: Call, account: Account) -> Reply:
    return Reply(headers=build_item_headers(find_root(account, call).top, **{"x-ms-share-quota": QUOTA_GB}))


def list_directory(call: Call, account: Account) -> Reply:
    root, prefix = find_root(account, call), call.query.get("prefix", "").lower()
    within = f"{find_directory(call, account).name}/" if call.name else ""
    results = {
        kept.name[len(within) :]: kept
        for key, kept in root.kept.items()
        if key.startswith(within.lower() + prefix) and "/" not in key[len(within) :]
    }
    attributes = {"ShareName": root.top.name, "DirectoryPath": within.removesuffix("/")}
    shown = partial(describe_share_entry, included=frozenset(call.query.get("include", "").lower().split(",")))
    return build_page(account, call, results, ListingForm(within="Entries", entry=shown, attributes=attributes))


def describe_share_entry(item: StoredItem, included: frozenset[str]) -> tuple[str, Mapping[str, str]]:
    """Describe an entry, with times and ETags only if they are asked for."""
    result = {name: value for name, value in list_properties(item).items() if INCLUDED[name] in included}
    if item.body is None:
        return "Directory", result
    return "File", {"Content-Length": str(len(item.body)), **result}


def create_directory(call: Call, account: Account) -> Reply:
    item = StoredItem(name=place_item(call, account))
    if call.name.lower() in find_root(account, call).kept:
        raise Refusal(409, "ResourceAlreadyExists", "The specified resource already exists.")
    find_root(account, call).kept[call.name.lower()] = item
    return Reply(status=201, headers=build_item_headers(item))


def check_directory(call: Call, account: Account) -> Reply:
    return Reply(headers=build_item_headers(find_directory(call, account), **{"x-ms-type": "Directory"}))


def create_file(call: Call, account: Account) -> Reply:
    """Create a file of zeros; ranges write its content."""
    if (before := find_root(account, call).kept.get(call.name.lower())) is not None:
        check_lease(call, before)
    if "x-ms-copy-source" in call.headers:
        copy = copy_item(call, account, place_item(call, account))
        find_root(account, call).kept[call.name.lower()] = copy
        return Reply(status=202, headers=build_item_headers(copy, **{"x-ms-copy-status": "success"}))
    size = call.headers.get("x-ms-content-length", "")
    if call.headers.get("x-ms-type") != "file" or not size.isdecimal():
        raise Refusal(
            400, "MissingRequiredHeader", "An HTTP header that's mandatory for this request is not specified."
        )
    media = call.headers.get("x-ms-content-type", "application/octet-stream")
    item = StoredItem(
        name=place_item(call, account), body=bytearray(int(size)), content_type=media, metadata=read_metadata(call)
    )
    find_root(account, call).kept[call.name.lower()] = item
    return Reply(status=201, headers=build_item_headers(item))


def put_range(call: Call, account: Account) -> Reply:
    file, extent = find_file(call, account), parse_range(call)
    check_lease(call, file)
    assert file.body is not None
    if extent is None or call.headers.get("x-ms-write") != "update" or extent[1] - extent[0] != len(call.body):
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    if extent[1] > len(file.body):
        raise Refusal(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    file.body[extent[0] : extent[1]] = call.body
    mark_changed(file)
    return Reply(status=201, headers=build_item_headers(file))


def serve_file(call: Call, account: Account) -> Reply:
    return serve_content(call, find_file(call, account), **FILE)


def delete_file(call: Call, account: Account) -> Reply:
    check_lease(call, find_file(call, account))
    del find_root(account, call).kept[call.name.lower()]
    return Reply(status=202)


def rename_file(call: Call, account: Account) -> Reply:
    """Rename a file of the same share, over another file only if the call says so."""
    root, source = find_root(account, call), urlsplit(call.headers.get("x-ms-file-rename-source", "")).path.split("/")
    result = root.kept.get("/".join(map(unquote, source[3:])).lower())
    if result is None or result.body is None or source[1:3] != [account.name, root.top.name]:
        raise Refusal(404, "ResourceNotFound", "The specified resource does not exist.")
    before = root.kept.get(call.name.lower())
    if before is not None:
        if call.headers.get("x-ms-file-rename-replace-if-exists") != "true" or before.body is None:
            raise Refusal(409, "ResourceAlreadyExists", "The specified resource already exists.")
        check_lease(call, before, "x-ms-destination-lease-id")
    name = place_item(call, account)
    del root.kept[result.name.lower()]
    result.name = name
    mark_changed(result)
    root.kept[call.name.lower()] = result
    return Reply(headers=build_item_headers(result))


def lease_file(call: Call, account: Account) -> Reply:
    return change_lease(call, find_file(call, account))


def place_item(call: Call, account: Account) -> str:
    """Return the path of a new item, with its parent spelled as it was created."""
    above, slash, name = call.name.rpartition("/")
    parent = find_root(account, call).kept.get(above.lower())
    if slash and (parent is None or parent.body is not None):
        raise Refusal(404, "ParentNotFound", "The specified parent path does not exist.")
    return f"{parent.name}/{name}" if parent is not None else name


def find_file(call: Call, account: Account) -> StoredItem:
    return find_item(call, account, directory=False)


def find_directory(call: Call, account: Account) -> StoredItem:
    return find_item(call, account, directory=True) if call.name else find_root(account, call).top


def find_item(call: Call, account: Account, *, directory: bool) -> StoredItem:
    result = find_root(account, call).kept.get(call.name.lower())
    if result is None:
        raise Refusal(404, "ResourceNotFound", "The specified resource does not exist.")
    if (result.body is None) != directory:
        raise Refusal(409, "ResourceTypeMismatch", "The specified resource type does not match the existing resource.")
    return result


Act: TypeAlias = Callable[[Call, Account], Reply]

READS = ("GET", "HEAD")

Asked: TypeAlias = tuple[str, str, str, str]
"""What is called, a (s)ervice, a (c)ontainer or an (o)bject in it; the method, `restype` and `comp`."""

Opens: TypeAlias = tuple[Act, str]
"""What is done, and the permissions of which one will do."""

SHARES: Mapping[Asked, Opens] = {
    ("s", "GET", "", "list"): (list_shares, "l"),
    ("c", "PUT", "share", ""): (create_share, "cw"),
    **{("c", read, "share", ""): (check_share, "r") for read in READS},
    **{(level, "GET", "directory", "list"): (list_directory, "l") for level in "co"},
    **{(level, read, "directory", ""): (check_directory, "r") for read in READS for level in "co"},
    ("o", "PUT", "directory", ""): (create_directory, "cw"),
    ("o", "PUT", "", ""): (create_file, "cw"),
    ("o", "PUT", "", "range"): (put_range, "w"),
    ("o", "PUT", "", "rename"): (rename_file, "w"),
    ("o", "PUT", "", "lease"): (lease_file, "w"),
    **{("o", read, "", ""): (serve_file, "r") for read in READS},
    ("o", "DELETE", "", ""): (delete_file, "d"),
}

BLOBS: Mapping[Asked, Opens] = {
    ("s", "GET", "", "list"): (list_containers, "l"),
    ("c", "PUT", "container", ""): (create_container, "cw"),
    **{("c", read, "container", ""): (check_container, "r") for read in READS},
    ("c", "GET", "container", "list"): (list_blobs, "l"),
    ("o", "PUT", "", ""): (put_blob, "cw"),
    **{("o", read, "", ""): (serve_blob, "r") for read in READS},
    ("o", "DELETE", "", ""): (delete_blob, "d"),
}

ACTS = {"file": SHARES, "blob": BLOBS}


def app(accounts: Sequence[Account], limits: MethodRates) -> Starlette:
    named = {account.name: account for account in accounts}

    async def called(request: Request) -> Response:
        id = str(uuid4())
        try:
            path = request.scope["raw_path"].decode("ascii")
            account = named.get(path.split("/")[1])
            if account is None:
                raise Refusal(404, "ResourceNotFound", "The specified resource does not exist.")
            if count_call(limits, account.service, time.monotonic()):
                raise Refusal(503, "ServerBusy", "The server is currently unable to receive requests.")
            reply = answer(parse_call(request, path, await request.body()), account, datetime.now(UTC))
        except Refusal as refusal:
            reply = build_error_reply(refusal, id)
        about = {"x-ms-request-id": id, "x-ms-version": request.headers.get("x-ms-version", VERSION)}
        if "x-ms-client-request-id" in request.headers:
            about["x-ms-client-request-id"] = request.headers["x-ms-client-request-id"]
        return Response(reply.body, reply.status, {**reply.headers, **about})

    return Starlette(routes=[Route("/{path:path}", called, methods=["GET", "HEAD", "PUT", "DELETE"])])


def parse_call(request: Request, path: str, body: bytes) -> Call:
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


def answer(call: Call, account: Account, now: datetime) -> Reply:
    """Check the signature before anything else, so that a stranger learns nothing. Raises Refusal."""
    level = "sco"[min(len(call.parts), 2)]
    result = ACTS[account.service].get((level, call.method, call.query.get("restype", ""), call.query.get("comp", "")))
    permissions = result[1] if result else ""
    if "sig" in call.query:
        protocol.check_sas(call, account, (permissions, level), now)
    elif "authorization" in call.headers:
        protocol.check_shared_key(call, account, now)
    else:
        raise Refusal(401, "NoAuthenticationInformation", "Server failed to authenticate the request.")
    if result is None:
        raise Refusal(405, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
    return result[0](call, account)


def build_error_reply(refusal: Refusal, id: str) -> Reply:
    root = Element("Error")
    SubElement(root, "Code").text = refusal.code
    SubElement(root, "Message").text = f"{refusal.sentence}\nRequestId:{id}\nTime:{datetime.now(UTC).isoformat()}"
    headers = {"content-type": "application/xml", "x-ms-error-code": refusal.code}
    body = b'<?xml version="1.0" encoding="utf-8"?>' + tostring(root)
    return Reply(status=refusal.status, headers=headers, body=body)


FILES_ACCOUNT, BLOB_ACCOUNT = "acmefiles", "acmeblobs"

SHARE, CONTAINER = "acme-documents", "acme-exports"


def build_accounts(files_key: bytes, blob_key: bytes, scale: float, page: int) -> tuple[Account, Account]:
    files = Account(service="file", name=FILES_ACCOUNT, key=files_key, page=page)
    files.roots[SHARE] = Root(top=build_top(SHARE), kept=add_directories(list(data_files.share_files(scale))))
    blobs = Account(service="blob", name=BLOB_ACCOUNT, key=blob_key, page=page)
    blobs.roots[CONTAINER] = Root(
        top=build_top(CONTAINER),
        kept={container_file.path: build_item(container_file) for container_file in data_files.container_files(scale)},
    )
    return files, blobs


def build_top(name: str) -> StoredItem:
    return StoredItem(name=name, modified=NOW, etag="0x8DE0000000000000")


def build_item(file: AzureFile) -> StoredItem:
    return StoredItem(
        name=file.path, body=bytearray(file.body), content_type=file.content_type, modified=file.modified,
        etag=file.version,
    )  # fmt: skip


def add_directories(files: list[AzureFile]) -> dict[str, StoredItem]:
    """Return the files and every directory above them."""
    results = {file.path.lower(): build_item(file) for file in files}
    for file in files:
        steps = file.path.split("/")
        for count in range(1, len(steps)):
            path = "/".join(steps[:count])
            results.setdefault(path.lower(), StoredItem(name=path, modified=NOW, etag="0x8DE0000000000001"))
    return results
