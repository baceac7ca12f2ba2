"""Add arguments, variables, aliases, fragments and directives to a selection."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInputObjectType,
    GraphQLList,
    InlineFragmentNode,
    ListValueNode,
    NamedTypeNode,
    NameNode,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_leaf_type,
)

from tests.properties.reference.draw import AHEAD, Draw, Leaf, plain
from tests.properties.reference.nodes import children, definition, field, literal

DEEPEST = 5
"""How many relationships a selection follows; a page's `nodes` and `edges { node }` do not count."""


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    type: str
    values: tuple[Any, Any]
    """What it is the first time, and the second; MISSING: it is not given."""


MISSING = object()


class Weaving:
    """One document in the making: what it defines beside its selection."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.schema = draw.world.schema
        self.variables: list[Variable] = []
        self.fragments: list[FragmentDefinitionNode] = []
        self.aliases = 0

    def document(self, bare: Sequence[FieldNode]) -> DocumentNode:
        selections = self.selection("Query", bare, 0)
        operation = OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=NameNode(value="Random") if self.draw.odds(0.3) else None,
            variable_definitions=tuple(definition(variable.name, variable.type) for variable in self.variables),
            directives=(),
            selection_set=SelectionSetNode(selections=tuple(selections)),
        )
        return DocumentNode(definitions=(operation, *self.fragments))

    def selection(self, kind: str, bare: Sequence[FieldNode], depth: int) -> list[Any]:
        selections: list[Any] = []
        for item in (*bare, *self.more(kind, depth)):
            woven = self.field(kind, item.name.value, children(item), depth)
            selections += [woven, self.twin(woven)] if self.draw.odds(0.06) else [woven]
        for extra, share in ((field("__typename"), 0.15), (SCHEMA, 0.04 if kind == "Query" else 0)):
            if self.draw.odds(share):
                selections.insert(self.draw.random.randint(0, len(selections)), extra)
        known = [fragment.name for fragment in self.fragments if fragment.type_condition.name.value == kind]
        if known and self.draw.odds(0.1):
            selections.append(FragmentSpreadNode(name=self.draw.random.choice(known), directives=self.directives()))
        return self.wrapped(kind, selections or [field("__typename")])

    def twin(self, node: FieldNode) -> FieldNode:
        """The same field again, asking for a part of the same: both are answered as one."""
        below = node.selection_set and self.draw.random.sample(node.selection_set.selections, 1)
        alias = node.alias.value if node.alias else None
        return field(node.name.value, below, alias=alias, arguments=node.arguments, directives=self.directives())

    def more(self, kind: str, depth: int) -> list[FieldNode]:
        """Fields the document did not ask for, fewer the deeper; of a page, what leads to rows."""
        of: Any = self.schema.type_map[kind]
        share = 0.45 if depth < DEEPEST else 0.1
        names = [
            name
            for name, item in of.fields.items()
            if kind != "Query"
            and not (kind.endswith("Connection") and name in AHEAD)
            and self.draw.odds(share)
            and (is_leaf_type(get_named_type(item.type)) or self.draw.odds(ODDS.get(name, 0.5 ** (depth + 1))))
            and (depth < DEEPEST or not is_composite_type(get_named_type(item.type)) or name in ODDS)
        ]
        return [field(item) for item in names]

    def field(self, kind: str, name: str, bare: Sequence[FieldNode], depth: int) -> FieldNode:
        if name == "__typename":
            return field(name)
        definition = self.schema.type_map[kind].fields[name]  # type: ignore[attr-defined]
        of = get_named_type(definition.type)
        given = self.arguments(f"{kind}.{name}", definition, depth)
        self.aliases += 1
        alias = f"a{self.aliases}" if definition.args or self.draw.odds(0.1) else None
        return field(
            name,
            self.selection(of.name, bare, depth + (name not in ODDS)) if is_composite_type(of) else None,
            alias=alias,
            arguments=given,
            directives=self.directives(),
        )

    def arguments(self, coordinate: str, definition: Any, depth: int) -> tuple[ArgumentNode, ...]:
        of = get_named_type(definition.type).name
        if not definition.args:
            return ()
        if of.endswith("Connection"):
            given = self.draw.arguments(coordinate, of.removesuffix("Connection"), depth)
        elif "id" in definition.args:
            given = {"id": self.draw.id(of)}
        else:
            given = self.draw.taken(coordinate, definition.args)
        loose = {"first", "last"} if {"after", "before"} & set(given) else {"first", "last", "where", "orderBy"}
        return tuple(
            ArgumentNode(
                name=NameNode(value=name), value=self.value(definition.args[name].type, item, loose=name in loose)
            )
            for name, item in given.items()
        )

    def value(self, of: Any, given: Any, *, loose: bool = False) -> ValueNode:
        """Literal, variable, or a literal with variables in it; a loose one may be left out of the variables."""
        if isinstance(given, Leaf | dict | list) and self.draw.odds(0.25):
            return self.variable(str(of), given, loose)
        inner: Any = get_nullable_type(of)
        if isinstance(given, dict) and isinstance(inner, GraphQLInputObjectType):
            # INVARIANT: the member of a oneOf input is never null, so a variable in it is not either
            types = {name: f"{field.type}!" if inner.is_one_of else field.type for name, field in inner.fields.items()}
            fields = [
                ObjectFieldNode(name=NameNode(value=name), value=self.inner(types[name], inner.fields[name].type, item))
                for name, item in given.items()
            ]
            return ObjectValueNode(fields=tuple(fields))
        if isinstance(given, list) and isinstance(inner, GraphQLList):
            return ListValueNode(values=tuple(self.value(inner.of_type, item) for item in given))
        return literal(of, plain(given))

    def inner(self, argument_value: Any, of: Any, given: Any) -> ValueNode:
        if isinstance(given, Leaf) and isinstance(argument_value, str):
            return self.variable(argument_value, given) if self.draw.odds(0.25) else literal(of, given.value)
        return self.value(of, given)

    def variable(self, of: str, given: Any, loose: bool = False) -> VariableNode:
        name = f"v{len(self.variables) + 1}"
        values = (plain(given), MISSING if loose and self.draw.odds(0.15) else plain(given, again=True))
        self.variables.append(Variable(name, of, values if self.draw.odds(0.5) else (values[1], values[0])))
        return VariableNode(name=NameNode(value=name))

    def directives(self) -> tuple[DirectiveNode, ...]:
        if not self.draw.odds(0.06):
            return ()
        skips = self.draw.odds(0.5)
        result = self.draw.leaf(lambda: self.draw.odds(0.3 if skips else 0.7))
        value = self.variable("Boolean!", result) if self.draw.odds(0.8) else literal("Boolean", result.value)
        argument = ArgumentNode(name=NameNode(value="if"), value=value)
        return (DirectiveNode(name=NameNode(value="skip" if skips else "include"), arguments=(argument,)),)

    def wrapped(self, kind: str, selections: list[Any]) -> list[Any]:
        """Some of the selections moved into a fragment, inline or named, which may hold others."""
        while len(selections) > 1 and self.draw.odds(0.25):
            start = self.draw.random.randrange(len(selections))
            end = self.draw.random.randint(start + 1, len(selections))
            selections[start:end] = self.fragment(kind, selections[start:end])
        return selections

    def fragment(self, kind: str, part: list[Any]) -> list[Any]:
        on = NamedTypeNode(name=NameNode(value=self.condition(kind, part)))
        below = SelectionSetNode(selections=tuple(part))
        if self.draw.odds(0.5):
            inline = InlineFragmentNode(
                type_condition=on if self.draw.odds(0.8) else None, directives=self.directives(), selection_set=below
            )
            return [inline]
        name = NameNode(value=f"F{len(self.fragments) + 1}")
        self.fragments.append(
            FragmentDefinitionNode(
                name=name, type_condition=on, variable_definitions=(), directives=(), selection_set=below
            )
        )
        spread = FragmentSpreadNode(name=name, directives=self.directives())
        return [spread, FragmentSpreadNode(name=name, directives=())] if self.draw.odds(0.2) else [spread]

    def condition(self, kind: str, part: list[Any]) -> str:
        """The type itself, or an interface of it that declares all that is asked."""
        of: Any = self.schema.type_map[kind]
        for interface in getattr(of, "interfaces", ()):
            if all(isinstance(item, FieldNode) and item.name.value in interface.fields for item in part):
                return interface.name
        return kind


ODDS = {"nodes": 0.9, "edges": 0.7, "node": 0.9, "pageInfo": 0.6}
"""How often a selection of a page gets fields that it does not have yet."""

SCHEMA = field("__schema", [field("queryType", [field("name")])])
