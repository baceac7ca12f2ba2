"""Bind a plan to one request: fill in its variables, check page sizes, and decode its cursors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.parameters import Parameter, encode, substitute
from onedoor.query.cursors import (
    build_keyset_predicate,
    decode_cursor,
    derive_cursor_key,
    derive_former_cursor_key,
    derive_reader_secret,
)
from onedoor.query.planner.nodes import (
    KeysetFilter,
    Page,
    Plan,
    PlannedPredicate,
    PlanNode,
    SemiJoinFilter,
    walk_checked_nodes,
)
from onedoor.query.planner.predicates import iterate_filter_parameters, iterate_parameters
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    Comparison,
    Exists,
    InKeys,
    Predicate,
    Row,
    transform_predicate,
)
from onedoor.spi.scan import SortKey

NO_SEMI_JOIN_KEYS: Mapping[SemiJoinFilter, frozenset[Row]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPlan:
    """Hold what a cached plan needs anew for each request."""

    variables: Mapping[str, Any]
    cursor_values: Mapping[tuple[int, bool], tuple[Any, ...]]
    """The values in each cursor, by the id() of its page and whether it is `after`."""
    cursor_keys: Mapping[int, bytes]
    """The key that signs a page's cursors, by the id() of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWindow:
    """Point to a node with a page or groups, which every request checks."""

    node: PlanNode
    cursor_key: bytes | None
    """The key of its cursors; None where variables or the reader's attributes decide it, from request to request."""
    parsed_parameters: tuple[Parameter, ...] = ()
    """The variables of its filters that must be of a column's type."""


def find_page_windows(catalog: Catalog, plan: Plan) -> tuple[PageWindow, ...]:
    """Find what `bind_parameters` has to look at, once per plan."""
    nodes = (node for node in walk_checked_nodes(plan.roots) if node.page is not None or node.groupings)
    return tuple(
        PageWindow(
            node=node,
            cursor_key=_derive_fixed_cursor_key(catalog, node.page),
            parsed_parameters=tuple(part for part in _iterate_parameters(catalog, node) if part.convert is not None),
        )
        for node in nodes
    )


def _iterate_parameters(catalog: Catalog, node: PlanNode) -> Iterator[Parameter]:
    """Yield the parameters of the filters of a list and of its groups."""
    if node.page is not None:
        for type_name in [member.type for member in node.member_scans] or [node.type]:
            yield from iterate_filter_parameters(catalog, type_name, node.page.filter_argument)
    for grouping in node.groupings:
        yield from iterate_parameters(grouping.scan.logical.having)


def bind_parameters(catalog: Catalog, page_windows: Sequence[PageWindow], variables: Mapping[str, Any]) -> BoundPlan:
    """Check the sizes and the values that must be of a type, and decode the cursors, of every page.

    Raises RequestRejected for the first size, value or cursor that is not valid.
    """
    cursor_values: dict[tuple[int, bool], tuple[Any, ...]] = {}
    cursor_keys: dict[int, bytes] = {}
    for window in page_windows:
        for parameter in window.parsed_parameters:
            substitute(parameter, variables)
        for grouping in window.node.groupings:
            coordinate = f"{grouping.field.parent_type}.{grouping.field.name}"
            _check_page_size(catalog, coordinate, "first", substitute(grouping.first, variables))
        page = window.node.page
        if page is None:
            continue
        _check_page_size(catalog, page.coordinate, "first", substitute(page.first, variables))
        _check_page_size(catalog, page.coordinate, "last", substitute(page.last, variables))
        key = cursor_keys[id(page)] = window.cursor_key or _derive_page_cursor_key(catalog, page, variables)
        for is_after, cursor in ((True, page.after), (False, page.before)):
            if cursor is not None:
                former_key = _derive_page_cursor_key(catalog, page, variables, derive_former_cursor_key)
                values = decode_cursor(substitute(cursor, variables), page.sort_types, key, former_key)
                pages = (page, *(member.page for member in window.node.members))
                cursor_values |= {(id(each), is_after): values for each in pages}
    return BoundPlan(variables=variables, cursor_values=cursor_values, cursor_keys=cursor_keys)


def bind_predicate(
    predicate: PlannedPredicate,
    bound_plan: BoundPlan,
    semi_join_keys: Mapping[SemiJoinFilter, frozenset[Row]] = NO_SEMI_JOIN_KEYS,
) -> Predicate:
    """Return the filter with variables, cursors and the keys of semi-joins filled in."""
    if predicate is ALWAYS_TRUE or predicate == ALWAYS_TRUE:
        return ALWAYS_TRUE
    bound: Predicate = transform_predicate(
        predicate, partial(_bind_leaf, bound_plan=bound_plan, semi_join_keys=semi_join_keys)
    )
    return bound


def _bind_leaf(
    leaf: PlannedPredicate, *, bound_plan: BoundPlan, semi_join_keys: Mapping[SemiJoinFilter, frozenset[Row]]
) -> Predicate:
    match leaf:
        case Comparison():
            return Comparison(leaf.column, leaf.op, encode(substitute(leaf.value, bound_plan.variables)))
        case InKeys():
            return InKeys(leaf.columns, substitute(leaf.keys, bound_plan.variables))
        case KeysetFilter():
            values = bound_plan.cursor_values[id(leaf.page), leaf.is_after]
            return build_keyset_predicate(leaf.page.sort, values, leaf.is_after)
        case Exists():
            inner_filter = bind_predicate(leaf.filter, bound_plan, semi_join_keys)
            return Exists(leaf.collection, leaf.outer_columns, leaf.inner_columns, inner_filter)
        case SemiJoinFilter():
            return InKeys(leaf.outer_columns, semi_join_keys[leaf])
        case _:
            raise TypeError(f"a {type(leaf).__name__} cannot be bound")


def _derive_fixed_cursor_key(catalog: Catalog, page: Page | None) -> bytes | None:
    if page is None or any(_find_parameters([page.filter_argument, page.reader])):
        return None
    return _derive_page_cursor_key(catalog, page, {})


def _find_parameters(argument: Any) -> Iterator[Parameter]:
    if isinstance(argument, Parameter):
        yield argument
    elif isinstance(argument, dict | list):
        for value in argument.values() if isinstance(argument, dict) else argument:
            yield from _find_parameters(value)


def _derive_page_cursor_key(
    catalog: Catalog,
    page: Page,
    variables: Mapping[str, Any],
    derive_key: Callable[[bytes, str, str, Sequence[SortKey], Any], bytes] = derive_cursor_key,
) -> bytes:
    where = _substitute_filter_argument(page.filter_argument, variables)
    secret = derive_reader_secret(catalog.cursor_secret, substitute(page.reader, variables))
    return derive_key(secret, catalog.version, page.coordinate, page.sort, where)


def _substitute_filter_argument(argument: Any, variables: Mapping[str, Any]) -> Any:
    """Return the filter as the client wrote it: a Parameter's conversion is left out."""
    if isinstance(argument, dict):
        return {name: _substitute_filter_argument(value, variables) for name, value in argument.items()}
    if isinstance(argument, list):
        return [_substitute_filter_argument(value, variables) for value in argument]
    return substitute(Parameter(argument.path), variables) if isinstance(argument, Parameter) else argument


def _check_page_size(catalog: Catalog, coordinate: str, argument: str, size: int | None) -> None:
    if size is not None and size < 0:
        message = f"`{argument}` of `{coordinate}` is negative"
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))
    if size is not None and size > catalog.limits.first_max:
        limit = f"the limit `first_max` of {catalog.limits.first_max}"
        message = f"`{argument}` of `{coordinate}` is over {limit}, read on with a cursor"
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))
