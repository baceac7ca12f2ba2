"""Azure Blob Storage: a call to its reply."""

from collections.abc import Mapping

from demo.azure.conditions import copied, matched, metadata
from demo.azure.content import served, told
from demo.azure.listing import Form, dated, page
from demo.azure.words import Account, Call, Kept, Refusal, Reply, Root, root_of

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
