"""A question in, what kind of operation it is out; Shut where GET, which others repeat or prefetch, would change."""

from graphql import DocumentNode, GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse

from door.shut import Shut
from engine.desk import Question
from engine.house import Limits


def safe(method: str, question: Question, limits: Limits) -> None:
    """Raises Shut for a mutation by GET. A document that cannot be parsed changes nothing, and is refused later."""
    if method == "GET" and _may_be(OperationType.MUTATION, question, limits):
        raise Shut(405, "a mutation changes something, send it with POST", {"allow": "POST"})


def subscribes(question: Question, limits: Limits) -> bool:
    """Whether the question goes on."""
    return _may_be(OperationType.SUBSCRIPTION, question, limits)


def _may_be(kind: OperationType, question: Question, limits: Limits) -> bool:
    if kind.value not in question.text:
        return False
    try:
        document = parse(question.text, no_location=True, max_tokens=limits.document_tokens)
    except (GraphQLSyntaxError, RecursionError):
        return False
    return kind in _wanted(document, question.operation)


def _wanted(document: DocumentNode, name: str | None) -> list[OperationType]:
    """The kinds of the operations that the name, or its absence, may mean."""
    operations = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    return [each.operation for each in operations if name is None or (each.name and each.name.value == name)]
