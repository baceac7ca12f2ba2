"""An operation and the values that came with it in, its variables coerced out, what decides no plan left open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLInputType,
    GraphQLSchema,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    VariableValues,
    get_named_type,
    get_variable_values,
)

from engine.admit import located
from engine.entities import ANY, typed
from engine.errors import Code, Refused
from engine.slots import Slot, slotted

INT = range(-(2**31), 2**31)
PLAIN = {"ID": str, "String": str, "Int": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """`values` as coerced; `slots` the same with what does not decide the plan left open."""

    values: Mapping[str, Any]
    slots: Mapping[str, Any]
    sources: Mapping[str, Any]


def variables(schema: GraphQLSchema, operation: OperationDefinitionNode, given: Mapping[str, Any]) -> Variables:
    """The operation's variables, coerced; raises Refused for each that is not what the operation says."""
    nodes = operation.variable_definitions or ()
    coerced = get_variable_values(schema, nodes, dict(given), max_errors=20, hide_suggestions=True)
    if not isinstance(coerced, VariableValues):
        raise Refused(*(located(Code.BAD_USER_INPUT, each) for each in coerced))
    slots = {
        name: _slotted(schema, value, coerced.sources[name].signature.type, name)
        for name, value in coerced.coerced.items()
    }
    return Variables(values=coerced.coerced, slots=slots, sources=coerced.sources)


def _slotted(schema: GraphQLSchema, value: Any, of: GraphQLInputType, name: str) -> Any:
    found = slotted(value, of, (name,))
    represents = isinstance(found, Slot) and get_named_type(of).name == ANY
    return typed(schema, found, value) if represents else found


def plain(operation: OperationDefinitionNode) -> Mapping[str, type] | None:
    """The variables of an operation whose values, if they are of these types, stand for themselves; None: some do not.

    graphql-core takes 20 us to find that out anew for each request.
    """
    named = [(each.variable.name.value, each.type) for each in operation.variable_definitions or ()]
    bare = [(name, of.type if isinstance(of, NonNullTypeNode) else of) for name, of in named]
    if not all(isinstance(of, NamedTypeNode) and of.name.value in PLAIN for _, of in bare):
        return None
    return {name: PLAIN[of.name.value] for name, of in bare if isinstance(of, NamedTypeNode)}


def stands(value: Any, of: type) -> bool:
    return type(value) is of and (of is str or value in INT)
