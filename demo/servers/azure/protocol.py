"""Check signatures and conditions, lease files, and serve ranges, as Azure does."""

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from itertools import count
from typing import TypeAlias
from urllib.parse import unquote, urlsplit
from uuid import UUID

VERSION = "2026-10-06"

ETAGS = count(0x8DE1_0000_0000_000)


class Refusal(Exception):
    """An error that Azure answers with: a status, a code, and a sentence."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call: `path` as it is in the URL, `parts` decoded after the account, header names in lower case."""

    method: str
    path: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    scheme: str

    @property
    def name(self) -> str:
        """The path within the share or container."""
        return "/".join(self.parts[1:])


@dataclass(slots=True, kw_only=True)
class StoredItem:
    """A file, a blob, or a directory, which has no body."""

    name: str
    body: bytearray | None = None
    content_type: str = "application/octet-stream"
    modified: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    etag: str = field(default_factory=lambda: f"0x{next(ETAGS):X}")
    metadata: dict[str, str] = field(default_factory=dict)
    """By the names of their headers."""
    lease: str | None = None


@dataclass(slots=True, kw_only=True)
class Root:
    """A share, which ignores the case of names, or a container; `kept` is by the name that finds."""

    top: StoredItem
    kept: dict[str, StoredItem] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Account:
    """One service, `file` or `blob`; `page` is the most entries in a page of a listing."""

    service: str
    name: str
    key: bytes
    page: int = 5000
    roots: dict[str, Root] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def find_root(account: Account, call: Call) -> Root:
    root = account.roots.get(call.parts[0])
    if root is None:
        kind = "share" if account.service == "file" else "container"
        raise Refusal(404, f"{kind.title()}NotFound", f"The specified {kind} does not exist.")
    return root


META = "x-ms-meta-"


def read_metadata(call: Call) -> dict[str, str]:
    return {name: value for name, value in call.headers.items() if name.startswith(META)}


def check_conditions(call: Call, item: StoredItem | None) -> None:
    """Check the conditions of a write, and that a permission to create overwrites nothing. Raises Refusal."""
    if item is not None and "sig" in call.query and "w" not in call.query.get("sp", "") and call.method == "PUT":
        raise Refusal(403, "UnauthorizedBlobOverwrite", "This request is not authorized to perform blob overwrites.")
    if call.headers.get("if-none-match") == "*" and item is not None:
        raise Refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
    header = call.headers.get("if-match")
    if header is not None and (item is None or header.strip('"') != item.etag):
        raise Refusal(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


def find_copy_source(call: Call, account: Account) -> StoredItem:
    """Return the file to copy, from this same account. Raises Refusal."""
    parts = [unquote(part) for part in urlsplit(call.headers["x-ms-copy-source"]).path.split("/")[1:]]
    root = account.roots.get(parts[1]) if parts[0] == account.name and len(parts) > 2 else None
    name = "/".join(parts[2:])
    result = None if root is None else root.kept.get(name.lower() if account.service == "file" else name)
    if result is None or result.body is None:
        raise Refusal(404, "CannotVerifyCopySource", "The specified resource does not exist.")
    header = call.headers.get("x-ms-source-if-match")
    if header is not None and header.strip('"') != result.etag:
        raise Refusal(412, "SourceConditionNotMet", "The source condition is not met.")
    return result


def copy_item(call: Call, account: Account, name: str) -> StoredItem:
    """Copy an item with the metadata of the call, or with its own if the call has none."""
    source = find_copy_source(call, account)
    signed_values = read_metadata(call) or dict(source.metadata)
    return StoredItem(
        name=name, body=bytearray(source.body or b""), content_type=source.content_type, metadata=signed_values
    )


def check_lease(call: Call, item: StoredItem, header: str = "x-ms-lease-id") -> None:
    """Check that a write to a leased file names its lease. Raises Refusal."""
    result = call.headers.get(header)
    if item.lease is None and result is not None:
        raise Refusal(412, "LeaseNotPresentWithFileOperation", "There is currently no lease on the file.")
    if item.lease is not None and result is None:
        raise Refusal(412, "LeaseIdMissing", "There is currently a lease on the file and no lease ID was specified.")
    if item.lease != result:
        raise Refusal(412, "LeaseIdMismatchWithFileOperation", "The lease ID did not match the lease on the file.")


def change_lease(call: Call, item: StoredItem) -> Reply:
    """Acquire a lease without an end, release or break it, without changing the file."""
    action, signed_values = call.headers.get("x-ms-lease-action"), call.headers.get("x-ms-lease-id")
    if action == "acquire":
        wanted = str(UUID(call.headers.get("x-ms-proposed-lease-id", "")))
        if call.headers.get("x-ms-lease-duration") != "-1" or item.lease not in (None, wanted):
            raise Refusal(409, "LeaseAlreadyPresent", "There is already a lease present.")
        item.lease = wanted
        return Reply(status=201, headers={"x-ms-lease-id": wanted, **build_state_headers(item)})
    if action == "release" and item.lease != signed_values:
        raise Refusal(409, "LeaseIdMismatchWithLeaseOperation", "The lease ID specified did not match the lease ID.")
    if action not in ("release", "break"):
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    item.lease = None
    return Reply(status=200 if action == "release" else 202, headers=build_state_headers(item))


def build_state_headers(item: StoredItem) -> dict[str, str]:
    now = datetime.now(UTC)
    return {"etag": f'"{item.etag}"', "date": f"{now:%a, %d %b %Y %H:%M:%S} GMT"}


RANGE = re.compile(r"bytes=(\d+)-(\d*)")

Extent: TypeAlias = tuple[int, int]
"""From, and up to, but without."""


def build_item_headers(item: StoredItem, **more: str) -> dict[str, str]:
    return {
        "last-modified": format_datetime(item.modified, usegmt=True),
        "etag": f'"{item.etag}"',
        **item.metadata,
        **more,
    }


def serve_content(call: Call, item: StoredItem, **more: str) -> Reply:
    body = bytes(item.body or b"")
    headers = build_item_headers(item, **more) | {"content-type": item.content_type, "accept-ranges": "bytes"}
    if call.method == "HEAD":
        return Reply(headers=headers | {"content-length": str(len(body))})
    extent = parse_range(call)
    if extent is None:
        return Reply(headers=headers, body=body)
    start, end = extent
    if start >= len(body):
        raise Refusal(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    part = body[start:end]
    headers["content-range"] = f"bytes {start}-{start + len(part) - 1}/{len(body)}"
    return Reply(status=206, headers=headers, body=part)


def parse_range(call: Call) -> Extent | None:
    text = call.headers.get("x-ms-range") or call.headers.get("range")
    if text is None:
        return None
    match = RANGE.fullmatch(text)
    if match is None:
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    return int(match[1]), int(match[2]) + 1 if match[2] else 2**63


def mark_changed(item: StoredItem) -> None:
    item.etag = f"0x{next(ETAGS):X}"
    item.modified = datetime.now(UTC).replace(microsecond=0)


HEADERS = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip

SKEW = timedelta(minutes=15)


def check_shared_key(call: Call, account: Account, now: datetime) -> None:
    scheme, _, credential = call.headers["authorization"].partition(" ")
    name, _, signature = credential.partition(":")
    if scheme != "SharedKey" or name != account.name:
        raise build_authentication_refusal("The scheme or the account of the Authorization header is not known.")
    if not is_timely(call.headers, now):
        raise build_authentication_refusal("Request date header too old.")
    if not hmac.compare_digest(signature.encode(), sign(account.key, build_signed_text(call, account)).encode()):
        raise build_authentication_refusal(
            "The MAC signature found in the HTTP request is not the same as any computed signature."
        )


def build_signed_text(call: Call, account: Account) -> str:
    """Return the text that is signed: method, some headers, Azure's own headers, resource and query."""
    signed_values = {name: call.headers.get(name, "") for name in HEADERS}
    if signed_values["content-length"] == "0":
        signed_values["content-length"] = ""
    if "x-ms-date" in call.headers:
        signed_values["date"] = ""
    own = sorted((name for name in call.headers if name.startswith("x-ms-")), key=lambda name: name.replace("-", ""))
    lines = [call.method, *signed_values.values(), *(f"{name}:{call.headers[name].strip()}" for name in own)]
    query_lines = [f"\n{name.lower()}:{value}" for name, value in sorted(call.query.items())]
    return "\n".join([*lines, f"/{account.name}{call.path}"]) + "".join(query_lines)


def is_timely(headers: Mapping[str, str], now: datetime) -> bool:
    try:
        result = parsedate_to_datetime(headers.get("x-ms-date") or headers.get("date") or "")
    except ValueError:
        return False
    return abs(now - result.astimezone(UTC)) <= SKEW


def sign(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def build_authentication_refusal(detail: str) -> Refusal:
    sentence = "Server failed to authenticate the request. Make sure the value of Authorization header is formed"
    return Refusal(403, "AuthenticationFailed", f"{sentence} correctly including the signature. {detail}")


SERVICE = ("sp", "st", "se", "resource", "si", "sip", "spr", "sv")

ANSWER = ("rscc", "rscd", "rsce", "rscl", "rsct")

FORM = {"file": (*SERVICE, *ANSWER), "blob": (*SERVICE, "sr", "snapshot", "ses", *ANSWER)}
"""What the signature of one resource is of, line by line, by service."""

WHOLE = ("account", "sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses", "end")
"""What the signature of a whole account is of."""

OLDEST = "2020-12-06"
"""From this version on a signature has the form above."""

ROOTS = {"file": "s", "blob": "c"}


def check_sas(call: Call, account: Account, needs: tuple[str, str], now: datetime) -> None:
    """Check a SAS; `needs` names permissions of which one will do, and a level: (s)ervice, (c)ontainer, (o)bject."""
    given = call.query
    if given.get("sv", "") < OLDEST or "si" in given or "sip" in given:
        raise build_authentication_refusal("This version, a stored policy or a range of addresses is not known here.")
    lines = list_account_fields(given, account) if "ss" in given else list_resource_fields(call, account)
    if not hmac.compare_digest(given["sig"].encode(), sign(account.key, "\n".join(lines)).encode()):
        raise build_authentication_refusal("Signature did not match.")
    if not parse_time(given.get("st")) <= now < parse_time(given.get("se")):
        raise build_authentication_refusal("Signature not valid in the specified time frame.")
    check_permissions(given, account, needs)
    if call.scheme not in given.get("spr", "https,http").split(","):
        raise Refusal(403, "AuthorizationProtocolMismatch", "This request is not authorized using this protocol.")


def list_account_fields(given: Mapping[str, str], account: Account) -> list[str]:
    return [{**given, "account": account.name}.get(name, "") for name in WHOLE]


def list_resource_fields(call: Call, account: Account) -> list[str]:
    """Return the signed fields of the called item, or of its whole share or container, as `sr` says."""
    whole = call.query.get("sr") == ROOTS[account.service]
    name = "/".join(call.parts[:1] if whole else call.parts)
    signed_values = {**call.query, "resource": f"/{account.service}/{account.name}/{name}"}
    return [signed_values.get(item, "") for item in FORM[account.service]]


def check_permissions(given: Mapping[str, str], account: Account, needs: tuple[str, str]) -> None:
    permissions, level = needs
    if "ss" in given and account.service[0] not in given["ss"]:
        raise build_permission_refusal("AuthorizationServiceMismatch", "service")
    opened = given.get("srt", "") if "ss" in given else "co" if given.get("sr") == ROOTS[account.service] else "o"
    if level not in opened:
        raise build_permission_refusal("AuthorizationResourceTypeMismatch", "resource type")
    if not set(permissions) & set(given.get("sp", "")):
        raise build_permission_refusal("AuthorizationPermissionMismatch", "permission")


def build_permission_refusal(code: str, what: str) -> Refusal:
    return Refusal(403, code, f"This request is not authorized to perform this operation using this {what}.")


def parse_time(text: str | None) -> datetime:
    """Return a time, or the earliest one if there is none."""
    try:
        moment = datetime.fromisoformat(text) if text else datetime.min
    except ValueError:
        raise build_authentication_refusal("A time of the signature cannot be read.") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
