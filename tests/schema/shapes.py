"""Build the shapes of a small schema from names of columns and links, as if it were written in schema/."""

from collections.abc import Mapping

from graphql import DocumentNode

from onedoor.schema.generate.types import build_definitions
from onedoor.schema.reader import AccessDirectives, FieldKind, FieldShape, SchemaShape, TypeShape

NOTHING = AccessDirectives(allow=(), owned=())
SALES = AccessDirectives(allow=(("sales",),), owned=("sales operations",))
FINANCE = AccessDirectives(allow=(("finance",),), owned=("payroll",))


def column(name: str, to: str = "String", guards: AccessDirectives = NOTHING) -> FieldShape:
    return FieldShape(name=name, description=name, access=guards, kind=FieldKind.COLUMN, type_name=to, nullable=True)


def link(name: str, to: str, leads: FieldKind = FieldKind.MANY) -> FieldShape:
    return FieldShape(name=name, description=name, access=NOTHING, kind=leads, type_name=to, nullable=True)


def kind(name: str, *fields: FieldShape, guards: AccessDirectives = SALES) -> TypeShape:
    return TypeShape(name=name, description=name, access=guards, fields=fields, is_interface=False, implements=())


def listed(types: Mapping[str, tuple[FieldShape, ...]]) -> SchemaShape:
    """Types that the root has a list of each of."""
    root = kind("Query", *(link(f"all{name}", name) for name in types), guards=NOTHING)
    return SchemaShape(types=(root, *(kind(name, *fields) for name, fields in types.items())), enums=())


def documented(types: Mapping[str, tuple[FieldShape, ...]]) -> DocumentNode:
    return DocumentNode(definitions=build_definitions(listed(types)))
