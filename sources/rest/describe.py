"""An OpenAPI description in, from a file or from a host that is listed: its tables and its settings out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from auth.mistake import Mistake
from engine.errors import SourceFailed
from introspect.words import Described, Reading
from sources.rest.addresses import PublicOnly, checked
from sources.rest.calls import body
from sources.rest.failures import OK, failed, refused
from sources.rest.openapi.collections import collections
from sources.rest.openapi.document import Document, document
from sources.rest.openapi.operations import chosen, counted, operations
from sources.rest.openapi.rows import Left
from sources.rest.openapi.tables import tables

DOCUMENT_MOST = 64 * 1024 * 1024
SECONDS = 30.0
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


async def described(place: str, reading: Reading) -> Described:
    """Raises Mistake where it cannot be read, or leads to a host that nobody listed."""
    found = document(await _text(place, reading))
    wanted = [each for each in operations(found, reading.given) if chosen(each, reading.only)]
    if not wanted:
        raise Mistake("the description has no operation that reads and is meant: see `--only`")
    made, left = collections(found, wanted)
    return Described(
        tables=tables(made),
        settings={"kind": "rest", "base_url": _base(found, place, reading), **_headers(found, reading)},
        told=(
            f"{counted(found)} operations, {len(wanted)} of them read and are meant: {len(made)} collections",
            *_left(left),
        ),
    )


def _left(left: Sequence[Left]) -> list[str]:
    return [f"left {count}: {why}" for why, count in Counter(each.why for each in left).most_common()]


async def _text(place: str, reading: Reading) -> bytes:
    if urlsplit(place).scheme in ("http", "https"):
        return await _fetched(place, reading)
    return _of_file(Path(place))


def _of_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > DOCUMENT_MOST:
            raise Mistake(f"the description is over the limit of {DOCUMENT_MOST} bytes")
        return path.read_bytes()
    except OSError as reason:
        raise Mistake(f"`{path.name}` cannot be read: {reason.strerror}") from None


async def _fetched(url: str, reading: Reading) -> bytes:
    """Of a host that is listed, at the address that was judged; a redirect is a refusal."""
    listed(url, reading)
    resolver = None if reading.private_addresses else PublicOnly()
    session = ClientSession(
        connector=TCPConnector(resolver=resolver), timeout=ClientTimeout(total=SECONDS), cookie_jar=DummyCookieJar(),
        auto_decompress=False, headers={"accept-encoding": "gzip"},
    )  # fmt: skip
    try:
        async with session, session.get(URL(url, encoded=True), allow_redirects=False) as response:
            if response.status != OK:
                raise refused(response.status)
            return await body(response, DOCUMENT_MOST)
    except SourceFailed as reason:
        raise Mistake(f"the description cannot be read: {reason.reason}") from None
    except Exception as reason:
        raise Mistake(f"the description cannot be read: {failed(reason, SECONDS).reason}") from None


def listed(url: str, reading: Reading) -> None:
    """Raises Mistake for a host that is not listed, and for one that could be in this network."""
    parts = urlsplit(url)
    try:
        checked(f"{parts.scheme}://{parts.netloc}{parts.path}", private_addresses=reading.private_addresses)
    except ValueError as reason:
        raise Mistake(str(reason).replace("`base_url`", "an address").replace("`private_addresses`", "`--private`")) \
            from None  # fmt: skip
    if parts.hostname not in reading.hosts:
        raise Mistake(f"the host `{parts.hostname}` is not listed: add `--host {parts.hostname}` if it is meant")


def _base(found: Document, place: str, reading: Reading) -> str:
    """As it was given; or where the description says, which is heard only of a file, or of a host that is listed."""
    if reading.base_url:
        return reading.base_url.rstrip("/")
    servers = found.root.get("servers")
    server = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], Mapping) else {}
    variables = server.get("variables") or {}
    url = str(server.get("url", ""))
    for name, each in variables.items() if isinstance(variables, Mapping) else ():
        url = url.replace(f"{{{name}}}", str(each.get("default", "")) if isinstance(each, Mapping) else "")
    remote = urlsplit(place).scheme in ("http", "https")
    url = urljoin(place, url) if remote else url
    if urlsplit(url).scheme not in ("http", "https"):
        raise Mistake("the description does not say where its API is: say it with `--base-url`")
    if remote:
        listed(url, reading)
    return url.rstrip("/")


def _headers(found: Document, reading: Reading) -> dict[str, str]:
    """The headers that carry credentials: those that were wished, and those that the description asks for."""
    components = found.root.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
    names = [*reading.headers]
    for each in map(found.found, schemes.values()) if isinstance(schemes, Mapping) else ():
        if each.get("type") == "apiKey" and each.get("in") == "header":
            names.append(str(each.get("name", "")))
        elif each.get("type") in ("http", "oauth2", "openIdConnect"):
            names.append("authorization")
    return {f"headers.{name}": "" for name in dict.fromkeys(each.lower() for each in names if HEADER.fullmatch(each))}
