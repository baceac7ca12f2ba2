"""Read people and groups from an LDAP server or Active Directory, encrypted, in pages, whole or what has changed."""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from math import ceil
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from ldap3 import DSA, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException

from auth.directory.memberships import normalize_dn
from auth.directory.people import Account, build_account
from auth.directory.settings import LdapSettings
from onedoor.errors import ConfigurationError, OnedoorError

CLOCK_MARGIN = timedelta(seconds=2)
"""How far back what has changed is read again: times have seconds, and a change may show after a later one."""

TIME_FORMAT = "%Y%m%d%H%M%SZ"

DISABLED_FLAG = 0x2
"""Of `userAccountControl`: the account is disabled."""

NAME_ATTRIBUTES = ("mail", "userPrincipalName", "givenName", "sn", "displayName", "cn")


UNENCRYPTED = "the directory's connection cannot be encrypted, or its certificate is not trusted: see `ca_file`"


class LdapUnavailable(OnedoorError):
    """The directory does not answer, or not as it should; the message says which of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapUser:
    """An entry of a person; `id` is its UUID, which stays whatever it is called."""

    id: str
    dn: str
    account: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapGroup:
    """An entry of a group; `members` are normalized DNs of users and groups."""

    id: str
    dn: str
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapMarks:
    """How far a server was read; `server` tells it from others, which count changes on their own."""

    server: str
    users: str
    groups: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapReading:
    """What was read: everything, or what has changed since the last marks."""

    is_whole: bool
    users: Mapping[str, LdapUser]
    groups: Mapping[str, LdapGroup]
    gone_ids: frozenset[str]
    """Of entries that have changed and are no longer what the filters find."""
    marks: LdapMarks


class LdapClient:
    """Reads one directory. Every call blocks, and raises LdapUnavailable."""

    def __init__(self, settings: LdapSettings) -> None:
        """Check the settings. Raises ConfigurationError."""
        self.settings = settings
        self.id_attribute, self.mark_attribute = (
            ("objectGUID", "uSNChanged") if settings.active_directory else ("entryUUID", "modifyTimestamp")
        )
        self.url = urlsplit(settings.url)
        if self.url.scheme not in ("ldap", "ldaps") or not self.url.hostname:
            raise ConfigurationError(
                "`directory.ldap.url` is no address: write `ldaps://host:636` or `ldap://host:389`"
            )
        if self.url.scheme == "ldap" and not settings.start_tls and not _is_loopback(self.url.hostname):
            raise ConfigurationError(
                "`directory.ldap` would send its password to another machine unencrypted: leave out `start_tls = false`"
            )

    def read(self, marks: LdapMarks | None) -> LdapReading:
        """Read what has changed since marks of the same server, or everything."""
        try:
            with self._connect() as connection:
                server = self._identify(connection)
                since = marks if marks is not None and marks.server == server else None
                return self._read(connection, server, since)
        except (LDAPException, OSError, ssl.SSLError) as reason:
            raise LdapUnavailable(_describe_failure(reason)) from reason

    def _read(self, connection: Connection, server: str, since: LdapMarks | None) -> LdapReading:
        user_mark, group_mark = (None, None) if since is None else (since.users, since.groups)
        users = self._search(connection, self.settings.user_base, self.settings.user_filter, user_mark)
        groups = self._search(connection, self.settings.group_base, self.settings.group_filter, group_mark)
        found = {self._read_id(entry): entry for entry in (*users, *groups)}
        changed_ids = set() if since is None else self._list_changed_ids(connection, since)
        return LdapReading(
            is_whole=since is None,
            users={user.id: user for user in map(self._read_user, users)},
            groups={group.id: group for group in map(self._read_group, groups)},
            gone_ids=frozenset(changed_ids - found.keys()),
            marks=LdapMarks(
                server=server,
                users=self._read_mark(users, user_mark),
                groups=self._read_mark(groups, group_mark),
            ),
        )

    def _list_changed_ids(self, connection: Connection, since: LdapMarks) -> set[str]:
        """Return the ids of all entries that have changed, whether or not they are still people and groups."""
        bases = ((self.settings.user_base, since.users), (self.settings.group_base, since.groups))
        return {
            self._read_id(entry)
            for base, mark in bases
            for entry in self._search(connection, base, "(objectClass=*)", mark, attributes=())
        }

    def _search(
        self,
        connection: Connection,
        base: str,
        filter: str,
        since: str | None,
        attributes: Iterable[str] | None = None,
    ) -> list[Mapping[str, Any]]:
        wanted = self._list_attributes() if attributes is None else attributes
        entries = connection.extend.standard.paged_search(
            base,
            filter if since is None else f"(&{filter}({self.mark_attribute}>={since}))",
            SUBTREE,
            attributes=[self.id_attribute, self.mark_attribute, *wanted],
            paged_size=self.settings.page_size,
            generator=True,
        )
        return [entry for entry in entries if entry["type"] == "searchResEntry" and self._has_id(entry)]

    def _list_attributes(self) -> Iterable[str]:
        own = ("userAccountControl",) if self.settings.active_directory else ()
        mapped = map(str, self.settings.attributes.values())
        return dict.fromkeys((*NAME_ATTRIBUTES, "member", "uniqueMember", *own, *mapped))

    def _has_id(self, entry: Mapping[str, Any]) -> bool:
        return bool(entry["raw_attributes"].get(self.id_attribute))

    def _read_id(self, entry: Mapping[str, Any]) -> str:
        (raw,) = entry["raw_attributes"][self.id_attribute]
        return str(UUID(bytes_le=raw)) if self.settings.active_directory else raw.decode().lower()

    def _read_mark(self, entries: Iterable[Mapping[str, Any]], before: str | None) -> str:
        """Return the mark from which the next reading goes on."""
        values = [value.decode() for entry in entries for value in entry["raw_attributes"].get(self.mark_attribute, ())]
        if self.settings.active_directory:
            return str(max((int(value) + 1 for value in values), default=int(before or 0)))
        newest = max(values, default=None)
        if newest is None:
            return before or "19700101000000Z"
        moment = datetime.strptime(newest.partition(".")[0].rstrip("Z") + "Z", TIME_FORMAT).replace(tzinfo=UTC)
        return max(before or "", (moment - CLOCK_MARGIN).strftime(TIME_FORMAT))

    def _read_user(self, entry: Mapping[str, Any]) -> LdapUser:
        texts = {name: _decode(values) for name, values in entry["raw_attributes"].items()}

        def first(*names: str) -> str | None:
            return next((texts[name][0] for name in names if texts.get(name)), None)

        flags = int(first("userAccountControl") or 0)
        mapped = {name: texts.get(str(where), ()) for name, where in self.settings.attributes.items()}
        account = build_account(
            user_name=entry["dn"],
            active=not flags & DISABLED_FLAG,
            emails=(*texts.get("mail", ()), *texts.get("userPrincipalName", ())),
            given_name=first("givenName"),
            family_name=first("sn"),
            display_name=first("displayName", "cn"),
            attributes=mapped,
        )
        return LdapUser(id=self._read_id(entry), dn=entry["dn"], account=account)

    def _read_group(self, entry: Mapping[str, Any]) -> LdapGroup:
        raw = entry["raw_attributes"]
        names, members = _decode(raw.get("cn", ())), _decode((*raw.get("member", ()), *raw.get("uniqueMember", ())))
        return LdapGroup(
            id=self._read_id(entry),
            dn=entry["dn"],
            name=names[0] if names else entry["dn"],
            members=tuple(sorted({normalize_dn(member) for member in members if member})),
        )

    def _identify(self, connection: Connection) -> str:
        """Return what tells this server from another that counts changes on its own."""
        if not self.settings.active_directory:
            return "modifyTimestamp"
        names = connection.server.info.other.get("dsServiceName", ()) if connection.server.info else ()
        return str(names[0]) if names else ""

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """Open a connection that is encrypted before the password is sent."""
        timeout = ceil(self.settings.timeout_seconds)  # the library takes whole seconds alone
        tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=self.settings.ca_file, version=ssl.PROTOCOL_TLS_CLIENT)
        server = Server(
            self.url.hostname,
            port=self.url.port or (636 if self.url.scheme == "ldaps" else 389),
            use_ssl=self.url.scheme == "ldaps",
            tls=tls,
            get_info=DSA,
            connect_timeout=timeout,
        )
        connection = Connection(
            server,
            user=self.settings.bind_dn,
            password=self.settings.password,
            receive_timeout=timeout,
            read_only=True,
            check_names=False,
            auto_referrals=False,
            raise_exceptions=True,
        )
        try:
            connection.open()
            if self.url.scheme == "ldap" and self.settings.start_tls and not connection.start_tls():
                raise LdapUnavailable(UNENCRYPTED)
            connection.bind()
            yield connection
        finally:
            with suppress(LDAPException, OSError):
                connection.unbind()
            if connection.socket is not None:  # the library leaves open what it could not connect
                connection.socket.close()


def _decode(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(value.decode(errors="replace") for value in values)


def _describe_failure(reason: BaseException) -> str:
    """Describe a failure in words of ours: those of a server may hold anything."""
    name = type(reason).__name__
    if "InvalidCredentials" in name:
        return "the directory does not know the name or the password of `directory.ldap`"
    if "StartTLS" in name or isinstance(reason, ssl.SSLError) or "Certificate" in str(reason):
        return UNENCRYPTED
    if "NoSuchObject" in name:
        return "the directory has no entry `user_base` or `group_base` of `directory.ldap`"
    return "the directory does not answer"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
