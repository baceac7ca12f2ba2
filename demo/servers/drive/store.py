"""Documents, permissions, JSON, query language."""

import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from hashlib import md5, sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from demo.data.business import employees
from demo.data.files import (
    DOC,
    DOMAIN,
    FOLDER,
    GOOGLE,
    SHEET,
    Document,
    Share,
    archive,
    documents,
    root,
    share_id,
    shares,
)
from demo.data.random import NOW, size

Spec: TypeAlias = Mapping[str, Any]

FILE = "discovery_cache/documents/drive.v3.json"

PLACE = re.compile(r"\{\+?(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """`form` matches its path; `parameters` are its own and those that every method takes."""

    id: str
    verb: str
    path: str
    form: re.Pattern[str]
    parameters: Mapping[str, Spec]
    request: str | None
    response: str | None
    scopes: frozenset[str]
    uploads: bool
    downloads: bool


@cache
def document() -> Spec:
    """As it comes with Google's client for Python, of which nothing else is used."""
    spec = find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("google-api-python-client is not installed; its discovery document is what this server speaks")
    path = Path(spec.submodule_search_locations[0]) / FILE
    read: Spec = json.loads(path.read_text(encoding="utf-8"))
    return read


@cache
def methods() -> tuple[Method, ...]:
    """Those with fewer places in their paths first, so that `files/trash` is no file's."""
    return tuple(sorted(declared(document()), key=lambda each: len(PLACE.findall(each.path))))


def declared(part: Spec) -> Iterator[Method]:
    for each in part.get("methods", {}).values():
        yield method(each)
    for each in part.get("resources", {}).values():
        yield from declared(each)


def method(said: Spec) -> Method:
    return Method(
        id=said["id"].removeprefix("drive."),
        verb=said["httpMethod"],
        path=said["path"],
        form=re.compile(re.sub(r"\\\{\\?\+?(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(said["path"]))),
        parameters={**document()["parameters"], **said.get("parameters", {})},
        request=said.get("request", {}).get("$ref"),
        response=said.get("response", {}).get("$ref"),
        scopes=frozenset(said.get("scopes", ())),
        uploads="mediaUpload" in said,
        downloads=bool(said.get("supportsMediaDownload")),
    )


def found(verb: str, path: str, *, upload: bool = False) -> tuple[Method, Mapping[str, str]] | None:
    """The method at a path, and what stands in the places of the path; None: there is none."""
    for each in methods():
        places = each.form.fullmatch(path) if each.verb == verb and (each.uploads or not upload) else None
        if places is not None:
            return each, places.groupdict()
    return None


def schema(name: str) -> Spec:
    read: Spec = document()["schemas"][name]
    return read


class Failure(Exception):
    """`reason` is Google's name of the error; `location` the parameter it is about."""

    def __init__(self, status: int, reason: str, message: str, location: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.location = location


def said(failure: Failure) -> dict[str, Any]:
    where = {"location": failure.location, "locationType": "parameter"} if failure.location else {}
    one = {"message": str(failure), "domain": "global", "reason": failure.reason, **where}
    return {"error": {"code": failure.status, "message": str(failure), "errors": [one]}}


def not_found(id: str) -> Failure:
    return Failure(404, "notFound", f"File not found: {id}.", "fileId")


def invalid(name: str, value: object) -> Failure:
    return Failure(400, "invalidParameter", f"Invalid value '{value}' for {name}", name)


def forbidden() -> Failure:
    return Failure(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")


WRITERS = frozenset({"owner", "organizer", "fileOrganizer", "writer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """`versions` counts what was changed of an item, `revisions` what was changed of its bytes.

    `names`: by address, who it is; `groups`: by address, the addresses of the groups they are in.
    """

    names: Mapping[str, str]
    groups: Mapping[str, frozenset[str]]
    roots: frozenset[str]
    documents: dict[str, Document] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)


def store(scale: Fraction | float = 1) -> Store:
    staff = employees(size("employee", scale))
    homes = [home(each[3]) for each in staff]
    drive = archive(scale)
    made = Store(
        names={each[3]: f"{each[1]} {each[2]}" for each in staff},
        groups={each[3]: frozenset({f"{each[5].lower()}@{DOMAIN}"}) for each in staff},
        roots=frozenset({drive.id, *(each.id for each in homes)}),
    )
    for each in (*homes, drive, *documents(scale)):
        put(made, each)
    return made


def home(email: str) -> Document:
    return Document(id=root(email), name="My Drive", parent="", content_type=FOLDER, modified=NOW, owner=email)


def put(here: Store, document: Document) -> Document:
    """New, or in place of what it was."""
    before = here.documents.get(document.id)
    here.documents[document.id] = document
    here.versions[document.id] = here.versions.get(document.id, 0) + 1
    if before is None or before.body != document.body:
        here.revisions[document.id] = here.revisions.get(document.id, 0) + 1
    return document


def changed(here: Store, document: Document, **given: Any) -> Document:
    return put(here, replace(document, modified=now(), **given))


def now() -> datetime:
    """To the millisecond, as Drive keeps it."""
    return datetime.fromtimestamp(int(time.time() * 1000) / 1000, UTC)


def removed(here: Store, document: Document) -> None:
    """With all that lies in it."""
    for each in [each for each in here.documents.values() if each.parent == document.id]:
        removed(here, each)
    del here.documents[document.id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one person sees. `drives`: whether they asked for what is in shared drives, too."""

    store: Store
    email: str
    drives: bool

    @property
    def documents(self) -> Mapping[str, Document]:
        return self.store.documents

    @property
    def root(self) -> str:
        return root(self.email)

    def role(self, document: Document) -> str | None:
        """What they may do; None: they do not see it."""
        given = [each.role for each in shares(document, self.documents) if self.meant(each)]
        return min(given, key=list(ORDER).index, default=None)

    def meant(self, share: Share) -> bool:
        mine = {self.email, *self.store.groups.get(self.email, ())}
        return share.to in mine or share.kind == "anyone" or (share.kind == "domain" and share.to == self.domain)

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]

    def knows(self, id: str) -> bool:
        found = self.documents.get(id)
        return found is not None and self.sees(found)

    def sees(self, document: Document) -> bool:
        return (document.drive is None or self.drives) and self.role(document) is not None

    def get(self, id: str) -> Document:
        """Raises Failure, the same for what is not there and for what is not theirs to see."""
        wanted = self.root if id == "root" else id
        if not self.knows(wanted):
            raise not_found(id)
        return self.documents[wanted]

    def writable(self, id: str) -> Document:
        found = self.get(id)
        if self.role(found) not in WRITERS:
            raise forbidden()
        return found

    def listed(self) -> Iterator[Document]:
        """All but what everything lies in."""
        return (each for each in self.documents.values() if each.id not in self.store.roots and self.sees(each))


ORDER = ("owner", "organizer", "fileOrganizer", "writer", "commenter", "reader")

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


MOST = 10_485_760

RANGE = re.compile(r"bytes=(\d+)-(\d*)")

NO_RANGE = 416


def as_text(body: bytes) -> bytes:
    """As Google writes plain text: with a mark of its encoding, and lines that end in two characters."""
    return b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n")


def as_csv(body: bytes) -> bytes:
    return body.replace(b"\n", b"\r\n")


FORMS: Mapping[str, Mapping[str, Callable[[bytes], bytes]]] = {
    DOC: {"text/plain": as_text, "text/markdown": bytes},
    SHEET: {"text/csv": as_csv, "text/tab-separated-values": lambda body: as_csv(body).replace(b",", b"\t")},
}


def exported(document: Document, content_type: str) -> bytes:
    forms = FORMS.get(document.content_type)
    if forms is None:
        raise Failure(403, "fileNotExportable", "Export only supports Docs Editors files.")
    if content_type not in forms:
        raise Failure(400, "badRequest", "The requested conversion is not supported.", "convertTo")
    body = forms[content_type](document.body)
    if len(body) > MOST:
        raise Failure(403, "exportSizeLimitExceeded", "This file is too large to be exported.")
    return body


def stored(document: Document) -> bytes:
    if document.content_type.startswith(GOOGLE):
        raise Failure(
            403, "fileNotDownloadable",
            "Only files with binary content can be downloaded. Use Export with Docs Editors files.", "alt",
        )  # fmt: skip
    return document.body


def ranged(body: bytes, header: str | None) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, bytes and headers; a range that cannot be read is none."""
    found = None if header is None else RANGE.fullmatch(header)
    if found is None:
        return 200, body, {}
    first, last = int(found[1]), min(int(found[2] or len(body)), len(body) - 1)
    if first >= len(body) or last < first:
        return NO_RANGE, b"", {"content-range": f"bytes */{len(body)}"}
    return 206, body[first : last + 1], {"content-range": f"bytes {first}-{last}/{len(body)}"}


Given: TypeAlias = Mapping[str, Any]

UPLOADING = frozenset({"uploadType", "upload_id", "upload_protocol"})
"""Every method takes these, though the document declares but the first two of them, by their new names."""


def checked(method: Method, places: Mapping[str, str], query: Iterable[tuple[str, str]]) -> Given:
    """Names, types, ranges and enums; what is left out has its default. Raises Failure."""
    values: dict[str, Any] = {name: spec_default(spec) for name, spec in method.parameters.items() if "default" in spec}
    given = [*places.items(), *query]
    for name, text in given:
        spec = method.parameters.get(name)
        if spec is None and name not in UPLOADING:
            raise Failure(400, "badRequest", f'Invalid JSON payload received. Unknown name "{name}"', name)
        values[name] = text if spec is None else converted(name, text, spec)
    for name, spec in method.parameters.items():
        if spec.get("required") and name not in values:
            raise Failure(400, "required", f"Required parameter: {name}", name)
    return values


def spec_default(spec: Spec) -> Any:
    return converted("", spec["default"], spec)


def converted(name: str, text: str, spec: Spec) -> Any:
    if "enum" in spec and text not in spec["enum"]:
        raise invalid(name, text)
    return KINDS[spec["type"]](name, text, spec)


def whole(name: str, text: str, spec: Spec) -> int:
    try:
        number = int(text)
    except ValueError:
        raise invalid(name, text) from None
    if not int(spec.get("minimum", number)) <= number <= int(spec.get("maximum", number)):
        raise Failure(
            400, "invalidParameter",
            f"Invalid value '{text}'. Values must be within the range: [{spec.get('minimum')}, {spec.get('maximum')}]",
            name,
        )  # fmt: skip
    return number


def truth(name: str, text: str, spec: Spec) -> bool:
    if text.lower() not in ("true", "false"):
        raise invalid(name, text)
    return text.lower() == "true"


def plain(name: str, text: str, spec: Spec) -> str:
    return text


KINDS = {"string": plain, "integer": whole, "boolean": truth}

T = TypeVar("T")


def page(rows: Sequence[T], given: Given, size: int) -> tuple[Sequence[T], dict[str, Any]]:
    """A token is good for the same question alone."""
    start = opened(given) if "pageToken" in given else 0
    end = start + given.get("pageSize", size)
    return rows[start:end], {"nextPageToken": closed(given, end)} if end < len(rows) else {}


def closed(given: Given, place: int) -> str:
    return urlsafe_b64encode(f"{question(given)}:{place}".encode()).decode()


def opened(given: Given) -> int:
    try:
        asked, _, place = urlsafe_b64decode(given["pageToken"]).decode().partition(":")
        found = int(place)
    except ValueError:
        raise invalid("pageToken", given["pageToken"]) from None
    if asked != question(given):
        raise invalid("pageToken", given["pageToken"])
    return found


def question(given: Given) -> str:
    asked = sorted((name, value) for name, value in given.items() if name not in ("pageToken", "pageSize", "fields"))
    return sha256(repr(asked).encode()).hexdigest()[:16]


LISTED = 100

PERMISSIONS_KINDS = ("user", "group", "domain", "anyone")


def listed(seen: Seen, given: Given) -> dict[str, Any]:
    found = shares(seen.writable(given["fileId"]), seen.documents)
    shown, more = page(found, given, LISTED)
    permissions = [permission_json(seen.store, each) for each in shown]
    return {"kind": "drive#permissionList", "permissions": permissions, **more}


def one(seen: Seen, given: Given) -> dict[str, Any]:
    return permission_json(seen.store, permissions_found(seen, given))


def created(seen: Seen, given: Given, body: Mapping[str, Any]) -> dict[str, Any]:
    document = seen.writable(given["fileId"])
    share = Share(kind=body.get("type", ""), role=body.get("role", ""), to=grantee(body))
    if share.kind not in PERMISSIONS_KINDS or share.role not in ORDER[1:]:
        raise invalid("permission", f"{share.kind} {share.role}")
    changed(seen.store, document, shares=(*document.shares, share))
    return permission_json(seen.store, share)


def grantee(body: Mapping[str, Any]) -> str:
    return str(body.get("domain" if body.get("type") == "domain" else "emailAddress", ""))


def deleted(seen: Seen, given: Given) -> dict[str, Any]:
    """Of the file itself; what comes from a folder is taken back there."""
    document, wanted = seen.writable(given["fileId"]), permissions_found(seen, given)
    kept = tuple(each for each in document.shares if each != wanted)
    if kept == document.shares:
        raise Failure(403, "cannotDeleteInheritedPermission", "Cannot delete an inherited permission.")
    changed(seen.store, document, shares=kept)
    return {}


def permissions_found(seen: Seen, given: Given) -> Share:
    for each in shares(seen.writable(given["fileId"]), seen.documents):
        if share_id(each) == given["permissionId"]:
            return each
    raise Failure(404, "notFound", f"Permission not found: {given['permissionId']}.", "permissionId")
