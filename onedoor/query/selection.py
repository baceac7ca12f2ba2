"""Variables; collect_fields -> SelectedField tree; _entities."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    TypeNameMetaFieldDef,
    VariableNode,
    VariableValues,
    get_argument_values,
    get_directive_values,
    get_named_type,
    get_variable_values,
    is_abstract_type,
    is_composite_type,
)

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Limits
from onedoor.model.names import NoSuchId
from onedoor.model.parameters import Parameter, parameterize, substitute
from onedoor.query.document import ParsedDocument, convert_graphql_error

ENTITIES_FIELD, SERVICE_FIELD, ENTITY_UNION, ANY_SCALAR = "_entities", "_service", "_Entity", "_Any"

FEDERATION_FIELDS = frozenset({ENTITIES_FIELD, SERVICE_FIELD})
"""The root fields of a subgraph."""

TYPENAME_FIELD, ID_FIELD = "__typename", "id"

SHOWN_CHARACTERS = 100


def map_types_to_id_fields(schema: GraphQLSchema) -> Mapping[str, str]:
    """By type, the root field that gives a row of it by id; of several, the first."""
    assert schema.query_type is not None
    fields = schema.query_type.fields.items()
    return {get_named_type(each.type).name: name for name, each in reversed(fields) if list(each.args) == [ID_FIELD]}


def list_entity_types(schema: GraphQLSchema) -> frozenset[str]:
    """The types of a schema that are entities."""
    union: Any = schema.type_map.get(ENTITY_UNION)
    return frozenset(each.name for each in union.types) if union is not None else frozenset()


def add_entity_types(schema: GraphQLSchema, parameter: Parameter, value: Any) -> Parameter:
    """The slot of a variable that holds one representation, or a list of them."""
    named = map(read_typename, value if isinstance(value, list) else (value,))
    return replace(parameter, types=list_entity_types(schema) & {each for each in named if each is not None})


def find_named_types(representations: Any) -> frozenset[str] | None:
    """The types that are named before any variable is filled in; None: only a variable will tell."""
    if isinstance(representations, Parameter):
        return representations.types
    if isinstance(representations, list):
        found = [find_named_types(each) for each in representations]
        return None if None in found else frozenset[str]().union(*(each for each in found if each is not None))
    name = representations.get(TYPENAME_FIELD) if isinstance(representations, dict) else None
    return None if isinstance(name, Parameter) else frozenset({name} if isinstance(name, str) else ())


def substitute_representations(representations: Any, variables: Mapping[str, Any]) -> Any:
    """With this request's variables, which may stand in place of all, of one, or of what one holds."""
    if isinstance(representations, Parameter):
        return substitute(representations, variables)
    if isinstance(representations, dict):
        return {name: substitute_representations(each, variables) for name, each in representations.items()}
    if isinstance(representations, list):
        return [substitute_representations(each, variables) for each in representations]
    return representations


def read_typename(representation: Any) -> str | None:
    """None: it names no type."""
    found = representation.get(TYPENAME_FIELD) if isinstance(representation, Mapping) else None
    return found if isinstance(found, str) else None


def read_entity_id(representation: Any) -> str | None:
    """As a client writes an id: a text, or a whole number. None: it has none."""
    found = representation.get(ID_FIELD) if isinstance(representation, Mapping) else None
    return str(found) if type(found) in (str, int) else None


def list_ids_of_type(representations: Sequence[Any], name: str) -> Iterator[str]:
    """The ids of this type."""
    for each in representations:
        found = read_entity_id(each) if read_typename(each) == name else None
        if found is not None:
            yield found


def parse_entity_key(parse: Callable[[str], tuple[Any, ...]], id: str) -> tuple[Any, ...] | None:
    """None: it cannot be the id of any row."""
    try:
        return parse(id)
    except NoSuchId:
        return None


def describe_invalid_representation(representation: Any, types: Mapping[str, Any]) -> str | None:
    """What is wrong with a representation; a type that is hidden is one that does not exist."""
    name = read_typename(representation)
    if name is None:
        return "a representation must be an object with a `__typename`"
    if name not in types:
        return f"there is no entity type `{name[:SHOWN_CHARACTERS]}` here"
    return None if read_entity_id(representation) is not None else f"a representation of `{name}` must have an `id`"


INT_RANGE = range(-(2**31), 2**31)

PLAIN_SCALARS = {"ID": str, "String": str, "Int": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoercedVariables:
    """`values` as coerced; `slots` the same with what does not decide the plan left open."""

    values: Mapping[str, Any]
    parameterized: Mapping[str, Any]
    sources: Mapping[str, Any]


def coerce_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, given: Mapping[str, Any]
) -> CoercedVariables:
    """The operation's variables, coerced; raises Refused for each that is not what the operation says."""
    nodes = operation.variable_definitions or ()
    coerced = get_variable_values(schema, nodes, dict(given), max_errors=20, hide_suggestions=True)
    if not isinstance(coerced, VariableValues):
        raise RequestRejected(*(convert_graphql_error(ErrorCode.BAD_USER_INPUT, each) for each in coerced))
    slots = {
        name: _parameterize_variable(schema, value, coerced.sources[name].signature.type, name)
        for name, value in coerced.coerced.items()
    }
    return CoercedVariables(values=coerced.coerced, parameterized=slots, sources=coerced.sources)


def _parameterize_variable(schema: GraphQLSchema, value: Any, input_type: GraphQLInputType, name: str) -> Any:
    found = parameterize(value, input_type, (name,))
    represents = isinstance(found, Parameter) and get_named_type(input_type).name == ANY_SCALAR
    return add_entity_types(schema, found, value) if represents else found


def find_plain_variables(operation: OperationDefinitionNode) -> Mapping[str, type] | None:
    """The variables of an operation whose values, if they are of these types, stand for themselves; None: some do not.

    graphql-core takes 20 us to find that out anew for each request.
    """
    named = [(each.variable.name.value, each.type) for each in operation.variable_definitions or ()]
    bare = [(name, of.type if isinstance(of, NonNullTypeNode) else of) for name, of in named]
    if not all(isinstance(of, NamedTypeNode) and of.name.value in PLAIN_SCALARS for _, of in bare):
        return None
    return {name: PLAIN_SCALARS[of.name.value] for name, of in bare if isinstance(of, NamedTypeNode)}


def is_plain_value(value: Any, python_type: type) -> bool:
    return type(value) is python_type and (python_type is str or value in INT_RANGE)


INTROSPECTION_PREFIX = "__"
"""Fields whose names start so are GraphQL's own; of these only `__typename` is picked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedField:
    """One field of one concrete type, wanted under `key`; `number` is unique in its operation."""

    number: int
    response_key: str
    parent_type: str
    name: str
    arguments: Mapping[str, Any]
    return_type: GraphQLOutputType
    children_by_type: Mapping[str, tuple["SelectedField", ...]]
    """By concrete type of the value, what is wanted of it; empty for leaves."""

    @property
    def children(self) -> tuple["SelectedField", ...]:
        """What is wanted of a value that can be of one type only."""
        return next(iter(self.children_by_type.values()), ())


def collect_fields(
    schema: GraphQLSchema,
    document: ParsedDocument,
    operation: OperationDefinitionNode,
    variables: CoercedVariables,
    limits: Limits,
) -> tuple[SelectedField, ...]:
    """The picks of the operation's root; raises Refused past a limit or for arguments that cannot be."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    reading = FieldCollector(
        schema, document.fragments, VariableValues(dict(variables.sources), dict(variables.parameterized)), limits
    )
    return reading.select_fields(root, [operation.selection_set])


def check_mutation_count(operation: OperationDefinitionNode, fields: Sequence[SelectedField], limits: Limits) -> None:
    """Raises Refused where one request would change more than it may."""
    if operation.operation is OperationType.MUTATION and len(fields) > limits.mutations_max:
        raise build_limit_error("changes", "mutations_max", limits.mutations_max)


def build_limit_error(what: str, name: str, limit: int) -> RequestRejected:
    message = f"the operation has more {what} than the limit `{name}` of {limit}, ask in parts"
    return RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))


class FieldCollector:
    """One walk of one operation: its fragments, variables, and the numbers given out so far."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variable_values: VariableValues,
        limits: Limits,
    ) -> None:
        self.schema = schema
        self.fragments = fragments
        self.variable_values = variable_values
        self.limits = limits
        self.numbers = count()
        self.filter_fields = 0

    def select_fields(
        self, parent_type: GraphQLObjectType, selection_sets: Sequence[SelectionSetNode]
    ) -> tuple[SelectedField, ...]:
        grouped: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in selection_sets:
            for node in self.collect_nodes(parent_type, selection_set, visited):
                grouped.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
        made = (self.select_field(parent_type, key, nodes) for key, nodes in grouped.items())
        return tuple(each for each in made if each is not None)

    def collect_nodes(
        self, parent_type: GraphQLObjectType, selection_set: SelectionSetNode, visited: set[str]
    ) -> Iterator[FieldNode]:
        for node in selection_set.selections:
            if not self.is_included(node):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition.name.value if node.type_condition else parent_type.name
                if self.is_applicable(condition, parent_type):
                    yield from self.collect_nodes(parent_type, node.selection_set, visited)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                visited.add(node.name.value)
                fragment = self.fragments[node.name.value]
                if self.is_applicable(fragment.type_condition.name.value, parent_type):
                    yield from self.collect_nodes(parent_type, fragment.selection_set, visited)

    def select_field(
        self, parent_type: GraphQLObjectType, response_key: str, nodes: Sequence[FieldNode]
    ) -> SelectedField | None:
        name = nodes[0].name.value
        if (name.startswith(INTROSPECTION_PREFIX) and name != "__typename") or (
            name == SERVICE_FIELD and parent_type is self.schema.query_type
        ):
            return None
        if name == ENTITIES_FIELD and parent_type is self.schema.query_type:
            return self.select_entities(parent_type, response_key, nodes)
        definition = TypeNameMetaFieldDef if name == "__typename" else parent_type.fields[name]
        return SelectedField(
            number=self.next_number(),
            response_key=response_key,
            parent_type=parent_type.name,
            name=name,
            arguments=self.coerce_arguments(definition, nodes[0], is_mutation=parent_type is self.schema.mutation_type),
            return_type=definition.type,
            children_by_type=self.collect_subfields(definition, nodes),
        )

    def select_entities(
        self, parent_type: GraphQLObjectType, response_key: str, nodes: Sequence[FieldNode]
    ) -> SelectedField:
        """As the root fields that give one row by id, of each type that is named and that something is wanted of."""
        definition, roots, number = (
            parent_type.fields[ENTITIES_FIELD],
            map_types_to_id_fields(self.schema),
            self.next_number(),
        )
        (representations,) = self.coerce_arguments(definition, nodes[0]).values()
        below: dict[str, tuple[SelectedField, ...]] = {}
        named = find_named_types(representations)
        for name, picks in self.collect_subfields(definition, nodes).items():
            one = parent_type.fields[roots[name]]
            wanted = picks if named is None or name in named else ()
            below[name] = wanted and (
                SelectedField(
                    number=self.next_number(), response_key=response_key, parent_type=parent_type.name, name=roots[name],
                    arguments={"id": representations}, return_type=one.type, children_by_type={name: picks},
                ),
            )  # fmt: skip
        return SelectedField(
            number=number, response_key=response_key, parent_type=parent_type.name, name=ENTITIES_FIELD, arguments={"representations": representations},
            return_type=definition.type, children_by_type=below,
        )  # fmt: skip

    def next_number(self) -> int:
        number = next(self.numbers)
        if number >= self.limits.fields_max:
            raise build_limit_error("fields", "picks_max", self.limits.fields_max)
        return number

    def coerce_arguments(
        self, definition: GraphQLField, node: FieldNode, *, is_mutation: bool = False
    ) -> Mapping[str, Any]:
        """Of a change, what is left open by a variable is not given, and so is not changed."""
        for missing in () if is_mutation else self.find_missing_variables(node):
            message = f"`${missing}` stands in a filter or an order but was not given, which would widen the question"
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))
        try:
            found = get_argument_values(definition, node, self.variable_values, hide_suggestions=True)
        except GraphQLError as error:
            raise RequestRejected(convert_graphql_error(ErrorCode.BAD_USER_INPUT, error)) from None
        self.check_filter_size(found)
        return found

    def check_filter_size(self, arguments: Mapping[str, Any]) -> None:
        """Counts what filters and orders name, and how deep; needs no stack of calls, as they may nest without end."""
        waiting = [(value, 0) for value in arguments.values() if isinstance(value, dict | list)]
        while waiting:
            value, depth = waiting.pop()
            if depth > self.limits.filter_depth_max:
                raise build_limit_error("levels of a filter", "filter_depth_max", self.limits.filter_depth_max)
            inner = value.values() if isinstance(value, dict) else value
            self.filter_fields += len(value) if isinstance(value, dict) else 0
            if self.filter_fields > self.limits.tests_max:
                raise build_limit_error("fields in filters and orders", "tests_max", self.limits.tests_max)
            level = depth + isinstance(value, dict)
            waiting.extend((each, level) for each in inner if isinstance(each, dict | list))

    def find_missing_variables(self, node: FieldNode) -> Iterator[str]:
        """The variables without a value inside objects: GraphQL would drop the field they stand in."""
        waiting: list[Any] = [each.value for each in node.arguments or () if not isinstance(each.value, VariableNode)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, VariableNode) and value.name.value not in self.variable_values.coerced:
                yield value.name.value
            waiting.extend(getattr(value, "values", None) or ())
            waiting.extend(each.value for each in getattr(value, "fields", None) or ())

    def collect_subfields(
        self, definition: GraphQLField, nodes: Iterable[FieldNode]
    ) -> Mapping[str, tuple[SelectedField, ...]]:
        named = get_named_type(definition.type)
        if not is_composite_type(named):
            return {}
        sets = [node.selection_set for node in nodes if node.selection_set]
        concrete = self.schema.get_possible_types(named) if is_abstract_type(named) else (named,)
        return {each.name: self.select_fields(each, sets) for each in concrete if isinstance(each, GraphQLObjectType)}

    def is_included(self, node: FieldNode | FragmentSpreadNode | InlineFragmentNode | Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self.variable_values)
        if skip and skip["if"]:
            return False
        include = get_directive_values(GraphQLIncludeDirective, node, self.variable_values)
        return not include or bool(include["if"])

    def is_applicable(self, condition: str, object_type: GraphQLObjectType) -> bool:
        named: Any = self.schema.type_map[condition]
        return named is object_type or (is_abstract_type(named) and self.schema.is_sub_type(named, object_type))
