"""Selections -> plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql import get_named_type

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.constant_columns import may_match
from onedoor.model.mapping import ComputedField, Lookup, TypeMapping
from onedoor.model.names import (
    get_relationship_columns,
    list_member_mappings,
    map_field_to_columns,
    resolve_target_type,
)
from onedoor.model.parameters import Parameter, check_list_sizes, convert_value
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.planner import aggregation
from onedoor.query.planner.nodes import (
    Grouping,
    KeysetFilter,
    LogicalScan,
    MemberScan,
    Page,
    PhysicalScan,
    Plan,
    PlanNode,
    SemiJoinFilter,
)
from onedoor.query.planner.predicates import parse_filter, parse_sort, share_semi_joins
from onedoor.query.planner.pushdown import combine_conjuncts, plan_scan
from onedoor.query.selection import ENTITIES_FIELD, SelectedField
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Not, Op
from onedoor.spi.scan import SortKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """One list asked for: which page of it, and what of it is meant at all."""

    catalog: Catalog
    mapping: TypeMapping
    page: Page
    base_scan: LogicalScan
    """Its keys and its filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinKeys:
    """Where a pick leads: to `there` columns of a type's rows, from `here` columns of the rows above."""

    target_type: str
    parent_columns: tuple[str, ...]
    key_columns: tuple[str, ...]
    filter: Any = None
    """The filter, where it was planned before."""


def build_list_request(catalog: Catalog, field: SelectedField, join_keys: JoinKeys) -> ListRequest:
    target = catalog.mappings[join_keys.target_type]
    check_list_sizes(field.arguments, catalog.limits.in_max)
    base = LogicalScan(
        source=target.source,
        collection=target.collection,
        columns=(),
        key_columns=join_keys.key_columns,
        filter=parse_filter(catalog, join_keys.target_type, field.arguments.get("where"))
        if join_keys.filter is None
        else join_keys.filter,
    )
    return ListRequest(
        catalog=catalog, mapping=target, page=build_page(catalog, field, join_keys.target_type), base_scan=base
    )


def build_page(catalog: Catalog, field: SelectedField, target_type: str) -> Page:
    given = field.arguments
    first, last = given.get("first"), given.get("last")
    if first is not None and last is not None:
        message = f"`{field.name}` takes first or last, not both"
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))
    asked = parse_sort(catalog, target_type, given.get("orderBy") or ())
    return Page(
        coordinate=f"{field.parent_type}.{field.name}",
        sort=asked.sort,
        sort_types=asked.sort_types,
        key_joins=asked.key_joins,
        first=catalog.limits.first_default if first is None and last is None else first,
        last=last,
        after=given.get("after"),
        before=given.get("before"),
        filter_argument=given.get("where"),
    )


def collect_row_fields(fields: Sequence[SelectedField], target_type: str) -> Iterator[SelectedField]:
    """What is wanted of each row of this type, through `nodes` and through `edges { node }`."""
    for each in fields:
        if each.name == "nodes":
            yield from each.children_by_type[target_type]
        elif each.name == "edges":
            yield from (
                inner for edge in each.children if edge.name == "node" for inner in edge.children_by_type[target_type]
            )


def plan_list_scans(
    list_request: ListRequest, fields: Sequence[SelectedField], columns: Sequence[str], decisions: Decisions
) -> dict[str, Any]:
    """The reads of a branch, by name; `columns` are those its rows are wanted with."""
    info = {inner.name for each in fields if each.name == "pageInfo" for inner in each.children}
    shows = any(each.name in ("nodes", "edges", "pageInfo") for each in fields)
    return {
        "row_scan": plan_page_scan(list_request, columns, info) if shows else None,
        "total_aggregate": _plan_total_aggregate(list_request, fields, decisions),
        "has_previous": _plan_neighbour_probe(list_request, after=True) if "hasPreviousPage" in info else None,
        "has_next": _plan_neighbour_probe(list_request, after=False) if "hasNextPage" in info else None,
        "groupings": tuple(_plan_grouping(list_request, each, decisions) for each in fields if each.name == "groups"),
    }


def plan_page_scan(list_request: ListRequest, columns: Sequence[str], page_info_fields: set[str]) -> PhysicalScan:
    """The rows of one page, and one more where it is asked whether more follow."""
    page = list_request.page
    backward = page.last is not None
    more = 1 if ("hasPreviousPage" if backward else "hasNextPage") in page_info_fields else 0
    reached = {name for each in page.key_joins for name in each.output_columns}
    wanted = replace(
        list_request.base_scan,
        columns=_exclude_joined_columns(
            (*columns, *(each.column for each in page.sort), *list_request.base_scan.key_columns), reached
        ),
        key_joins=page.key_joins,
        filter=_combine_filters((list_request.base_scan.filter, *_build_keyset_filters(page))),
        sort=tuple(reverse_sort_key(each) for each in page.sort) if backward else page.sort,
        limit=convert_value(page.last if backward else page.first, lambda rows: rows + more),
    )
    return _push_down(list_request, wanted)


def _exclude_joined_columns(names: Sequence[str], reached: set[str]) -> tuple[str, ...]:
    return tuple(each for each in dict.fromkeys(names) if each not in reached)


def _plan_total_aggregate(
    list_request: ListRequest, fields: Sequence[SelectedField], decisions: Decisions
) -> PhysicalScan | None:
    """Everything that is counted or measured of all rows, in one read."""
    shown = [each for each in fields if each.name == "aggregate"]
    wanted = [
        *aggregation.collect_aggregates(shown, decisions),
        *(("count", None) for each in fields if each.name == "totalCount"),
    ]
    return (
        _push_down(
            list_request,
            aggregation.build_total_aggregate_scan(
                list_request.catalog, list_request.mapping.type, wanted, list_request.base_scan
            ),
        )
        if wanted
        else None
    )


def _plan_grouping(list_request: ListRequest, field: SelectedField, decisions: Decisions) -> Grouping:
    """One more group than may be, so that too many are noticed."""
    wanted, keys = aggregation.build_grouping_scan(
        list_request.catalog, list_request.mapping.type, field, decisions, list_request.base_scan
    )
    first = field.arguments.get("first")
    limit = list_request.catalog.limits.first_max + 1 if first is None else first
    return Grouping(
        field=field, scan=_push_down(list_request, replace(wanted, limit=limit)), first=first, key_columns=keys
    )


def _build_keyset_filters(page: Page) -> Iterator[KeysetFilter]:
    if page.after is not None:
        yield KeysetFilter(page, True)
    if page.before is not None:
        yield KeysetFilter(page, False)


def reverse_sort_key(sort_key: SortKey) -> SortKey:
    return SortKey(sort_key.column, not sort_key.descending, not sort_key.nulls_first)


def _plan_neighbour_probe(list_request: ListRequest, *, after: bool) -> PhysicalScan | None:
    """Whether any row lies outside what the cursor lets in; nothing to ask without a cursor."""
    page = list_request.page
    if (page.after if after else page.before) is None:
        return None
    wanted = replace(
        list_request.base_scan,
        columns=list_request.base_scan.key_columns,
        key_joins=page.key_joins,
        filter=_combine_filters((list_request.base_scan.filter, Not(KeysetFilter(page, after)))),
        sort=page.sort,
        limit=1,
    )
    return _push_down(list_request, wanted)


def _combine_filters(parts: Sequence[Any]) -> Any:
    kept = [each for each in parts if each != ALWAYS_TRUE]
    return kept[0] if len(kept) == 1 else And(tuple(kept))


def _push_down(list_request: ListRequest, logical: LogicalScan) -> PhysicalScan:
    return plan_scan(list_request.catalog.connectors[logical.source], logical)


def plan_lookup(catalog: Catalog, field: SelectedField, lookup: Lookup) -> PlanNode:
    check_list_sizes(field.arguments, catalog.limits.in_max)
    here, there = get_relationship_columns(lookup)
    wanted = LogicalScan(
        source=lookup.source,
        collection=lookup.collection,
        columns=tuple(dict.fromkeys((lookup.column, *there))),
        key_columns=there,
        filter=combine_conjuncts(tuple(_build_argument_comparisons(lookup, field.arguments))),
        sort=(SortKey(lookup.column),),
        limit=1,
    )
    return PlanNode(
        field=field,
        type=get_named_type(field.return_type).name,
        is_list=False,
        parent_columns=here,
        key_columns=there,
        lookup_column=lookup.column,
        row_scan=plan_scan(catalog.connectors[lookup.source], wanted),
    )


def _build_argument_comparisons(lookup: Lookup, arguments: Mapping[str, Any]) -> Iterator[Comparison]:
    """An argument that is null, or was not given, decides nothing."""
    for name, column in lookup.arguments.items():
        given = arguments.get(name)
        if given is not None:
            yield Comparison(column, Op.EQ, given)


ROOTS_WITH_RESULT_ID = frozenset({"Mutation", "Subscription"})

ROOT_TYPES = ROOTS_WITH_RESULT_ID | {"Query"}


def build_plan(catalog: Catalog, fields: Sequence[SelectedField], decisions: Decisions) -> Plan:
    """Raises Refused when a source cannot answer what is asked within what it declares."""
    planned = [pick for pick in fields if pick.name != "__typename" and not is_denied(pick, decisions)]
    return Plan(roots=tuple(branch for pick in planned for branch in _plan_root_field(catalog, decisions, pick)))


def _plan_root_field(catalog: Catalog, decisions: Decisions, field: SelectedField) -> Iterator[PlanNode]:
    """Of entities one for each type, though some are withheld."""
    if field.name != ENTITIES_FIELD:
        yield _plan_field(catalog, decisions, field)
        return
    for one in (each for below in field.children_by_type.values() for each in below if not is_denied(each, decisions)):
        yield replace(_plan_field(catalog, decisions, one), id_value=None, representations=one.arguments["id"])


def _plan_field(catalog: Catalog, decisions: Decisions, field: SelectedField) -> PlanNode:
    to, many = resolve_target_type(catalog, field.parent_type, field.name)
    if to not in catalog.mappings:
        return _plan_interface(catalog, decisions, field, to)
    led = _build_join_keys(catalog, field, to)
    return _plan_list(catalog, decisions, field, led) if many else _plan_single_row(catalog, decisions, field, led)


def _plan_interface(catalog: Catalog, decisions: Decisions, field: SelectedField, to: str) -> PlanNode:
    """A branch for each concrete type that may be asked; the page is that of the first, whoever is asking."""
    _, many = resolve_target_type(catalog, field.parent_type, field.name)
    kinds = [each.type for each in list_member_mappings(catalog, to)]
    first = _build_join_keys(catalog, field, kinds[0])
    meant = _build_member_scans(catalog, decisions, field, kinds)
    asked = [
        each for each in meant if each.denial is None and may_match(each.filter, each.constants, None) is not False
    ]
    led = [replace(_build_join_keys(catalog, field, each.type), filter=each.filter) for each in asked]
    return PlanNode(
        field=field,
        type=to,
        is_list=many,
        parent_columns=first.parent_columns,
        key_columns=first.key_columns,
        page=build_page(catalog, field, first.target_type) if many else None,
        members=tuple((_plan_list if many else _plan_single_row)(catalog, decisions, field, each) for each in led),
        member_scans=tuple(meant),
    )


def _build_member_scans(
    catalog: Catalog, decisions: Decisions, field: SelectedField, kinds: Sequence[str]
) -> list[MemberScan]:
    """Keys of another source that the filters of several types wait for are read once for all."""
    said = {"id": {"eq": field.arguments["id"]}} if "id" in field.arguments else field.arguments.get("where")
    known: list[SemiJoinFilter] = []
    return [
        MemberScan(
            type=kind,
            constants=catalog.mappings[kind].constants,
            filter=share_semi_joins(parse_filter(catalog, kind, said), known),
            denial=None if decisions[field.number, kind].allowed else decisions[field.number, kind],
        )
        for kind in kinds
    ]


def _build_join_keys(catalog: Catalog, field: SelectedField, to: str) -> JoinKeys:
    here, there = _find_join_columns(catalog, field, catalog.mappings[to])
    return JoinKeys(target_type=to, parent_columns=here, key_columns=there)


def _find_join_columns(
    catalog: Catalog, field: SelectedField, mapping: TypeMapping
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if field.parent_type not in ROOT_TYPES:
        return get_relationship_columns(catalog.mappings[field.parent_type].relationships[field.name])
    return (), mapping.key if "id" in field.arguments or field.parent_type in ROOTS_WITH_RESULT_ID else ()


def _plan_single_row(catalog: Catalog, decisions: Decisions, field: SelectedField, join_keys: JoinKeys) -> PlanNode:
    """One row, of this id or linked; where several match, the one whose key comes first."""
    target, there = catalog.mappings[join_keys.target_type], join_keys.key_columns
    wanted = [each for each in field.children_by_type[join_keys.target_type] if not is_denied(each, decisions)]
    unique = there == target.key
    rows = LogicalScan(
        source=target.source,
        collection=target.collection,
        columns=tuple(dict.fromkeys((*_collect_columns(target, wanted), *there))),
        key_columns=there,
        sort=() if unique else tuple(SortKey(each) for each in target.key),
        limit=None if unique else 1,
    )
    return PlanNode(
        field=field,
        type=join_keys.target_type,
        is_list=False,
        parent_columns=join_keys.parent_columns,
        key_columns=there,
        id_value=Parameter((get_result_id_variable(field),))
        if field.parent_type in ROOTS_WITH_RESULT_ID
        else field.arguments.get("id"),
        row_scan=plan_scan(catalog.connectors[target.source], rows),
        **_plan_nested_fields(catalog, decisions, target, wanted),
    )


def get_result_id_variable(field: SelectedField) -> str:
    """What the variables call the id of the row that a change or an event leads to: no variable has such a name."""
    return f":{field.number}"


def _plan_list(catalog: Catalog, decisions: Decisions, field: SelectedField, join_keys: JoinKeys) -> PlanNode:
    one = build_list_request(catalog, field, join_keys)
    asked = [each for each in field.children if not is_denied(each, decisions)]
    wanted = [each for each in collect_row_fields(asked, join_keys.target_type) if not is_denied(each, decisions)]
    return PlanNode(
        field=field,
        type=join_keys.target_type,
        is_list=True,
        parent_columns=join_keys.parent_columns,
        key_columns=join_keys.key_columns,
        page=one.page,
        **plan_list_scans(one, asked, _collect_columns(one.mapping, wanted), decisions),
        **_plan_nested_fields(catalog, decisions, one.mapping, wanted),
    )


def _collect_columns(mapping: TypeMapping, fields: Sequence[SelectedField]) -> tuple[str, ...]:
    """The columns that the fields, the computed ones and the links among the picks are made of."""
    found = (column for pick in fields for column in _find_field_columns(mapping, pick))
    return tuple(dict.fromkeys(found))


def _find_field_columns(mapping: TypeMapping, field: SelectedField) -> tuple[str, ...]:
    if field.name == "__typename":
        return ()
    if field.name in mapping.relationships:
        return get_relationship_columns(mapping.relationships[field.name])[0]
    if field.name in mapping.lookups:
        return get_relationship_columns(mapping.lookups[field.name])[0]
    if field.name in mapping.computed_fields:
        return _find_input_columns(mapping, mapping.computed_fields[field.name])
    return map_field_to_columns(mapping, field.name)


def _find_input_columns(mapping: TypeMapping, batch: ComputedField) -> tuple[str, ...]:
    return tuple(column for field in batch.needs for column in map_field_to_columns(mapping, field))


def _plan_nested_fields(
    catalog: Catalog, decisions: Decisions, mapping: TypeMapping, fields: Sequence[SelectedField]
) -> dict[str, Any]:
    computed = [pick for pick in fields if pick.name in mapping.computed_fields]
    return {
        "computed_fields": {pick.number: mapping.computed_fields[pick.name] for pick in computed},
        "computed_field_inputs": {
            pick.number: _find_input_columns(mapping, mapping.computed_fields[pick.name]) for pick in computed
        },
        "children": tuple(_plan_children(catalog, decisions, mapping, fields)),
    }


def _plan_children(
    catalog: Catalog, decisions: Decisions, mapping: TypeMapping, fields: Sequence[SelectedField]
) -> Iterator[PlanNode]:
    for pick in fields:
        if pick.name in mapping.relationships:
            yield _plan_field(catalog, decisions, pick)
        elif pick.name in mapping.lookups:
            yield plan_lookup(catalog, pick, mapping.lookups[pick.name])
