"""Serve the principal of a request, their key and their budgets, as rows of that request alone."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from auth.authentication import Principal
from auth.groups import USER_ADMINISTRATION
from auth.users import dump_attributes
from onedoor.connectors.memory import MemoryCollection, MemoryConnector, answer_scan
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.runtime.budgets import Budgets
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

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

BUDGET_CAPABILITIES = Capabilities(
    columns={
        "key_id": Column(ColumnType.TEXT),
        "name": Column(ColumnType.TEXT),
        "unit": Column(ColumnType.TEXT),
        "per_minute": Column(ColumnType.FLOAT),
        "used": Column(ColumnType.FLOAT),
        "left": Column(ColumnType.FLOAT),
        "enforced": Column(ColumnType.BOOLEAN),
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
            "budgets": Relationship(to="Budget", local="key_id", remote="key_id"),
        },
    ),
    TypeMapping(type="MyMembership", source="caller", collection="membership", key=("group", "source")),
    TypeMapping(type="Key", source="caller", collection="key"),
    TypeMapping(type="Budget", source="caller", collection="budget", key=("name",)),
)


class PrincipalConnector(MemoryConnector):
    """Serves a principal; what they have used of their budgets is read when it is asked for."""

    def __init__(self, principal: Principal, budgets: Budgets) -> None:
        super().__init__(_build_collections(principal))
        self.principal, self.budgets = principal, budgets

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        collections = self.collections
        if request.collection == "budget":
            rows = await _read_budget_rows(self.budgets, self.principal)
            collections = {**collections, "budget": replace(collections["budget"], rows=rows)}
        yield answer_scan(collections, request)


def build_empty_principal_connector() -> MemoryConnector:
    """Return the connector of no principal, for what it promises."""
    return MemoryConnector(
        {
            "person": MemoryCollection(capabilities=PERSON_CAPABILITIES, rows=()),
            "key": MemoryCollection(capabilities=KEY_CAPABILITIES, rows=()),
            "membership": MemoryCollection(capabilities=MEMBERSHIP_CAPABILITIES, rows=()),
            "budget": MemoryCollection(capabilities=BUDGET_CAPABILITIES, rows=()),
        }
    )


def build_principal_connector(principal: Principal, budgets: Budgets | None = None) -> PrincipalConnector:
    """Return the connector of one request."""
    return PrincipalConnector(principal, budgets or Budgets())


def _build_collections(principal: Principal) -> Mapping[str, MemoryCollection]:
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
    return {
        "person": MemoryCollection(capabilities=PERSON_CAPABILITIES, rows=(person,)),
        "key": MemoryCollection(capabilities=KEY_CAPABILITIES, rows=(key,)),
        "membership": MemoryCollection(capabilities=MEMBERSHIP_CAPABILITIES, rows=memberships),
        "budget": MemoryCollection(capabilities=BUDGET_CAPABILITIES, rows=()),
    }


async def _read_budget_rows(budgets: Budgets, principal: Principal) -> Sequence[Row]:
    return [
        (
            principal.key_id,
            use.allowance.setting,
            str(use.allowance.unit),
            float(use.allowance.limit),
            use.used,
            max(0.0, use.allowance.limit - use.used),
            not budgets.settings.measure_only,
        )
        for use in await budgets.list_uses(principal)
    ]
