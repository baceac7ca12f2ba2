"""Serve the principal of a request, and their key, as rows of that request alone."""

from auth.authentication import Principal
from auth.groups import USER_ADMINISTRATION
from auth.users import dump_attributes
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.spi.capabilities import Capabilities, Column, ColumnType

PERSON_CAPABILITIES = Capabilities(
    columns={
        "id": Column(ColumnType.TEXT),
        "first_name": Column(ColumnType.TEXT),
        "last_name": Column(ColumnType.TEXT),
        "email": Column(ColumnType.TEXT),
        "groups": Column(ColumnType.LIST),
        "is_admin": Column(ColumnType.BOOLEAN),
        "attributes": Column(ColumnType.TEXT),
        "owner_group": Column(ColumnType.TEXT),
        "grants": Column(ColumnType.LIST),
        "key_id": Column(ColumnType.TEXT),
    }
)

KEY_CAPABILITIES = Capabilities(
    columns={
        "id": Column(ColumnType.TEXT),
        "created_at": Column(ColumnType.TIME),
        "expires_at": Column(ColumnType.TIME),
        "secret": Column(ColumnType.INTEGER),
        "used_at": Column(ColumnType.TIME),
    }
)

MEMBERSHIP_CAPABILITIES = Capabilities(
    columns={
        "person_id": Column(ColumnType.TEXT),
        "group": Column(ColumnType.TEXT),
        "source": Column(ColumnType.TEXT),
        "since": Column(ColumnType.TIME),
        "confirmed_at": Column(ColumnType.TIME),
    }
)

MAPPINGS = (
    TypeMapping(
        type="Me",
        source="caller",
        collection="person",
        relationships={
            "key": Relationship(to="Key", local="key_id", remote="id"),
            "memberships": Relationship(to="MyMembership", local="id", remote="person_id"),
        },
    ),
    TypeMapping(type="MyMembership", source="caller", collection="membership", key=("group", "source")),
    TypeMapping(type="Key", source="caller", collection="key"),
)


def build_empty_principal_connector() -> MemoryConnector:
    """Return the connector of no principal, for what it promises."""
    return MemoryConnector(
        {
            "person": MemoryCollection(capabilities=PERSON_CAPABILITIES, rows=()),
            "key": MemoryCollection(capabilities=KEY_CAPABILITIES, rows=()),
            "membership": MemoryCollection(capabilities=MEMBERSHIP_CAPABILITIES, rows=()),
        }
    )


def build_principal_connector(principal: Principal) -> MemoryConnector:
    """Return the connector of one request."""
    person = (
        principal.person_id,
        principal.first_name,
        principal.last_name,
        principal.email,
        tuple(sorted(principal.groups)),
        USER_ADMINISTRATION in principal.groups,
        dump_attributes(principal.attributes),
        principal.owner_group,
        tuple(grant.id for grant in principal.grants),
        principal.key_id,
    )
    key = (principal.key_id, principal.key_created, principal.key_expires, principal.secret, principal.key_used)
    memberships = [
        (
            principal.person_id,
            membership.group,
            membership.source.value,
            membership.since,
            membership.confirmed_at,
        )
        for membership in principal.memberships
    ]
    return MemoryConnector(
        {
            "person": MemoryCollection(capabilities=PERSON_CAPABILITIES, rows=(person,)),
            "key": MemoryCollection(capabilities=KEY_CAPABILITIES, rows=(key,)),
            "membership": MemoryCollection(capabilities=MEMBERSHIP_CAPABILITIES, rows=memberships),
        }
    )
