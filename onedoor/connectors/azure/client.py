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
"""The version of Azure's protocol, and of the signatures made here."""

ACCOUNT_NAME_PATTERN = re.compile(r"[a-z0-9]{3,24}")

ROOT_SETTING_NAMES = {"file": "share", "blob": "container"}
"""By service, the setting that names what holds its files."""

ROOT_NAME_PATTERN = re.compile(r"[a-z0-9$][a-z0-9-]{1,62}")

UNADDRESSABLE_PATH_PATTERN = re.compile(r"^$|(?:^|/)\.{1,2}(?:/|$)|[\ud800-\udfff]")
"""Ids whose URL would lead elsewhere, or be none."""

SIGNED_HEADERS = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
"""The headers that are signed besides Azure's own, in the order in which they are signed."""

DOWNLOAD_URL_MAX_SECONDS = 300
"""Seconds for which a download URL is valid at most."""


class AzureAccountSettings(Protocol):
    """The settings of an account."""

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
    """One service of an account, `file` or `blob`, and the one share or container in it that is read: its `root`."""

    service: str
    account: str
    root: str
    base_url: str
    account_key: bytes | None = field(default=None, repr=False)
    sas_parameters: QueryParameters = field(default=(), repr=False)

    def build_path(self, id: str | None = None) -> str:
        """Return the URL path of the root, or of a file or directory in it."""
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
        """Return the whole URL of a file, for Azure itself to read."""
        return (
            f"{self.origin}{self.build_path(id)}{'?' if self.sas_parameters else ''}{encode_query(self.sas_parameters)}"
        )

    def sign_headers(
        self, path: str, parameters: QueryParameters, headers: Mapping[str, str], method: str = "GET"
    ) -> Mapping[str, str]:
        """Return the headers with a signature of the whole call; with a SAS they stay, as it is part of the URL."""
        if self.account_key is None:
            return headers
        own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
        standard = "\n".join(headers.get(name, "") for name in SIGNED_HEADERS)
        query = "".join(f"\n{name}:{value}" for name, value in sorted(parameters))
        signature = sign(self.account_key, f"{method}\n{standard}\n{own}/{self.account}{path}{query}")
        return {**headers, "authorization": f"SharedKey {self.account}:{signature}"}

    def build_download_url(self, id: str, seconds: int, now: datetime) -> str | None:
        """Return a URL that reads this one file, or None without a key to sign it with.

        A SAS of the settings may open more than the file, so it is never given out.
        """
        return self.build_sas_url(id, "r", now + timedelta(seconds=min(seconds, DOWNLOAD_URL_MAX_SECONDS)))

    def build_sas_url(self, id: str, permissions: str, expires: datetime) -> str | None:
        """Return a URL for one file, with permissions in Azure's letters, or None without a key to sign it with."""
        if self.account_key is None or not is_addressable(id):
            return None
        fields = {
            "sp": permissions,
            "se": f"{expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "sv": API_VERSION,
            "sr": self.service[0],
        }
        if self.base_url.startswith("https:"):
            fields["spr"] = "https"
        resource = f"/{self.service}/{self.account}/{self.root}/{id}"
        fields["sig"] = sign(self.account_key, "\n".join(SAS_SIGNATURE_FIELDS[self.service](fields, resource)))
        return f"{self.origin}{self.build_path(id)}?{encode_query(tuple(fields.items()))}"


def _list_file_sas_fields(fields: Mapping[str, str], resource: str) -> tuple[str, ...]:
    return fields["sp"], "", fields["se"], resource, "", "", fields.get("spr", ""), fields["sv"], *[""] * 5


def _list_blob_sas_fields(fields: Mapping[str, str], resource: str) -> tuple[str, ...]:
    return (*_list_file_sas_fields(fields, resource)[:8], fields["sr"], *[""] * 7)


SAS_SIGNATURE_FIELDS = {"file": _list_file_sas_fields, "blob": _list_blob_sas_fields}
"""By service, the lines that the signature of a SAS covers."""


def sign(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def is_addressable(id: str) -> bool:
    return UNADDRESSABLE_PATH_PATTERN.search(id) is None


def encode_query(parameters: QueryParameters) -> str:
    return urlencode(parameters, quote_via=quote, safe="")


def build_account(service: str, root: str, settings: AzureAccountSettings) -> AzureAccount:
    """Build an account, in Azure's public cloud without a URL. Raises ValueError for settings that cannot be."""
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
    """Read a SAS, in which a `+` is a character of base64, as no token holds a space."""
    parameters = parse_qsl(sas.removeprefix("?").replace("+", "%2B"))
    if "sig" not in dict(parameters):
        raise ValueError("`sas_token` must be a token such as `sv=...&sp=rl&sig=...`")
    return tuple(parameters)


MIME_TYPES = MimeTypes()
"""Python's own list, the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureEntry:
    """A file, or a directory or share, which has no size.

    `path` is where it is in its root; `quota` is how many GiB a share may hold.
    """

    path: str
    size: int | None
    content_type: str | None
    modified: datetime
    version: str
    quota: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureListingPage:
    """One page of a listing; `marker` is where the next page begins, and empty after the last."""

    files: tuple[AzureEntry, ...] = ()
    directories: tuple[AzureEntry, ...] = ()
    marker: str = ""


EMPTY_PAGE = AzureListingPage()


def parse_blobs(listing: Element) -> AzureListingPage:
    files = [parse_entry(blob, "", content_type=None) for blob in listing.iterfind("Blobs/Blob")]
    return AzureListingPage(files=tuple(files), marker=parse_next_marker(listing))


def parse_directory(listing: Element, parent_path: str) -> AzureListingPage:
    """Read a directory, whose path ends with `/` or is empty; media types are guessed, as the listing has none."""
    files = [
        parse_entry(file, parent_path, content_type=MIME_TYPES.guess_type(parse_name(file))[0])
        for file in listing.iterfind("Entries/File")
        if not parse_name(file).startswith(HIDDEN_PREFIX)
    ]
    directories = [
        parse_entry(directory, parent_path, content_type=None) for directory in listing.iterfind("Entries/Directory")
    ]
    return AzureListingPage(files=tuple(files), directories=tuple(directories), marker=parse_next_marker(listing))


def parse_shares(listing: Element) -> AzureListingPage:
    shares = [parse_entry(share, "", content_type=None) for share in listing.iterfind("Shares/Share")]
    return AzureListingPage(directories=tuple(shares), marker=parse_next_marker(listing))


def parse_entry(element: Element, parent_path: str, *, content_type: str | None) -> AzureEntry:
    """Read the properties of an entry. Raises KeyError and ValueError for one that is missing or unreadable."""
    properties = {node.tag: node.text or "" for node in element.iterfind("Properties/*")}
    return AzureEntry(
        path=parent_path + parse_name(element),
        size=int(properties["Content-Length"]) if "Content-Length" in properties else None,
        content_type=properties.get("Content-Type") or content_type,
        modified=parsedate_to_datetime(properties["Last-Modified"]).astimezone(UTC),
        version=properties["Etag"].strip('"'),
        quota=int(properties["Quota"]) if "Quota" in properties else None,
    )


def parse_name(element: Element) -> str:
    """Read a name, which the listing marks as percent-encoded if XML cannot hold it. Raises ValueError."""
    name = element.find("Name")
    if name is None or not name.text:
        raise ValueError("no name")
    return unquote(name.text, errors="strict") if name.get("Encoded") == "true" else name.text


def parse_file_headers(path: str, headers: Mapping[str, str]) -> AzureEntry:
    """Read a file from the headers of its own. Raises KeyError and ValueError for one that is missing or unreadable."""
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
"""Azure's codes for a directory that is no longer there; those for a share or container are others."""


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
    """Refuse document types: Azure's listings have none, and entities could make a listing grow without end."""

    def doctype(self, *_: object) -> None:
        raise ValueError("a declaration")


def map_error_response(response: ClientResponse, service: str) -> ConnectorError:
    """Map the status of a response. Azure refuses a wrong key and a wrong clock alike, but it says what time it is."""
    if response.status in CREDENTIAL_STATUSES and is_clock_skewed(response.headers.get("date")):
        return ConnectorError(f"{SERVICE_NAMES[service]} refused the call: {CLOCK_SKEW_MESSAGE}")
    return map_azure_status(response.status, read_error_code(response), service)


def parse_listing(page: bytes) -> Element:
    """Parse a page. Raises ValueError or SyntaxError for other XML, which would else count as an empty listing."""
    parser = XMLParser(target=ListingTreeBuilder())
    parser.feed(page)
    root: Element = parser.close()
    if root.tag != "EnumerationResults":
        raise ValueError("no listing")
    return root


def has_range_from(response: ClientResponse, start: int) -> bool:
    """Tell whether a response begins at `start`; a server that knows no ranges sends the whole file."""
    if response.status == PARTIAL:
        return response.headers.get("content-range", "").startswith(f"bytes {start}-")
    return response.status == OK and start == 0


def read_error_code(response: ClientResponse) -> str:
    return response.headers.get("x-ms-error-code", "")
