"""Validate a query and rewrite it into pages; columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    Visitor,
    get_named_type,
    parse,
    print_ast,
    separate_operations,
    visit,
)

from auth.authentication import Principal
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.exports.audited_query import AuditedExecutor, CountServedBytes, execute_audited
from onedoor.exports.models import (
    ExportColumn,
    ExportPlan,
    ExportRequest,
    ExportStore,
    KeyRange,
    OmittedColumn,
    build_export_error,
)
from onedoor.model.catalog import Limits
from onedoor.model.names import is_list
from onedoor.query import cursors as query_cursors
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.context import ExecutionResult, GraphQLRequest
from onedoor.query.planner.bind import bind_parameters
from onedoor.query.planner.nodes import Page, PlanNode, PushdownStep
from onedoor.query.selection import SelectedField, coerce_variables
from onedoor.spi.capabilities import ColumnType

FIRST_VARIABLE, AFTER_VARIABLE, BEFORE_VARIABLE, PAGE_ALIAS = (
    "onedoor_first",
    "onedoor_after",
    "onedoor_before",
    "onedoor_page",
)

ADDED_OPERATION: Any = parse(
    f"query (${FIRST_VARIABLE}: Int!, ${AFTER_VARIABLE}: String, ${BEFORE_VARIABLE}: String) "
    f"{{ list(first: ${FIRST_VARIABLE}, after: ${AFTER_VARIABLE}, before: ${BEFORE_VARIABLE}) {{ {PAGE_ALIAS}: pageInfo {{ endCursor }} }} }}"
).definitions[0]
"""What every question of a page has beside what was asked."""

PAGING_ARGUMENTS = frozenset({"first", "after", "last", "before"})

ONE_LIST_ADVICE = "write one list there, such as `{ customers { nodes { id } } }`: its rows become the rows of the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedQuery:
    """A question that can be asked a page at a time."""

    document: str
    ends_document: str
    """Asks for the cursors of the first row and the last, and how many there are."""
    operation_name: str | None
    variables: Mapping[str, Any]
    list_key: str
    """The response key of its list."""
    total: int | None
    """How many rows are wanted at all; None: every one."""
    after: str | None
    """The cursor that the caller begins at."""

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
    """Raises Refused where it has no one list at its root, or the text is none that can be read."""
    document, operation = _select_operation(_parse_document(request.text, limits), request.operation)
    fields = list(_iterate_root_fields(document, operation.selection_set))
    keys = dict.fromkeys(each.alias.value if each.alias else each.name.value for each in fields)
    if len(keys) != 1:
        found = ", ".join(f"`{each}`" for each in keys) or "nothing"
        raise RequestRejected(
            build_export_error(ErrorCode.BAD_USER_INPUT, f"the question has {found} at its root: {ONE_LIST_ADVICE}")
        )
    if fields[0].name.value.startswith("__"):
        raise RequestRejected(
            build_export_error(
                ErrorCode.BAD_USER_INPUT, f"`{fields[0].name.value}` at the root is no one list: {ONE_LIST_ADVICE}"
            )
        )
    given = _read_paging_arguments(fields[0], operation, request.variables)
    text = _rewrite_document(document, fields)
    return PagedQuery(
        document=print_ast(text),
        ends_document=_build_ends_document(operation, fields[0]),
        operation_name=operation.name.value if operation.name else None,
        variables={name: value for name, value in request.variables.items() if name in _list_used_variables(text)},
        list_key=next(iter(keys)),
        total=_check_total(given.get("first")),
        after=given.get("after"),
    )


def _parse_document(text: str, limits: Limits) -> DocumentNode:
    if len(text) > limits.document_characters:
        limit = f"the limit `document_characters` of {limits.document_characters}"
        raise RequestRejected(
            build_export_error(ErrorCode.LIMIT_EXCEEDED, f"the document has more characters than {limit}: ask in parts")
        )
    try:
        return parse(text, max_tokens=limits.document_tokens)
    except GraphQLSyntaxError as error:
        raise RequestRejected(build_export_error(ErrorCode.GRAPHQL_PARSE_FAILED, error.message[:500])) from None
    except RecursionError:
        raise RequestRejected(
            build_export_error(ErrorCode.GRAPHQL_VALIDATION_FAILED, "the document nests too deep, ask flatter")
        ) from None


def _select_operation(document: DocumentNode, name: str | None) -> tuple[DocumentNode, OperationDefinitionNode]:
    """The operation of this name, or the only one, in a document without the others."""
    found = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    named = [each for each in found if name is None or (each.name and each.name.value == name)]
    if len(named) != 1 or named[0].operation is not OperationType.QUERY:
        raise RequestRejected(
            build_export_error(
                ErrorCode.BAD_REQUEST, "an export takes one query: of several, name one in `operationName`"
            )
        )
    one = named[0]
    return separate_operations(document)[one.name.value if one.name else ""], one


def _iterate_root_fields(document: DocumentNode, wanted: SelectionSetNode) -> Iterator[FieldNode]:
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


def _read_paging_arguments(
    field: FieldNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> dict[str, Any]:
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
            raise RequestRejected(build_export_error(ErrorCode.BAD_USER_INPUT, message))
    return found


def _check_total(given: Any) -> int | None:
    if given is None or (type(given) is int and given >= 0):
        return given
    raise RequestRejected(
        build_export_error(ErrorCode.BAD_USER_INPUT, "`first` is how many rows are wanted at all, a whole number")
    )


def _rewrite_document(document: DocumentNode, fields: list[FieldNode]) -> DocumentNode:
    """Size and place as variables at the root list, and the cursor of each page's end beside what was asked."""
    aside = ADDED_OPERATION.selection_set.selections[0]
    lists = {id(each) for each in fields}

    class Lists(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
            return _add_page_arguments(node, aside) if id(node) in lists else None

    made: DocumentNode = visit(document, Lists())
    used = _list_used_variables(made)
    return replace(made, definitions=tuple(_declare_variables(each, used) for each in made.definitions))


def _add_page_arguments(node: FieldNode, aside: FieldNode) -> FieldNode:
    inner, added = node.selection_set, aside.selection_set
    assert added is not None
    selections = (*(inner.selections if inner else ()), *added.selections)
    kept = [each for each in node.arguments or () if each.name.value not in PAGING_ARGUMENTS]
    selected = SelectionSetNode(selections=selections)
    return replace(node, arguments=(*kept, *(aside.arguments or ())), selection_set=selected)


def _declare_variables(node: Any, used: set[str]) -> Any:
    """Without what the caller's own size and place took, with what ours take."""
    if not isinstance(node, OperationDefinitionNode):
        return node
    kept = [each for each in node.variable_definitions or () if each.variable.name.value in used]
    return replace(node, variable_definitions=(*kept, *ADDED_OPERATION.variable_definitions))


def _build_ends_document(operation: OperationDefinitionNode, field: FieldNode) -> str:
    """Of the same list, filtered and ordered as it is."""
    own = [each for each in field.arguments or () if each.name.value not in PAGING_ARGUMENTS]
    kept, name = list(map(print_ast, own)), field.name.value
    all_rows = f"{name}({', '.join(kept)})" if kept else name
    one, other = (f"{name}({', '.join((*kept, f'{each}: 1'))})" for each in ("first", "last"))
    used = set[str]().union(*map(_list_used_variables, own))
    asked = [print_ast(each) for each in operation.variable_definitions or () if each.variable.name.value in used]
    head = f"query {operation.name.value if operation.name else ''}" + (f"({', '.join(asked)})" if asked else "")
    cursors = f"first: {one} {{ pageInfo {{ startCursor }} }} last: {other} {{ pageInfo {{ startCursor }} }}"
    return f"{head} {{ {cursors} all: {all_rows} {{ totalCount }} }}"


def _list_used_variables(node: Any) -> set[str]:
    """Those that are used somewhere in it."""
    found = set[str]()

    class Names(Visitor):
        def enter_variable_definition(self, *_: Any) -> bool:
            return False

        def enter_variable(self, variable: VariableNode, *_: Any) -> None:
            found.add(variable.name.value)

    visit(node, Names())
    return found


PAGING_FIELDS = frozenset({"pageInfo", "__typename"})
"""What a client pages by, which is no row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """Where the rows of an answer are, and what their columns are."""

    path: tuple[str, ...]
    """The response keys that lead to the list."""
    node_key: str | None
    """In each of its items, the key of the row; None: the item is the row."""
    columns: tuple[ExportColumn, ...]
    denied: Mapping[str, SelectedField]
    """By name of the column, or of the objects it would be in, what is withheld."""


def build_row_layout(fields: Sequence[SelectedField], decisions: Decisions) -> RowLayout:
    """Raises Refused where what is asked of the list beside its rows has no place in a file."""
    if len(fields) != 1:
        raise RequestRejected(
            build_export_error(ErrorCode.BAD_USER_INPUT, f"nothing is asked for at the root: {ONE_LIST_ADVICE}")
        )
    (pick,) = fields
    listed, held = _find_list_fields(pick)
    if shut := next((each for each in (pick, listed, held) if is_denied(each, decisions)), None):
        return RowLayout(
            path=(pick.response_key, listed.response_key), node_key=None, columns=(), denied={pick.response_key: shut}
        )
    walk = _ColumnCollector(decisions=decisions)
    columns = tuple(walk.collect_columns(list(held.children_by_type.values()), ()))
    if not columns and not walk.denied:
        raise RequestRejected(
            build_export_error(
                ErrorCode.BAD_USER_INPUT, f"nothing is asked of the rows of `{pick.response_key}`, ask for fields"
            )
        )
    node = held.response_key if held is not listed else None
    return RowLayout(path=(pick.response_key, listed.response_key), node_key=node, columns=columns, denied=walk.denied)


def list_omitted_columns(
    denied: Mapping[str, SelectedField], decisions: Decisions, errors: Sequence[GraphQLErrorInfo]
) -> tuple[OmittedColumn, ...]:
    """Each with what the FORBIDDEN of its position says; and the rows of a type that may not be asked."""
    said = {str((each.extensions or {}).get("position")): each.message for each in errors}
    columns = [(name, ".".join(decisions[pick.number].coordinate)) for name, pick in denied.items()]
    named = {position for _, position in columns}
    found = [*columns, *((position, position) for position in said if position not in named)]
    return tuple(
        OmittedColumn(name=name, reason=said.get(of, f"`{of}` is withheld"), position=of) for name, of in found
    )


def find_lost_column(planned: Sequence[ExportColumn], current: Sequence[ExportColumn]) -> str | None:
    """The first of the columns as they were stated that an answer has no longer."""
    held = {each.name: each for each in current}
    for each in planned:
        if each.name not in held:
            return each.name
        gone = find_lost_column(each.inner, held[each.name].inner)
        if gone is not None:
            return f"{each.name}.{gone}"
    return None


def _find_list_fields(pick: SelectedField) -> tuple[SelectedField, SelectedField]:
    """The pick of the list, and that of its rows: the same for `nodes`, `node` in `edges`."""
    asked = [each for each in pick.children if each.response_key != PAGE_ALIAS]
    lists = [each for each in asked if each.name in ("nodes", "edges")]
    beside = [each.response_key for each in asked if each.name not in ("nodes", "edges", *PAGING_FIELDS)]
    if beside:
        message = f"`{beside[0]}` of `{pick.response_key}` is no row, so it has no place in a file: leave it out"
        raise RequestRejected(build_export_error(ErrorCode.BAD_USER_INPUT, message))
    if len(lists) != 1:
        message = f"`{pick.response_key}` is exported by its `nodes` or by its `edges`, ask for one"
        raise RequestRejected(build_export_error(ErrorCode.BAD_USER_INPUT, message))
    if lists[0].name == "nodes":
        return lists[0], lists[0]
    nodes = [each for each in lists[0].children if each.name == "node"]
    if len(nodes) != 1:
        raise RequestRejected(
            build_export_error(
                ErrorCode.BAD_USER_INPUT, f"`edges` of `{pick.response_key}` is exported by its `node`, ask for one"
            )
        )
    return lists[0], nodes[0]


@dataclass(slots=True, kw_only=True)
class _ColumnCollector:
    """The fields below a row under way, and what of them is withheld."""

    decisions: Decisions
    denied: dict[str, SelectedField] = field(default_factory=dict)

    def collect_columns(
        self, kinds: Sequence[Sequence[SelectedField]], above: tuple[str, ...], name: str = ""
    ) -> Iterator[ExportColumn]:
        """`kinds`: what is asked of each concrete type that a row may be of."""
        keys = dict.fromkeys(pick.response_key for picks in kinds for pick in picks)
        for key in keys:
            alike = [pick for picks in kinds for pick in picks if pick.response_key == key]
            yield from self.collect_column(alike, (*above, key), name)

    def collect_column(
        self, alike: Sequence[SelectedField], path: tuple[str, ...], within: str
    ) -> Iterator[ExportColumn]:
        name = within + ".".join(path)
        allowed = [each for each in alike if not is_denied(each, self.decisions)]
        if len(allowed) < len(alike):
            self.denied[name] = next(each for each in alike if each not in allowed)
        if not allowed:
            return
        one, below = allowed[0], [picks for each in allowed for picks in each.children_by_type.values()]
        many = is_list(one.return_type)
        if not below:
            yield _build_leaf_column(one, path, many)
        elif many:
            inner = tuple(self.collect_columns(below, (), f"{name}."))
            if inner:
                yield ExportColumn(name=".".join(path), path=path, scalar="", inner=inner)
        else:
            yield from self.collect_columns(below, path, within)


def _build_leaf_column(pick: SelectedField, path: tuple[str, ...], many: bool) -> ExportColumn:
    named: Any = get_named_type(pick.return_type)
    members = tuple(named.values) if isinstance(named, GraphQLEnumType) else ()
    return ExportColumn(name=".".join(path), path=path, scalar=named.name, many=many, members=members)


SPLIT_ROWS = 500_000
"""An export of fewer rows is one range."""

RANGE_ROWS = 250_000

MAX_RANGES = 16

NOT_A_LIST_MESSAGE = "Unknown argument 'after' on field 'Query."
"""What validation says of a root field that is no list."""

END_PATHS = (
    ("first", "pageInfo", "startCursor"),
    ("last", "pageInfo", "startCursor"),
    ("all", "totalCount"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedExport:
    """A wish that may be met: how it is asked, where its rows are, and what came of planning it."""

    query: PagedQuery
    layout: RowLayout
    result: ExecutionResult


async def validate_export(
    executor: AuditedExecutor,
    principal: Principal,
    request: ExportRequest,
    count_served_bytes: CountServedBytes | None = None,
) -> ValidatedExport:
    """Raises Refused, each reason with what would do: no one list, no permission for any of it, a row too costly."""
    one = build_paged_query(request, executor.engine.catalog.limits)
    told = await execute_audited(
        executor, principal, one.build_page_request(1, one.after, plan="ONLY"), count_served_bytes
    )
    if told.rejected or told.cached_plan is None:
        raise RequestRejected(
            *(
                _translate_errors(one, told.errors)
                or [build_export_error(ErrorCode.FORBIDDEN, "what it shows may be seen no longer")]
            )
        )
    compiled = told.cached_plan
    found = build_row_layout(compiled.fields, compiled.decisions)
    if told.errors and (request.all_or_nothing or not found.columns):
        raise RequestRejected(*told.errors)
    return ValidatedExport(query=one, layout=found, result=told)


def _translate_errors(one: PagedQuery, faults: Sequence[GraphQLErrorInfo]) -> Sequence[GraphQLErrorInfo]:
    """Of a field that takes no place to read on from, that it is no list; of the rest, no places in our own text."""
    if any(each.message.startswith(NOT_A_LIST_MESSAGE) for each in faults):
        return [
            build_export_error(
                ErrorCode.BAD_USER_INPUT, f"`{one.list_key}` at the root is no one list: {ONE_LIST_ADVICE}"
            )
        ]
    return [replace(each, locations=()) for each in faults]


async def start_export(
    executor: AuditedExecutor, store: ExportStore, principal: Principal, id: str, request: ExportRequest
) -> ExportPlan:
    """Once for each id: of the same caller and wish the export that was stated before, of another Refused."""
    if (known := store.load_plan(id)) is None:
        judged = await validate_export(executor, principal, request)
        ranges, count = await _plan_ranges(executor, principal, judged)
        store.add_plan(_build_plan(principal, id, request, judged, ranges, count))
        known = store.load_plan(id)
    assert known is not None
    if (known.person, known.wish) != (principal.person_id, request):
        raise RequestRejected(
            build_export_error(ErrorCode.IDEMPOTENCY_KEY_REUSED, "another export has this id: take a new one")
        )
    return known


def _build_plan(
    caller: Principal,
    id: str,
    wish: ExportRequest,
    judged: ValidatedExport,
    ranges: Sequence[KeyRange],
    count: int | None,
) -> ExportPlan:
    assert judged.result.cached_plan is not None
    return ExportPlan(
        id=id,
        person=caller.person_id,
        key_id=caller.key_id,
        started=datetime.now(UTC).isoformat(timespec="microseconds"),
        wish=wish,
        columns=judged.layout.columns,
        left_out=list_omitted_columns(judged.layout.denied, judged.result.cached_plan.decisions, judged.result.errors),
        ranges=tuple(ranges),
        rows=count,
    )


async def _plan_ranges(
    clerk: AuditedExecutor, caller: Principal, judged: ValidatedExport
) -> tuple[Sequence[KeyRange], int | None]:
    """One range, or several of about as many keys each where the order is that of a key of whole numbers."""
    one, whole = judged.query, KeyRange(number=1, after=judged.query.after)
    assert judged.result.cached_plan is not None
    (branch,) = judged.result.cached_plan.plan.roots
    if one.total is not None or one.after is not None or not _finds_ends_fast(branch):
        return [whole], one.total
    found = await execute_audited(clerk, caller, one.build_ends_request())
    first, last, count = (_read_data_path(found, *path) for path in END_PATHS)
    if (
        branch.page is None
        or not _is_ordered_by_integer(branch.page)
        or (count or 0) < SPLIT_ROWS
        or not (first and last)
    ):
        return [whole], count
    seal = _load_cursor_key(clerk, judged, branch.page)
    low, high = (query_cursors.decode_cursor(each, branch.page.sort_types, seal)[0] for each in (first, last))
    return list(_split_key_range(low, high, min(MAX_RANGES, -(-count // RANGE_ROWS)), seal)), count


def _finds_ends_fast(branch: PlanNode) -> bool:
    """The source finds the first row and the last without reading all between them."""
    return branch.row_scan is not None and {PushdownStep.SORT, PushdownStep.LIMIT} <= branch.row_scan.pushed_steps


def _is_ordered_by_integer(page: Page) -> bool:
    return page.sort_types == (ColumnType.INTEGER,) and not page.sort[0].descending


def _read_data_path(found: ExecutionResult, *path: str) -> Any:
    value: Any = found.data
    for key in path:
        value = value and value.get(key)
    return value


def _load_cursor_key(clerk: AuditedExecutor, judged: ValidatedExport, page: Page) -> bytes:
    """What the cursors of this list are signed with."""
    told, house = judged.result, clerk.engine.catalog
    assert told.cached_plan is not None
    assert told.operation is not None
    given = coerce_variables(house.schema, told.operation, judged.query.build_page_request(1).variables)
    return bind_parameters(house, told.cached_plan.windows, given.values).cursor_keys[id(page)]


def _split_key_range(low: int, high: int, count: int, seal: bytes) -> Iterator[KeyRange]:
    """Rows that come meanwhile, before the first or after the last, are in the outer ranges."""
    step = -(-(high - low + 1) // count)
    starts = range(low, high + 1, step)
    for number, start in enumerate(starts, 1):
        after = None if number == 1 else query_cursors.encode_cursor((start - 1,), seal)
        before = None if number == len(starts) else query_cursors.encode_cursor((start + step,), seal)
        yield KeyRange(number=number, after=after, before=before)
