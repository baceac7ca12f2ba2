"""Columns and links by name in, the shapes of a small schema out, as if it were written in schema/."""

from collections.abc import Mapping

from graphql import DocumentNode

from schema.generate.generate import definitions
from schema.read import FieldShape, Guards, Leads, Shapes, TypeShape

NOTHING = Guards(allow=(), owned=())
SALES = Guards(allow=(("sales",),), owned=("sales operations",))
FINANCE = Guards(allow=(("finance",),), owned=("payroll",))


def column(name: str, to: str = "String", guards: Guards = NOTHING) -> FieldShape:
    return FieldShape(name=name, description=name, guards=guards, leads=Leads.COLUMN, to=to, nullable=True)


def link(name: str, to: str, leads: Leads = Leads.MANY) -> FieldShape:
    return FieldShape(name=name, description=name, guards=NOTHING, leads=leads, to=to, nullable=True)


def kind(name: str, *fields: FieldShape, guards: Guards = SALES) -> TypeShape:
    return TypeShape(name=name, description=name, guards=guards, fields=fields, interface=False, implements=())


def listed(types: Mapping[str, tuple[FieldShape, ...]]) -> Shapes:
    """Types that the root has a list of each of."""
    root = kind("Query", *(link(f"all{name}", name) for name in types), guards=NOTHING)
    return Shapes(types=(root, *(kind(name, *fields) for name, fields in types.items())), enums=())


def documented(types: Mapping[str, tuple[FieldShape, ...]]) -> DocumentNode:
    return DocumentNode(definitions=definitions(listed(types)))
