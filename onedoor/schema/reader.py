"""Annotated classes -> plain shapes."""

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
    """How a field comes by its value."""

    COLUMN = "Column"
    COMPUTED = "Computed"
    LOOKUP = "Looked"
    ONE = "One"
    MANY = "Many"
    BY_ID = "ById"
    CHANGE = "Changed"
    HISTORY = "History"


VALUE_KINDS = frozenset({FieldKind.COLUMN, FieldKind.COMPUTED, FieldKind.LOOKUP})
"""What holds a value; the others lead to rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDirectives:
    """The directives of one type or field."""

    allow: tuple[tuple[str, ...], ...]
    owned: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentShape:
    """One thing a field takes; one whose default is null need not be given."""

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
    """A list of scalars."""
    arguments: tuple[ArgumentShape, ...] = ()
    """Of a field that is looked up, a mutation, or an event."""


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
    """What the source holds for a value, where that is not its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaShape:
    types: tuple[TypeShape, ...]
    enums: tuple[EnumShape, ...]
    inputs: tuple[TypeShape, ...] = ()
    """What arguments are made of; the types of filters and orders are made, not written."""


class SchemaError(ConfigurationError):
    """The schema cannot be built; the message says which field and what would do."""


def read_shapes(modules: Iterable[ModuleType]) -> SchemaShape:
    """All types and enums that the modules define; the classes named `Query` become one, and so the other roots."""
    found = [value for module in modules for value in _iter_declared(module)]
    types = [
        _read_type(value.__strawberry_definition__) for value in found if not _is_enum(value) and not _is_input(value)
    ]
    enums = [_read_enum(value.__strawberry_definition__) for value in found if _is_enum(value)]
    inputs = [_read_type(value.__strawberry_definition__) for value in found if _is_input(value)]
    return SchemaShape(types=_merge_roots(types), enums=tuple(enums), inputs=tuple(inputs))


def _is_enum(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, StrEnum)


def _is_input(value: Any) -> bool:
    return getattr(getattr(value, "__strawberry_definition__", None), "is_input", False)


@dataclass(frozen=True, slots=True)
class SchemaPart:
    """Types that the product declares for a module which holds this value, such as those of uploads."""

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
    """Those first; of a mutation or a subscription, only where there is one."""
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
    leads, to, nullable, many = _read_annotation(annotation, f"{owner}.{name}")
    return FieldShape(
        name=name,
        description=field.description or "",
        access=_read_access(field.directives),
        kind=leads,
        type_name=to,
        nullable=nullable or leads is FieldKind.LOOKUP,
        is_list=many,
        arguments=tuple(
            _read_argument(f"{owner}.{name}", *each) for each in field.metadata.get(ARGUMENTS_METADATA, {}).items()
        ),
    )


def _read_argument(field: str, python_name: str, given: Argument) -> ArgumentShape:
    name = to_camel_case(python_name)
    if not given.description:
        raise SchemaError(f"`{field}({name}:)` has no description, say what the name does not")
    many = get_origin(given.type) is list
    return ArgumentShape(
        name=name,
        description=given.description,
        type_name=_find_scalar_name(get_args(given.type)[0] if many else given.type, f"{field}({name}:)"),
        is_list=many,
        required=given.default is not None,
        default=None if given.default is REQUIRED else given.default,
    )


def _read_annotation(annotation: Any, where: str) -> tuple[FieldKind, str, bool, bool]:
    """How the field comes by its value, the name it leads to, whether it may be null, whether it is a list."""
    leads = FieldKind(annotation.kind) if isinstance(annotation, FieldAnnotation) else FieldKind.COLUMN
    if leads not in VALUE_KINDS:
        return leads, _read_target_name(annotation.target), True, False
    kept, nullable = _unwrap_optional(annotation.target if isinstance(annotation, FieldAnnotation) else annotation)
    many = get_origin(kept) is list
    return leads, _find_scalar_name(get_args(kept)[0] if many else kept, where), nullable, many


def _read_target_name(to: Any) -> str:
    return to if isinstance(to, str) else str(to.__name__)


def _unwrap_optional(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (UnionType, Union):
        return annotation, False
    kept = [part for part in get_args(annotation) if part is not type(None)]
    return kept[0], len(kept) < len(get_args(annotation))


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
    kept = list(directives)
    return AccessDirectives(
        allow=tuple(tuple(each.groups) for each in kept if isinstance(each, Allow)),
        owned=tuple(each.by for each in kept if isinstance(each, Owned)),
    )


AGGREGATE_SUFFIXES = ("CountDistinct", "Sum", "Average", "Minimum", "Maximum")

FIELD_SUFFIXES = (
    "Where",
    "Order",
    "GroupKey",
    "GroupBy",
    "Values",
    *(f"{each}{use}" for each in AGGREGATE_SUFFIXES for use in ("", "Having", "Order")),
)
"""What follows a type's name where each position looks at the type's field of the same name."""

ROW_SUFFIXES = ("Connection", "Edge", "ListWhere", "Aggregate", "AggregateOrder", "Group", "GroupOrder", "Having")
"""And where the positions are of its rows as a whole."""

SUFFIXES_LONGEST_FIRST = sorted((*FIELD_SUFFIXES, *ROW_SUFFIXES), key=len, reverse=True)
"""`OrderSumOrder` is the order by sums of `Order`, not that of a type `OrderSum`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedName:
    base: str
    by_field: bool
    """Whether each position looks at the field of the same name."""


def parse_derived_name(name: str, known: Container[str]) -> DerivedName | None:
    """What the type is made for; None where it is made for none of those known."""
    for suffix in SUFFIXES_LONGEST_FIRST:
        if name.endswith(suffix) and name.removesuffix(suffix) in known:
            return DerivedName(base=name.removesuffix(suffix), by_field=suffix in FIELD_SUFFIXES)
    return None
