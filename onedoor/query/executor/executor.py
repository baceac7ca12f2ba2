"""Walk the plan, siblings concurrently; merge interface members."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.constant_columns import may_match
from onedoor.model.names import NoSuchId, build_id_parser
from onedoor.model.parameters import substitute
from onedoor.query import selection
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
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.operators import compile_key, group_rows, limit_rows, sort_rows
from onedoor.spi.predicates import Row
from onedoor.spi.scan import COUNT_ROWS, SortKey

TYPE_COLUMN, ROW_COLUMN = "its type", "the row"
"""What a merged row ends in; no column is called so."""

MemberResults = Mapping[str, BranchResult | ConnectorError]
"""By concrete type, in the order of what tells them apart."""


def merge_members(
    node: PlanNode, member_results: MemberResults, variables: Mapping[str, Any], denied_members: tuple[MemberScan, ...]
) -> BranchResult | ConnectorError:
    """The rows there are; where all failed, why the first did.

    A merged row is the key that leads to it, its place in the order, its type, and the row as its source gave it.
    """
    lost = {kind: each for kind, each in member_results.items() if isinstance(each, ConnectorError)}
    if lost and len(lost) == len(member_results):
        return next(iter(lost.values()))
    parts = {kind: each for kind, each in member_results.items() if isinstance(each, BranchResult)}
    keyed = tuple(f"key {at}" for at in range(len(node.key_columns)))
    order = _get_merge_sort(node.page)
    columns = (*keyed, *(each.column for each in order), TYPE_COLUMN, ROW_COLUMN)
    rows = sort_rows(list(_build_merged_rows(node, parts)), order, columns)
    limit = _get_merge_limit(node, variables)
    if limit is not None:
        rows = limit_rows(rows, limit, compile_key(keyed, columns))
    _drop_hidden_rows(parts, rows)
    return BranchResult(
        columns=columns,
        rows=rows,
        key_columns=keyed,
        total_aggregate=None if lost else _merge_total_aggregates(parts),
        has_previous=frozenset().union(*(each.has_previous for each in parts.values())),
        has_next=frozenset().union(*(each.has_next for each in parts.values())),
        member_results=parts,
        member_errors=lost,
        denied_members=denied_members,
    )


def _get_merge_sort(page: Page | None) -> Sequence[SortKey]:
    if page is None:
        return ()
    return [reverse_sort_key(each) for each in page.sort] if page.last is not None else page.sort


def _build_merged_rows(node: PlanNode, parts: Mapping[str, BranchResult]) -> Iterator[Row]:
    for member in node.members:
        part = parts.get(member.type)
        if part is None or not part.rows:
            continue
        key = compile_key(member.key_columns, part.columns)
        place = compile_key([each.column for each in member.page.sort] if member.page else (), part.columns)
        yield from ((*key(row), *place(row), member.type, row) for row in part.rows)


def _get_merge_limit(node: PlanNode, variables: Mapping[str, Any]) -> int | None:
    """The rows of a page that are wanted, and one more where each concrete type was asked for that."""
    limits = (each.row_scan.logical.limit for each in node.members if each.row_scan is not None and node.is_list)
    limit: int | None = substitute(next(limits, None), variables)
    return limit


def _drop_hidden_rows(parts: Mapping[str, BranchResult], rows: Sequence[Row]) -> None:
    """What lies below rows is read only of those that are shown."""
    shown = group_rows(rows, lambda row: (row[-2],))
    for kind, part in parts.items():
        part.rows = [row[-1] for row in shown.get((kind,), ())]


def _merge_total_aggregates(parts: Mapping[str, BranchResult]) -> AggregateResult | ConnectorError | None:
    """Counts added up; where one is not known, nor is their sum."""
    counts: dict[Row, int] = {}
    for tally in (each.total_aggregate for each in parts.values()):
        if isinstance(tally, ConnectorError):
            return tally
        if tally is not None:
            at = tally.columns.index(COUNT_ROWS.name)
            for key, row in tally.rows.items():
                counts[key] = counts.get(key, 0) + row[at]
    return AggregateResult(columns=(COUNT_ROWS.name,), rows={key: (count,) for key, count in counts.items()})


async def execute_plan(state: ExecutionState, plan: Plan) -> BranchResults:
    """`run.calls` is filled as they are made, so that a fetch that is cancelled still tells what it asked."""
    await _execute_nodes(state, plan.roots, (), ())
    return state.results


async def _execute_nodes(
    state: ExecutionState, nodes: Sequence[PlanNode], columns: tuple[str, ...], parents: Sequence[Row]
) -> None:
    await gather_or_cancel(_execute_node(state, branch, columns, parents) for branch in nodes)


async def _execute_node(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> None:
    if node.member_scans:
        await _execute_interface(state, node, columns, parents)
        return
    found = state.results[node.field.number] = await _scan_node_or_error(state, node, columns, parents)
    if isinstance(found, BranchResult):
        await _execute_children(state, node, found)


async def _scan_node_or_error(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> BranchResult | ConnectorError:
    try:
        return await _scan_node(state, node, _collect_keys(state, node, columns, parents))
    except ConnectorError as failure:
        return failure


async def _execute_children(state: ExecutionState, node: PlanNode, result: BranchResult) -> None:
    _compute_fields(node, result)
    await _execute_nodes(state, node.children, result.columns, result.rows)


async def _execute_interface(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> None:
    """All concrete types that can have such rows at once; what lies below them is read of rows that are shown."""
    meant = {
        each.type: each
        for each in node.member_scans
        if may_match(each.filter, each.constants, state.bound_plan.variables) is not False
    }
    asked = [each for each in node.members if each.type in meant]
    found = await gather_or_cancel(_scan_node_or_error(state, each, columns, parents) for each in asked)
    shut = tuple(each for each in meant.values() if each.denial is not None)
    rows = merge_members(
        node, dict(zip([each.type for each in asked], found, strict=True)), state.bound_plan.variables, shut
    )
    state.results[node.field.number] = rows
    if isinstance(rows, BranchResult):
        below = [(each, rows.member_results[each.type]) for each in asked if each.type in rows.member_results]
        await gather_or_cancel(_execute_children(state, each, part) for each, part in below)


def _collect_keys(
    state: ExecutionState, node: PlanNode, columns: tuple[str, ...], parents: Sequence[Row]
) -> tuple[Row, ...] | None:
    """The distinct keys that lead to this branch's rows, None where all rows are meant."""
    if node.id_value is not None:
        return _parse_id_key(state, node)
    if node.representations is not None:
        return _collect_entity_keys(state, node)
    if not node.parent_columns:
        return None
    here = compile_key(node.parent_columns, columns)
    return tuple(key for key in dict.fromkeys(here(row) for row in parents) if None not in key)


def _parse_id_key(state: ExecutionState, node: PlanNode) -> tuple[Row, ...]:
    assert node.row_scan is not None
    try:
        read = build_id_parser(_get_capabilities(state, node.row_scan), node.key_columns)
        return (read(substitute(node.id_value, state.bound_plan.variables)),)
    except NoSuchId:
        return ()


def _collect_entity_keys(state: ExecutionState, node: PlanNode) -> tuple[Row, ...]:
    assert node.row_scan is not None
    read = build_id_parser(_get_capabilities(state, node.row_scan), node.key_columns)
    ids = selection.list_ids_of_type(
        selection.substitute_representations(node.representations, state.bound_plan.variables), node.type
    )
    found = dict.fromkeys(selection.parse_entity_key(read, each) for each in ids)
    return tuple(each for each in found if each is not None)


async def _scan_node(state: ExecutionState, node: PlanNode, keys: tuple[Row, ...] | None) -> BranchResult:
    if keys == ():
        return build_empty_result(node)
    found = BranchResult()
    parts = (
        (node.row_scan, _scan_page),
        (node.total_aggregate, _scan_total_aggregate),
        (node.has_previous, _scan_has_previous),
        (node.has_next, _scan_has_next),
    )
    await gather_or_cancel(
        (
            *(part(state, planned, keys, found) for planned, part in parts if planned is not None),
            *(_scan_grouping(state, each, keys, found) for each in node.groupings),
        )
    )
    return found


def build_empty_result(node: PlanNode) -> BranchResult:
    """What there is of no parents."""
    return BranchResult(
        columns=node.row_scan.output_columns if node.row_scan else (),
        total_aggregate=AggregateResult(columns=node.total_aggregate.output_columns, rows={})
        if node.total_aggregate
        else None,
        groupings={
            each.field.number: GroupingResult(columns=each.scan.output_columns, rows={}) for each in node.groupings
        },
    )


async def _scan_page(
    state: ExecutionState, scan: PhysicalScan, keys: tuple[Row, ...] | None, result: BranchResult
) -> None:
    table = await execute_scan(state, scan, keys)
    result.columns, result.rows, result.key_columns = table.columns, table.rows, scan.logical.key_columns


async def _scan_total_aggregate(
    state: ExecutionState, scan: PhysicalScan, keys: tuple[Row, ...] | None, result: BranchResult
) -> None:
    """What is measured for each key; its failure is its own, the rows are served."""
    try:
        table = await execute_scan(state, scan, keys)
    except ConnectorError as failure:
        result.total_aggregate = failure
        return
    key = compile_key(scan.logical.key_columns, table.columns)
    result.total_aggregate = AggregateResult(columns=table.columns, rows={key(row): row for row in table.rows})


async def _scan_grouping(
    state: ExecutionState, grouping: Grouping, keys: tuple[Row, ...] | None, result: BranchResult
) -> None:
    try:
        most = state.limits.first_max + 1 if grouping.first is None else None
        table = await execute_scan(state, grouping.scan, keys, max_rows_per_key=most)
        groups = _group_rows_by_key(grouping.scan, table)
        if grouping.first is None and any(len(each) > state.limits.first_max for each in groups.values()):
            raise _build_too_many_groups_error(state, grouping)
        result.groupings[grouping.field.number] = GroupingResult(columns=table.columns, rows=groups)
    except ConnectorError as failure:
        result.groupings[grouping.field.number] = failure


def _build_too_many_groups_error(state: ExecutionState, grouping: Grouping) -> ConnectorError:
    limit = f"the limit `first_max` of {state.limits.first_max}"
    message = (
        f"`{grouping.field.name}` has more groups than {limit}, ask for some with `first` and `orderBy`, or filter"
    )
    return ConnectorError(message, ErrorCode.LIMIT_EXCEEDED)


async def _scan_has_previous(
    state: ExecutionState, scan: PhysicalScan, keys: tuple[Row, ...] | None, result: BranchResult
) -> None:
    result.has_previous = frozenset(_group_rows_by_key(scan, await execute_scan(state, scan, keys)))


async def _scan_has_next(
    state: ExecutionState, scan: PhysicalScan, keys: tuple[Row, ...] | None, result: BranchResult
) -> None:
    result.has_next = frozenset(_group_rows_by_key(scan, await execute_scan(state, scan, keys)))


def _group_rows_by_key(scan: PhysicalScan, table: ScanResult) -> Mapping[Row, Sequence[Row]]:
    keyed = scan.logical.key_columns
    if not keyed:
        return {ROOT_KEY: table.rows} if table.rows else {}
    return group_rows(table.rows, compile_key(keyed, table.columns))


def _compute_fields(node: PlanNode, result: BranchResult) -> None:
    for number, batch in (node.computed_fields or {}).items():
        assert node.computed_field_inputs is not None
        needs = compile_key(node.computed_field_inputs[number], result.columns)
        rows = [needs(row) for row in result.rows]
        result.computed_values[number] = dict(zip(rows, batch.compute(rows), strict=True))


def _get_capabilities(state: ExecutionState, scan: PhysicalScan) -> Capabilities:
    return state.get_connector(scan.logical.source).capabilities(scan.logical.collection)
