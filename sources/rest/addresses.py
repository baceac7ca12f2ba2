"""A host's name in, the public addresses behind it out: an API is never a way into our own network."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AddressFamily, inet_aton
from typing import Any
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

LAST_FOUR = (ip_network("::/96"), ip_network("64:ff9b::/96"), ip_network("::ffff:0:0:0/96"))
"""Networks whose last four octets are an IPv4 address."""
INNER = (ip_network("fec0::/10"), ip_network("2001::/32"), ip_network("64:ff9b:1::/48"))
"""Sites' own of old, tunnels, and translators of a network's own."""


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
    """Whether an address belongs to the internet; an IPv4 address inside an IPv6 one is judged as itself."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if any(found in each for each in INNER):
            return False
        found = _within(found) or found
    return found.is_global and not found.is_multicast


def _within(address: IPv6Address) -> IPv4Address | None:
    """The address of the other kind that this one stands for, by any of the ways there ever were."""
    if any(address in each for each in LAST_FOUR):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


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
    """A name is judged when it is resolved, an address is not resolved, in whatever way it is written."""
    try:
        return public(host)
    except ValueError:
        return host.rstrip(".") != "localhost" and not _numeric(host)


def _numeric(host: str) -> bool:
    """Whether it is an address as nobody writes it, such as `2130706433` or `0x7f.1`."""
    try:
        inet_aton(host)
    except (OSError, ValueError):
        return False
    return True
