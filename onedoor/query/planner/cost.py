"""Row estimates and the cost limit."""

from collections.abc import Mapping
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.names import get_capabilities
from onedoor.model.parameters import Parameter, substitute
from onedoor.query.planner.nodes import LogicalScan, Plan, PlanNode
from onedoor.query.planner.pushdown import split_filter
from onedoor.query.selection import list_ids_of_type, substitute_representations
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import And, Comparison, InKeys, Not, Op, Or

DEFAULT_ROW_COUNT = 100_000

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
"""By operator, the share of rows that meet it; of any other, all but a few."""

DEFAULT_SELECTIVITY = 9 / 10

EXISTS_SELECTIVITY = 1 / 2

UNIQUE_COLUMN = "id"


def estimate_scan_rows(connector: Connector, logical: LogicalScan) -> float:
    """What its source would send for the read; what we filter ourselves is sent all the same."""
    can = connector.capabilities(logical.collection)
    pushed, _ = split_filter(logical.filter, can, connector.capabilities)
    rows = DEFAULT_ROW_COUNT if can.row_count is None else can.row_count
    return min(float(rows), _estimate_matching_rows(pushed, rows))


def _estimate_matching_rows(predicate: Any, rows: int) -> float:
    match predicate:
        case InKeys():
            return _estimate_value_count(predicate.keys, rows)
        case Comparison(op=Op.EQ | Op.IN) if predicate.column == UNIQUE_COLUMN:
            return 1.0 if predicate.op is Op.EQ else _estimate_value_count(predicate.value, rows)
        case And():
            return min(
                [
                    rows * _estimate_selectivity(predicate),
                    *(_estimate_matching_rows(each, rows) for each in predicate.parts),
                ]
            )
        case _:
            return rows * _estimate_selectivity(predicate)


def _estimate_value_count(values: Any, rows: int) -> float:
    return rows * SELECTIVITIES[Op.IN] if isinstance(values, Parameter) else float(len(values))


def _estimate_selectivity(predicate: Any) -> float:
    match predicate:
        case Comparison():
            return SELECTIVITIES.get(predicate.op, DEFAULT_SELECTIVITY)
        case And():
            share = 1.0
            for each in predicate.parts:
                share *= _estimate_selectivity(each)
            return share
        case Or():
            return min(1.0, sum(map(_estimate_selectivity, predicate.parts)))
        case Not():
            return 1 - _estimate_selectivity(predicate.part)
        case _:
            return EXISTS_SELECTIVITY


COST_CEILING = 10**15


def compute_cost(catalog: Catalog, plan: Plan, variables: Mapping[str, Any]) -> int:
    """Raises Refused past `limits.cost_max`."""
    total = min(COST_CEILING, sum(_compute_node_cost(catalog, each, variables) for each in plan.roots))
    if total > catalog.limits.cost_max:
        limit = f"the limit `cost_max` of {catalog.limits.cost_max}"
        message = f"the question may return {total} objects, over {limit}: ask for fewer with `first`, or in parts"
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))
    return total


def _compute_node_cost(catalog: Catalog, node: PlanNode, variables: Mapping[str, Any]) -> int:
    if node.member_scans:
        return min(COST_CEILING, sum(_compute_node_cost(catalog, each, variables) for each in node.members))
    rows = _bound_rows(node, variables)
    weight = _get_row_cost(catalog, node)
    below = sum(_compute_node_cost(catalog, each, variables) for each in node.children)
    groups = sum(_bound_groups(catalog, each.first, variables) for each in node.groupings)
    return min(COST_CEILING, rows * (weight + below) + groups)


def _get_row_cost(catalog: Catalog, node: PlanNode) -> int:
    if node.lookup_column is not None:
        assert node.row_scan is not None
        wanted = node.row_scan.logical
        return catalog.connectors[wanted.source].capabilities(wanted.collection).row_cost
    return get_capabilities(catalog, catalog.mappings[node.type]).row_cost


def _bound_groups(catalog: Catalog, first: Any, variables: Mapping[str, Any]) -> int:
    size: int = catalog.limits.first_max if first is None else substitute(first, variables)
    return size


def _bound_rows(node: PlanNode, variables: Mapping[str, Any]) -> int:
    if node.representations is not None:
        return sum(1 for _ in list_ids_of_type(substitute_representations(node.representations, variables), node.type))
    if node.page is None:
        return 1
    size: int = substitute(node.page.first if node.page.last is None else node.page.last, variables)
    return size if node.row_scan is not None else 1
