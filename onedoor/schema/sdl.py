"""SDL AST helpers, scalars."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from json import dumps
from typing import Any

from graphql import (
    ConstArgumentNode,
    ConstDirectiveNode,
    ConstListValueNode,
    ConstValueNode,
    DirectiveDefinitionNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    EnumValueDefinitionNode,
    EnumValueNode,
    FieldDefinitionNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    IntValueNode,
    ListTypeNode,
    NamedTypeNode,
    NameNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    StringValueNode,
    TypeNode,
    ValueNode,
    parse_const_value,
)

from onedoor.schema.reader import AccessDirectives


def parse_type_node(text: str) -> TypeNode:
    """The type a text such as `[Order!]!` names."""
    if text.endswith("!"):
        inner = parse_type_node(text[:-1])
        assert isinstance(inner, NamedTypeNode | ListTypeNode)
        return NonNullTypeNode(type=inner)
    if text.startswith("["):
        return ListTypeNode(type=parse_type_node(text[1:-1]))
    return NamedTypeNode(name=NameNode(value=text))


def build_access_directives(access: AccessDirectives) -> tuple[ConstDirectiveNode, ...]:
    """`@allow` and `@owned` as they are printed."""
    return (
        *(
            _build_directive_use("allow", "groups", ConstListValueNode(values=tuple(map(_build_string, each))))
            for each in access.allow
        ),
        *(_build_directive_use("owned", "by", _build_string(each)) for each in access.owned),
    )


ONE_OF_DIRECTIVE = ConstDirectiveNode(name=NameNode(value="oneOf"), arguments=())


def build_field(
    name: str,
    type_text: str,
    description: str,
    *,
    arguments: Sequence[InputValueDefinitionNode] = (),
    access: AccessDirectives | None = None,
) -> FieldDefinitionNode:
    return FieldDefinitionNode(
        name=NameNode(value=name),
        type=parse_type_node(type_text),
        description=_build_description(description),
        arguments=tuple(arguments),
        directives=build_access_directives(access) if access else (),
    )


def build_argument(
    name: str,
    type_text: str,
    description: str,
    access: AccessDirectives | None = None,
    default: ConstValueNode | None = None,
) -> InputValueDefinitionNode:
    """An argument of a field, or a field of an input type."""
    return InputValueDefinitionNode(
        name=NameNode(value=name),
        type=parse_type_node(type_text),
        description=_build_description(description),
        default_value=default,
        directives=build_access_directives(access) if access else (),
    )


def build_constant(value: Any) -> ConstValueNode:
    """A default as it is written: an enum's value by its name, a list of what it holds, all else as in JSON."""
    if isinstance(value, StrEnum):
        return EnumValueNode(value=value.name)
    if isinstance(value, list | tuple):
        return ConstListValueNode(values=tuple(map(build_constant, value)))
    return parse_const_value(dumps(value))


def build_object(
    name: str,
    description: str,
    fields: Iterable[FieldDefinitionNode],
    access: AccessDirectives,
    *,
    implements: Iterable[str] = (),
) -> ObjectTypeDefinitionNode:
    return ObjectTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        fields=tuple(fields),
        directives=build_access_directives(access),
        interfaces=tuple(NamedTypeNode(name=NameNode(value=each)) for each in implements),
    )


def build_interface(
    name: str, description: str, fields: Iterable[FieldDefinitionNode], access: AccessDirectives
) -> InterfaceTypeDefinitionNode:
    return InterfaceTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        fields=tuple(fields),
        directives=build_access_directives(access),
        interfaces=(),
    )


def build_input(
    name: str,
    description: str,
    fields: Iterable[InputValueDefinitionNode],
    access: AccessDirectives,
    extra: tuple[ConstDirectiveNode, ...] = (),
) -> InputObjectTypeDefinitionNode:
    return InputObjectTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        fields=tuple(fields),
        directives=(*extra, *build_access_directives(access)),
    )


STORED_DIRECTIVE = "stored"
"""The directive of a value that its source holds as another text than its name."""

NO_STORED_VALUES: Mapping[str, str] = {}


def build_enum(
    name: str, description: str, values: Iterable[str], stored_values: Mapping[str, str] = NO_STORED_VALUES
) -> EnumTypeDefinitionNode:
    return EnumTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        values=tuple(
            EnumValueDefinitionNode(
                name=NameNode(value=each),
                directives=(_build_directive_use(STORED_DIRECTIVE, "as", _build_string(stored_values[each])),)
                if each in stored_values
                else (),
            )
            for each in values
        ),
        directives=(),
    )


def build_scalar(name: str, description: str) -> ScalarTypeDefinitionNode:
    return ScalarTypeDefinitionNode(
        name=NameNode(value=name), description=_build_description(description), directives=()
    )


def _build_directive_use(
    name: str, argument_name: str, value: ConstListValueNode | StringValueNode
) -> ConstDirectiveNode:
    return ConstDirectiveNode(
        name=NameNode(value=name), arguments=(ConstArgumentNode(name=NameNode(value=argument_name), value=value),)
    )


def _build_string(value: str) -> StringValueNode:
    return StringValueNode(value=value)


def copy_node(node: Any, **changes: Any) -> Any:
    """The node with some of its members replaced."""
    return type(node)(**{key: changes.get(key, getattr(node, key)) for key in node.keys})


def _build_description(text: str) -> StringValueNode | None:
    return StringValueNode(value=text, block=True) if text else None


EQUALITY_OPERATORS = ("eq", "ne", "in", "notIn", "isNull")

ORDER_OPERATORS = (*EQUALITY_OPERATORS, "lt", "lte", "gt", "gte")

TEXT_OPERATORS = (*ORDER_OPERATORS, "contains", "startsWith", "endsWith", "iContains", "iStartsWith", "iEndsWith")

FILTER_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "ID": EQUALITY_OPERATORS,
    "Boolean": EQUALITY_OPERATORS,
    "String": TEXT_OPERATORS,
    "Int": ORDER_OPERATORS,
    "Float": ORDER_OPERATORS,
    "BigInt": ORDER_OPERATORS,
    "Decimal": ORDER_OPERATORS,
    "Date": ORDER_OPERATORS,
    "DateTime": ORDER_OPERATORS,
}
"""By scalar, the operators of its filter; an enum takes EQUALITY."""

SCALAR_DESCRIPTIONS: Mapping[str, str] = {
    "BigInt": "A whole number of up to 64 bits, as a string.",
    "Decimal": "An exact decimal number, as a string.",
    "Date": "A day, as ISO 8601 has it: `2026-10-31`.",
    "JSON": "Any value of JSON.",
    "DateTime": "A moment, as ISO 8601 has it, with a zone: `2026-10-31T12:00:00Z`.",
}

INTEGER_PATTERN = re.compile(r"-?[0-9]{1,19}", re.ASCII)

DECIMAL_PATTERN = re.compile(r"-?[0-9]{1,28}(\.[0-9]{1,12})?", re.ASCII)

DATE_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

DATETIME_PATTERN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def parse_big_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _require_64_bits(value)
    if isinstance(value, str) and INTEGER_PATTERN.fullmatch(value):
        return _require_64_bits(int(value))
    raise GraphQLError("BigInt takes a whole number, as a string")


def parse_decimal(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**28:
        return Decimal(value)
    if isinstance(value, str) and DECIMAL_PATTERN.fullmatch(value):
        return Decimal(value)
    raise GraphQLError("Decimal takes a string of at most 28 digits and 12 decimal places, such as `12.50`")


def parse_date(value: object) -> date:
    try:
        if isinstance(value, str) and DATE_PATTERN.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise GraphQLError("Date takes a day such as `2026-10-31`")


def parse_datetime(value: object) -> datetime:
    try:
        if isinstance(value, str) and DATETIME_PATTERN.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError("DateTime takes a moment with a zone such as `2026-10-31T12:00:00Z`")


SCALAR_PARSERS: Mapping[str, Callable[[object], Any]] = {
    "BigInt": parse_big_int,
    "Decimal": parse_decimal,
    "Date": parse_date,
    "DateTime": parse_datetime,
}


def install_scalars(schema: GraphQLSchema) -> GraphQLSchema:
    """The schema, its scalars taught to read what clients send."""
    for name, read in SCALAR_PARSERS.items():
        scalar: Any = schema.type_map.get(name)
        if scalar is not None:
            scalar.parse_value = scalar.coerce_input_value = read
            scalar.parse_literal = scalar.coerce_input_literal = _build_literal_parser(read)
    for each in schema.type_map.values():
        if isinstance(each, GraphQLEnumType):
            for value in each.values.values():
                value.value = _read_stored_value(value.ast_node) or value.value
    return schema


def _read_stored_value(node: EnumValueDefinitionNode | None) -> str | None:
    """What `@stored(as: ...)` says of an enum's value."""
    said = (each for each in (node.directives if node else None) or () if each.name.value == STORED_DIRECTIVE)
    values = (argument.value for each in said for argument in each.arguments or ())
    return next((each.value for each in values if isinstance(each, StringValueNode)), None)


def _build_literal_parser(parse: Callable[[object], Any]) -> Callable[..., Any]:
    def from_node(node: ValueNode, _variables: object = None) -> Any:
        try:
            return parse(_read_literal(node))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return from_node


def _read_literal(node: ValueNode) -> str | int | None:
    """What a literal says; None where it is neither text nor a whole number."""
    if isinstance(node, StringValueNode):
        return node.value
    return int(node.value) if isinstance(node, IntValueNode) and len(node.value) <= 28 else None


def _require_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise GraphQLError("BigInt takes a whole number of up to 64 bits")
    return value


FIRST = ("Query", "Mutation", "Subscription")

MEMBERS = ("interfaces", "fields", "arguments", "values")

OWNED = "owned"


def in_order(sdl: DocumentNode) -> DocumentNode:
    """Directives, the roots, then types by their names; and so the members of each."""
    return DocumentNode(definitions=tuple(map(_sorted, sorted(sdl.definitions, key=_place))))


def meaning(sdl: DocumentNode) -> DocumentNode:
    """Without descriptions, and without who answers for what."""
    kept = (each for each in sdl.definitions if not (_directive(each) and _says_owner(each)))
    return DocumentNode(definitions=tuple(map(_bare, kept)))


def _place(node: Any) -> tuple[bool, int, str]:
    name = node.name.value
    at = FIRST.index(name) if name in FIRST else len(FIRST)
    return not _directive(node), at, name


def _directive(node: Any) -> bool:
    return isinstance(node, DirectiveDefinitionNode)


def _sorted(node: Any) -> Any:
    held = {key: getattr(node, key) for key in MEMBERS if getattr(node, key, None)}
    return copy_node(node, **{key: tuple(map(_sorted, sorted(held[key], key=_name))) for key in held}) if held else node


def _bare(node: Any) -> Any:
    changed: dict[str, Any] = {key: tuple(map(_bare, getattr(node, key, None) or ())) for key in MEMBERS}
    changed["directives"] = tuple(each for each in getattr(node, "directives", None) or () if not _says_owner(each))
    changed["description"] = None
    return copy_node(node, **{key: value for key, value in changed.items() if key in node.keys})


def _says_owner(node: Any) -> bool:
    return bool(node.name.value == OWNED)


def _name(node: Any) -> str:
    return str(node.name.value)
