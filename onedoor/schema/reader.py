"""Read annotated classes into plain shapes, and tell the type that a derived name belongs to."""

from collections.abc import Container, Iterable, Iterator, Mapping
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

from onedoor.errors import ConfigurationError
from onedoor.schema.annotations import (
    ARGUMENTS_METADATA,
    REQUIRED,
    Allow,
    Argument,
    BigInt,
    FieldAnnotation,
    Json,
    Owned,
)

ROOTS = ("Query", "Mutation", "Subscription")

SCALAR_NAMES: dict[Any, str] = {
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


class FieldKind(StrEnum):
    """The way in which a field gets its value."""

    COLUMN = "Column"
    COMPUTED = "Computed"
    LOOKUP = "Looked"
    ONE = "One"
    MANY = "Many"
    BY_ID = "ById"
    CHANGE = "Changed"
    HISTORY = "History"


VALUE_KINDS = frozenset({FieldKind.COLUMN, FieldKind.COMPUTED, FieldKind.LOOKUP})
"""The kinds that hold a value; the others lead to rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDirectives:
    """The directives of one type or field."""

    allow: tuple[tuple[str, ...], ...]
    owned: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentShape:
    """One argument of a field; it is optional if its default is null."""

    name: str
    description: str
    type_name: str
    """The name of the scalar, enum or input type."""
    is_list: bool
    required: bool
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    name: str
    description: str
    access: AccessDirectives
    kind: FieldKind
    type_name: str
    """The name of the scalar, enum or type."""
    nullable: bool
    is_list: bool = False
    """Whether the value is a list of scalars."""
    items_nullable: bool = False
    """Whether an item of the list may be null."""
    arguments: tuple[ArgumentShape, ...] = ()
    """The arguments of a field that is looked up, a mutation or an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeShape:
    name: str
    description: str
    access: AccessDirectives
    fields: tuple[FieldShape, ...]
    is_interface: bool
    implements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumShape:
    name: str
    description: str
    values: tuple[str, ...]
    stored_values: Mapping[str, str]
    """By value, the text that the source holds for it, where that is not its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaShape:
    types: tuple[TypeShape, ...]
    enums: tuple[EnumShape, ...]
    inputs: tuple[TypeShape, ...] = ()
    """The inputs that are written; those of filters and orders are generated."""


class SchemaError(ConfigurationError):
    """The schema cannot be built; the message says which field and what would do."""


def read_shapes(modules: Iterable[ModuleType]) -> SchemaShape:
    """Read all types and enums that the modules declare, and merge the classes of each root into one."""
    declared = [value for module in modules for value in _iter_declared(module)]
    types = [
        _read_type(value.__strawberry_definition__)
        for value in declared
        if not _is_enum(value) and not _is_input(value)
    ]
    enums = [_read_enum(value.__strawberry_definition__) for value in declared if _is_enum(value)]
    inputs = [_read_type(value.__strawberry_definition__) for value in declared if _is_input(value)]
    return SchemaShape(types=_merge_roots(types), enums=tuple(enums), inputs=tuple(inputs))


def _is_enum(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, StrEnum)


def _is_input(value: Any) -> bool:
    return getattr(getattr(value, "__strawberry_definition__", None), "is_input", False)


@dataclass(frozen=True, slots=True)
class SchemaPart:
    """Types that are declared elsewhere for a module which holds this value, such as those of uploads."""

    name: str
    types: tuple[type, ...]


def find_schema_parts(modules: Iterable[ModuleType]) -> frozenset[str]:
    """Return the names of the parts that these modules hold."""
    return frozenset(
        value.name for module in modules for value in vars(module).values() if isinstance(value, SchemaPart)
    )


def _iter_declared(module: ModuleType) -> Iterator[Any]:
    for value in vars(module).values():
        if isinstance(value, SchemaPart):
            yield from value.types
        elif is_declared_in(value, module):
            yield value


def is_declared_in(value: object, module: ModuleType) -> bool:
    """Say whether a value is a type, an input or an enum of the schema that this module itself declares."""
    return (
        isinstance(value, type)
        and value.__module__ == module.__name__
        and "__strawberry_definition__" in vars(value)
        and not issubclass(value, Allow | Owned)
    )


def _merge_roots(types: list[TypeShape]) -> tuple[TypeShape, ...]:
    """Merge the roots and put them first; leave out mutation and subscription if they have no fields."""
    roots = (_merge_root(name, [shape for shape in types if shape.name == name]) for name in ROOTS)
    return (
        *(root for root in roots if root.fields or root.name == "Query"),
        *(shape for shape in types if shape.name not in ROOTS),
    )


def _merge_root(name: str, parts: list[TypeShape]) -> TypeShape:
    return TypeShape(
        name=name,
        description=next((part.description for part in parts if part.description), ""),
        access=AccessDirectives(allow=(), owned=()),
        fields=tuple(field for part in parts for field in part.fields),
        is_interface=False,
        implements=(),
    )


def _read_type(definition: StrawberryObjectDefinition) -> TypeShape:
    return TypeShape(
        name=definition.name,
        description=definition.description or "",
        access=_read_access(definition.directives or ()),
        fields=tuple(_read_field(definition.name, field) for field in definition.fields),
        is_interface=definition.is_interface,
        implements=tuple(interface.name for interface in definition.interfaces),
    )


def _read_enum(definition: Any) -> EnumShape:
    return EnumShape(
        name=definition.name,
        description=definition.description or "",
        values=tuple(value.name for value in definition.values),
        stored_values={value.name: str(value.value) for value in definition.values if value.name != value.value},
    )


def _read_field(owner: str, field: StrawberryField) -> FieldShape:
    name = field.graphql_name or to_camel_case(field.python_name)
    assert field.type_annotation is not None
    annotation = field.type_annotation.raw_annotation
    type_ = _read_annotation(annotation, f"{owner}.{name}")
    return FieldShape(
        name=name,
        description=field.description or "",
        access=_read_access(field.directives),
        kind=type_.kind,
        type_name=type_.name,
        nullable=type_.nullable or type_.kind is FieldKind.LOOKUP,
        is_list=type_.is_list,
        items_nullable=type_.items_nullable,
        arguments=tuple(
            _read_argument(f"{owner}.{name}", python_name, argument)
            for python_name, argument in field.metadata.get(ARGUMENTS_METADATA, {}).items()
        ),
    )


def _read_argument(field: str, python_name: str, argument: Argument) -> ArgumentShape:
    name = to_camel_case(python_name)
    if not argument.description:
        raise SchemaError(f"`{field}({name}:)` has no description, say what the name does not")
    is_list = get_origin(argument.type) is list
    return ArgumentShape(
        name=name,
        description=argument.description,
        type_name=_find_scalar_name(get_args(argument.type)[0] if is_list else argument.type, f"{field}({name}:)"),
        is_list=is_list,
        required=argument.default is not None,
        default=None if argument.default is REQUIRED else argument.default,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """The type of a field: how it gets its value, and the scalar, enum or type that this is."""

    kind: FieldKind
    name: str
    nullable: bool
    is_list: bool
    items_nullable: bool = False


def _read_annotation(annotation: Any, where: str) -> FieldType:
    kind = FieldKind(annotation.kind) if isinstance(annotation, FieldAnnotation) else FieldKind.COLUMN
    target = annotation.target if isinstance(annotation, FieldAnnotation) else annotation
    if kind not in VALUE_KINDS:
        return FieldType(kind=kind, name=_read_target_name(target), nullable=True, is_list=False)
    value, nullable = _unwrap_optional(target)
    is_list = get_origin(value) is list
    item, items_nullable = _unwrap_optional(get_args(value)[0]) if is_list else (value, False)
    name = _find_scalar_name(item, where)
    return FieldType(kind=kind, name=name, nullable=nullable, is_list=is_list, items_nullable=items_nullable)


def _read_target_name(target: Any) -> str:
    return target if isinstance(target, str) else str(target.__name__)


def _unwrap_optional(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (UnionType, Union):
        return annotation, False
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return parts[0], len(parts) < len(get_args(annotation))


def _find_scalar_name(annotation: Any, where: str) -> str:
    if _is_enum(annotation):
        return str(annotation.__name__)
    if _is_input(annotation):
        return str(annotation.__strawberry_definition__.name)
    if annotation not in SCALAR_NAMES:
        raise SchemaError(
            f"`{where}` has an annotation no scalar stands for, use one of {sorted(SCALAR_NAMES.values())}"
        )
    return SCALAR_NAMES[annotation]


def _read_access(directives: Iterable[object]) -> AccessDirectives:
    listed = list(directives)
    return AccessDirectives(
        allow=tuple(tuple(directive.groups) for directive in listed if isinstance(directive, Allow)),
        owned=tuple(directive.by for directive in listed if isinstance(directive, Owned)),
    )


AGGREGATE_SUFFIXES = ("CountDistinct", "Sum", "Average", "Minimum", "Maximum")

FIELD_SUFFIXES = (
    "Where",
    "Order",
    "GroupKey",
    "GroupBy",
    "Values",
    *(f"{aggregate}{use}" for aggregate in AGGREGATE_SUFFIXES for use in ("", "Having", "Order")),
)
"""What follows a type's name in a derived type whose fields look at the type's field of the same name."""

ROW_SUFFIXES = ("Connection", "Edge", "ListWhere", "Aggregate", "AggregateOrder", "Group", "GroupOrder", "Having")
"""What follows a type's name in a derived type whose fields look at its rows as a whole."""

SUFFIXES_LONGEST_FIRST = sorted((*FIELD_SUFFIXES, *ROW_SUFFIXES), key=len, reverse=True)
"""`OrderSumOrder` is the order by sums of `Order`, not that of a type `OrderSum`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedName:
    """The written type that a derived type is made for."""

    base: str
    by_field: bool
    """Whether each field looks at the field of the same name."""


def parse_derived_name(name: str, known: Container[str]) -> DerivedName | None:
    """Return what a derived type is made for; None if that is none of the known types."""
    for suffix in SUFFIXES_LONGEST_FIRST:
        if name.endswith(suffix) and name.removesuffix(suffix) in known:
            return DerivedName(base=name.removesuffix(suffix), by_field=suffix in FIELD_SUFFIXES)
    return None
