"""Parse and validate a document within the limits of its size, and find the operation in it."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import getsizeof
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    Lexer,
    OperationDefinitionNode,
    OperationType,
    ParallelVisitor,
    SelectionSetNode,
    Source,
    Token,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    specified_rules,
    visit,
)
from graphql.language.parser import Parser
from graphql.validation.rules import overlapping_fields_can_be_merged as overlapping_fields
from graphql.validation.validate import ValidationAbortedError, query_document_keys_to_validate
from graphql.validation.validation_context import VariableUsageVisitor

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Limits
from onedoor.query.suggestions import describe_errors

COUNT_CEILING = 1_000_000_000

INTROSPECTION_LISTS = frozenset({"fields", "interfaces", "possibleTypes", "inputFields"})
"""Introspection's own lists of types, which lead back to themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSize:
    """The size and depth of a selection set, its fragments expanded."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    depth: int = 0
    introspection_depth: int = 0
    """How many of INTROSPECTION_LISTS stand inside one another."""
    introspection_lists: int = 0
    """How many of them, and of `types`, there are in all."""


EMPTY_SIZE = SelectionSize()


class DocumentMeasurer:
    """Measure a document in one walk.

    `steps` counts the selections that it visits, `fields` those of the largest operation.
    """

    def __init__(self, document: DocumentNode) -> None:
        self.fragments: Mapping[str, FragmentDefinitionNode] = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.fragment_sizes: dict[str, SelectionSize] = {}
        self.steps = 0
        for name in self.order_fragments():
            self.fragment_sizes[name] = self.measure_selection_set(self.fragments[name].selection_set)
        self.operation_sizes = [
            self.measure_selection_set(node.selection_set)
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
        ]
        self.fields = max((size.fields for size in self.operation_sizes), default=0)

    def order_fragments(self) -> Iterator[str]:
        """Yield every fragment after those it spreads, without recursion; cycles are for validation to refuse."""
        begun: set[str] = set()
        for first in self.fragments:
            stack = [(first, iter(self.find_spreads(first)))] if first not in begun else []
            begun.add(first)
            while stack:
                name, spreads = stack[-1]
                spread = next((other for other in spreads if other not in begun and other in self.fragments), None)
                if spread is None:
                    yield name
                    stack.pop()
                else:
                    begun.add(spread)
                    stack.append((spread, iter(self.find_spreads(spread))))

    def find_spreads(self, name: str) -> list[str]:
        """Return the names of the fragments that a fragment spreads."""
        spreads: list[str] = []
        pending: list[Any] = [self.fragments[name].selection_set]
        while pending:
            for node in pending.pop().selections:
                self.steps += 1
                if isinstance(node, FragmentSpreadNode):
                    spreads.append(node.name.value)
                elif node.selection_set:
                    pending.append(node.selection_set)
        return spreads

    def measure_selection_set(self, selection_set: SelectionSetNode | None) -> SelectionSize:
        """Return the size of all selections of a set together."""
        total = EMPTY_SIZE
        for node in selection_set.selections if selection_set else ():
            self.steps += 1
            total = add_sizes(total, self.measure_selection(node))
        return total

    def measure_selection(self, node: Any) -> SelectionSize:
        """Return the size of a field, a spread or an inline fragment."""
        directives = len(node.directives or ())
        if isinstance(node, FragmentSpreadNode):
            return add_sizes(SelectionSize(directives=directives), self.fragment_sizes.get(node.name.value, EMPTY_SIZE))
        inner = self.measure_selection_set(node.selection_set)
        if not isinstance(node, FieldNode):
            return add_sizes(SelectionSize(directives=directives), inner)
        is_list = node.name.value in INTROSPECTION_LISTS and node.selection_set is not None
        return SelectionSize(
            fields=cap_count(inner.fields + 1),
            aliases=cap_count(inner.aliases + (node.alias is not None)),
            directives=cap_count(inner.directives + directives),
            root_fields=1,
            depth=cap_count(inner.depth + 1),
            introspection_depth=cap_count(inner.introspection_depth + is_list),
            introspection_lists=cap_count(inner.introspection_lists + (is_list or node.name.value == "types")),
        )


def add_sizes(one: SelectionSize, other: SelectionSize) -> SelectionSize:
    """Return the size of two parts of the same selection set together."""
    return SelectionSize(
        fields=cap_count(one.fields + other.fields),
        aliases=cap_count(one.aliases + other.aliases),
        directives=cap_count(one.directives + other.directives),
        root_fields=cap_count(one.root_fields + other.root_fields),
        depth=max(one.depth, other.depth),
        introspection_depth=max(one.introspection_depth, other.introspection_depth),
        introspection_lists=cap_count(one.introspection_lists + other.introspection_lists),
    )


def drop_root_fields(size: SelectionSize) -> SelectionSize:
    """Return the size of a fragment by itself, whose outermost fields are not root fields."""
    return replace(size, root_fields=0)


def cap_count(number: int) -> int:
    """Keep a count small: fragments that spread each other double it with every step."""
    return min(number, COUNT_CEILING)


def check_document_size(document: DocumentNode, limits: Limits) -> DocumentMeasurer:
    """Measure a document. Raises RequestRejected for the first operation or fragment past a limit, naming it."""
    measurer = DocumentMeasurer(document)
    for size in (*measurer.operation_sizes, *map(drop_root_fields, measurer.fragment_sizes.values())):
        for message in _list_exceeded_limits(size, limits):
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))
    return measurer


def _list_exceeded_limits(size: SelectionSize, limits: Limits) -> Iterator[str]:
    checks = (
        ("fields", size.fields, "fields_max", limits.fields_max, "ask in parts"),
        ("aliases", size.aliases, "aliases_max", limits.aliases_max, "ask in parts"),
        ("directives", size.directives, "directives_max", limits.directives_max, "leave some out"),
        ("levels", size.depth, "depth_max", limits.depth_max, "ask for less at once"),
        (
            "root fields",
            size.root_fields,
            "root_fields_max",
            limits.root_fields_max,
            "ask in parts",
        ),
        (
            "lists of types in one another",
            size.introspection_depth,
            "introspection_depth",
            limits.introspection_depth,
            "ask flatter",
        ),
        (
            "lists of types",
            size.introspection_lists,
            "introspection_times",
            limits.introspection_times,
            "ask for each once",
        ),
    )
    for what, number, name, limit, remedy in checks:
        if number > limit:
            counted = f"{number}" if number < COUNT_CEILING else "too many"
            yield f"the document has {counted} {what}, over the limit `{name}` of {limit}: {remedy}"


MESSAGE_CHARACTERS_MAX = 500

VALIDATION_ERRORS_MAX = 20

TOO_MANY_ERRORS_MESSAGE = "Too many validation errors, error limit reached. Validation aborted."

BUDGET_SPENT_MESSAGE = "Validation aborted."
"""What graphql-core says where a rule has spent its budget."""

TOO_DEEP = GraphQLErrorInfo(
    code=ErrorCode.GRAPHQL_VALIDATION_FAILED, message="the document nests too deep, ask flatter"
)


BYTES_A_TOKEN = 600
"""What a word or sign of a document takes in memory, with its part of the syntax tree: 240 to 580, as measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDocument:
    """A valid document; caches know it by its text."""

    text: str
    node: DocumentNode
    operations: tuple[OperationDefinitionNode, ...]
    fragments: dict[str, FragmentDefinitionNode]
    fields: int
    """The fields of its largest operation, fragments expanded."""
    size: int
    """The bytes that it takes, by estimate."""


def parse_document(schema: GraphQLSchema, text: str, limits: Limits) -> ParsedDocument:
    """Parse, measure and validate a document. Raises RequestRejected with all errors and their places in the text."""
    if len(text) > limits.document_characters:
        raise RequestRejected(_build_too_long_error(len(text), limits.document_characters))
    node = _parse_within_limits(text, limits.document_tokens)
    token_count = unlink_tokens(node.loc.start_token if node.loc else None)
    fields = check_document_size(node, limits).fields
    errors = _validate_document(schema, node, limits.field_comparisons_max)
    if errors:
        raise RequestRejected(*convert_schema_errors(schema, ErrorCode.GRAPHQL_VALIDATION_FAILED, errors))
    return ParsedDocument(
        text=text,
        node=node,
        fields=fields,
        size=getsizeof(text) + BYTES_A_TOKEN * token_count,
        operations=tuple(part for part in node.definitions if isinstance(part, OperationDefinitionNode)),
        fragments={part.name.value: part for part in node.definitions if isinstance(part, FragmentDefinitionNode)},
    )


def unlink_tokens(start: Token | None) -> int:
    """Break the list of a document's tokens and return their number.

    Nothing needs it after parsing. As the tokens lead to one another, a document that is forgotten would wait for the
    garbage collector otherwise, with all its nodes.
    """
    token, count = start, 0
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token, count = following, count + 1
    return count


QUERY_ONLY = frozenset({OperationType.QUERY})

QUERY_OR_MUTATION = frozenset({OperationType.QUERY, OperationType.MUTATION})

SUBSCRIPTION_ONLY = frozenset({OperationType.SUBSCRIPTION})

WRONG_OPERATION_MESSAGES = {
    OperationType.QUERY: "only subscriptions are answered here",
    OperationType.MUTATION: "there is nothing to change here",
    OperationType.SUBSCRIPTION: "a subscription is answered over a WebSocket, or as `text/event-stream`",
}


def get_operation(
    document: ParsedDocument, name: str | None, operation_types: Container[OperationType] = QUERY_ONLY
) -> OperationDefinitionNode:
    """Return the operation of this name, or the only one. Raises RequestRejected, also for one of another type."""
    matching = [node for node in document.operations if name is None or (node.name and node.name.value == name)]
    if len(matching) != 1:
        raise RequestRejected(
            GraphQLErrorInfo(code=ErrorCode.BAD_REQUEST, message=_describe_missing_operation(document.operations, name))
        )
    (operation,) = matching
    if operation.operation not in operation_types:
        raise RequestRejected(
            GraphQLErrorInfo(code=ErrorCode.BAD_REQUEST, message=WRONG_OPERATION_MESSAGES[operation.operation])
        )
    return operation


def _describe_missing_operation(operations: Sequence[OperationDefinitionNode], name: str | None) -> str:
    if name is None:
        return "the document has several operations, name one in `operationName`" if operations else "no operation"
    return f"the document has no operation named `{name[:100]}`"


def _build_too_long_error(characters: int, limit: int) -> GraphQLErrorInfo:
    message = f"the document has {characters} characters, over the limit `document_characters` of {limit}: ask in parts"
    return GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message)


def _validate_document(schema: GraphQLSchema, node: DocumentNode, field_comparisons_max: int) -> list[GraphQLError]:
    """Return the errors. Raises RequestRejected for a document that takes too much to validate.

    The specification has the selections of every field compared with all others of the same name (section 5.3.2). This
    is what graphql-core's `validate` does, except that its visitors, which lead to themselves and to the document, are
    emptied: 20,000 objects for a document of 300 fragments would wait for the garbage collector.
    """
    overlapping_fields.MAX_COMPLEXITY_BUDGET = field_comparisons_max
    errors = list[GraphQLError]()

    def report(error: GraphQLError) -> None:
        if len(errors) == VALIDATION_ERRORS_MAX:
            raise ValidationAbortedError(TOO_MANY_ERRORS_MESSAGE)
        errors.append(error)

    type_info = TypeInfo(schema)
    context = ForgetfulContext(schema, node, type_info, report, hide_suggestions=True)
    rules = [rule(context) for rule in specified_rules]
    all_rules = ParallelVisitor(rules)
    visitor = TypeInfoVisitor(type_info, all_rules)
    try:
        visit(node, visitor, query_document_keys_to_validate)
    except ValidationAbortedError as aborted:
        if aborted.message == BUDGET_SPENT_MESSAGE:
            limit = f"the limit `field_comparisons_max` of {field_comparisons_max}"
            message = f"the document has too many fields of the same name to compare, over {limit}: ask in parts"
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message)) from None
        errors.append(aborted.with_traceback(None))
    except RecursionError:
        raise RequestRejected(TOO_DEEP) from None
    finally:
        forget(context, *rules, all_rules, visitor)
    return errors


class ForgetfulContext(ValidationContext):
    """A context of validation that leaves no visitor behind."""

    def get_variable_usages(self, node: Any) -> Any:
        """Return the variables of an operation or a fragment, which is visited once."""
        if node not in self._variable_usages:
            finder = VariableUsageVisitor(self._type_info, node if isinstance(node, FragmentDefinitionNode) else None)
            visitor = TypeInfoVisitor(self._type_info, finder)
            visit(node, visitor)
            self._variable_usages[node] = finder.usages
            forget(finder, visitor)
        return self._variable_usages[node]


def forget(*leading_to_themselves: Any) -> None:
    """Empty what would wait for the garbage collector otherwise, with all that it leads to."""
    for each in leading_to_themselves:
        vars(each).clear()


def _parse_within_limits(text: str, tokens: int) -> DocumentNode:
    lexer = Lexer(Source(text))
    first_token = lexer.token
    try:
        return Parser(lexer.source, lexer=lexer, max_tokens=tokens).parse_document()
    except GraphQLSyntaxError as error:
        unlink_tokens(first_token)
        if error.message == f"Syntax Error: Document contains more than {tokens} tokens. Parsing aborted.":
            message = (
                f"the document has more words and signs than the limit `document_tokens` of {tokens}: ask in parts"
            )
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message)) from None
        raise RequestRejected(convert_graphql_error(ErrorCode.GRAPHQL_PARSE_FAILED, error)) from None
    except RecursionError:
        unlink_tokens(first_token)
        raise RequestRejected(TOO_DEEP) from None


def convert_schema_errors(
    schema: GraphQLSchema, code: ErrorCode, errors: Sequence[GraphQLError]
) -> list[GraphQLErrorInfo]:
    """Convert errors against a schema, the caller's view of it: the messages suggest names that it has."""
    return [
        replace(convert_graphql_error(code, error), message=message[:MESSAGE_CHARACTERS_MAX])
        for error, message in zip(errors, describe_errors(schema, errors), strict=True)
    ]


def convert_graphql_error(code: ErrorCode, error: GraphQLError) -> GraphQLErrorInfo:
    """Convert an error of graphql-core, with its places in the text."""
    locations = [{"line": location.line, "column": location.column} for location in error.locations or ()]
    return GraphQLErrorInfo(code=code, message=error.message[:MESSAGE_CHARACTERS_MAX], locations=tuple(locations))
