"""Coerce variables and collect the selected fields of an operation, `_entities` of federation included."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
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
    print_ast,
)

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Limits
from onedoor.model.names import NoSuchId
from onedoor.model.parameters import Parameter, parameterize, substitute
from onedoor.query.document import ParsedDocument, convert_graphql_error, convert_schema_errors

ENTITIES_FIELD, SERVICE_FIELD, ENTITY_UNION, ANY_SCALAR = "_entities", "_service", "_Entity", "_Any"

FEDERATION_FIELDS = frozenset({ENTITIES_FIELD, SERVICE_FIELD})
"""The root fields of a subgraph."""

TYPENAME_FIELD, ID_FIELD = "__typename", "id"

SHOWN_CHARACTERS = 100


def map_types_to_id_fields(schema: GraphQLSchema) -> Mapping[str, str]:
    """Map each type to the first root field that gives a row of it by id."""
    assert schema.query_type is not None
    fields = schema.query_type.fields.items()
    return {get_named_type(field.type).name: name for name, field in reversed(fields) if list(field.args) == [ID_FIELD]}


def list_entity_types(schema: GraphQLSchema) -> frozenset[str]:
    """Return the types of a schema that are entities."""
    union: Any = schema.type_map.get(ENTITY_UNION)
    return frozenset(member.name for member in union.types) if union is not None else frozenset()


def add_entity_types(schema: GraphQLSchema, parameter: Parameter, value: Any) -> Parameter:
    """Add to the parameter of representations the types that they name."""
    names = map(read_typename, value if isinstance(value, list) else (value,))
    return replace(parameter, types=list_entity_types(schema) & {name for name in names if name is not None})


def find_named_types(representations: Any) -> frozenset[str] | None:
    """Return the types that representations name; None: only a variable names one."""
    if isinstance(representations, Parameter):
        return representations.types
    if isinstance(representations, list):
        names = [find_named_types(representation) for representation in representations]
        return None if None in names else frozenset[str]().union(*(name for name in names if name is not None))
    name = representations.get(TYPENAME_FIELD) if isinstance(representations, dict) else None
    return None if isinstance(name, Parameter) else frozenset({name} if isinstance(name, str) else ())


def substitute_representations(representations: Any, variables: Mapping[str, Any]) -> Any:
    """Substitute variables, which may stand for all representations, for one, or for a part of one."""
    if isinstance(representations, Parameter):
        return substitute(representations, variables)
    if isinstance(representations, dict):
        return {name: substitute_representations(part, variables) for name, part in representations.items()}
    if isinstance(representations, list):
        return [substitute_representations(part, variables) for part in representations]
    return representations


def read_typename(representation: Any) -> str | None:
    """Return the type that a representation names, if it names one."""
    name = representation.get(TYPENAME_FIELD) if isinstance(representation, Mapping) else None
    return name if isinstance(name, str) else None


def read_entity_id(representation: Any) -> str | None:
    """Return the id of a representation, which may be a string or an integer, if it has one."""
    id = representation.get(ID_FIELD) if isinstance(representation, Mapping) else None
    return str(id) if type(id) in (str, int) else None


def list_ids_of_type(representations: Sequence[Any], name: str) -> Iterator[str]:
    """Yield the ids of the representations of a type."""
    for representation in representations:
        id = read_entity_id(representation) if read_typename(representation) == name else None
        if id is not None:
            yield id


def parse_entity_key(parse: Callable[[str], tuple[Any, ...]], id: str) -> tuple[Any, ...] | None:
    """Return the key values of an id; None where it cannot be the id of any row."""
    try:
        return parse(id)
    except NoSuchId:
        return None


def describe_invalid_representation(representation: Any, types: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a representation, if anything; a hidden type is one that does not exist."""
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
    """Variables as coerced, and the same with parameters for what does not decide the plan."""

    values: Mapping[str, Any]
    parameterized: Mapping[str, Any]
    sources: Mapping[str, Any]


def coerce_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, values: Mapping[str, Any]
) -> CoercedVariables:
    """Coerce the variables of an operation. Raises RequestRejected for all that are not what it declares."""
    nodes = operation.variable_definitions or ()
    coerced = get_variable_values(schema, nodes, dict(values), max_errors=20, hide_suggestions=True)
    if not isinstance(coerced, VariableValues):
        raise RequestRejected(*convert_schema_errors(schema, ErrorCode.BAD_USER_INPUT, coerced))
    parameterized = {
        name: _parameterize_variable(schema, value, coerced.sources[name].signature.type, name)
        for name, value in coerced.coerced.items()
    }
    return CoercedVariables(values=coerced.coerced, parameterized=parameterized, sources=coerced.sources)


def _parameterize_variable(schema: GraphQLSchema, value: Any, input_type: GraphQLInputType, name: str) -> Any:
    parameterized = parameterize(value, input_type, (name,))
    if isinstance(parameterized, Parameter) and get_named_type(input_type).name == ANY_SCALAR:
        return add_entity_types(schema, parameterized, value)
    return parameterized


def find_plain_variables(operation: OperationDefinitionNode) -> Mapping[str, type] | None:
    """Return the types of the variables, if values of these types need no coercion; None where some do.

    Coercion by graphql-core takes 20 us for each request.
    """
    types = {}
    for definition in operation.variable_definitions or ():
        node = definition.type.type if isinstance(definition.type, NonNullTypeNode) else definition.type
        if not isinstance(node, NamedTypeNode) or node.name.value not in PLAIN_SCALARS:
            return None
        types[definition.variable.name.value] = PLAIN_SCALARS[node.name.value]
    return types


def is_plain_value(value: Any, python_type: type) -> bool:
    """Whether a value is of its plain type, an integer also within 32 bits."""
    return type(value) is python_type and (python_type is str or value in INT_RANGE)


INTROSPECTION_PREFIX = "__"
"""Fields whose names start so are GraphQL's own; of these only `__typename` is selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedField:
    """A field of a concrete type, selected under `response_key`; `number` is unique in its operation."""

    number: int
    response_key: str
    parent_type: str
    name: str
    arguments: Mapping[str, Any]
    return_type: GraphQLOutputType
    children_by_type: Mapping[str, tuple["SelectedField", ...]]
    """By concrete type of the value, what is selected of it; empty for leaves."""

    @property
    def children(self) -> tuple["SelectedField", ...]:
        """The fields that are selected of a value that can be of one type only."""
        return next(iter(self.children_by_type.values()), ())


def collect_fields(
    schema: GraphQLSchema,
    document: ParsedDocument,
    operation: OperationDefinitionNode,
    variables: CoercedVariables,
    limits: Limits,
) -> tuple[SelectedField, ...]:
    """Return the root fields of an operation. Raises RequestRejected past a limit or for invalid arguments.

    See section 6.3.2 of the specification, CollectFields.
    """
    root = schema.get_root_type(operation.operation)
    assert root is not None
    collector = FieldCollector(
        schema, document.fragments, VariableValues(dict(variables.sources), dict(variables.parameterized)), limits
    )
    return collector.select_fields(root, [operation.selection_set])


def check_mutation_count(operation: OperationDefinitionNode, fields: Sequence[SelectedField], limits: Limits) -> None:
    """Raise RequestRejected where one request would make too many changes."""
    if operation.operation is OperationType.MUTATION and len(fields) > limits.mutations_max:
        raise build_limit_error("changes", "mutations_max", limits.mutations_max)


def build_limit_error(what: str, name: str, limit: int) -> RequestRejected:
    """Name the limit that an operation exceeds."""
    message = f"the operation has more {what} than the limit `{name}` of {limit}, ask in parts"
    return RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))


class FieldCollector:
    """Collect the fields of one operation, numbering them."""

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
        """Return the fields of a concrete type that selection sets select together, by response key."""
        grouped: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in selection_sets:
            for node in self.collect_nodes(parent_type, selection_set, visited):
                grouped.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
        fields = (self.select_field(parent_type, key, nodes) for key, nodes in grouped.items())
        return tuple(field for field in fields if field is not None)

    def collect_nodes(
        self, parent_type: GraphQLObjectType, selection_set: SelectionSetNode, visited: set[str]
    ) -> Iterator[FieldNode]:
        """Yield the field nodes that apply to a concrete type, each fragment once."""
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
        """Return a field with all that is selected below it; None for what graphql-core answers."""
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
        """Return `_entities`, with the root field that gives a row by id for each type that is named and selected."""
        definition, number = parent_type.fields[ENTITIES_FIELD], self.next_number()
        (representations,) = self.coerce_arguments(definition, nodes[0]).values()
        root_fields = map_types_to_id_fields(self.schema)
        named_types = find_named_types(representations)
        children_by_type: dict[str, tuple[SelectedField, ...]] = {}
        for type, children in self.collect_subfields(definition, nodes).items():
            if not children or (named_types is not None and type not in named_types):
                children_by_type[type] = ()
                continue
            root_field = SelectedField(
                number=self.next_number(),
                response_key=response_key,
                parent_type=parent_type.name,
                name=root_fields[type],
                arguments={"id": representations},
                return_type=parent_type.fields[root_fields[type]].type,
                children_by_type={type: children},
            )
            children_by_type[type] = (root_field,)
        return SelectedField(
            number=number,
            response_key=response_key,
            parent_type=parent_type.name,
            name=ENTITIES_FIELD,
            arguments={"representations": representations},
            return_type=definition.type,
            children_by_type=children_by_type,
        )

    def next_number(self) -> int:
        """Return the number of the next field. Raises RequestRejected past the limit."""
        number = next(self.numbers)
        if number >= self.limits.fields_max:
            raise build_limit_error("fields", "fields_max", self.limits.fields_max)
        return number

    def coerce_arguments(
        self, definition: GraphQLField, node: FieldNode, *, is_mutation: bool = False
    ) -> Mapping[str, Any]:
        """Return the arguments of a field. Raises RequestRejected.

        A variable without a value leaves a field of a mutation's input out, which is then not changed; elsewhere it is
        refused, as it would widen the request.
        """
        for missing in () if is_mutation else self.find_missing_variables(node):
            message = f"`${missing}` stands in a filter or an order but was not given, which would widen the request"
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))
        try:
            arguments = get_argument_values(definition, node, self.variable_values, hide_suggestions=True)
        except GraphQLError as error:
            raise RequestRejected(convert_graphql_error(ErrorCode.BAD_USER_INPUT, error)) from None
        self.check_filter_size(arguments)
        return arguments

    def check_filter_size(self, arguments: Mapping[str, Any]) -> None:
        """Raise RequestRejected for too large filters and sorts; without recursion, as they may nest without end."""
        pending = [(value, 0) for value in arguments.values() if isinstance(value, dict | list)]
        while pending:
            value, depth = pending.pop()
            if depth > self.limits.filter_depth_max:
                raise build_limit_error("levels of a filter", "filter_depth_max", self.limits.filter_depth_max)
            inner = value.values() if isinstance(value, dict) else value
            self.filter_fields += len(value) if isinstance(value, dict) else 0
            if self.filter_fields > self.limits.tests_max:
                raise build_limit_error("fields in filters and orders", "tests_max", self.limits.tests_max)
            level = depth + isinstance(value, dict)
            pending.extend((item, level) for item in inner if isinstance(item, dict | list))

    def find_missing_variables(self, node: FieldNode) -> Iterator[str]:
        """Yield the variables without a value inside objects: GraphQL would drop the field they stand in."""
        pending: list[Any] = [
            argument.value for argument in node.arguments or () if not isinstance(argument.value, VariableNode)
        ]
        while pending:
            value = pending.pop()
            if isinstance(value, VariableNode) and value.name.value not in self.variable_values.coerced:
                yield value.name.value
            pending.extend(getattr(value, "values", None) or ())
            pending.extend(field.value for field in getattr(value, "fields", None) or ())

    def collect_subfields(
        self, definition: GraphQLField, nodes: Iterable[FieldNode]
    ) -> Mapping[str, tuple[SelectedField, ...]]:
        """Return what is selected of a field's value, by its concrete type."""
        named = get_named_type(definition.type)
        if not is_composite_type(named):
            return {}
        sets = [node.selection_set for node in nodes if node.selection_set]
        types = self.schema.get_possible_types(named) if is_abstract_type(named) else (named,)
        return {type.name: self.select_fields(type, sets) for type in types if isinstance(type, GraphQLObjectType)}

    def is_included(self, node: FieldNode | FragmentSpreadNode | InlineFragmentNode | Any) -> bool:
        """Whether `@skip` and `@include` let a selection in."""
        skip = get_directive_values(GraphQLSkipDirective, node, self.variable_values)
        if skip and skip["if"]:
            return False
        include = get_directive_values(GraphQLIncludeDirective, node, self.variable_values)
        return not include or bool(include["if"])

    def is_applicable(self, condition: str, object_type: GraphQLObjectType) -> bool:
        """Whether a fragment on this type applies to a concrete type."""
        named: Any = self.schema.type_map[condition]
        return named is object_type or (is_abstract_type(named) and self.schema.is_sub_type(named, object_type))


INTROSPECTION_PATTERN = re.compile(rf"__(schema|type)\b|\b{SERVICE_FIELD}\b")


def build_introspection_key(document: ParsedDocument, operation: OperationDefinitionNode) -> bytes | None:
    """Return the digest of an operation that asks for the schema itself, however it is written; None: it does not."""
    if INTROSPECTION_PATTERN.search(document.text) is None:
        return None
    unnamed = OperationDefinitionNode(
        operation=operation.operation,
        variable_definitions=operation.variable_definitions,
        directives=operation.directives,
        selection_set=operation.selection_set,
    )
    parts = (unnamed, *document.fragments.values())
    return sha256("".join(map(print_ast, parts)).encode(errors="surrogatepass")).digest()


def drop_unknown_entities(fields: tuple[SelectedField, ...], schema: GraphQLSchema) -> tuple[SelectedField, ...]:
    """Leave out entities that this view does not have; validation cannot, as their names come in variables."""
    names = list_entity_types(schema)
    return tuple(
        replace(
            field,
            children_by_type={name: children for name, children in field.children_by_type.items() if name in names},
        )
        if field.name == ENTITIES_FIELD
        else field
        for field in fields
    )
