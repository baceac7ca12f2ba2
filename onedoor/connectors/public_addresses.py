"""Keep connections to the public internet, so that no URL leads into the server's own network (SSRF)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AddressFamily, inet_aton
from typing import Any
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

IPV4_EMBEDDING_NETWORKS = (ip_network("::/96"), ip_network("64:ff9b::/96"), ip_network("::ffff:0:0:0/96"))
"""Networks of IPv6 whose last four octets are an IPv4 address."""

NON_PUBLIC_IPV6_NETWORKS = (ip_network("fec0::/10"), ip_network("2001::/32"), ip_network("64:ff9b:1::/48"))
"""Site-local addresses, Teredo tunnels and local translators, which `ipaddress` takes for global."""


class PrivateAddressError(OSError):
    """A host name resolves to an address of this machine or of its network."""


class PublicAddressResolver(AbstractResolver):
    """Resolve host names, and refuse those that lead to an address that is not public.

    aiohttp connects to the very addresses that were checked, so a name cannot change its meaning in between.
    """

    def __init__(self) -> None:
        self.resolver: Any = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a host. Raises PrivateAddressError when any of its addresses is not public."""
        addresses: list[ResolveResult] = await self.resolver.resolve(host, port, family)
        if not all(is_public_address(address["host"]) for address in addresses):
            raise PrivateAddressError
        return addresses

    async def close(self) -> None:
        await self.resolver.close()


def check_base_url(base_url: str, *, private_addresses: bool, name: str = "base_url") -> str:
    """Return the URL without a trailing `/`.

    Plain HTTP is accepted only where private addresses are. Raises ValueError, which calls the setting `name`.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"`{name}` must be `https://host` with a path at most")
    if not private_addresses and parts.scheme != "https":
        raise ValueError(f"`{name}` must be https, or `private_addresses` true")
    if not private_addresses and not _may_be_public_host(parts.hostname):
        raise ValueError(f"`{name}` is an address of this network: set `private_addresses` if that is meant")
    return base_url.rstrip("/")


def is_public_address(address: str) -> bool:
    """Tell whether an address belongs to the internet; an IPv4 address embedded in an IPv6 one counts as itself."""
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        if any(parsed in network for network in NON_PUBLIC_IPV6_NETWORKS):
            return False
        parsed = _extract_ipv4_address(parsed) or parsed
    return parsed.is_global and not parsed.is_multicast


def _extract_ipv4_address(address: IPv6Address) -> IPv4Address | None:
    if any(address in network for network in IPV4_EMBEDDING_NETWORKS):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _may_be_public_host(host: str) -> bool:
    """Judge an address now; a name is judged when it is resolved, save `localhost`."""
    try:
        return is_public_address(host)
    except ValueError:
        return host.rstrip(".") != "localhost" and not _is_numeric_address(host)


def _is_numeric_address(host: str) -> bool:
    """Recognize the odd spellings of an IPv4 address, such as `2130706433` or `0x7f.1`."""
    try:
        inet_aton(host)
    except (OSError, ValueError):
        return False
    return True
