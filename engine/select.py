"""A document, an operation and its variables in, picks out: the fields wanted, as a tree, arguments coerced.

Fields are collected as the specification says (section 6.3.2): by response key, fragments applied to each concrete
type, @skip and @include obeyed, equal fields merged.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    TypeNameMetaFieldDef,
    VariableNode,
    VariableValues,
    get_argument_values,
    get_directive_values,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)

from engine.admit import Document, located
from engine.entities import ENTITIES, SERVICE, by_id, types
from engine.errors import Code, Fault, Refused
from engine.house import Limits
from engine.variables import Variables

META = "__"
"""Fields whose names start so are GraphQL's own; of these only `__typename` is picked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One field of one concrete type, wanted under `key`; `number` is unique in its operation."""

    number: int
    key: str
    type: str
    field: str
    arguments: Mapping[str, Any]
    returns: GraphQLOutputType
    picks: Mapping[str, tuple["Pick", ...]]
    """By concrete type of the value, what is wanted of it; empty for leaves."""

    @property
    def below(self) -> tuple["Pick", ...]:
        """What is wanted of a value that can be of one type only."""
        return next(iter(self.picks.values()), ())


def select(
    schema: GraphQLSchema, document: Document, operation: OperationDefinitionNode, given: Variables, limits: Limits
) -> tuple[Pick, ...]:
    """The picks of the operation's root; raises Refused past a limit or for arguments that cannot be."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    reading = Reading(schema, document.fragments, VariableValues(dict(given.sources), dict(given.slots)), limits)
    return reading.picks(root, [operation.selection_set])


def few(operation: OperationDefinitionNode, picks: Sequence[Pick], limits: Limits) -> None:
    """Raises Refused where one request would change more than it may."""
    if operation.operation is OperationType.MUTATION and len(picks) > limits.mutations_max:
        raise over("changes", "mutations_max", limits.mutations_max)


def over(what: str, name: str, limit: int) -> Refused:
    message = f"the operation has more {what} than the limit `{name}` of {limit}, ask in parts"
    return Refused(Fault(code=Code.LIMIT_EXCEEDED, message=message))


class Reading:
    """One walk of one operation: its fragments, variables, and the numbers given out so far."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        values: VariableValues,
        limits: Limits,
    ) -> None:
        self.schema = schema
        self.fragments = fragments
        self.values = values
        self.limits = limits
        self.numbers = count()
        self.tests = 0

    def picks(self, of: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> tuple[Pick, ...]:
        grouped: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in sets:
            for node in self.fields(of, selection_set, visited):
                grouped.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
        made = (self.pick(of, key, nodes) for key, nodes in grouped.items())
        return tuple(each for each in made if each is not None)

    def fields(self, of: GraphQLObjectType, wanted: SelectionSetNode, visited: set[str]) -> Iterator[FieldNode]:
        for node in wanted.selections:
            if not self.included(node):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition.name.value if node.type_condition else of.name
                if self.applies(condition, of):
                    yield from self.fields(of, node.selection_set, visited)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                visited.add(node.name.value)
                fragment = self.fragments[node.name.value]
                if self.applies(fragment.type_condition.name.value, of):
                    yield from self.fields(of, fragment.selection_set, visited)

    def pick(self, of: GraphQLObjectType, key: str, nodes: Sequence[FieldNode]) -> Pick | None:
        name = nodes[0].name.value
        if (name.startswith(META) and name != "__typename") or (name == SERVICE and of is self.schema.query_type):
            return None
        if name == ENTITIES and of is self.schema.query_type:
            return self.entities(of, key, nodes)
        definition = TypeNameMetaFieldDef if name == "__typename" else of.fields[name]
        return Pick(
            number=self.next_number(),
            key=key,
            type=of.name,
            field=name,
            arguments=self.arguments(definition, nodes[0], changes=of is self.schema.mutation_type),
            returns=definition.type,
            picks=self.below(definition, nodes),
        )

    def entities(self, of: GraphQLObjectType, key: str, nodes: Sequence[FieldNode]) -> Pick:
        """As the root fields that give one row by id, of each type that is named and that something is wanted of."""
        definition, roots, number = of.fields[ENTITIES], by_id(self.schema), self.next_number()
        (representations,) = self.arguments(definition, nodes[0]).values()
        below: dict[str, tuple[Pick, ...]] = {}
        named = types(representations)
        for name, picks in self.below(definition, nodes).items():
            one = of.fields[roots[name]]
            wanted = picks if named is None or name in named else ()
            below[name] = wanted and (
                Pick(
                    number=self.next_number(), key=key, type=of.name, field=roots[name],
                    arguments={"id": representations}, returns=one.type, picks={name: picks},
                ),
            )  # fmt: skip
        return Pick(
            number=number, key=key, type=of.name, field=ENTITIES, arguments={"representations": representations},
            returns=definition.type, picks=below,
        )  # fmt: skip

    def next_number(self) -> int:
        number = next(self.numbers)
        if number >= self.limits.picks_max:
            raise over("fields", "picks_max", self.limits.picks_max)
        return number

    def arguments(self, definition: GraphQLField, node: FieldNode, *, changes: bool = False) -> Mapping[str, Any]:
        """Of a change, what is left open by a variable is not given, and so is not changed."""
        for missing in () if changes else self.missing(node):
            message = f"`${missing}` stands in a filter or an order but was not given, which would widen the question"
            raise Refused(Fault(code=Code.BAD_USER_INPUT, message=message))
        try:
            found = get_argument_values(definition, node, self.values, hide_suggestions=True)
        except GraphQLError as error:
            raise Refused(located(Code.BAD_USER_INPUT, error)) from None
        self.measure(found)
        return found

    def measure(self, arguments: Mapping[str, Any]) -> None:
        """Counts what filters and orders name, and how deep; needs no stack of calls, as they may nest without end."""
        waiting = [(value, 0) for value in arguments.values() if isinstance(value, dict | list)]
        while waiting:
            value, depth = waiting.pop()
            if depth > self.limits.filter_depth_max:
                raise over("levels of a filter", "filter_depth_max", self.limits.filter_depth_max)
            inner = value.values() if isinstance(value, dict) else value
            self.tests += len(value) if isinstance(value, dict) else 0
            if self.tests > self.limits.tests_max:
                raise over("fields in filters and orders", "tests_max", self.limits.tests_max)
            level = depth + isinstance(value, dict)
            waiting.extend((each, level) for each in inner if isinstance(each, dict | list))

    def missing(self, node: FieldNode) -> Iterator[str]:
        """The variables without a value inside objects: GraphQL would drop the field they stand in."""
        waiting: list[Any] = [each.value for each in node.arguments or () if not isinstance(each.value, VariableNode)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, VariableNode) and value.name.value not in self.values.coerced:
                yield value.name.value
            waiting.extend(getattr(value, "values", None) or ())
            waiting.extend(each.value for each in getattr(value, "fields", None) or ())

    def below(self, definition: GraphQLField, nodes: Iterable[FieldNode]) -> Mapping[str, tuple[Pick, ...]]:
        named = get_named_type(definition.type)
        if not is_composite_type(named):
            return {}
        sets = [node.selection_set for node in nodes if node.selection_set]
        concrete = self.schema.get_possible_types(named) if is_abstract_type(named) else (named,)
        return {each.name: self.picks(each, sets) for each in concrete if isinstance(each, GraphQLObjectType)}

    def included(self, node: FieldNode | FragmentSpreadNode | InlineFragmentNode | Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self.values)
        if skip and skip["if"]:
            return False
        include = get_directive_values(GraphQLIncludeDirective, node, self.values)
        return not include or bool(include["if"])

    def applies(self, condition: str, of: GraphQLObjectType) -> bool:
        named: Any = self.schema.type_map[condition]
        return named is of or (is_abstract_type(named) and self.schema.is_sub_type(named, of))
