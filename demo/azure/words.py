"""What the two services share: a call, a refusal, and what is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

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
