"""Store documents and permissions, and read Google's own description of the API."""

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

from demo.data.files import (
    DOC,
    DOMAIN,
    FOLDER,
    GOOGLE_MEDIA_TYPE_PREFIX,
    SHEET,
    Document,
    Share,
    build_archive,
    build_root_id,
    build_share_id,
    documents,
    list_shares,
)
from demo.data.operations import employees
from demo.data.random import NOW, size

JsonSchema: TypeAlias = Mapping[str, Any]

FILE = "discovery_cache/documents/drive.v3.json"

PATH_PARAMETER = re.compile(r"\{\+?(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method; `form` matches its path, and `parameters` include those that every method takes."""

    id: str
    verb: str
    path: str
    form: re.Pattern[str]
    parameters: Mapping[str, JsonSchema]
    request: str | None
    response: str | None
    scopes: frozenset[str]
    uploads: bool
    downloads: bool


@cache
def load_discovery_document() -> JsonSchema:
    """Load the description that comes with Google's client, of which nothing else is used."""
    spec = find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("google-api-python-client is not installed; its discovery document is what this server speaks")
    path = Path(spec.submodule_search_locations[0]) / FILE
    read: JsonSchema = json.loads(path.read_text(encoding="utf-8"))
    return read


@cache
def list_methods() -> tuple[Method, ...]:
    """Return the methods, those with fewer path parameters first, so that `files/trash` is no file's id."""
    return tuple(
        sorted(read_methods(load_discovery_document()), key=lambda method: len(PATH_PARAMETER.findall(method.path)))
    )


def read_methods(part: JsonSchema) -> Iterator[Method]:
    for item in part.get("methods", {}).values():
        yield read_method(item)
    for item in part.get("resources", {}).values():
        yield from read_methods(item)


def read_method(schema: JsonSchema) -> Method:
    return Method(
        id=schema["id"].removeprefix("drive."),
        verb=schema["httpMethod"],
        path=schema["path"],
        form=re.compile(re.sub(r"\\\{\\?\+?(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(schema["path"]))),
        parameters={**load_discovery_document()["parameters"], **schema.get("parameters", {})},
        request=schema.get("request", {}).get("$ref"),
        response=schema.get("response", {}).get("$ref"),
        scopes=frozenset(schema.get("scopes", ())),
        uploads="mediaUpload" in schema,
        downloads=bool(schema.get("supportsMediaDownload")),
    )


def find_method(verb: str, path: str, *, upload: bool = False) -> tuple[Method, Mapping[str, str]] | None:
    """Return the method at a path and its path parameters, or None."""
    for method in list_methods():
        places = method.form.fullmatch(path) if method.verb == verb and (method.uploads or not upload) else None
        if places is not None:
            return method, places.groupdict()
    return None


def get_schema(name: str) -> JsonSchema:
    read: JsonSchema = load_discovery_document()["schemas"][name]
    return read


class DriveFailure(Exception):
    """An error with Google's name for it, and the parameter it is about."""

    def __init__(self, status: int, reason: str, message: str, location: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.location = location


def format_failure(failure: DriveFailure) -> dict[str, Any]:
    where = {"location": failure.location, "locationType": "parameter"} if failure.location else {}
    detail = {"message": str(failure), "domain": "global", "reason": failure.reason, **where}
    return {"error": {"code": failure.status, "message": str(failure), "errors": [detail]}}


def build_not_found(id: str) -> DriveFailure:
    return DriveFailure(404, "notFound", f"File not found: {id}.", "fileId")


def build_invalid(name: str, value: object) -> DriveFailure:
    return DriveFailure(400, "invalidParameter", f"Invalid value '{value}' for {name}", name)


def build_forbidden() -> DriveFailure:
    return DriveFailure(
        403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file."
    )


WRITERS = frozenset({"owner", "organizer", "fileOrganizer", "writer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveStore:
    """All documents; `versions` counts changes of an item, `revisions` changes of its bytes.

    `names` and `groups` are by e-mail address.
    """

    names: Mapping[str, str]
    groups: Mapping[str, frozenset[str]]
    roots: frozenset[str]
    documents: dict[str, Document] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)


def build_store(scale: Fraction | float = 1) -> DriveStore:
    staff = employees(size("employee", scale))
    homes = [build_home(employee[3]) for employee in staff]
    drive = build_archive(scale)
    store = DriveStore(
        names={employee[3]: f"{employee[1]} {employee[2]}" for employee in staff},
        groups={employee[3]: frozenset({f"{employee[5].lower()}@{DOMAIN}"}) for employee in staff},
        roots=frozenset({drive.id, *(home.id for home in homes)}),
    )
    for item in (*homes, drive, *documents(scale)):
        put_document(store, item)
    return store


def build_home(email: str) -> Document:
    return Document(id=build_root_id(email), name="My Drive", parent="", content_type=FOLDER, modified=NOW, owner=email)


def put_document(store: DriveStore, document: Document) -> Document:
    """Add or replace a document."""
    before = store.documents.get(document.id)
    store.documents[document.id] = document
    store.versions[document.id] = store.versions.get(document.id, 0) + 1
    if before is None or before.body != document.body:
        store.revisions[document.id] = store.revisions.get(document.id, 0) + 1
    return document


def change_document(store: DriveStore, document: Document, **given: Any) -> Document:
    return put_document(store, replace(document, modified=get_now(), **given))


def get_now() -> datetime:
    """Return the time to the millisecond, as Drive stores it."""
    return datetime.fromtimestamp(int(time.time() * 1000) / 1000, UTC)


def remove_document(store: DriveStore, document: Document) -> None:
    """Remove a document and all that lies in it."""
    for item in [item for item in store.documents.values() if item.parent == document.id]:
        remove_document(store, item)
    del store.documents[document.id]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView:
    """What one person sees, with shared drives if `drives`."""

    store: DriveStore
    email: str
    drives: bool

    @property
    def documents(self) -> Mapping[str, Document]:
        return self.store.documents

    @property
    def root(self) -> str:
        return build_root_id(self.email)

    def role(self, document: Document) -> str | None:
        """Return what the person may do, or None if they do not see it."""
        given = [share.role for share in list_shares(document, self.documents) if self.meant(share)]
        return min(given, key=list(ROLES).index, default=None)

    def meant(self, share: Share) -> bool:
        mine = {self.email, *self.store.groups.get(self.email, ())}
        return share.to in mine or share.kind == "anyone" or (share.kind == "domain" and share.to == self.domain)

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]

    def knows(self, id: str) -> bool:
        document = self.documents.get(id)
        return document is not None and self.sees(document)

    def sees(self, document: Document) -> bool:
        return (document.drive is None or self.drives) and self.role(document) is not None

    def get(self, id: str) -> Document:
        """Return a document. Raises the same DriveFailure if it is absent and if the person does not see it."""
        wanted = self.root if id == "root" else id
        if not self.knows(wanted):
            raise build_not_found(id)
        return self.documents[wanted]

    def writable(self, id: str) -> Document:
        result = self.get(id)
        if self.role(result) not in WRITERS:
            raise build_forbidden()
        return result

    def listed(self) -> Iterator[Document]:
        """Yield all documents that the person sees, except roots."""
        return (
            document
            for document in self.documents.values()
            if document.id not in self.store.roots and self.sees(document)
        )


ROLES = ("owner", "organizer", "fileOrganizer", "writer", "commenter", "reader")

LINKS = {
    DOC: "https://docs.google.com/document/d/{id}/edit?usp=drivesdk",
    SHEET: "https://docs.google.com/spreadsheets/d/{id}/edit?usp=drivesdk",
    FOLDER: "https://drive.google.com/drive/folders/{id}",
}

FILE_LINK = "https://drive.google.com/file/d/{id}/view?usp=drivesdk"


def format_file(view: PersonView, document: Document) -> dict[str, Any]:
    here = view.store
    shares = list_shares(document, here.documents)
    return {
        "kind": "drive#file",
        "id": document.id,
        "name": document.name,
        "mimeType": document.content_type,
        "trashed": document.trashed,
        "modifiedTime": document.modified.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "version": str(here.versions[document.id]),
        "webViewLink": LINKS.get(document.content_type, FILE_LINK).format(id=document.id),
        "spaces": ["drive"],
        "shared": len(shares) > 1,
        "ownedByMe": document.owner == view.email,
        "permissionIds": [build_share_id(item) for item in shares],
        **({"appProperties": dict(document.properties)} if document.properties else {}),
        **format_parents(view, document),
        **format_content(here, document),
        **format_owners(view, document),
    }


def format_parents(view: PersonView, document: Document) -> dict[str, Any]:
    """Name the parent, unless the person does not see it."""
    return {"parents": [document.parent]} if view.knows(document.parent) else {}


def format_content(store: DriveStore, document: Document) -> dict[str, Any]:
    """Describe the bytes; the size of a Doc or Sheet is not that of any export, and folders have none."""
    if document.content_type == FOLDER:
        return {}
    size = {"size": str(len(document.body)), "quotaBytesUsed": str(len(document.body))}
    if document.content_type.startswith(GOOGLE_MEDIA_TYPE_PREFIX):
        return {name: str(int(value) + 1024) for name, value in size.items()}
    revision = f"0B{document.id[1:20]}{store.revisions[document.id]:04d}"
    digest = md5(document.body, usedforsecurity=False).hexdigest()
    return {**size, "headRevisionId": revision, "md5Checksum": digest, "originalFilename": document.name}


def format_owners(view: PersonView, document: Document) -> dict[str, Any]:
    """Name owner and permissions; a file in a shared drive has neither here."""
    if document.drive is not None:
        return {"driveId": document.drive}
    shares = list_shares(document, view.documents)
    result = {"permissions": [format_permission(view.store, item) for item in shares]}
    return {"owners": [format_user(view, document.owner or "")], **(result if view.role(document) in WRITERS else {})}


def format_user(view: PersonView, email: str) -> dict[str, Any]:
    return {
        "kind": "drive#user",
        "displayName": view.store.names.get(email, email),
        "emailAddress": email,
        "me": email == view.email,
        "permissionId": build_share_id(Share(kind="user", role="owner", to=email)),
    }


def format_permission(store: DriveStore, share: Share) -> dict[str, Any]:
    common = {"kind": "drive#permission", "id": build_share_id(share), "type": share.kind, "role": share.role}
    if share.kind == "domain":
        return {**common, "domain": share.to, "displayName": share.to, "allowFileDiscovery": True}
    if share.kind == "anyone":
        return {**common, "allowFileDiscovery": False}
    return {**common, "emailAddress": share.to, "displayName": store.names.get(share.to, share.to), "deleted": False}


EXPORT_MAX_BYTES = 10_485_760

RANGE = re.compile(r"bytes=(\d+)-(\d*)")

NO_RANGE = 416


def as_text(body: bytes) -> bytes:
    """Write plain text as Google does: with a byte order mark and CRLF."""
    return b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n")


def as_csv(body: bytes) -> bytes:
    return body.replace(b"\n", b"\r\n")


FORMS: Mapping[str, Mapping[str, Callable[[bytes], bytes]]] = {
    DOC: {"text/plain": as_text, "text/markdown": bytes},
    SHEET: {"text/csv": as_csv, "text/tab-separated-values": lambda body: as_csv(body).replace(b",", b"\t")},
}


def export_document(document: Document, content_type: str) -> bytes:
    forms = FORMS.get(document.content_type)
    if forms is None:
        raise DriveFailure(403, "fileNotExportable", "Export only supports Docs Editors files.")
    if content_type not in forms:
        raise DriveFailure(400, "badRequest", "The requested conversion is not supported.", "convertTo")
    body = forms[content_type](document.body)
    if len(body) > EXPORT_MAX_BYTES:
        raise DriveFailure(403, "exportSizeLimitExceeded", "This file is too large to be exported.")
    return body


def get_content(document: Document) -> bytes:
    if document.content_type.startswith(GOOGLE_MEDIA_TYPE_PREFIX):
        raise DriveFailure(
            403, "fileNotDownloadable",
            "Only files with binary content can be downloaded. Use Export with Docs Editors files.", "alt",
        )  # fmt: skip
    return document.body


def cut_range(body: bytes, header: str | None) -> tuple[int, bytes, Mapping[str, str]]:
    """Return status, bytes and headers; a range that cannot be read is ignored."""
    match = None if header is None else RANGE.fullmatch(header)
    if match is None:
        return 200, body, {}
    first, last = int(match[1]), min(int(match[2] or len(body)), len(body) - 1)
    if first >= len(body) or last < first:
        return NO_RANGE, b"", {"content-range": f"bytes */{len(body)}"}
    return 206, body[first : last + 1], {"content-range": f"bytes {first}-{last}/{len(body)}"}


Parameters: TypeAlias = Mapping[str, Any]

UPLOAD_PARAMETERS = frozenset({"uploadType", "upload_id", "upload_protocol"})
"""Every method takes these, though the document declares but the first two of them, by their new names."""


def check_parameters(method: Method, places: Mapping[str, str], query: Iterable[tuple[str, str]]) -> Parameters:
    """Check names, types, ranges and enums, and add defaults. Raises DriveFailure."""
    values: dict[str, Any] = {name: get_default(spec) for name, spec in method.parameters.items() if "default" in spec}
    given = [*places.items(), *query]
    for name, text in given:
        spec = method.parameters.get(name)
        if spec is None and name not in UPLOAD_PARAMETERS:
            raise DriveFailure(400, "badRequest", f'Invalid JSON payload received. Unknown name "{name}"', name)
        values[name] = text if spec is None else convert_parameter(name, text, spec)
    for name, spec in method.parameters.items():
        if spec.get("required") and name not in values:
            raise DriveFailure(400, "required", f"Required parameter: {name}", name)
    return values


def get_default(spec: JsonSchema) -> Any:
    return convert_parameter("", spec["default"], spec)


def convert_parameter(name: str, text: str, spec: JsonSchema) -> Any:
    if "enum" in spec and text not in spec["enum"]:
        raise build_invalid(name, text)
    return KINDS[spec["type"]](name, text, spec)


def parse_integer(name: str, text: str, spec: JsonSchema) -> int:
    try:
        number = int(text)
    except ValueError:
        raise build_invalid(name, text) from None
    if not int(spec.get("minimum", number)) <= number <= int(spec.get("maximum", number)):
        raise DriveFailure(
            400, "invalidParameter",
            f"Invalid value '{text}'. Values must be within the range: [{spec.get('minimum')}, {spec.get('maximum')}]",
            name,
        )  # fmt: skip
    return number


def parse_boolean(name: str, text: str, spec: JsonSchema) -> bool:
    if text.lower() not in ("true", "false"):
        raise build_invalid(name, text)
    return text.lower() == "true"


def parse_text(name: str, text: str, spec: JsonSchema) -> str:
    return text


KINDS = {"string": parse_text, "integer": parse_integer, "boolean": parse_boolean}

T = TypeVar("T")


def cut_page(rows: Sequence[T], parameters: Parameters, size: int) -> tuple[Sequence[T], dict[str, Any]]:
    """Cut a page; a token holds only for the same question."""
    start = decode_token(parameters) if "pageToken" in parameters else 0
    end = start + parameters.get("pageSize", size)
    return rows[start:end], {"nextPageToken": encode_token(parameters, end)} if end < len(rows) else {}


def encode_token(parameters: Parameters, place: int) -> str:
    return urlsafe_b64encode(f"{hash_question(parameters)}:{place}".encode()).decode()


def decode_token(parameters: Parameters) -> int:
    try:
        token_query, _, place = urlsafe_b64decode(parameters["pageToken"]).decode().partition(":")
        result = int(place)
    except ValueError:
        raise build_invalid("pageToken", parameters["pageToken"]) from None
    if token_query != hash_question(parameters):
        raise build_invalid("pageToken", parameters["pageToken"])
    return result


def hash_question(parameters: Parameters) -> str:
    token_query = sorted(
        (name, value) for name, value in parameters.items() if name not in ("pageToken", "pageSize", "fields")
    )
    return sha256(repr(token_query).encode()).hexdigest()[:16]


DEFAULT_PAGE_SIZE = 100

PERMISSIONS_KINDS = ("user", "group", "domain", "anyone")


def list_permissions(view: PersonView, parameters: Parameters) -> dict[str, Any]:
    shares = list_shares(view.writable(parameters["fileId"]), view.documents)
    shown, more = cut_page(shares, parameters, DEFAULT_PAGE_SIZE)
    permissions = [format_permission(view.store, item) for item in shown]
    return {"kind": "drive#permissionList", "permissions": permissions, **more}


def get_permission(view: PersonView, parameters: Parameters) -> dict[str, Any]:
    return format_permission(view.store, find_share(view, parameters))


def create_permission(view: PersonView, parameters: Parameters, body: Mapping[str, Any]) -> dict[str, Any]:
    document = view.writable(parameters["fileId"])
    share = Share(kind=body.get("type", ""), role=body.get("role", ""), to=get_grantee(body))
    if share.kind not in PERMISSIONS_KINDS or share.role not in ROLES[1:]:
        raise build_invalid("permission", f"{share.kind} {share.role}")
    put_document(view.store, replace(document, shares=(*document.shares, share)))
    return format_permission(view.store, share)


def get_grantee(body: Mapping[str, Any]) -> str:
    return str(body.get("domain" if body.get("type") == "domain" else "emailAddress", ""))


def delete_permission(view: PersonView, parameters: Parameters) -> dict[str, Any]:
    """Delete a permission of the file itself; one of a folder is deleted there."""
    document, wanted = view.writable(parameters["fileId"]), find_share(view, parameters)
    remaining = tuple(share for share in document.shares if share != wanted)
    if remaining == document.shares:
        raise DriveFailure(403, "cannotDeleteInheritedPermission", "Cannot delete an inherited permission.")
    put_document(view.store, replace(document, shares=remaining))
    return {}


def find_share(view: PersonView, parameters: Parameters) -> Share:
    for share in list_shares(view.writable(parameters["fileId"]), view.documents):
        if build_share_id(share) == parameters["permissionId"]:
            return share
    raise DriveFailure(404, "notFound", f"Permission not found: {parameters['permissionId']}.", "permissionId")
