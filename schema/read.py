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
from schema.arguments import REQUIRED, TAKES, Argument, BigInt, Json, Lead
from schema.directives import Allow, Owned

ROOTS = ("Query", "Mutation", "Subscription")

SCALARS: dict[Any, str] = {
    strawberry.ID: "ID",
    str: "String",
    int: "Int",
    float: "Float",
    bool: "Boolean",
    BigInt: "BigInt",
    Json: "JSON",
    Decimal: "Decimal",
    date: "Date",
    datetime: "DateTime",
}


class Leads(StrEnum):
    """How a field comes by its value."""

    COLUMN = "Column"
    COMPUTED = "Computed"
    LOOKED = "Looked"
    ONE = "One"
    MANY = "Many"
    BY_ID = "ById"
    CHANGED = "Changed"
    HISTORY = "History"


VALUES = frozenset({Leads.COLUMN, Leads.COMPUTED, Leads.LOOKED})
"""What holds a value; the others lead to rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The directives of one type or field."""

    allow: tuple[tuple[str, ...], ...]
    owned: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentShape:
    """One thing a field takes; one whose default is null need not be given."""

    name: str
    description: str
    to: str
    """The name of the scalar, enum or input type."""
    many: bool
    required: bool
    default: Any


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
    takes: tuple[ArgumentShape, ...] = ()
    """Of a field that is looked up, a mutation, or an event."""


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
    inputs: tuple[TypeShape, ...] = ()
    """What arguments are made of; the types of filters and orders are made, not written."""


class BadSchema(Mistake):
    """The schema cannot be built; the message says which field and what would do."""


def shapes(modules: Iterable[ModuleType]) -> Shapes:
    """All types and enums that the modules define; the classes named `Query` become one, and so the other roots."""
    found = [value for module in modules for value in vars(module).values() if _defined_in(value, module)]
    types = [_type(value.__strawberry_definition__) for value in found if not _is_enum(value) and not _is_input(value)]
    enums = [_enum(value.__strawberry_definition__) for value in found if _is_enum(value)]
    inputs = [_type(value.__strawberry_definition__) for value in found if _is_input(value)]
    return Shapes(types=_one_of_each_root(types), enums=tuple(enums), inputs=tuple(inputs))


def _is_enum(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, StrEnum)


def _is_input(value: Any) -> bool:
    return getattr(getattr(value, "__strawberry_definition__", None), "is_input", False)


def _defined_in(value: object, module: ModuleType) -> bool:
    return (
        isinstance(value, type)
        and value.__module__ == module.__name__
        and "__strawberry_definition__" in vars(value)
        and not issubclass(value, Allow | Owned)
    )


def _one_of_each_root(types: list[TypeShape]) -> tuple[TypeShape, ...]:
    """Those first; of a mutation or a subscription, only where there is one."""
    roots = (_root(name, [shape for shape in types if shape.name == name]) for name in ROOTS)
    return (
        *(root for root in roots if root.fields or root.name == "Query"),
        *(shape for shape in types if shape.name not in ROOTS),
    )


def _root(name: str, parts: list[TypeShape]) -> TypeShape:
    return TypeShape(
        name=name,
        description=next((part.description for part in parts if part.description), ""),
        guards=Guards(allow=(), owned=()),
        fields=tuple(field for part in parts for field in part.fields),
        interface=False,
        implements=(),
    )


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
        nullable=nullable or leads is Leads.LOOKED,
        many=many,
        takes=tuple(_argument(f"{owner}.{name}", *each) for each in field.metadata.get(TAKES, {}).items()),
    )


def _argument(field: str, python_name: str, given: Argument) -> ArgumentShape:
    name = to_camel_case(python_name)
    if not given.description:
        raise BadSchema(f"`{field}({name}:)` has no description, say what the name does not")
    many = get_origin(given.of) is list
    return ArgumentShape(
        name=name,
        description=given.description,
        to=_scalar(get_args(given.of)[0] if many else given.of, f"{field}({name}:)"),
        many=many,
        required=given.default is not None,
        default=None if given.default is REQUIRED else given.default,
    )


def _reading(annotation: Any, where: str) -> tuple[Leads, str, bool, bool]:
    """How the field comes by its value, the name it leads to, whether it may be null, whether it is a list."""
    leads = Leads(annotation.kind) if isinstance(annotation, Lead) else Leads.COLUMN
    if leads not in VALUES:
        return leads, _target(annotation.to), True, False
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
    if _is_enum(annotation):
        return str(annotation.__name__)
    if _is_input(annotation):
        return str(annotation.__strawberry_definition__.name)
    if annotation not in SCALARS:
        raise BadSchema(f"`{where}` has an annotation no scalar stands for, use one of {sorted(SCALARS.values())}")
    return SCALARS[annotation]


def _guards(directives: Iterable[object]) -> Guards:
    kept = list(directives)
    return Guards(
        allow=tuple(tuple(each.groups) for each in kept if isinstance(each, Allow)),
        owned=tuple(each.by for each in kept if isinstance(each, Owned)),
    )
