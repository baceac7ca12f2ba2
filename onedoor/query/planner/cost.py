"""Estimate the rows of a scan, and limit the cost of a query."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.names import get_capabilities
from onedoor.model.parameters import Parameter, substitute
from onedoor.query.planner.nodes import (
    LogicalScan,
    PhysicalScan,
    Plan,
    PlannedPredicate,
    PlanNode,
    SemiJoinFilter,
    Size,
)
from onedoor.query.planner.pushdown import split_filter
from onedoor.query.selection import list_ids_of_type, substitute_representations
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Comparison, Exists, InKeys, Op, fold_predicate, iterate_leaves

DEFAULT_ROW_COUNT = 100_000

ROWS_A_COST = 50
"""How many rows that a source looks at for a link weigh as much as one that is returned."""

SELECTIVITIES: Mapping[Op, float] = {
    Op.EQ: 1 / 10,
    Op.IN: 1 / 4,
    Op.LT: 1 / 3,
    Op.LTE: 1 / 3,
    Op.GT: 1 / 3,
    Op.GTE: 1 / 3,
    Op.CONTAINS: 1 / 10,
    Op.STARTS_WITH: 1 / 10,
    Op.ENDS_WITH: 1 / 10,
    Op.I_CONTAINS: 1 / 10,
    Op.I_STARTS_WITH: 1 / 10,
    Op.I_ENDS_WITH: 1 / 10,
}
"""The share of rows that meet a comparison, by operator; any other operator lets most rows through."""

DEFAULT_SELECTIVITY = 9 / 10

EXISTS_SELECTIVITY = 1 / 2

UNIQUE_COLUMN = "id"

COST_CEILING = 10**15


def compute_cost(catalog: Catalog, plan: Plan, variables: Mapping[str, Any]) -> int:
    """Return how many objects the query may return, each weighed by the `row_cost` of its collection, and its links.

    Raises RequestRejected (LIMIT_EXCEEDED) when that is over `limits.cost_max`.
    """
    objects = min(COST_CEILING, sum(_compute_node_cost(catalog, node, variables) for node in plan.roots))
    cost = objects + plan.link_cost
    if cost > catalog.limits.cost_max:
        limit = f"the limit `cost_max` of {catalog.limits.cost_max}"
        message = f"the request may return {objects} objects, over {limit}: ask for fewer with `first`, or in parts"
        if objects <= catalog.limits.cost_max:
            message = (
                f"the filters and sorts of the request may look at {plan.link_cost * ROWS_A_COST} rows beyond their "
                f"links, {ROWS_A_COST} of which count as one object, over {limit}: ask in parts"
            )
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))
    return cost


def compute_link_cost(catalog: Catalog, nodes: Sequence[PlanNode]) -> int:
    """Weigh the links of all filters, sorts and groups by the rows beyond them, which a source may have to look at.

    They are looked at once a scan, however many rows ask for it.
    """
    scans = (scan for node in nodes for scan in walk_scans(node))
    return min(COST_CEILING, sum(_weigh_links(catalog, scan.logical) for scan in scans))


def walk_scans(node: PlanNode) -> Iterator[PhysicalScan]:
    """Yield the scans of a node and of all nodes below it."""
    own = (node.row_scan, node.total_aggregate, node.has_previous, node.has_next)
    yield from (scan for scan in own if scan is not None)
    yield from (grouping.scan for grouping in node.groupings)
    for below in (*node.children, *node.members):
        yield from walk_scans(below)


def _weigh_links(catalog: Catalog, logical: LogicalScan) -> int:
    joined = sum(_weigh_scan(catalog, join.inner_scan) for join in logical.key_joins)
    return joined + _weigh_filter(catalog, logical.source, logical.filter)


def _weigh_filter(catalog: Catalog, source: str, predicate: PlannedPredicate) -> int:
    weight = 0
    for leaf in iterate_leaves(predicate):
        match leaf:
            case SemiJoinFilter():
                weight += _weigh_scan(catalog, leaf.inner_scan)
            case Exists():
                weight += _weigh_collection(catalog, source, leaf.collection)
                weight += _weigh_filter(catalog, source, leaf.filter)
    return weight


def _weigh_scan(catalog: Catalog, logical: LogicalScan) -> int:
    return _weigh_collection(catalog, logical.source, logical.collection) + _weigh_links(catalog, logical)


def _weigh_collection(catalog: Catalog, source: str, collection: str) -> int:
    row_count = catalog.connectors[source].capabilities(collection).row_count
    return (DEFAULT_ROW_COUNT if row_count is None else row_count) // ROWS_A_COST


def _compute_node_cost(catalog: Catalog, node: PlanNode, variables: Mapping[str, Any]) -> int:
    if node.member_scans:
        return min(COST_CEILING, sum(_compute_node_cost(catalog, member, variables) for member in node.members))
    rows = _bound_row_count(node, variables)
    row_cost = _get_row_cost(catalog, node)
    children = sum(_compute_node_cost(catalog, child, variables) for child in node.children)
    groups = sum(_bound_group_count(catalog, grouping.first, variables) for grouping in node.groupings)
    return min(COST_CEILING, rows * (row_cost + children) + groups)


def _get_row_cost(catalog: Catalog, node: PlanNode) -> int:
    if node.lookup_column is None:
        return get_capabilities(catalog, catalog.mappings[node.type]).row_cost
    assert node.row_scan is not None
    logical = node.row_scan.logical
    return catalog.connectors[logical.source].capabilities(logical.collection).row_cost


def _bound_group_count(catalog: Catalog, first: Size, variables: Mapping[str, Any]) -> int:
    size: int = catalog.limits.first_max if first is None else substitute(first, variables)
    return size


def _bound_row_count(node: PlanNode, variables: Mapping[str, Any]) -> int:
    if node.representations is not None:
        return sum(1 for _ in list_ids_of_type(substitute_representations(node.representations, variables), node.type))
    if node.page is None or node.row_scan is None:
        return 1
    size: int = substitute(node.page.first if node.page.last is None else node.page.last, variables)
    return size


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterEstimate:
    """Estimate what a filter lets through."""

    selectivity: float
    """The share of rows."""
    row_count: float
    """The number of rows, which is smaller than the share says where the filter names ids."""


def estimate_scan_rows(connector: Connector, logical: LogicalScan) -> float:
    """Estimate how many rows the connector would return, before the engine filters them."""
    capabilities = connector.capabilities(logical.collection)
    pushed_filter = split_filter(logical.filter, capabilities, connector.capabilities).pushed
    row_count = DEFAULT_ROW_COUNT if capabilities.row_count is None else capabilities.row_count
    return min(float(row_count), _estimate_filter(pushed_filter, row_count).row_count)


def _estimate_filter(predicate: PlannedPredicate, row_count: int) -> FilterEstimate:
    estimate: FilterEstimate = fold_predicate(
        predicate,
        partial(_estimate_leaf, row_count=row_count),
        conjunction=partial(_estimate_conjunction, row_count=row_count),
        disjunction=lambda parts: _scale(min(1.0, sum(part.selectivity for part in parts)), row_count),
        negation=lambda part: _scale(1 - part.selectivity, row_count),
    )
    return estimate


def _estimate_leaf(leaf: PlannedPredicate, *, row_count: int) -> FilterEstimate:
    if isinstance(leaf, InKeys):
        return FilterEstimate(selectivity=EXISTS_SELECTIVITY, row_count=_estimate_value_count(leaf.keys, row_count))
    if not isinstance(leaf, Comparison):
        return _scale(EXISTS_SELECTIVITY, row_count)
    estimate = _scale(SELECTIVITIES.get(leaf.op, DEFAULT_SELECTIVITY), row_count)
    if leaf.column != UNIQUE_COLUMN or leaf.op not in (Op.EQ, Op.IN):
        return estimate
    values = 1.0 if leaf.op is Op.EQ else _estimate_value_count(leaf.value, row_count)
    return FilterEstimate(selectivity=estimate.selectivity, row_count=values)


def _estimate_conjunction(parts: Sequence[FilterEstimate], *, row_count: int) -> FilterEstimate:
    selectivity = prod((part.selectivity for part in parts), start=1.0)
    return FilterEstimate(
        selectivity=selectivity, row_count=min([row_count * selectivity, *(part.row_count for part in parts)])
    )


def _scale(selectivity: float, row_count: int) -> FilterEstimate:
    return FilterEstimate(selectivity=selectivity, row_count=row_count * selectivity)


def _estimate_value_count(values: Any, row_count: int) -> float:
    return row_count * SELECTIVITIES[Op.IN] if isinstance(values, Parameter) else float(len(values))
