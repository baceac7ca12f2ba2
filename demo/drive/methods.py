"""A method's id, what it was given and who asks in, its answer out; raises Failure where Drive would refuse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cmp_to_key
from typing import Any, TypeAlias

from demo.drive import permissions
from demo.drive.failures import Failure, forbidden, invalid
from demo.drive.paging import page
from demo.drive.parameters import Given
from demo.drive.search import relevance, search
from demo.drive.shapes import file_json, user_json
from demo.drive.store import Seen, changed, now, put, removed
from demo.world.documents import FOLDER, Document, drive_id

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
    "permissions.list": lambda asked: permissions.listed(asked.seen, asked.given),
    "permissions.get": lambda asked: permissions.one(asked.seen, asked.given),
    "permissions.create": lambda asked: permissions.created(asked.seen, asked.given, asked.body),
    "permissions.delete": lambda asked: permissions.deleted(asked.seen, asked.given),
}
