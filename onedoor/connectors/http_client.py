"""An answer over HTTP, as a library reads it, comes in; it ends, in bytes and in seconds, and is asked for once."""

import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AddressFamily, inet_aton
from typing import Any
from urllib.parse import urlsplit

from aiohttp import (
    ClientHandlerType,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

RESPONSE_MAX_BYTES = 16 * 2**20
"""Bytes of one answer, unpacked."""


class ResponseTooLong(Exception):
    """An answer went on past its end."""


def read_bounded(chunks: Iterable[bytes], *, max_bytes: int, seconds: float) -> bytes:
    """All parts of an answer that a thread reads. Raises TooLong; a read of a part has its own timeout."""
    until, found, size = time.monotonic() + seconds, list[bytes](), 0
    for part in chunks:
        found.append(part)
        size += len(part)
        if size > max_bytes or time.monotonic() > until:
            raise ResponseTooLong
    return b"".join(found)


def build_http_session(
    *,
    timeout: float,
    max_connections: int,
    max_bytes: int = RESPONSE_MAX_BYTES,
    headers: Any = None,
    resolver: AbstractResolver | None = None,
    redirects: bool = True,
) -> ClientSession:
    """aiohttp's, for libraries that read whole answers: at most `most` bytes of each, in `timeout` seconds.

    It keeps no cookies, and does not ask again on its own where a connection broke: retries are the guard's to spend.
    """
    made = ClientSession(
        connector=TCPConnector(limit=max_connections, resolver=resolver),
        headers=headers,
        timeout=ClientTimeout(total=timeout),
        cookie_jar=DummyCookieJar(),
        response_class=_build_bounded_response_class(max_bytes),
        middlewares=() if redirects else (_refuse_redirect,),
    )
    return disable_retries(made)


async def _refuse_redirect(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Some libraries do not say whether they follow a redirect, and aiohttp does."""
    response = await send(request)
    if response.status in REDIRECT_STATUSES:
        response.close()
        raise ClientPayloadError("moved")
    return response


def disable_retries(client_session: ClientSession) -> ClientSession:
    """aiohttp asks again where a kept connection broke, and has no setting for it."""
    client_session._retry_connection = False
    return client_session


def _build_bounded_response_class(max_bytes: int) -> type[ClientResponse]:
    class Ending(ClientResponse):
        async def read(self) -> bytes:
            if self._body is None:
                parts, size = [], 0
                async for part in self.content.iter_any():
                    parts.append(part)
                    size += len(part)
                    if size > max_bytes:
                        self.close()
                        raise ClientPayloadError("too long")
                self._body = b"".join(parts)
            return self._body

    return Ending


IPV4_EMBEDDING_NETWORKS = (ip_network("::/96"), ip_network("64:ff9b::/96"), ip_network("::ffff:0:0:0/96"))
"""Networks whose last four octets are an IPv4 address."""

NON_PUBLIC_IPV6_NETWORKS = (ip_network("fec0::/10"), ip_network("2001::/32"), ip_network("64:ff9b:1::/48"))
"""Sites' own of old, tunnels, and translators of a network's own."""


class PrivateAddressError(OSError):
    """A name that leads to this machine or this network."""


class PublicAddressResolver(AbstractResolver):
    """Judges the very addresses that are connected to, so that a name cannot mean two things."""

    def __init__(self) -> None:
        self.resolver: Any = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        found: list[ResolveResult] = await self.resolver.resolve(host, port, family)
        if not all(is_public_address(each["host"]) for each in found):
            raise PrivateAddressError
        return found

    async def close(self) -> None:
        await self.resolver.close()


def is_public_address(address: str) -> bool:
    """Whether an address belongs to the internet; an IPv4 address inside an IPv6 one is judged as itself."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if any(found in each for each in NON_PUBLIC_IPV6_NETWORKS):
            return False
        found = _extract_ipv4_address(found) or found
    return found.is_global and not found.is_multicast


def _extract_ipv4_address(address: IPv6Address) -> IPv4Address | None:
    """The address of the other kind that this one stands for, by any of the ways there ever were."""
    if any(address in each for each in IPV4_EMBEDDING_NETWORKS):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def check_base_url(base_url: str, *, private_addresses: bool, name: str = "base_url") -> str:
    """The url without a `/` at its end. ValueError: it cannot be taken; `name` is what the settings call it.

    Where addresses are private we are among ourselves; to all others we speak under TLS.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"`{name}` must be `https://host` with a path at most")
    if not private_addresses and parts.scheme != "https":
        raise ValueError(f"`{name}` must be https, or `private_addresses` true")
    if not private_addresses and not _may_be_public_host(parts.hostname):
        raise ValueError(f"`{name}` is an address of this network: set `private_addresses` if that is meant")
    return base_url.rstrip("/")


def _may_be_public_host(host: str) -> bool:
    """A name is judged when it is resolved, an address is not resolved, in whatever way it is written."""
    try:
        return is_public_address(host)
    except ValueError:
        return host.rstrip(".") != "localhost" and not _is_numeric_address(host)


def _is_numeric_address(host: str) -> bool:
    """Whether it is an address as nobody writes it, such as `2130706433` or `0x7f.1`."""
    try:
        inet_aton(host)
    except (OSError, ValueError):
        return False
    return True


CLOCK_SKEW_MAX_SECONDS = 300.0
"""Seconds. Azure and S3 take 15 minutes, Google less."""

CLOCK_SKEW_MESSAGE = "the clock of this machine is minutes off its own, set it right"


def is_clock_skewed(date: str | None) -> bool:
    """`date`: the header of an answer that has just come; what cannot be read says nothing."""
    try:
        said = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return False
    return abs(said - time.time()) > CLOCK_SKEW_MAX_SECONDS
