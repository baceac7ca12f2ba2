"""What is kept in, the JSON that Drive makes of it out."""

from hashlib import md5
from typing import Any

from demo.drive.store import WRITERS, Seen, Store
from demo.world.documents import DOC, FOLDER, GOOGLE, SHEET, Document, Share, share_id, shares

LINKS = {
    DOC: "https://docs.google.com/document/d/{id}/edit?usp=drivesdk",
    SHEET: "https://docs.google.com/spreadsheets/d/{id}/edit?usp=drivesdk",
    FOLDER: "https://drive.google.com/drive/folders/{id}",
}
STORED = "https://drive.google.com/file/d/{id}/view?usp=drivesdk"


def file_json(seen: Seen, document: Document) -> dict[str, Any]:
    here = seen.store
    given = shares(document, here.documents)
    return {
        "kind": "drive#file",
        "id": document.id,
        "name": document.name,
        "mimeType": document.content_type,
        "trashed": document.trashed,
        "modifiedTime": document.modified.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "version": str(here.versions[document.id]),
        "webViewLink": LINKS.get(document.content_type, STORED).format(id=document.id),
        "spaces": ["drive"],
        "shared": len(given) > 1,
        "ownedByMe": document.owner == seen.email,
        "permissionIds": [share_id(each) for each in given],
        **({"appProperties": dict(document.properties)} if document.properties else {}),
        **above(seen, document),
        **of_bytes(here, document),
        **owning(seen, document),
    }


def above(seen: Seen, document: Document) -> dict[str, Any]:
    """A folder that is not theirs to see is not named."""
    return {"parents": [document.parent]} if seen.knows(document.parent) else {}


def of_bytes(here: Store, document: Document) -> dict[str, Any]:
    """Docs and Sheets have a size, which is not that of any export; folders have none."""
    if document.content_type == FOLDER:
        return {}
    size = {"size": str(len(document.body)), "quotaBytesUsed": str(len(document.body))}
    if document.content_type.startswith(GOOGLE):
        return {name: str(int(value) + 1024) for name, value in size.items()}
    revision = f"0B{document.id[1:20]}{here.revisions[document.id]:04d}"
    digest = md5(document.body, usedforsecurity=False).hexdigest()
    return {**size, "headRevisionId": revision, "md5Checksum": digest, "originalFilename": document.name}


def owning(seen: Seen, document: Document) -> dict[str, Any]:
    """What is in a shared drive is nobody's, and does not tell of its permissions here."""
    if document.drive is not None:
        return {"driveId": document.drive}
    given = shares(document, seen.documents)
    told = {"permissions": [permission_json(seen.store, each) for each in given]}
    return {"owners": [user_json(seen, document.owner or "")], **(told if seen.role(document) in WRITERS else {})}


def user_json(seen: Seen, email: str) -> dict[str, Any]:
    return {
        "kind": "drive#user",
        "displayName": seen.store.names.get(email, email),
        "emailAddress": email,
        "me": email == seen.email,
        "permissionId": share_id(Share(kind="user", role="owner", to=email)),
    }


def permission_json(here: Store, share: Share) -> dict[str, Any]:
    common = {"kind": "drive#permission", "id": share_id(share), "type": share.kind, "role": share.role}
    if share.kind == "domain":
        return {**common, "domain": share.to, "displayName": share.to, "allowFileDiscovery": True}
    if share.kind == "anyone":
        return {**common, "allowFileDiscovery": False}
    return {**common, "emailAddress": share.to, "displayName": here.names.get(share.to, share.to), "deleted": False}
