"""The annotated classes of schema/ in, plain shapes out: what `schema.build` needs to know of each type and field."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import strawberry
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from auth.mistake import Mistake
from schema.arguments import BigInt, Lead
from schema.directives import Allow, Owned

SCALARS: dict[Any, str] = {
    strawberry.ID: "ID",
    str: "String",
    int: "Int",
    float: "Float",
    bool: "Boolean",
    BigInt: "BigInt",
    Decimal: "Decimal",
    date: "Date",
    datetime: "DateTime",
}


class Leads(StrEnum):
    """How a field comes by its value."""

    COLUMN = "Column"
    COMPUTED = "Computed"
    ONE = "One"
    MANY = "Many"
    BY_ID = "ById"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The directives of one type or field."""

    allow: tuple[tuple[str, ...], ...]
    owned: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    name: str
    description: str
    guards: Guards
    leads: Leads
    to: str
    """The name of the scalar, enum or type."""
    nullable: bool
    many: bool = False
    """A list of scalars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeShape:
    name: str
    description: str
    guards: Guards
    fields: tuple[FieldShape, ...]
    interface: bool
    implements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumShape:
    name: str
    description: str
    values: tuple[str, ...]
    stored: Mapping[str, str]
    """What the source holds for a value, where that is not its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    types: tuple[TypeShape, ...]
    enums: tuple[EnumShape, ...]


class BadSchema(Mistake):
    """The schema cannot be built; the message says which field and what would do."""


def shapes(modules: Iterable[ModuleType]) -> Shapes:
    """All types and enums that the modules define; the classes named `Query` become one."""
    found = [value for module in modules for value in vars(module).values() if _defined_in(value, module)]
    types = [_type(value.__strawberry_definition__) for value in found if not issubclass(value, StrEnum)]
    enums = [_enum(value.__strawberry_definition__) for value in found if issubclass(value, StrEnum)]
    return Shapes(types=_one_query(types), enums=tuple(enums))


def _defined_in(value: object, module: ModuleType) -> bool:
    return (
        isinstance(value, type)
        and value.__module__ == module.__name__
        and "__strawberry_definition__" in vars(value)
        and not issubclass(value, Allow | Owned)
    )


def _one_query(types: list[TypeShape]) -> tuple[TypeShape, ...]:
    parts = [shape for shape in types if shape.name == "Query"]
    query = TypeShape(
        name="Query",
        description=next((part.description for part in parts if part.description), ""),
        guards=Guards(allow=(), owned=()),
        fields=tuple(field for part in parts for field in part.fields),
        interface=False,
        implements=(),
    )
    return (query, *(shape for shape in types if shape.name != "Query"))


def _type(definition: StrawberryObjectDefinition) -> TypeShape:
    return TypeShape(
        name=definition.name,
        description=definition.description or "",
        guards=_guards(definition.directives or ()),
        fields=tuple(_field(definition.name, field) for field in definition.fields),
        interface=definition.is_interface,
        implements=tuple(interface.name for interface in definition.interfaces),
    )


def _enum(definition: Any) -> EnumShape:
    return EnumShape(
        name=definition.name,
        description=definition.description or "",
        values=tuple(value.name for value in definition.values),
        stored={value.name: str(value.value) for value in definition.values if value.name != value.value},
    )


def _field(owner: str, field: StrawberryField) -> FieldShape:
    name = field.graphql_name or to_camel_case(field.python_name)
    assert field.type_annotation is not None
    annotation = field.type_annotation.raw_annotation
    leads, to, nullable, many = _reading(annotation, f"{owner}.{name}")
    return FieldShape(
        name=name,
        description=field.description or "",
        guards=_guards(field.directives),
        leads=leads,
        to=to,
        nullable=nullable,
        many=many,
    )


def _reading(annotation: Any, where: str) -> tuple[Leads, str, bool, bool]:
    """How the field comes by its value, the name it leads to, whether it may be null, whether it is a list."""
    if isinstance(annotation, Lead) and annotation.kind != Leads.COMPUTED:
        return Leads(annotation.kind), _target(annotation.to), True, False
    leads = Leads.COMPUTED if isinstance(annotation, Lead) else Leads.COLUMN
    kept, nullable = _optional(annotation.to if isinstance(annotation, Lead) else annotation)
    many = get_origin(kept) is list
    return leads, _scalar(get_args(kept)[0] if many else kept, where), nullable, many


def _target(to: Any) -> str:
    return to if isinstance(to, str) else str(to.__name__)


def _optional(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (UnionType, Union):
        return annotation, False
    kept = [part for part in get_args(annotation) if part is not type(None)]
    return kept[0], len(kept) < len(get_args(annotation))


def _scalar(annotation: Any, where: str) -> str:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return annotation.__name__
    if annotation not in SCALARS:
        raise BadSchema(f"`{where}` has an annotation no scalar stands for, use one of {sorted(SCALARS.values())}")
    return SCALARS[annotation]


def _guards(directives: Iterable[object]) -> Guards:
    kept = list(directives)
    return Guards(
        allow=tuple(tuple(each.groups) for each in kept if isinstance(each, Allow)),
        owned=tuple(each.by for each in kept if isinstance(each, Owned)),
    )
