"""Find out whether rows, as they are or as they would be after a change, are among those that a principal sees."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auth.authentication import Principal
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import TypeMapping
from onedoor.model.reader import bind_attributes
from onedoor.query.context import QueryEngine, ReaderSet, view_for
from onedoor.query.executor.scan import execute_scan, match_keys
from onedoor.query.executor.state import BranchResult, BranchResults, ExecutionState
from onedoor.query.planner.bind import BoundPlan, bind_predicate
from onedoor.query.planner.cost import walk_scans
from onedoor.query.planner.nodes import (
    LogicalScan,
    Plan,
    PlannedPredicate,
    PlanNode,
    SemiJoinFilter,
    collect_predicate_columns,
)
from onedoor.query.planner.pushdown import plan_scan
from onedoor.query.planner.type_scans import build_row_filter, build_type_scan, build_unruled_scan, relate_by_keys
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.operators import compile_predicate
from onedoor.spi.predicates import ALWAYS_FALSE, ALWAYS_TRUE, Exists, Row, iterate_leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAccess:
    """The rows that one principal sees, for one request; reads are fresh, past every cache."""

    principal: Principal
    catalog: Catalog
    state: ExecutionState

    def is_limited(self, mapping: TypeMapping) -> bool:
        """Whether there may be rows of the type that the principal does not see."""
        return build_row_filter(self.catalog, mapping) != ALWAYS_TRUE

    def is_closed(self, mapping: TypeMapping) -> bool:
        """Whether no rule of the type is for a group of the principal, who sees none of its rows."""
        return build_row_filter(self.catalog, mapping) == ALWAYS_FALSE

    async def find_visible_row(
        self, mapping: TypeMapping, key: Mapping[str, Any], more_columns: tuple[str, ...] = ()
    ) -> Mapping[str, Any] | None:
        """Return the columns that the rule compares of the row with this key, and some more.

        None: the principal sees no such row. Raises ConnectorError.
        """
        key_columns = tuple(key)
        compared = collect_predicate_columns(build_row_filter(self.catalog, mapping))
        columns = tuple(dict.fromkeys((*key_columns, *compared, *more_columns)))
        scan = build_type_scan(self.catalog, mapping, columns=columns, key_columns=key_columns)
        connector = self.state.get_connector(mapping.source)
        result = await execute_scan(self.state, plan_scan(connector, scan), (tuple(key.values()),))
        return dict(zip(result.columns, result.rows[0], strict=True)) if result.rows else None

    async def has_row(self, mapping: TypeMapping, key: Mapping[str, Any]) -> bool:
        """Whether there is a row with this key, seen or not. Raises ConnectorError."""
        scan = build_unruled_scan(mapping, columns=tuple(key), key_columns=tuple(key))
        connector = self.state.get_connector(mapping.source)
        return bool((await execute_scan(self.state, plan_scan(connector, scan), (tuple(key.values()),))).rows)

    async def would_see(self, mapping: TypeMapping, row: Mapping[str, Any]) -> bool:
        """Whether the principal would see a row with these values; a column that it lacks is null.

        Rows that it leads to are as they are now. Raises ConnectorError.
        """
        rule = relate_by_keys(build_row_filter(self.catalog, mapping), mapping.source)
        semi_joins = [leaf for leaf in iterate_leaves(rule) if isinstance(leaf, SemiJoinFilter)]
        keys = [tuple(row.get(column) for column in semi_join.outer_columns) for semi_join in semi_joins]
        matches = await gather_or_cancel(
            match_keys(self.state, semi_join, _without_nulls(key))
            for semi_join, key in zip(semi_joins, keys, strict=True)
        )
        bound = bind_predicate(rule, self.state.bound_plan, dict(zip(semi_joins, matches, strict=True)))
        columns = tuple(dict.fromkeys(collect_predicate_columns(rule)))
        return compile_predicate(bound, columns)(tuple(row.get(column) for column in columns))


def _without_nulls(key: Row) -> Sequence[Row]:
    return () if None in key else (key,)


async def open_row_access(engine: QueryEngine, principal: Principal) -> RowAccess:
    """Return what tells the rows that a principal sees now."""
    view = await view_for(engine, principal)
    variables = bind_attributes(view.compared_attributes, principal)
    return RowAccess(
        principal=principal,
        catalog=view.catalog,
        state=ExecutionState(
            readers=ReaderSet(engine, view, principal, use_cache=False),
            bound_plan=BoundPlan(variables=variables, cursor_values={}, cursor_keys={}),
            scan_stats=[],
            limits=engine.catalog.limits,
            open_spill_table=engine.catalog.open_spill_table,
        ),
    )


def is_hidden_row(catalog: Catalog, node: PlanNode, results: BranchResults) -> bool:
    """Whether a node's one row was not found, or not read, where there may be rows that its reader does not see."""
    mapping, result = catalog.mappings.get(node.type), results.get(node.field.number)
    if mapping is None or build_row_filter(catalog, mapping) == ALWAYS_TRUE:
        return False
    return not isinstance(result, BranchResult) or not result.rows


def find_limited_collections(catalog: Catalog) -> frozenset[tuple[str, str]]:
    """Return the collections, each by its source and name, with rows that the catalog's reader may not see."""
    return frozenset(
        (mapping.source, mapping.collection)
        for mapping in catalog.mappings.values()
        if build_row_filter(catalog, mapping) != ALWAYS_TRUE
    )


def list_ruled_types(catalog: Catalog, plan: Plan) -> Sequence[TypeMapping]:
    """Return the types with rules for rows that a plan reads, for whatever purpose."""
    ruled = [mapping for mapping in catalog.mappings.values() if mapping.rows is not None]
    if not ruled:
        return ()
    scans = (scan.logical for node in plan.roots for scan in walk_scans(node))
    read = frozenset(place for scan in scans for place in _iterate_read_collections(scan))
    return [mapping for mapping in ruled if (mapping.source, mapping.collection) in read]


def _iterate_read_collections(logical: LogicalScan) -> Iterator[tuple[str, str]]:
    yield logical.source, logical.collection
    for join in logical.key_joins:
        yield from _iterate_read_collections(join.inner_scan)
    yield from _iterate_filtered_collections(logical.source, logical.filter)


def _iterate_filtered_collections(source: str, predicate: PlannedPredicate) -> Iterator[tuple[str, str]]:
    for leaf in iterate_leaves(predicate):
        match leaf:
            case Exists():
                yield source, leaf.collection
                yield from _iterate_filtered_collections(source, leaf.filter)
            case SemiJoinFilter():
                yield from _iterate_read_collections(leaf.inner_scan)
