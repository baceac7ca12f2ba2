"""Rewrite a query over one list so that it can be executed a page at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    Visitor,
    parse,
    print_ast,
    separate_operations,
    visit,
)

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.exports.models import ExportRequest
from onedoor.model.catalog import Limits
from onedoor.query.context import GraphQLRequest

FIRST_VARIABLE = "onedoor_first"

AFTER_VARIABLE = "onedoor_after"

BEFORE_VARIABLE = "onedoor_before"

PAGE_ALIAS = "onedoor_page"

PAGE_OPERATION: Any = parse(
    f"query (${FIRST_VARIABLE}: Int!, ${AFTER_VARIABLE}: String, ${BEFORE_VARIABLE}: String) {{ "
    f"list(first: ${FIRST_VARIABLE}, after: ${AFTER_VARIABLE}, before: ${BEFORE_VARIABLE}) "
    f"{{ {PAGE_ALIAS}: pageInfo {{ endCursor }} }} }}"
).definitions[0]
"""Holds what is added to the query of every page: arguments, their variables and the cursor of the page's end."""

PAGING_ARGUMENTS = frozenset({"first", "after", "last", "before"})

ONE_LIST_ADVICE = "write one list there, such as `{ customers { nodes { id } } }`: its rows become the rows of the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedQuery:
    """A query that can be executed a page at a time."""

    document: str
    ends_document: str
    """Requests the cursors of the first row and the last, and how many rows there are."""
    operation_name: str | None
    variables: Mapping[str, Any]
    list_key: str
    """The response key of the list."""
    total: int | None
    """How many rows the caller wants at most; None: all."""
    after: str | None
    """The cursor after which the caller begins."""

    def build_page_request(
        self, size: int, after: str | None = None, before: str | None = None, **extensions: Any
    ) -> GraphQLRequest:
        variables = {**self.variables, FIRST_VARIABLE: size, AFTER_VARIABLE: after, BEFORE_VARIABLE: before}
        return GraphQLRequest(
            query=self.document, variables=variables, operation_name=self.operation_name, extensions=extensions
        )

    def build_ends_request(self) -> GraphQLRequest:
        return GraphQLRequest(query=self.ends_document, variables=self.variables, operation_name=self.operation_name)


def build_paged_query(request: ExportRequest, limits: Limits) -> PagedQuery:
    """Rewrite the query of a request into pages.

    Raises RequestRejected where the document cannot be parsed or has not one list at its root.
    """
    document, operation = _select_operation(_parse_document(request.text, limits), request.operation)
    fields = list(_iterate_root_fields(document, operation.selection_set))
    list_key = _find_list_key(fields)
    paging = _read_paging_arguments(fields[0], operation, request.variables)
    paged = _rewrite_document(document, fields)
    used = _list_used_variables(paged)
    return PagedQuery(
        document=print_ast(paged),
        ends_document=_build_ends_document(operation, fields[0]),
        operation_name=operation.name.value if operation.name else None,
        variables={name: value for name, value in request.variables.items() if name in used},
        list_key=list_key,
        total=_check_total(paging.get("first")),
        after=paging.get("after"),
    )


def reject_export(code: ErrorCode, message: str) -> RequestRejected:
    return RequestRejected(GraphQLErrorInfo(code=code, message=message))


def _parse_document(text: str, limits: Limits) -> DocumentNode:
    if len(text) > limits.document_characters:
        limit = f"the limit `document_characters` of {limits.document_characters}"
        raise reject_export(ErrorCode.LIMIT_EXCEEDED, f"the document has more characters than {limit}: ask in parts")
    try:
        return parse(text, max_tokens=limits.document_tokens)
    except GraphQLSyntaxError as error:
        raise reject_export(ErrorCode.GRAPHQL_PARSE_FAILED, error.message[:500]) from None
    except RecursionError:
        message = "the document nests too deep, ask flatter"
        raise reject_export(ErrorCode.GRAPHQL_VALIDATION_FAILED, message) from None


def _select_operation(document: DocumentNode, name: str | None) -> tuple[DocumentNode, OperationDefinitionNode]:
    """Return the operation of this name, or the only one, and a document without the other operations."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    named = [node for node in operations if name is None or (node.name and node.name.value == name)]
    if len(named) != 1 or named[0].operation is not OperationType.QUERY:
        raise reject_export(ErrorCode.BAD_REQUEST, "an export takes one query: of several, name one in `operationName`")
    (operation,) = named
    return separate_operations(document)[operation.name.value if operation.name else ""], operation


def _iterate_root_fields(document: DocumentNode, selection_set: SelectionSetNode) -> Iterator[FieldNode]:
    """Yield the fields at the root, fragments included; validation checks what the fragments are on."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    waiting = [selection_set]
    while waiting:
        for node in waiting.pop(0).selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value in fragments:
                waiting.append(fragments.pop(node.name.value).selection_set)


def _find_list_key(fields: Sequence[FieldNode]) -> str:
    keys = dict.fromkeys(field.alias.value if field.alias else field.name.value for field in fields)
    if len(keys) != 1:
        root = ", ".join(f"`{key}`" for key in keys) or "nothing"
        raise reject_export(ErrorCode.BAD_USER_INPUT, f"the query has {root} at its root: {ONE_LIST_ADVICE}")
    name = fields[0].name.value
    if name.startswith("__"):
        raise reject_export(ErrorCode.BAD_USER_INPUT, f"`{name}` at the root is no one list: {ONE_LIST_ADVICE}")
    return next(iter(keys))


def _read_paging_arguments(
    field: FieldNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the caller's arguments of the list. Raises RequestRejected for those that read from the end."""
    defaults = {
        definition.variable.name.value: definition.default_value for definition in operation.variable_definitions or ()
    }
    values = dict[str, Any]()
    for argument in field.arguments or ():
        value: Any = argument.value
        if isinstance(value, VariableNode):
            value = variables.get(value.name.value, defaults.get(value.name.value))
        is_integer = isinstance(value, IntValueNode)
        values[argument.name.value] = int(value.value) if is_integer else getattr(value, "value", value)
    for name in ("last", "before"):
        if values.get(name) is not None:
            message = f"an export reads from the start: in place of `{name}`, turn `orderBy` around"
            raise reject_export(ErrorCode.BAD_USER_INPUT, message)
    return values


def _check_total(first: Any) -> int | None:
    if first is None or (type(first) is int and first >= 0):
        return first
    message = "`first` is how many rows are wanted at all, a whole number"
    raise reject_export(ErrorCode.BAD_USER_INPUT, message)


def _rewrite_document(document: DocumentNode, list_fields: Sequence[FieldNode]) -> DocumentNode:
    """Replace the paging arguments of the list by our variables and select the cursor of each page's end."""
    added = PAGE_OPERATION.selection_set.selections[0]
    ids = {id(field) for field in list_fields}

    class ListVisitor(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
            return _add_page_arguments(node, added) if id(node) in ids else None

    paged: DocumentNode = visit(document, ListVisitor())
    used = _list_used_variables(paged)
    return replace(paged, definitions=tuple(_declare_variables(node, used) for node in paged.definitions))


def _add_page_arguments(field: FieldNode, added: FieldNode) -> FieldNode:
    assert added.selection_set is not None
    own_selections = field.selection_set.selections if field.selection_set else ()
    own_arguments = [node for node in field.arguments or () if node.name.value not in PAGING_ARGUMENTS]
    return replace(
        field,
        arguments=(*own_arguments, *(added.arguments or ())),
        selection_set=SelectionSetNode(selections=(*own_selections, *added.selection_set.selections)),
    )


def _declare_variables(node: Any, used: set[str]) -> Any:
    """Drop the variables that only the replaced arguments used and declare ours."""
    if not isinstance(node, OperationDefinitionNode):
        return node
    own = [definition for definition in node.variable_definitions or () if definition.variable.name.value in used]
    return replace(node, variable_definitions=(*own, *PAGE_OPERATION.variable_definitions))


def _build_ends_document(operation: OperationDefinitionNode, field: FieldNode) -> str:
    """Build the document for the ends of the list, filtered and ordered as the caller's is."""
    own_arguments = [node for node in field.arguments or () if node.name.value not in PAGING_ARGUMENTS]
    printed, name = list(map(print_ast, own_arguments)), field.name.value
    all_rows = f"{name}({', '.join(printed)})" if printed else name
    first, last = (f"{name}({', '.join((*printed, f'{end}: 1'))})" for end in ("first", "last"))
    used = set[str]().union(*map(_list_used_variables, own_arguments))
    definitions = [
        print_ast(definition)
        for definition in operation.variable_definitions or ()
        if definition.variable.name.value in used
    ]
    head = f"query {operation.name.value if operation.name else ''}"
    head += f"({', '.join(definitions)})" if definitions else ""
    cursors = f"first: {first} {{ pageInfo {{ startCursor }} }} last: {last} {{ pageInfo {{ startCursor }} }}"
    return f"{head} {{ {cursors} all: {all_rows} {{ totalCount }} }}"


def _list_used_variables(node: Any) -> set[str]:
    names = set[str]()

    class VariableVisitor(Visitor):
        def enter_variable_definition(self, *_: Any) -> bool:
            return False

        def enter_variable(self, variable: VariableNode, *_: Any) -> None:
            names.add(variable.name.value)

    visit(node, VariableVisitor())
    return names
