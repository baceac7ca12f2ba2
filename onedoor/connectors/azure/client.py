"""Call Azure Files and Azure Blob Storage: sign requests, read listings and ranges, map their errors."""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from mimetypes import MimeTypes
from typing import Protocol, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from xml.etree.ElementTree import Element, TreeBuilder, XMLParser

from aiohttp import ClientResponse
from yarl import URL

from onedoor.connectors.files.model import HIDDEN_PREFIX
from onedoor.connectors.http_client import (
    CLOCK_SKEW_MESSAGE,
    OVERLOADED,
    BoundedHttpClient,
    HttpLimits,
    HttpService,
    build_unreadable_response_error,
    is_clock_skewed,
    map_http_error,
    read_prefix,
)
from onedoor.connectors.public_addresses import check_base_url
from onedoor.errors import ConnectorError

QueryParameters: TypeAlias = Sequence[tuple[str, str]]

API_VERSION = "2023-11-03"
"""Of Azure's protocol, and of the signatures made here."""

ACCOUNT_NAME_PATTERN = re.compile(r"[a-z0-9]{3,24}")

ROOT_SETTING_NAMES = {"file": "share", "blob": "container"}
"""What each service calls what it keeps files in."""

ROOT_NAME_PATTERN = re.compile(r"[a-z0-9$][a-z0-9-]{1,62}")

UNADDRESSABLE_PATH_PATTERN = re.compile(r"^$|(?:^|/)\.{1,2}(?:/|$)|[\ud800-\udfff]")
"""Of such an id the url would lead elsewhere, or be none."""

SIGNED_HEADERS = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
"""What is signed of the headers that are not Azure's own."""

DOWNLOAD_URL_MAX_SECONDS = 300
"""How long an address that we give out may open its file."""


class AzureAccountSettings(Protocol):
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
class AzureAccount:
    """One account's `service`, `file` or `blob`, and in it the one `root`, a share or container, that is read."""

    service: str
    account: str
    root: str
    base_url: str
    account_key: bytes | None = field(default=None, repr=False)
    sas_parameters: QueryParameters = field(default=(), repr=False)

    def build_path(self, id: str | None = None) -> str:
        """Of the root, or of what is called `id` in it, as it stands in the url."""
        parts = (self.root,) if id is None else (self.root, *id.split("/"))
        return self.build_path_under("/".join(quote(part, safe="") for part in parts))

    def build_path_under(self, path: str) -> str:
        return f"{urlsplit(self.base_url).path}/{path}"

    def build_url(self, path: str, parameters: QueryParameters) -> str:
        return f"{self.origin}{path}?{encode_query((*parameters, *self.sas_parameters))}"

    @property
    def origin(self) -> str:
        return self.base_url.removesuffix(urlsplit(self.base_url).path)

    def build_file_url(self, id: str) -> str:
        """The whole url of a file, for Azure itself to read."""
        return (
            f"{self.origin}{self.build_path(id)}{'?' if self.sas_parameters else ''}{encode_query(self.sas_parameters)}"
        )

    def sign_headers(
        self, path: str, parameters: QueryParameters, headers: Mapping[str, str], method: str = "GET"
    ) -> Mapping[str, str]:
        """The headers with the key's signature of them, and of the rest; a SAS stands in the url instead."""
        if self.account_key is None:
            return headers
        said = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
        plain = "\n".join(headers.get(name, "") for name in SIGNED_HEADERS)
        asked = "".join(f"\n{name}:{value}" for name, value in sorted(parameters))
        signature = sign(self.account_key, f"{method}\n{plain}\n{said}/{self.account}{path}{asked}")
        return {**headers, "authorization": f"SharedKey {self.account}:{signature}"}

    def build_download_url(self, id: str, seconds: int, now: datetime) -> str | None:
        """An address to read this one file by, for at most LONGEST_SECONDS; None: there is no key to sign it with.

        A SAS of the settings may open more than the file, so it is never given out.
        """
        return self.build_sas_url(id, "r", now + timedelta(seconds=min(seconds, DOWNLOAD_URL_MAX_SECONDS)))

    def build_sas_url(self, id: str, permissions: str, expires: datetime) -> str | None:
        """`permissions`: what it opens the file for, in Azure's letters."""
        if self.account_key is None or not is_addressable(id):
            return None
        given = {
            "sp": permissions,
            "se": f"{expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "sv": API_VERSION,
            "sr": self.service[0],
        }
        if self.base_url.startswith("https:"):
            given["spr"] = "https"
        resource = f"/{self.service}/{self.account}/{self.root}/{id}"
        given["sig"] = sign(self.account_key, "\n".join(SAS_SIGNATURE_FIELDS[self.service](given, resource)))
        return f"{self.origin}{self.build_path(id)}?{encode_query(tuple(given.items()))}"


def _list_file_sas_fields(given: Mapping[str, str], resource: str) -> tuple[str, ...]:
    return given["sp"], "", given["se"], resource, "", "", given.get("spr", ""), given["sv"], *[""] * 5


def _list_blob_sas_fields(given: Mapping[str, str], resource: str) -> tuple[str, ...]:
    return (*_list_file_sas_fields(given, resource)[:8], given["sr"], *[""] * 7)


SAS_SIGNATURE_FIELDS = {"file": _list_file_sas_fields, "blob": _list_blob_sas_fields}
"""What a SAS's signature is of, line by line."""


def sign(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def is_addressable(id: str) -> bool:
    return UNADDRESSABLE_PATH_PATTERN.search(id) is None


def encode_query(parameters: QueryParameters) -> str:
    return urlencode(parameters, quote_via=quote, safe="")


def build_account(service: str, root: str, settings: AzureAccountSettings) -> AzureAccount:
    """Without a url, in Azure's public cloud. ValueError: what cannot be, of the settings."""
    if not ACCOUNT_NAME_PATTERN.fullmatch(settings.account):
        raise ValueError("`account` must be 3 to 24 small letters and digits")
    if not ROOT_NAME_PATTERN.fullmatch(root):
        raise ValueError(f"`{ROOT_SETTING_NAMES[service]}` must be small letters, digits and `-`")
    if (settings.access_key is None) == (settings.sas_token is None):
        raise ValueError("give either `access_key` or `sas_token`")
    url = settings.base_url or f"https://{settings.account}.{service}.core.windows.net"
    return AzureAccount(
        service=service,
        account=settings.account,
        root=root,
        base_url=check_base_url(url, private_addresses=settings.private_addresses),
        account_key=None if settings.access_key is None else decode_account_key(settings.access_key),
        sas_parameters=() if settings.sas_token is None else parse_sas_token(settings.sas_token),
    )


def decode_account_key(key: str) -> bytes:
    try:
        return b64decode(key, validate=True)
    except NotBase64:
        raise ValueError("`access_key` must be a key of the account, which is base64") from None


def parse_sas_token(sas: str) -> QueryParameters:
    """A `+` is one of base64's: no token holds a space."""
    given = parse_qsl(sas.removeprefix("?").replace("+", "%2B"))
    if "sig" not in dict(given):
        raise ValueError("`sas_token` must be a token such as `sv=...&sp=rl&sig=...`")
    return tuple(given)


MIME_TYPES = MimeTypes()
"""Python's own list, the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureEntry:
    """A file, or a directory or share, which has no size: `path` is where it is in its root."""

    path: str
    size: int | None
    content_type: str | None
    modified: datetime
    version: str
    quota: int | None
    """How many GiB a share may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureListingPage:
    """`marker`: where the next page begins, empty after the last."""

    files: tuple[AzureEntry, ...] = ()
    directories: tuple[AzureEntry, ...] = ()
    marker: str = ""


EMPTY_PAGE = AzureListingPage()


def parse_blobs(listing: Element) -> AzureListingPage:
    found = [parse_entry(each, "", content_type=None) for each in listing.iterfind("Blobs/Blob")]
    return AzureListingPage(files=tuple(found), marker=parse_next_marker(listing))


def parse_directory(listing: Element, parent_path: str) -> AzureListingPage:
    """`within` ends with `/`, or is empty. A file's content type is guessed: Azure's listing does not tell it."""
    shown = [each for each in listing.iterfind("Entries/File") if not parse_name(each).startswith(HIDDEN_PREFIX)]
    files = [parse_entry(each, parent_path, content_type=MIME_TYPES.guess_type(parse_name(each))[0]) for each in shown]
    directories = [parse_entry(each, parent_path, content_type=None) for each in listing.iterfind("Entries/Directory")]
    return AzureListingPage(files=tuple(files), directories=tuple(directories), marker=parse_next_marker(listing))


def parse_shares(listing: Element) -> AzureListingPage:
    found = [parse_entry(each, "", content_type=None) for each in listing.iterfind("Shares/Share")]
    return AzureListingPage(directories=tuple(found), marker=parse_next_marker(listing))


def parse_entry(element: Element, parent_path: str, *, content_type: str | None) -> AzureEntry:
    """Raises KeyError, ValueError where what must be said is not."""
    said = {each.tag: each.text or "" for each in element.iterfind("Properties/*")}
    return AzureEntry(
        path=parent_path + parse_name(element),
        size=int(said["Content-Length"]) if "Content-Length" in said else None,
        content_type=said.get("Content-Type") or content_type,
        modified=parsedate_to_datetime(said["Last-Modified"]).astimezone(UTC),
        version=said["Etag"].strip('"'),
        quota=int(said["Quota"]) if "Quota" in said else None,
    )


def parse_name(element: Element) -> str:
    """What XML cannot hold stands percent-encoded, and the listing says so. Raises ValueError."""
    found = element.find("Name")
    if found is None or not found.text:
        raise ValueError("no name")
    return unquote(found.text, errors="strict") if found.get("Encoded") == "true" else found.text


def parse_file_headers(path: str, headers: Mapping[str, str]) -> AzureEntry:
    """A file as its own headers tell it. Raises KeyError, ValueError where what must be said is not."""
    return AzureEntry(
        path=path,
        size=int(headers["content-length"]),
        content_type=headers.get("content-type"),
        modified=parsedate_to_datetime(headers["last-modified"]).astimezone(UTC),
        version=headers["etag"].strip('"'),
        quota=None,
    )


def parse_next_marker(listing: Element) -> str:
    return listing.findtext("NextMarker") or ""


SERVICE_NAMES = {"file": "azure files", "blob": "azure blob storage"}

SERVICES = {service: HttpService(name=name, status_errors={503: OVERLOADED}) for service, name in SERVICE_NAMES.items()}

NOT_FOUND, RANGE_NOT_SATISFIABLE, TOO_MANY_REQUESTS = 404, 416, 429

CREDENTIAL_STATUSES = frozenset({401, 403})

MISSING_RESOURCE_NAMES = {
    "ShareNotFound": "share",
    "ContainerNotFound": "container",
    "ResourceNotFound": "file",
    "ParentNotFound": "file",
    "BlobNotFound": "file",
}

ERROR_CODE_PATTERN = re.compile(r"[A-Za-z]{1,60}")
"""The form of Azure's own error codes; anything else is not passed on."""


def map_azure_status(status: int, code: str, service: str) -> ConnectorError:
    """Map a status that is no success, and the code that Azure gave with it, if any."""
    is_refusal = status // 100 == 4 and status not in CREDENTIAL_STATUSES and status != TOO_MANY_REQUESTS
    if is_refusal and code in MISSING_RESOURCE_NAMES:
        return ConnectorError(f"{SERVICE_NAMES[service]} has no such {MISSING_RESOURCE_NAMES[code]}")
    error_name = code if ERROR_CODE_PATTERN.fullmatch(code) else None
    return map_http_error(status, SERVICES[service], error_name=error_name)


def build_unreadable_error(service: str) -> ConnectorError:
    return build_unreadable_response_error(SERVICES[service])


OK, PARTIAL = 200, 206

MISSING_DIRECTORY_CODES = frozenset({"ResourceNotFound", "ParentNotFound"})
"""What Azure says of a directory that is no longer there; of a share or container it says something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureCallLimits:
    """`timeout`: seconds of one call. `max_concurrency`: calls at a time. `max_page_bytes`: of a listing's page."""

    timeout: float
    max_concurrency: int
    max_page_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureResponse:
    """A response whose body does not matter."""

    status: int
    error_code: str
    headers: Mapping[str, str]


class AzureClient:
    """Call one account."""

    def __init__(self, account: AzureAccount, limits: AzureCallLimits, *, private_addresses: bool) -> None:
        self.account = account
        self.limits = limits
        http_limits = HttpLimits(
            timeout=limits.timeout,
            max_concurrency=limits.max_concurrency,
            max_response_bytes=limits.max_page_bytes,
            private_addresses=private_addresses,
        )
        headers = {"accept": "application/xml", "accept-encoding": "identity"}
        self.http = BoundedHttpClient(http_limits, SERVICES[account.service], headers=headers)
        self.session = self.http.session

    async def list_page(
        self, path: str, parse: Callable[[Element], AzureListingPage], **parameters: str
    ) -> AzureListingPage:
        """Parse one page of a listing; it is empty if the directory is not there. Raises ConnectorError.

        A parameter without a value is left out.
        """
        query = [("comp", "list"), *((name, value) for name, value in parameters.items() if value)]
        async with self.open_response(path, query, {}) as response:
            if response.status == OK:
                return parse(parse_listing(await self.http.read_body(response)))
            if read_error_code(response) in MISSING_DIRECTORY_CODES:
                return EMPTY_PAGE
            raise map_error_response(response, self.account.service)

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        """Read at most `length` bytes from `start` on. Raises ConnectorError."""
        if not is_addressable(id):
            raise map_azure_status(NOT_FOUND, "ResourceNotFound", self.account.service)
        if length < 1:
            return b""
        headers = {"x-ms-range": f"bytes={start}-{start + length - 1}"}
        async with self.open_response(self.account.build_path(id), (), headers) as response:
            if response.status == RANGE_NOT_SATISFIABLE:
                return b""
            if has_range_from(response, start):
                return await read_prefix(response, length)
            if response.status < 300:
                raise build_unreadable_error(self.account.service)
            raise map_error_response(response, self.account.service)

    async def send(
        self, method: str, id: str, headers: Mapping[str, str], data: bytes = b"", **parameters: str
    ) -> AzureResponse:
        """Write to a file, or look at its headers. Raises ConnectorError."""
        length = {"content-length": str(len(data))} if data else {}
        path, query = self.account.build_path(id), tuple(parameters.items())
        async with self.open_response(path, query, {**headers, **length}, method, data) as response:
            return AzureResponse(status=response.status, error_code=read_error_code(response), headers=response.headers)

    @asynccontextmanager
    async def open_response(
        self, path: str, parameters: QueryParameters, headers: Mapping[str, str], method: str = "GET", data: bytes = b""
    ) -> AsyncIterator[ClientResponse]:
        """Sign and send a request. Raises ConnectorError, and nothing else, until the response is closed."""
        url = URL(self.account.build_url(path, parameters), encoded=True)
        azure_headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": API_VERSION, **headers}
        signed = self.account.sign_headers(path, parameters, azure_headers, method)
        async with self.http.open_response(
            method, url, headers=signed, data=data or None, skip_auto_headers=("content-type",)
        ) as response:
            yield response


class ListingTreeBuilder(TreeBuilder):
    """Azure's listings declare nothing, so nothing in them can be made to grow."""

    def doctype(self, *_: object) -> None:
        raise ValueError("a declaration")


def map_error_response(response: ClientResponse, service: str) -> ConnectorError:
    """Map the status of a response. Azure refuses a wrong key and a wrong clock alike, but it says what time it is."""
    if response.status in CREDENTIAL_STATUSES and is_clock_skewed(response.headers.get("date")):
        return ConnectorError(f"{SERVICE_NAMES[service]} refused the call: {CLOCK_SKEW_MESSAGE}")
    return map_azure_status(response.status, read_error_code(response), service)


def parse_listing(page: bytes) -> Element:
    """ValueError, SyntaxError: it is no listing; any XML would else count as an empty one."""
    parser = XMLParser(target=ListingTreeBuilder())
    parser.feed(page)
    root: Element = parser.close()
    if root.tag != "EnumerationResults":
        raise ValueError("no listing")
    return root


def has_range_from(response: ClientResponse, start: int) -> bool:
    """Whether the octets from `start` on are what comes; who knows no ranges sends them all."""
    if response.status == PARTIAL:
        return response.headers.get("content-range", "").startswith(f"bytes {start}-")
    return response.status == OK and start == 0


def read_error_code(response: ClientResponse) -> str:
    return response.headers.get("x-ms-error-code", "")
