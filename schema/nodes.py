"""Short words for the syntax nodes that `schema.build` makes."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from json import dumps
from typing import Any

from graphql import (
    ConstArgumentNode,
    ConstDirectiveNode,
    ConstListValueNode,
    ConstValueNode,
    EnumTypeDefinitionNode,
    EnumValueDefinitionNode,
    EnumValueNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NamedTypeNode,
    NameNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    StringValueNode,
    TypeNode,
    parse_const_value,
)

from schema.read import Guards


def type_node(text: str) -> TypeNode:
    """The type a text such as `[Order!]!` names."""
    if text.endswith("!"):
        inner = type_node(text[:-1])
        assert isinstance(inner, NamedTypeNode | ListTypeNode)
        return NonNullTypeNode(type=inner)
    if text.startswith("["):
        return ListTypeNode(type=type_node(text[1:-1]))
    return NamedTypeNode(name=NameNode(value=text))


def guarding(guards: Guards) -> tuple[ConstDirectiveNode, ...]:
    """`@allow` and `@owned` as they are printed."""
    return (
        *(_directive("allow", "groups", ConstListValueNode(values=tuple(map(_text, each)))) for each in guards.allow),
        *(_directive("owned", "by", _text(each)) for each in guards.owned),
    )


ONE_OF = ConstDirectiveNode(name=NameNode(value="oneOf"), arguments=())


def field(
    name: str,
    of: str,
    description: str,
    *,
    arguments: Sequence[InputValueDefinitionNode] = (),
    guards: Guards | None = None,
) -> FieldDefinitionNode:
    return FieldDefinitionNode(
        name=NameNode(value=name),
        type=type_node(of),
        description=_described(description),
        arguments=tuple(arguments),
        directives=guarding(guards) if guards else (),
    )


def argument(
    name: str, of: str, description: str, guards: Guards | None = None, default: ConstValueNode | None = None
) -> InputValueDefinitionNode:
    """An argument of a field, or a field of an input type."""
    return InputValueDefinitionNode(
        name=NameNode(value=name),
        type=type_node(of),
        description=_described(description),
        default_value=default,
        directives=guarding(guards) if guards else (),
    )


def constant(value: Any) -> ConstValueNode:
    """A default as it is written: an enum's value by its name, a list of what it holds, all else as in JSON."""
    if isinstance(value, StrEnum):
        return EnumValueNode(value=value.name)
    if isinstance(value, list | tuple):
        return ConstListValueNode(values=tuple(map(constant, value)))
    return parse_const_value(dumps(value))


def output(
    name: str,
    description: str,
    fields: Iterable[FieldDefinitionNode],
    guards: Guards,
    *,
    implements: Iterable[str] = (),
) -> ObjectTypeDefinitionNode:
    return ObjectTypeDefinitionNode(
        name=NameNode(value=name),
        description=_described(description),
        fields=tuple(fields),
        directives=guarding(guards),
        interfaces=tuple(NamedTypeNode(name=NameNode(value=each)) for each in implements),
    )


def interface(
    name: str, description: str, fields: Iterable[FieldDefinitionNode], guards: Guards
) -> InterfaceTypeDefinitionNode:
    return InterfaceTypeDefinitionNode(
        name=NameNode(value=name),
        description=_described(description),
        fields=tuple(fields),
        directives=guarding(guards),
        interfaces=(),
    )


def input_object(
    name: str,
    description: str,
    fields: Iterable[InputValueDefinitionNode],
    guards: Guards,
    extra: tuple[ConstDirectiveNode, ...] = (),
) -> InputObjectTypeDefinitionNode:
    return InputObjectTypeDefinitionNode(
        name=NameNode(value=name),
        description=_described(description),
        fields=tuple(fields),
        directives=(*extra, *guarding(guards)),
    )


STORED = "stored"
"""The directive of a value that its source holds as another text than its name."""
ALIKE: Mapping[str, str] = {}


def enum(
    name: str, description: str, values: Iterable[str], stored: Mapping[str, str] = ALIKE
) -> EnumTypeDefinitionNode:
    return EnumTypeDefinitionNode(
        name=NameNode(value=name),
        description=_described(description),
        values=tuple(
            EnumValueDefinitionNode(
                name=NameNode(value=each),
                directives=(_directive(STORED, "as", _text(stored[each])),) if each in stored else (),
            )
            for each in values
        ),
        directives=(),
    )


def scalar(name: str, description: str) -> ScalarTypeDefinitionNode:
    return ScalarTypeDefinitionNode(name=NameNode(value=name), description=_described(description), directives=())


def _directive(name: str, argument_name: str, value: ConstListValueNode | StringValueNode) -> ConstDirectiveNode:
    return ConstDirectiveNode(
        name=NameNode(value=name), arguments=(ConstArgumentNode(name=NameNode(value=argument_name), value=value),)
    )


def _text(value: str) -> StringValueNode:
    return StringValueNode(value=value)


def _described(text: str) -> StringValueNode | None:
    return StringValueNode(value=text, block=True) if text else None
