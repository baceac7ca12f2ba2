"""Leave out of a world the rows that a vendor's person does not see: what is not there shows nowhere."""

from collections.abc import Mapping, Sequence
from functools import cache

from auth.authentication import Principal
from tests.acme import VENDOR
from tests.properties.reference.world import WORLDS, Dict, World

SEE_ALL = {
    "Customer": frozenset({"sales", "marketing", "finance", "support"}),
    "Order": frozenset({"sales", "finance", "support"}),
}
"""The groups that see all rows of a type; vendors see those of their customers, if they are in none of them."""


def narrow(world: World, caller: Principal) -> World:
    limited = frozenset(kind for kind, groups in SEE_ALL.items() if groups.isdisjoint(caller.groups))
    return build_narrowed_world(world.name, limited) if "vendor" in caller.groups and limited else world


@cache
def build_narrowed_world(name: str, limited: frozenset[str]) -> World:
    world = WORLDS[name]()
    seen = list_seen(world, limited)
    readers = {kind: {"groups": ["vendor"], "attributes": {"vendor": [VENDOR]}} for kind in seen}
    return World(name=name, catalog=world.catalog, schema=world.schema, rows={**world.rows, **seen}, readers=readers)


def list_seen(world: World, limited: frozenset[str]) -> Mapping[str, Sequence[Dict]]:
    own = {row["id"] for row in world.rows["Customer"] if row["vendor"] == VENDOR}
    seen = {
        "Customer": [row for row in world.rows["Customer"] if row["id"] in own],
        "Order": [row for row in world.rows["Order"] if row["customer_id"] in own],
    }
    changes = {
        f"{kind}Change": [
            row for row in world.rows[f"{kind}Change"] if row["row_id"] in {known["id"] for known in rows}
        ]
        for kind, rows in seen.items()
    }
    return {kind: rows for kind, rows in {**seen, **changes}.items() if kind.removesuffix("Change") in limited}
