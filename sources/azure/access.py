"""Settings in, an account and what opens it out; then a call in, what signs it out. Nothing here is sent."""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from sources.rest.addresses import checked

Parameters: TypeAlias = Sequence[tuple[str, str]]
VERSION = "2023-11-03"
"""Of Azure's protocol, and of the signatures made here."""
ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
ROOTS = {"file": "share", "blob": "container"}
"""What each service calls what it keeps files in."""
ROOT = re.compile(r"[a-z0-9$][a-z0-9-]{1,62}")
NO_ADDRESS = re.compile(r"^$|(?:^|/)\.{1,2}(?:/|$)|[\ud800-\udfff]")
"""Of such an id the url would lead elsewhere, or be none."""
STANDARD = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
"""What is signed of the headers that are not Azure's own."""
LONGEST_SECONDS = 300
"""How long an address that we give out may open its file."""


class Settings(Protocol):
    """What both kinds of sources are told of their account."""

    @property
    def account(self) -> str: ...
    @property
    def access_key(self) -> str | None: ...
    @property
    def sas_token(self) -> str | None: ...
    @property
    def base_url(self) -> str | None: ...
    @property
    def private_addresses(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One account's `service`, `file` or `blob`, and in it the one `root`, a share or container, that is read."""

    service: str
    account: str
    root: str
    base_url: str
    key: bytes | None = field(default=None, repr=False)
    sas: Parameters = field(default=(), repr=False)

    def path(self, id: str | None = None) -> str:
        """Of the root, or of what is called `id` in it, as it stands in the url."""
        parts = (self.root,) if id is None else (self.root, *id.split("/"))
        return self.under("/".join(quote(part, safe="") for part in parts))

    def under(self, path: str) -> str:
        return f"{urlsplit(self.base_url).path}/{path}"

    def url(self, path: str, parameters: Parameters) -> str:
        return f"{self.origin}{path}?{query((*parameters, *self.sas))}"

    @property
    def origin(self) -> str:
        return self.base_url.removesuffix(urlsplit(self.base_url).path)

    def named(self, id: str) -> str:
        """The whole url of a file, for Azure itself to read."""
        return f"{self.origin}{self.path(id)}{'?' if self.sas else ''}{query(self.sas)}"

    def signed(
        self, path: str, parameters: Parameters, headers: Mapping[str, str], verb: str = "GET"
    ) -> Mapping[str, str]:
        """The headers with the key's signature of them, and of the rest; a SAS stands in the url instead."""
        if self.key is None:
            return headers
        said = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
        plain = "\n".join(headers.get(name, "") for name in STANDARD)
        asked = "".join(f"\n{name}:{value}" for name, value in sorted(parameters))
        signature = sign(self.key, f"{verb}\n{plain}\n{said}/{self.account}{path}{asked}")
        return {**headers, "authorization": f"SharedKey {self.account}:{signature}"}

    def download_url(self, id: str, seconds: int, now: datetime) -> str | None:
        """An address to read this one file by, for at most LONGEST_SECONDS; None: there is no key to sign it with.

        A SAS of the settings may open more than the file, so it is never given out.
        """
        return self.opened(id, "r", now + timedelta(seconds=min(seconds, LONGEST_SECONDS)))

    def opened(self, id: str, permissions: str, expires: datetime) -> str | None:
        """`permissions`: what it opens the file for, in Azure's letters."""
        if self.key is None or not addressable(id):
            return None
        given = {
            "sp": permissions,
            "se": f"{expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "sv": VERSION,
            "sr": self.service[0],
        }
        if self.base_url.startswith("https:"):
            given["spr"] = "https"
        resource = f"/{self.service}/{self.account}/{self.root}/{id}"
        given["sig"] = sign(self.key, "\n".join(FORM[self.service](given, resource)))
        return f"{self.origin}{self.path(id)}?{query(tuple(given.items()))}"


def _file(given: Mapping[str, str], resource: str) -> tuple[str, ...]:
    return given["sp"], "", given["se"], resource, "", "", given.get("spr", ""), given["sv"], *[""] * 5


def _blob(given: Mapping[str, str], resource: str) -> tuple[str, ...]:
    return (*_file(given, resource)[:8], given["sr"], *[""] * 7)


FORM = {"file": _file, "blob": _blob}
"""What a SAS's signature is of, line by line."""


def sign(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def addressable(id: str) -> bool:
    return NO_ADDRESS.search(id) is None


def query(parameters: Parameters) -> str:
    return urlencode(parameters, quote_via=quote, safe="")


def access(service: str, root: str, settings: Settings) -> Access:
    """Without a url, in Azure's public cloud. ValueError: what cannot be, of the settings."""
    if not ACCOUNT.fullmatch(settings.account):
        raise ValueError("`account` must be 3 to 24 small letters and digits")
    if not ROOT.fullmatch(root):
        raise ValueError(f"`{ROOTS[service]}` must be small letters, digits and `-`")
    if (settings.access_key is None) == (settings.sas_token is None):
        raise ValueError("give either `access_key` or `sas_token`")
    url = settings.base_url or f"https://{settings.account}.{service}.core.windows.net"
    return Access(
        service=service,
        account=settings.account,
        root=root,
        base_url=checked(url, private_addresses=settings.private_addresses),
        key=None if settings.access_key is None else decoded(settings.access_key),
        sas=() if settings.sas_token is None else token(settings.sas_token),
    )


def decoded(key: str) -> bytes:
    try:
        return b64decode(key, validate=True)
    except NotBase64:
        raise ValueError("`access_key` must be a key of the account, which is base64") from None


def token(sas: str) -> Parameters:
    """A `+` is one of base64's: no token holds a space."""
    given = parse_qsl(sas.removeprefix("?").replace("+", "%2B"))
    if "sig" not in dict(given):
        raise ValueError("`sas_token` must be a token such as `sv=...&sp=rl&sig=...`")
    return tuple(given)
