"""Execute a plan: walk its nodes, siblings concurrently, and merge the members of interfaces."""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.constant_columns import may_match
from onedoor.model.names import MalformedId, NoSuchId, build_id_parser
from onedoor.model.parameters import substitute
from onedoor.query.executor.scan import ScanResult, execute_scan
from onedoor.query.executor.state import (
    ROOT_KEY,
    AggregateResult,
    BranchResult,
    BranchResults,
    ExecutionState,
    GroupingResult,
)
from onedoor.query.planner.nodes import Grouping, MemberScan, Page, PhysicalScan, Plan, PlanNode
from onedoor.query.planner.planner import reverse_sort_key
from onedoor.query.selection import list_ids_of_type, parse_entity_key, substitute_representations
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.operators import compile_key, group_rows, limit_rows, sort_rows
from onedoor.spi.predicates import Row
from onedoor.spi.scan import COUNT_ROWS, SortKey

TYPE_COLUMN, ROW_COLUMN = "its type", "the row"
"""The last two columns of a merged row; no source's column has such a name."""

MemberResults: TypeAlias = Mapping[str, BranchResult | ConnectorError]
"""The results of an interface's concrete types, in the order of the plan."""


async def execute_plan(state: ExecutionState, plan: Plan) -> BranchResults:
    """Read the rows of all nodes; a node whose connector fails has its error as its result."""
    return await _execute_nodes(state, plan.roots, (), ())


async def _execute_nodes(
    state: ExecutionState, nodes: Sequence[PlanNode], columns: tuple[str, ...], parents: Sequence[Row]
) -> BranchResults:
    return _union_results(await gather_or_cancel(_execute_node(state, node, columns, parents) for node in nodes))


def _union_results(results: Sequence[BranchResults]) -> BranchResults:
    return {number: result for each in results for number, result in each.items()}


async def _execute_node(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> BranchResults:
    """Return the results of a node and of all nodes below it."""
    if node.member_scans:
        return await _execute_interface(state, node, columns, parents)
    result = await _scan_node_or_error(state, node, columns, parents)
    if isinstance(result, ConnectorError):
        return {node.field.number: result}
    result = _compute_fields(node, result)
    return {node.field.number: result, **await _execute_nodes(state, node.children, result.columns, result.rows)}


async def _scan_node_or_error(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> BranchResult | ConnectorError:
    try:
        return await _scan_node(state, node, _collect_keys(state, node, columns, parents))
    except ConnectorError as failure:
        return failure


async def _execute_interface(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> BranchResults:
    """Read all concrete types that could match at once; then read what lies below the rows that are shown."""
    variables = state.bound_plan.variables
    matching = {
        member_scan.type: member_scan
        for member_scan in node.member_scans
        if may_match(member_scan.filter, member_scan.constants, variables) is not False
    }
    members = [member for member in node.members if member.type in matching]
    results = await gather_or_cancel(_scan_node_or_error(state, member, columns, parents) for member in members)
    denied_members = tuple(member_scan for member_scan in matching.values() if member_scan.denial is not None)
    member_results = dict(zip((member.type for member in members), results, strict=True))
    merged = merge_members(node, member_results, variables, denied_members)
    if isinstance(merged, ConnectorError):
        return {node.field.number: merged}
    shown_members = [(member, merged.member_results.get(member.type)) for member in members]
    children = await gather_or_cancel(
        _execute_nodes(state, member.children, shown.columns, shown.rows)
        for member, shown in shown_members
        if shown is not None
    )
    return {node.field.number: merged, **_union_results(children)}


def merge_members(
    node: PlanNode, member_results: MemberResults, variables: Mapping[str, Any], denied_members: tuple[MemberScan, ...]
) -> BranchResult | ConnectorError:
    """Merge the rows of an interface's concrete types, in order; the first error where all types failed.

    A merged row is the key that leads to it, its sort values, its type, and the row as its connector returned it.
    """
    errors = {name: result for name, result in member_results.items() if isinstance(result, ConnectorError)}
    if errors and len(errors) == len(member_results):
        return next(iter(errors.values()))
    results = {name: result for name, result in member_results.items() if isinstance(result, BranchResult)}
    key_columns = tuple(f"key {index}" for index in range(len(node.key_columns)))
    sort = _get_merge_sort(node.page)
    columns = (*key_columns, *(sort_key.column for sort_key in sort), TYPE_COLUMN, ROW_COLUMN)
    rows = sort_rows(list(_build_merged_rows(node, results)), sort, columns)
    limit = _get_merge_limit(node, variables)
    if limit is not None:
        rows = limit_rows(rows, limit, compile_key(key_columns, columns))
    return BranchResult(
        columns=columns,
        rows=rows,
        key_columns=key_columns,
        total_aggregate=None if errors else _merge_total_aggregates(results),
        has_previous=frozenset().union(*(result.has_previous for result in results.values())),
        has_next=frozenset().union(*(result.has_next for result in results.values())),
        member_results=_select_shown_rows(node, results, rows),
        member_errors=errors,
        denied_members=denied_members,
    )


def _get_merge_sort(page: Page | None) -> Sequence[SortKey]:
    if page is None:
        return ()
    return page.sort if page.last is None else [reverse_sort_key(sort_key) for sort_key in page.sort]


def _build_merged_rows(node: PlanNode, results: Mapping[str, BranchResult]) -> Iterator[Row]:
    for member in node.members:
        result = results.get(member.type)
        if result is None or not result.rows:
            continue
        sort_columns = [sort_key.column for sort_key in member.page.sort] if member.page else ()
        get_key = compile_key(member.key_columns, result.columns)
        get_sort_values = compile_key(sort_columns, result.columns)
        yield from ((*get_key(row), *get_sort_values(row), member.type, row) for row in result.rows)


def _get_merge_limit(node: PlanNode, variables: Mapping[str, Any]) -> int | None:
    """Return the size of the page, or one more if each concrete type was asked for one row more."""
    limits = (member.row_scan.logical.limit for member in node.members if member.row_scan is not None and node.is_list)
    limit: int | None = substitute(next(limits, None), variables)
    return limit


def _select_shown_rows(
    node: PlanNode, results: Mapping[str, BranchResult], merged_rows: Sequence[Row]
) -> Mapping[str, BranchResult]:
    """Reduce each concrete type to its rows on the page, as only below those anything is read."""
    shown = group_rows(merged_rows, lambda row: (row[-2],))
    members = {member.type: member for member in node.members}
    return {
        name: _compute_fields(members[name], replace(result, rows=[row[-1] for row in shown.get((name,), ())]))
        for name, result in results.items()
    }


def _merge_total_aggregates(results: Mapping[str, BranchResult]) -> AggregateResult | ConnectorError | None:
    """Add up the counts of all concrete types; unknown where one of them is."""
    counts: dict[Row, int] = {}
    for aggregate in (result.total_aggregate for result in results.values()):
        if isinstance(aggregate, ConnectorError):
            return aggregate
        if aggregate is not None:
            index = aggregate.columns.index(COUNT_ROWS.name)
            for key, row in aggregate.rows.items():
                counts[key] = counts.get(key, 0) + row[index]
    return AggregateResult(columns=(COUNT_ROWS.name,), rows={key: (count,) for key, count in counts.items()})


def _collect_keys(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> tuple[Row, ...] | None:
    """Return the distinct keys that lead to a node's rows; None where no keys are needed."""
    variables = state.bound_plan.variables
    if node.id_value is not None:
        return _parse_id_argument(state, node, substitute(node.id_value, variables))
    if node.representations is not None:
        representations = substitute_representations(node.representations, variables)
        return _parse_keys(state, node, list_ids_of_type(representations, node.type))
    if not node.parent_columns:
        return None
    get_key = compile_key(node.parent_columns, columns)
    return tuple(key for key in dict.fromkeys(get_key(row) for row in parents) if None not in key)


def _parse_id_argument(state: ExecutionState, node: PlanNode, id: str) -> tuple[Row, ...]:
    """Return the key of an id, or none where no row can have it. Raises ConnectorError for what is not of its type."""
    try:
        return (_build_node_id_parser(state, node)(id),)
    except MalformedId as error:
        raise ConnectorError(str(error), ErrorCode.BAD_USER_INPUT) from None
    except NoSuchId:
        return ()


def _parse_keys(state: ExecutionState, node: PlanNode, ids: Iterator[str] | Sequence[str]) -> tuple[Row, ...]:
    """Return the distinct keys of the ids that can be ids of rows."""
    parse = _build_node_id_parser(state, node)
    keys = dict.fromkeys(parse_entity_key(parse, id) for id in ids)
    return tuple(key for key in keys if key is not None)


def _build_node_id_parser(state: ExecutionState, node: PlanNode) -> Callable[[str], Row]:
    assert node.row_scan is not None
    logical = node.row_scan.logical
    return build_id_parser(state.get_connector(logical.source).capabilities(logical.collection), node.key_columns)


async def _scan_node(state: ExecutionState, node: PlanNode, keys: tuple[Row, ...] | None) -> BranchResult:
    """Run all scans of a node at once. Raises ConnectorError where its rows cannot be read."""
    if keys == ():
        return build_empty_result(node)
    scans: dict[str, Coroutine[Any, Any, Any]] = {}
    if node.row_scan is not None:
        scans["rows"] = execute_scan(state, node.row_scan, keys)
    if node.total_aggregate is not None:
        scans["total_aggregate"] = _scan_total_aggregate(state, node.total_aggregate, keys)
    if node.has_previous is not None:
        scans["has_previous"] = _scan_keys_with_rows(state, node.has_previous, keys)
    if node.has_next is not None:
        scans["has_next"] = _scan_keys_with_rows(state, node.has_next, keys)
    if node.groupings:
        scans["groupings"] = gather_or_cancel(_scan_grouping(state, grouping, keys) for grouping in node.groupings)
    results = dict(zip(scans, await gather_or_cancel(scans.values()), strict=True))
    rows = results.get("rows", NO_ROWS)
    check_page_moves(state, node.page, rows)
    numbers = (grouping.field.number for grouping in node.groupings)
    return BranchResult(
        columns=rows.columns,
        rows=rows.rows,
        key_columns=() if node.row_scan is None else node.row_scan.logical.key_columns,
        total_aggregate=results.get("total_aggregate"),
        has_previous=results.get("has_previous", frozenset()),
        has_next=results.get("has_next", frozenset()),
        groupings=dict(zip(numbers, results.get("groupings", ()), strict=True)),
    )


def check_page_moves(state: ExecutionState, page: Page | None, result: ScanResult) -> None:
    """Raise ConnectorError where the row of a cursor comes again: whoever follows the cursors would never end."""
    if page is None or not result.rows:
        return
    cursors = [state.bound_plan.cursor_values.get((id(page), is_after)) for is_after in (True, False)]
    columns = [sort_key.column for sort_key in page.sort]
    if any(cursors) and set(columns) <= set(result.columns):
        get_place = compile_key(columns, result.columns)
        if not frozenset(cursors).isdisjoint(map(get_place, result.rows)):
            message = (
                f"the source gives the row of the cursor of `{page.coordinate}` again, so its pages would never end"
            )
            raise ConnectorError(message, ErrorCode.SOURCE_INVALID)


NO_ROWS = ScanResult(columns=(), rows=[])


def build_empty_result(node: PlanNode) -> BranchResult:
    """Return the result of a node that no key leads to."""
    return BranchResult(
        columns=node.row_scan.output_columns if node.row_scan else (),
        total_aggregate=AggregateResult(columns=node.total_aggregate.output_columns, rows={})
        if node.total_aggregate
        else None,
        groupings={
            grouping.field.number: GroupingResult(columns=grouping.scan.output_columns, rows={})
            for grouping in node.groupings
        },
    )


async def _scan_total_aggregate(
    state: ExecutionState, scan: PhysicalScan, keys: tuple[Row, ...] | None
) -> AggregateResult | ConnectorError:
    """Read the aggregates of each key; where that fails, the rows are served all the same."""
    try:
        result = await execute_scan(state, scan, keys)
    except ConnectorError as failure:
        return failure
    get_key = compile_key(scan.logical.key_columns, result.columns)
    return AggregateResult(columns=result.columns, rows={get_key(row): row for row in result.rows})


async def _scan_grouping(
    state: ExecutionState, grouping: Grouping, keys: tuple[Row, ...] | None
) -> GroupingResult | ConnectorError:
    """Read the groups of each key; where that fails, the rows are served all the same."""
    first_max = state.limits.first_max
    is_unlimited = grouping.first is None
    try:
        max_rows_per_key = first_max + 1 if is_unlimited else None
        result = await execute_scan(state, grouping.scan, keys, max_rows_per_key=max_rows_per_key)
    except ConnectorError as failure:
        return failure
    groups = _group_rows_by_key(grouping.scan, result)
    if is_unlimited and any(len(rows) > first_max for rows in groups.values()):
        message = (
            f"`{grouping.field.name}` has more groups than the limit `first_max` of {first_max}, "
            "ask for some with `first` and `orderBy`, or filter"
        )
        return ConnectorError(message, ErrorCode.LIMIT_EXCEEDED)
    return GroupingResult(columns=result.columns, rows=groups)


async def _scan_keys_with_rows(
    state: ExecutionState, scan: PhysicalScan, keys: tuple[Row, ...] | None
) -> frozenset[Row]:
    """Return the keys for which the scan finds a row."""
    return frozenset(_group_rows_by_key(scan, await execute_scan(state, scan, keys)))


def _group_rows_by_key(scan: PhysicalScan, result: ScanResult) -> Mapping[Row, Sequence[Row]]:
    key_columns = scan.logical.key_columns
    if not key_columns:
        return {ROOT_KEY: result.rows} if result.rows else {}
    return group_rows(result.rows, compile_key(key_columns, result.columns))


def _compute_fields(node: PlanNode, result: BranchResult) -> BranchResult:
    """Add the values of computed fields, each computed for all rows at once."""
    if not node.computed_fields:
        return result
    assert node.computed_field_inputs is not None
    computed_values: dict[int, Mapping[Row, object]] = {}
    for number, computed_field in node.computed_fields.items():
        get_inputs = compile_key(node.computed_field_inputs[number], result.columns)
        inputs = [get_inputs(row) for row in result.rows]
        computed_values[number] = dict(zip(inputs, computed_field.compute(inputs), strict=True))
    return replace(result, computed_values=computed_values)
