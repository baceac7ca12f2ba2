"""A planned filter and this request's values in, the filter a source is asked with out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.parameters import Parameter, encode, substitute
from onedoor.query import cursors as query_cursors
from onedoor.query.planner.nodes import KeysetFilter, Page, Plan, PlanNode, SemiJoinFilter, walk_nodes
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Or, Row

NO_SEMI_JOIN_KEYS: Mapping[SemiJoinFilter, frozenset[Row]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPlan:
    """What a plan takes anew for each request: the variables, and what each cursor says."""

    variables: Mapping[str, Any]
    cursor_values: Mapping[tuple[int, bool], tuple[Any, ...]]
    """By (id of the page, after or before)."""
    cursor_keys: Mapping[int, bytes]
    """By id of the page, the key its cursors are signed with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWindow:
    """A branch that shows a page or groups."""

    node: PlanNode
    cursor_key: bytes | None
    """The key of its cursors; None where its filter names variables."""


def find_page_windows(catalog: Catalog, plan: Plan) -> tuple[PageWindow, ...]:
    """What of a plan `bound` is to look at, found once."""
    shown = (each for each in walk_nodes(plan.roots) if each.page is not None or each.groupings)
    return tuple(PageWindow(node=each, cursor_key=_derive_fixed_cursor_key(catalog, each.page)) for each in shown)


def _derive_fixed_cursor_key(catalog: Catalog, page: Page | None) -> bytes | None:
    return (
        None
        if page is None or any(_find_parameters(page.filter_argument))
        else _derive_page_cursor_key(catalog, page, {})
    )


def _find_parameters(where: Any) -> Iterator[Parameter]:
    if isinstance(where, Parameter):
        yield where
    elif isinstance(where, dict | list):
        for each in where.values() if isinstance(where, dict) else where:
            yield from _find_parameters(each)


def _derive_page_cursor_key(catalog: Catalog, page: Page, variables: Mapping[str, Any]) -> bytes:
    said = _substitute_filter(page.filter_argument, variables)
    return query_cursors.derive_cursor_key(catalog.cursor_secret, catalog.version, page.coordinate, page.sort, said)


def bind_parameters(catalog: Catalog, page_windows: Sequence[PageWindow], variables: Mapping[str, Any]) -> BoundPlan:
    """Judges sizes and cursors of every page of the plan; raises Refused for the first that will not do."""
    cursors: dict[tuple[int, bool], tuple[Any, ...]] = {}
    sealing: dict[int, bytes] = {}
    for window in page_windows:
        for each in window.node.groupings:
            _check_page_size(catalog, f"{each.field.parent_type}.{each.field.name}", {"first": each.first}, variables)
        page = window.node.page
        if page is None:
            continue
        _check_page_size(catalog, page.coordinate, {"first": page.first, "last": page.last}, variables)
        seal = sealing[id(page)] = window.cursor_key or _derive_page_cursor_key(catalog, page, variables)
        for after, text in ((True, page.after), (False, page.before)):
            if text is not None:
                cursors[id(page), after] = query_cursors.decode_cursor(
                    substitute(text, variables), page.sort_types, seal
                )
                for member in window.node.members:
                    cursors[id(member.page), after] = cursors[id(page), after]
    return BoundPlan(variables=variables, cursor_values=cursors, cursor_keys=sealing)


def bind_predicate(
    predicate: Any, bound_plan: BoundPlan, semi_join_keys: Mapping[SemiJoinFilter, frozenset[Row]] = NO_SEMI_JOIN_KEYS
) -> Any:
    """The filter with slots filled, cursors in place, and the keys of what was read elsewhere."""
    if predicate is ALWAYS_TRUE or predicate == ALWAYS_TRUE:
        return predicate
    match predicate:
        case Comparison():
            return Comparison(predicate.column, predicate.op, encode(substitute(predicate.value, bound_plan.variables)))
        case And() | Or():
            return type(predicate)(tuple(bind_predicate(each, bound_plan, semi_join_keys) for each in predicate.parts))
        case Not():
            return Not(bind_predicate(predicate.part, bound_plan, semi_join_keys))
        case Exists():
            return Exists(
                predicate.collection,
                predicate.outer_columns,
                predicate.inner_columns,
                bind_predicate(predicate.filter, bound_plan, semi_join_keys),
            )
        case KeysetFilter():
            return query_cursors.build_keyset_predicate(
                predicate.page.sort,
                bound_plan.cursor_values[id(predicate.page), predicate.is_after],
                predicate.is_after,
            )
        case SemiJoinFilter():
            return InKeys(predicate.outer_columns, semi_join_keys[predicate])
        case InKeys():
            return InKeys(predicate.columns, substitute(predicate.keys, bound_plan.variables))
        case _:
            raise TypeError(f"nothing here fills {type(predicate).__name__}")


def _substitute_filter(where: Any, variables: Mapping[str, Any]) -> Any:
    """The filter as the client gave it, every slot filled, without conversions."""
    if isinstance(where, dict):
        return {name: _substitute_filter(each, variables) for name, each in where.items()}
    if isinstance(where, list):
        return [_substitute_filter(each, variables) for each in where]
    return substitute(Parameter(where.path), variables) if isinstance(where, Parameter) else where


def _check_page_size(catalog: Catalog, coordinate: str, sizes: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
    for name, given in sizes.items():
        size = substitute(given, variables)
        if size is not None and size < 0:
            raise RequestRejected(
                GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=f"`{name}` of `{coordinate}` is negative")
            )
        if size is not None and size > catalog.limits.first_max:
            limit = f"the limit `first_max` of {catalog.limits.first_max}"
            message = f"`{name}` of `{coordinate}` is over {limit}, read on with a cursor"
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))
