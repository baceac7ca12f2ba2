"""The text of a request in, a document that is valid and within its limits out."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

from engine.errors import Code, Fault, Refused
from engine.house import Limits
from engine.measure import measure

MESSAGE_MAX = 500
VALIDATION_ERRORS_MAX = 20
TOO_DEEP = Fault(code=Code.GRAPHQL_VALIDATION_FAILED, message="the document nests too deep, ask flatter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A valid document; its text stands for it in caches."""

    text: str
    node: DocumentNode
    operations: tuple[OperationDefinitionNode, ...]
    fragments: dict[str, FragmentDefinitionNode]


def admit(schema: GraphQLSchema, text: str, limits: Limits) -> Document:
    """Parses, measures and validates; raises Refused with every fault found, each with its place in the text."""
    if len(text) > limits.document_characters:
        raise Refused(_long(len(text), limits.document_characters))
    node = _parsed(text, limits.document_tokens)
    measure(node, limits)
    errors = _validated(schema, node)
    if errors:
        raise Refused(*(located(Code.GRAPHQL_VALIDATION_FAILED, error) for error in errors))
    return Document(
        text=text,
        node=node,
        operations=tuple(each for each in node.definitions if isinstance(each, OperationDefinitionNode)),
        fragments={each.name.value: each for each in node.definitions if isinstance(each, FragmentDefinitionNode)},
    )


QUERIES = frozenset({OperationType.QUERY})
CHANGES = frozenset({OperationType.QUERY, OperationType.MUTATION})
EVENTS = frozenset({OperationType.SUBSCRIPTION})
ELSEWHERE = {
    OperationType.QUERY: "only subscriptions are answered here",
    OperationType.MUTATION: "there is nothing to change here",
    OperationType.SUBSCRIPTION: "a subscription is answered over a WebSocket, or as `text/event-stream`",
}


def operation(
    document: Document, name: str | None, kinds: Container[OperationType] = QUERIES
) -> OperationDefinitionNode:
    """The operation of this name, or the only one; it must be of one of these kinds."""
    named = [each for each in document.operations if name is None or (each.name and each.name.value == name)]
    if len(named) != 1:
        raise Refused(Fault(code=Code.BAD_REQUEST, message=_which(document.operations, name)))
    if named[0].operation not in kinds:
        raise Refused(Fault(code=Code.BAD_REQUEST, message=ELSEWHERE[named[0].operation]))
    return named[0]


def _which(operations: Sequence[OperationDefinitionNode], name: str | None) -> str:
    if name is None:
        return "the document has several operations, name one in `operationName`" if operations else "no operation"
    return f"the document has no operation named `{name[:100]}`"


def _long(characters: int, limit: int) -> Fault:
    message = f"the document has {characters} characters, over the limit `document_characters` of {limit}: ask in parts"
    return Fault(code=Code.LIMIT_EXCEEDED, message=message)


def _validated(schema: GraphQLSchema, node: DocumentNode) -> list[GraphQLError]:
    try:
        return validate(schema, node, max_errors=VALIDATION_ERRORS_MAX, hide_suggestions=True)
    except RecursionError:
        raise Refused(TOO_DEEP) from None


def _parsed(text: str, tokens: int) -> DocumentNode:
    try:
        return parse(text, max_tokens=tokens)
    except GraphQLSyntaxError as error:
        if error.message == f"Syntax Error: Document contains more than {tokens} tokens. Parsing aborted.":
            message = (
                f"the document has more words and signs than the limit `document_tokens` of {tokens}: ask in parts"
            )
            raise Refused(Fault(code=Code.LIMIT_EXCEEDED, message=message)) from None
        raise Refused(located(Code.GRAPHQL_PARSE_FAILED, error)) from None
    except RecursionError:
        raise Refused(TOO_DEEP) from None


def located(code: Code, error: GraphQLError) -> Fault:
    """The fault of an error that GraphQL found, with its place in the text."""
    places = [{"line": each.line, "column": each.column} for each in error.locations or ()]
    return Fault(code=code, message=error.message[:MESSAGE_MAX], locations=tuple(places))
