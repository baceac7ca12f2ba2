"""A host's name in, the public addresses behind it out: an API is never a way into our own network."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AddressFamily
from typing import Any
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver


class NotPublic(OSError):
    """A name that leads to this machine or this network."""


class PublicOnly(AbstractResolver):
    """Judges the very addresses that are connected to, so that a name cannot mean two things."""

    def __init__(self) -> None:
        self.resolver: Any = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        found: list[ResolveResult] = await self.resolver.resolve(host, port, family)
        if not all(public(each["host"]) for each in found):
            raise NotPublic
        return found

    async def close(self) -> None:
        await self.resolver.close()


def public(address: str) -> bool:
    """Whether an address belongs to the internet; one IPv4 address inside an IPv6 one is judged as itself."""
    found: IPv4Address | IPv6Address | None = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    assert found is not None
    return found.is_global and not found.is_multicast


def checked(base_url: str, *, private_addresses: bool, name: str = "base_url") -> str:
    """The url without a `/` at its end. ValueError: it cannot be taken; `name` is what the settings call it.

    Where addresses are private we are among ourselves; to all others we speak under TLS.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"`{name}` must be `https://host` with a path at most")
    if not private_addresses and parts.scheme != "https":
        raise ValueError(f"`{name}` must be https, or `private_addresses` true")
    if not private_addresses and not _maybe_public(parts.hostname):
        raise ValueError(f"`{name}` is an address of this network: set `private_addresses` if that is meant")
    return base_url.rstrip("/")


def _maybe_public(host: str) -> bool:
    """A name is judged when it is resolved, an address is not resolved."""
    try:
        return public(host)
    except ValueError:
        return host != "localhost"
