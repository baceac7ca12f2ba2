"""Azure Files: a call to its reply. Names are kept as they were written, and found however they are written."""

from collections.abc import Mapping
from functools import partial
from urllib.parse import unquote, urlsplit

from demo.azure.conditions import copied, held, lease, metadata
from demo.azure.content import asked, changed, served, told
from demo.azure.listing import Form, dated, page
from demo.azure.words import Account, Call, Kept, Refusal, Reply, Root, root_of

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
    shown = partial(entry, included=frozenset(call.query.get("include", "").lower().split(",")))
    return page(account, call, found, Form(within="Entries", entry=shown, said=said))


def entry(kept: Kept, included: frozenset[str]) -> tuple[str, Mapping[str, str]]:
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
