"""Permissions of one file, as Drive tells and changes them."""

from collections.abc import Mapping
from typing import Any

from demo.drive.failures import Failure, invalid
from demo.drive.paging import page
from demo.drive.parameters import Given
from demo.drive.shapes import permission_json
from demo.drive.store import ORDER, Seen, changed
from demo.world.documents import Share, share_id, shares

LISTED = 100
KINDS = ("user", "group", "domain", "anyone")


def listed(seen: Seen, given: Given) -> dict[str, Any]:
    found = shares(seen.writable(given["fileId"]), seen.documents)
    shown, more = page(found, given, LISTED)
    permissions = [permission_json(seen.store, each) for each in shown]
    return {"kind": "drive#permissionList", "permissions": permissions, **more}


def one(seen: Seen, given: Given) -> dict[str, Any]:
    return permission_json(seen.store, found(seen, given))


def created(seen: Seen, given: Given, body: Mapping[str, Any]) -> dict[str, Any]:
    document = seen.writable(given["fileId"])
    share = Share(kind=body.get("type", ""), role=body.get("role", ""), to=grantee(body))
    if share.kind not in KINDS or share.role not in ORDER[1:]:
        raise invalid("permission", f"{share.kind} {share.role}")
    changed(seen.store, document, shares=(*document.shares, share))
    return permission_json(seen.store, share)


def grantee(body: Mapping[str, Any]) -> str:
    return str(body.get("domain" if body.get("type") == "domain" else "emailAddress", ""))


def deleted(seen: Seen, given: Given) -> dict[str, Any]:
    """Of the file itself; what comes from a folder is taken back there."""
    document, wanted = seen.writable(given["fileId"]), found(seen, given)
    kept = tuple(each for each in document.shares if each != wanted)
    if kept == document.shares:
        raise Failure(403, "cannotDeleteInheritedPermission", "Cannot delete an inherited permission.")
    changed(seen.store, document, shares=kept)
    return {}


def found(seen: Seen, given: Given) -> Share:
    for each in shares(seen.writable(given["fileId"]), seen.documents):
        if share_id(each) == given["permissionId"]:
            return each
    raise Failure(404, "notFound", f"Permission not found: {given['permissionId']}.", "permissionId")
