"""Leases, ranges, signatures, errors."""

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
    """A call that Azure would answer with an error: a status, a code, and a sentence."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`path` as it stood in the url; `parts`: what comes after the account, decoded; headers by names in lower case."""

    method: str
    path: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    scheme: str

    @property
    def name(self) -> str:
        """Of what is called within its share or container."""
        return "/".join(self.parts[1:])


@dataclass(slots=True, kw_only=True)
class Kept:
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
    """A share, whose names are found however they are written, or a container: `kept` is by the name that finds."""

    top: Kept
    kept: dict[str, Kept] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Account:
    """`service`: `file` or `blob`. `page`: the most entries one page of a listing holds."""

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


def root_of(account: Account, call: Call) -> Root:
    found = account.roots.get(call.parts[0])
    if found is None:
        kind = "share" if account.service == "file" else "container"
        raise Refusal(404, f"{kind.title()}NotFound", f"The specified {kind} does not exist.")
    return found


META = "x-ms-meta-"


def metadata(call: Call) -> dict[str, str]:
    return {name: value for name, value in call.headers.items() if name.startswith(META)}


def matched(call: Call, found: Kept | None) -> None:
    """Of a blob: who may only create one writes over none."""
    if found is not None and "sig" in call.query and "w" not in call.query.get("sp", "") and call.method == "PUT":
        raise Refusal(403, "UnauthorizedBlobOverwrite", "This request is not authorized to perform blob overwrites.")
    if call.headers.get("if-none-match") == "*" and found is not None:
        raise Refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
    wanted = call.headers.get("if-match")
    if wanted is not None and (found is None or wanted.strip('"') != found.etag):
        raise Refusal(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


def origin(call: Call, account: Account) -> Kept:
    """What a copy is made of, in this same account. Raises Refusal."""
    parts = [unquote(each) for each in urlsplit(call.headers["x-ms-copy-source"]).path.split("/")[1:]]
    root = account.roots.get(parts[1]) if parts[0] == account.name and len(parts) > 2 else None
    name = "/".join(parts[2:])
    found = None if root is None else root.kept.get(name.lower() if account.service == "file" else name)
    if found is None or found.body is None:
        raise Refusal(404, "CannotVerifyCopySource", "The specified resource does not exist.")
    wanted = call.headers.get("x-ms-source-if-match")
    if wanted is not None and wanted.strip('"') != found.etag:
        raise Refusal(412, "SourceConditionNotMet", "The source condition is not met.")
    return found


def copied(call: Call, account: Account, name: str) -> Kept:
    """With the metadata of the call where it says any, else with that of what it is a copy of."""
    source = origin(call, account)
    said = metadata(call) or dict(source.metadata)
    return Kept(name=name, body=bytearray(source.body or b""), content_type=source.content_type, metadata=said)


def held(call: Call, found: Kept, header: str = "x-ms-lease-id") -> None:
    """Who writes to a file that is leased must say by which lease. Raises Refusal."""
    said = call.headers.get(header)
    if found.lease is None and said is not None:
        raise Refusal(412, "LeaseNotPresentWithFileOperation", "There is currently no lease on the file.")
    if found.lease is not None and said is None:
        raise Refusal(412, "LeaseIdMissing", "There is currently a lease on the file and no lease ID was specified.")
    if found.lease != said:
        raise Refusal(412, "LeaseIdMismatchWithFileOperation", "The lease ID did not match the lease on the file.")


def lease(call: Call, found: Kept) -> Reply:
    """Acquired without an end, released, or broken; the file is the same afterwards."""
    action, said = call.headers.get("x-ms-lease-action"), call.headers.get("x-ms-lease-id")
    if action == "acquire":
        wanted = str(UUID(call.headers.get("x-ms-proposed-lease-id", "")))
        if call.headers.get("x-ms-lease-duration") != "-1" or found.lease not in (None, wanted):
            raise Refusal(409, "LeaseAlreadyPresent", "There is already a lease present.")
        found.lease = wanted
        return Reply(status=201, headers={"x-ms-lease-id": wanted, **standing(found)})
    if action == "release" and found.lease != said:
        raise Refusal(409, "LeaseIdMismatchWithLeaseOperation", "The lease ID specified did not match the lease ID.")
    if action not in ("release", "break"):
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    found.lease = None
    return Reply(status=200 if action == "release" else 202, headers=standing(found))


def standing(found: Kept) -> dict[str, str]:
    now = datetime.now(UTC)
    return {"etag": f'"{found.etag}"', "date": f"{now:%a, %d %b %Y %H:%M:%S} GMT"}


RANGE = re.compile(r"bytes=(\d+)-(\d*)")

Extent: TypeAlias = tuple[int, int]
"""From, and up to, but without."""


def told(kept: Kept, **more: str) -> dict[str, str]:
    return {
        "last-modified": format_datetime(kept.modified, usegmt=True),
        "etag": f'"{kept.etag}"',
        **kept.metadata,
        **more,
    }


def served(call: Call, kept: Kept, **more: str) -> Reply:
    body = bytes(kept.body or b"")
    headers = told(kept, **more) | {"content-type": kept.content_type, "accept-ranges": "bytes"}
    if call.method == "HEAD":
        return Reply(headers=headers | {"content-length": str(len(body))})
    extent = asked(call)
    if extent is None:
        return Reply(headers=headers, body=body)
    start, end = extent
    if start >= len(body):
        raise Refusal(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    part = body[start:end]
    headers["content-range"] = f"bytes {start}-{start + len(part) - 1}/{len(body)}"
    return Reply(status=206, headers=headers, body=part)


def asked(call: Call) -> Extent | None:
    text = call.headers.get("x-ms-range") or call.headers.get("range")
    if text is None:
        return None
    found = RANGE.fullmatch(text)
    if found is None:
        raise Refusal(400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format.")
    return int(found[1]), int(found[2]) + 1 if found[2] else 2**63


def changed(kept: Kept) -> None:
    kept.etag = f"0x{next(ETAGS):X}"
    kept.modified = datetime.now(UTC).replace(microsecond=0)


HEADERS = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip

SKEW = timedelta(minutes=15)


def check(call: Call, account: Account, now: datetime) -> None:
    scheme, _, credential = call.headers["authorization"].partition(" ")
    name, _, signature = credential.partition(":")
    if scheme != "SharedKey" or name != account.name:
        raise failed("The scheme or the account of the Authorization header is not known.")
    if not timely(call.headers, now):
        raise failed("Request date header too old.")
    if not hmac.compare_digest(signature.encode(), sign(account.key, signed_text(call, account)).encode()):
        raise failed("The MAC signature found in the HTTP request is not the same as any computed signature.")


def signed_text(call: Call, account: Account) -> str:
    """Azure's form: the verb, some headers, those of its own, then the resource and the query."""
    said = {name: call.headers.get(name, "") for name in HEADERS}
    if said["content-length"] == "0":
        said["content-length"] = ""
    if "x-ms-date" in call.headers:
        said["date"] = ""
    own = sorted((name for name in call.headers if name.startswith("x-ms-")), key=lambda name: name.replace("-", ""))
    lines = [call.method, *said.values(), *(f"{name}:{call.headers[name].strip()}" for name in own)]
    asked = [f"\n{name.lower()}:{value}" for name, value in sorted(call.query.items())]
    return "\n".join([*lines, f"/{account.name}{call.path}"]) + "".join(asked)


def timely(headers: Mapping[str, str], now: datetime) -> bool:
    try:
        said = parsedate_to_datetime(headers.get("x-ms-date") or headers.get("date") or "")
    except ValueError:
        return False
    return abs(now - said.astimezone(UTC)) <= SKEW


def sign(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def failed(detail: str) -> Refusal:
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


def shared_check(call: Call, account: Account, needs: tuple[str, str], now: datetime) -> None:
    """`needs`: the permissions of which one will do, and what is called: a (s)ervice, a (c)ontainer or an (o)bject."""
    given = call.query
    if given.get("sv", "") < OLDEST or "si" in given or "sip" in given:
        raise failed("This version, a stored policy or a range of addresses is not known here.")
    lines = of_account(given, account) if "ss" in given else of_resource(call, account)
    if not hmac.compare_digest(given["sig"].encode(), sign(account.key, "\n".join(lines)).encode()):
        raise failed("Signature did not match.")
    if not instant(given.get("st")) <= now < instant(given.get("se")):
        raise failed("Signature not valid in the specified time frame.")
    covers(given, account, needs)
    if call.scheme not in given.get("spr", "https,http").split(","):
        raise Refusal(403, "AuthorizationProtocolMismatch", "This request is not authorized using this protocol.")


def of_account(given: Mapping[str, str], account: Account) -> list[str]:
    return [{**given, "account": account.name}.get(name, "") for name in WHOLE]


def of_resource(call: Call, account: Account) -> list[str]:
    """The resource is the one called, or its whole share or container, as `sr` says."""
    whole = call.query.get("sr") == ROOTS[account.service]
    name = "/".join(call.parts[:1] if whole else call.parts)
    said = {**call.query, "resource": f"/{account.service}/{account.name}/{name}"}
    return [said.get(each, "") for each in FORM[account.service]]


def covers(given: Mapping[str, str], account: Account, needs: tuple[str, str]) -> None:
    permissions, level = needs
    if "ss" in given and account.service[0] not in given["ss"]:
        raise refused("AuthorizationServiceMismatch", "service")
    opened = given.get("srt", "") if "ss" in given else "co" if given.get("sr") == ROOTS[account.service] else "o"
    if level not in opened:
        raise refused("AuthorizationResourceTypeMismatch", "resource type")
    if not set(permissions) & set(given.get("sp", "")):
        raise refused("AuthorizationPermissionMismatch", "permission")


def refused(code: str, what: str) -> Refusal:
    return Refusal(403, code, f"This request is not authorized to perform this operation using this {what}.")


def instant(text: str | None) -> datetime:
    """The beginning of all times, where none is said."""
    try:
        found = datetime.fromisoformat(text) if text else datetime.min
    except ValueError:
        raise failed("A time of the signature cannot be read.") from None
    return found.replace(tzinfo=found.tzinfo or UTC)
