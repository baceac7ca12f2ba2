"""A document in, the same question page by page out: its one root list with a size and a place, nothing else changed.

What stands in the document is not judged here: the engine admits what comes of it, as it admits anybody's.
"""

from collections.abc import Iterator, Mapping
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

from engine.desk import Question
from engine.errors import Code, Refused
from engine.house import Limits
from exports.words import Wish, fault

FIRST, AFTER, BEFORE, PAGE = "onedoor_first", "onedoor_after", "onedoor_before", "onedoor_page"
ADDED: Any = parse(
    f"query (${FIRST}: Int!, ${AFTER}: String, ${BEFORE}: String) "
    f"{{ list(first: ${FIRST}, after: ${AFTER}, before: ${BEFORE}) {{ {PAGE}: pageInfo {{ endCursor }} }} }}"
).definitions[0]
"""What every question of a page has beside what was asked."""
OWN = frozenset({"first", "after", "last", "before"})
ONE_LIST = "write one list there, such as `{ customers { nodes { id } } }`: its rows become the rows of the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """A question that can be asked a page at a time."""

    text: str
    ends: str
    """Asks for the cursors of the first row and the last, and how many there are."""
    operation: str | None
    variables: Mapping[str, Any]
    key: str
    """The response key of its list."""
    total: int | None
    """How many rows are wanted at all; None: every one."""
    after: str | None
    """The cursor that the caller begins at."""

    def page(self, size: int, after: str | None = None, before: str | None = None, **options: Any) -> Question:
        variables = {**self.variables, FIRST: size, AFTER: after, BEFORE: before}
        return Question(text=self.text, variables=variables, operation=self.operation, options=options)

    def both_ends(self) -> Question:
        return Question(text=self.ends, variables=self.variables, operation=self.operation)


def paged(wish: Wish, limits: Limits) -> Paged:
    """Raises Refused where it has no one list at its root, or the text is none that can be read."""
    document, operation = _operation(_parsed(wish.text, limits), wish.operation)
    fields = list(_fields(document, operation.selection_set))
    keys = dict.fromkeys(each.alias.value if each.alias else each.name.value for each in fields)
    if len(keys) != 1:
        found = ", ".join(f"`{each}`" for each in keys) or "nothing"
        raise Refused(fault(Code.BAD_USER_INPUT, f"the question has {found} at its root: {ONE_LIST}"))
    if fields[0].name.value.startswith("__"):
        raise Refused(fault(Code.BAD_USER_INPUT, f"`{fields[0].name.value}` at the root is no one list: {ONE_LIST}"))
    given = _given(fields[0], operation, wish.variables)
    text = _rewritten(document, fields)
    return Paged(
        text=print_ast(text),
        ends=_ends(operation, fields[0]),
        operation=operation.name.value if operation.name else None,
        variables={name: value for name, value in wish.variables.items() if name in _variables(text)},
        key=next(iter(keys)),
        total=_total(given.get("first")),
        after=given.get("after"),
    )


def _parsed(text: str, limits: Limits) -> DocumentNode:
    if len(text) > limits.document_characters:
        limit = f"the limit `document_characters` of {limits.document_characters}"
        raise Refused(fault(Code.LIMIT_EXCEEDED, f"the document has more characters than {limit}: ask in parts"))
    try:
        return parse(text, max_tokens=limits.document_tokens)
    except GraphQLSyntaxError as error:
        raise Refused(fault(Code.GRAPHQL_PARSE_FAILED, error.message[:500])) from None
    except RecursionError:
        raise Refused(fault(Code.GRAPHQL_VALIDATION_FAILED, "the document nests too deep, ask flatter")) from None


def _operation(document: DocumentNode, name: str | None) -> tuple[DocumentNode, OperationDefinitionNode]:
    """The operation of this name, or the only one, in a document without the others."""
    found = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    named = [each for each in found if name is None or (each.name and each.name.value == name)]
    if len(named) != 1 or named[0].operation is not OperationType.QUERY:
        raise Refused(fault(Code.BAD_REQUEST, "an export takes one query: of several, name one in `operationName`"))
    one = named[0]
    return separate_operations(document)[one.name.value if one.name else ""], one


def _fields(document: DocumentNode, wanted: SelectionSetNode) -> Iterator[FieldNode]:
    """The fields at the root, through fragments; what a fragment is on, validation judges."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    waiting = [wanted]
    while waiting:
        for node in waiting.pop(0).selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value in fragments:
                waiting.append(fragments.pop(node.name.value).selection_set)


def _given(field: FieldNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's own sizes and places; raises Refused for those that read from the end, which an export does not."""
    defaults = {each.variable.name.value: each.default_value for each in operation.variable_definitions or ()}
    found = dict[str, Any]()
    for each in field.arguments or ():
        value: Any = each.value
        if isinstance(value, VariableNode):
            value = variables.get(value.name.value, defaults.get(value.name.value))
        found[each.name.value] = int(value.value) if isinstance(value, IntValueNode) else getattr(value, "value", value)
    for name in ("last", "before"):
        if found.get(name) is not None:
            message = f"an export reads from the start: in place of `{name}`, turn `orderBy` around"
            raise Refused(fault(Code.BAD_USER_INPUT, message))
    return found


def _total(given: Any) -> int | None:
    if given is None or (type(given) is int and given >= 0):
        return given
    raise Refused(fault(Code.BAD_USER_INPUT, "`first` is how many rows are wanted at all, a whole number"))


def _rewritten(document: DocumentNode, fields: list[FieldNode]) -> DocumentNode:
    """Size and place as variables at the root list, and the cursor of each page's end beside what was asked."""
    aside = ADDED.selection_set.selections[0]
    lists = {id(each) for each in fields}

    class Lists(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
            return _with(node, aside) if id(node) in lists else None

    made: DocumentNode = visit(document, Lists())
    used = _variables(made)
    return replace(made, definitions=tuple(_declaring(each, used) for each in made.definitions))


def _with(node: FieldNode, aside: FieldNode) -> FieldNode:
    inner, added = node.selection_set, aside.selection_set
    assert added is not None
    selections = (*(inner.selections if inner else ()), *added.selections)
    kept = [each for each in node.arguments or () if each.name.value not in OWN]
    selected = SelectionSetNode(selections=selections)
    return replace(node, arguments=(*kept, *(aside.arguments or ())), selection_set=selected)


def _declaring(node: Any, used: set[str]) -> Any:
    """Without what the caller's own size and place took, with what ours take."""
    if not isinstance(node, OperationDefinitionNode):
        return node
    kept = [each for each in node.variable_definitions or () if each.variable.name.value in used]
    return replace(node, variable_definitions=(*kept, *ADDED.variable_definitions))


def _ends(operation: OperationDefinitionNode, field: FieldNode) -> str:
    """Of the same list, filtered and ordered as it is."""
    own = [each for each in field.arguments or () if each.name.value not in OWN]
    kept, name = list(map(print_ast, own)), field.name.value
    all_rows = f"{name}({', '.join(kept)})" if kept else name
    one, other = (f"{name}({', '.join((*kept, f'{each}: 1'))})" for each in ("first", "last"))
    used = set[str]().union(*map(_variables, own))
    asked = [print_ast(each) for each in operation.variable_definitions or () if each.variable.name.value in used]
    head = f"query {operation.name.value if operation.name else ''}" + (f"({', '.join(asked)})" if asked else "")
    cursors = f"first: {one} {{ pageInfo {{ startCursor }} }} last: {other} {{ pageInfo {{ startCursor }} }}"
    return f"{head} {{ {cursors} all: {all_rows} {{ totalCount }} }}"


def _variables(node: Any) -> set[str]:
    """Those that are used somewhere in it."""
    found = set[str]()

    class Names(Visitor):
        def enter_variable_definition(self, *_: Any) -> bool:
            return False

        def enter_variable(self, variable: VariableNode, *_: Any) -> None:
            found.add(variable.name.value)

    visit(node, Names())
    return found
