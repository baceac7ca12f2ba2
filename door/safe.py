"""A method and a question in; Shut out where GET, which others may repeat or prefetch, would change something."""

from graphql import DocumentNode, GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse

from door.shut import Shut
from engine.desk import Question
from engine.house import Limits


def safe(method: str, question: Question, limits: Limits) -> None:
    """Raises Shut for a mutation by GET. A document that cannot be parsed changes nothing, and is refused later."""
    if method != "GET" or "mutation" not in question.text:
        return
    try:
        document = parse(question.text, no_location=True, max_tokens=limits.document_tokens)
    except (GraphQLSyntaxError, RecursionError):
        return
    if OperationType.MUTATION in _wanted(document, question.operation):
        raise Shut(405, "a mutation changes something, send it with POST", {"allow": "POST"})


def _wanted(document: DocumentNode, name: str | None) -> list[OperationType]:
    """The kinds of the operations that the name, or its absence, may mean."""
    operations = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    return [each.operation for each in operations if name is None or (each.name and each.name.value == name)]
