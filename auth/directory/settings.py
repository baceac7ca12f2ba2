"""Define what onedoor.toml says of the company's directory: `[directory]` and a section for each way to follow it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimSettings:
    """The credential and the limits of the directory that pushes, over SCIM."""

    token: str = field(repr=False)
    """What the directory sends as `Authorization: Bearer <token>`."""
    requests_a_minute: int = 1_200
    """Requests a minute, in each process."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """By attribute of a person, the path of the SCIM attribute that it is taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapSettings:
    """The directory that is read, over LDAP."""

    url: str
    """Its address, `ldaps://host:636` or `ldap://host:389`."""
    bind_dn: str
    """Whom to log in as."""
    password: str = field(repr=False)
    """Their password."""
    user_base: str
    """The entry below which the people are."""
    group_base: str
    """The entry below which the groups are."""
    start_tls: bool = True
    """Whether `ldap://` is encrypted by StartTLS before anything is sent."""
    ca_file: str | None = None
    """The certificates that the server's is checked with; without it those of the system."""
    active_directory: bool = False
    """Whether it is Active Directory: changes are found by `uSNChanged`, and disabled accounts by their flags."""
    user_filter: str = "(mail=*)"
    """Which entries are people."""
    group_filter: str = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=group))"
    """Which entries are groups."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """By attribute of a person, the LDAP attribute that it is taken from."""
    interval_seconds: float = 60.0
    """How long after a sync the next begins."""
    compare_seconds: float = 3600.0
    """How often all ids are compared, which finds what was deleted."""
    page_size: int = 500
    """Entries in one reply of the server."""
    timeout_seconds: float = 30.0
    """How long one reply is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """The provider with which people sign in, over OpenID Connect."""

    issuer: str
    """Its address, as its tokens give it in `iss`."""
    client_id: str
    """The id under which Onedoor is registered there."""
    client_secret: str = field(repr=False)
    """The secret that goes with it."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    """What is asked for."""
    groups_claim: str = "groups"
    """The claim that lists a person's groups."""
    verified_claim: str = "email_verified"
    """The claim that says whether the provider has verified the e-mail address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """The company's directory; without its sections there is none."""

    here: bool = True
    """Whether this process follows the directory; one of those that share the state must."""
    address: str = "http://127.0.0.1:8000"
    """Where people reach Onedoor, without a path: links to claim keys, and to come back from signing in, begin so."""
    removed_people: int = 5
    """People that a directory may remove within 10 minutes; more wait for an approval."""
    removed_percent: int = 20
    """The same as a share of its active people; the higher number counts."""
    scim: ScimSettings | None = None
    ldap: LdapSettings | None = None
    oidc: OidcSettings | None = None
