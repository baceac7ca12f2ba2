"""Plan an operation: turn its allowed fields into nodes and the scans that read their rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from graphql import get_named_type

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
from onedoor.model.reader import describe_reader
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.planner.aggregation import (
    COUNT_OF_ROWS,
    build_grouping_scan,
    build_total_aggregate_scan,
    collect_aggregates,
)
from onedoor.query.planner.cost import compute_link_cost, walk_scans
from onedoor.query.planner.nodes import (
    Grouping,
    KeysetFilter,
    LogicalScan,
    MemberScan,
    Page,
    PhysicalScan,
    Plan,
    PlannedPredicate,
    PlanNode,
)
from onedoor.query.planner.predicates import build_bad_input_error, parse_filter, share_semi_joins
from onedoor.query.planner.pushdown import check_required_columns, plan_unchecked_scan
from onedoor.query.planner.type_scans import build_lookup_scan, build_type_scan, build_unruled_scan
from onedoor.query.planner.value_paths import limit_to_first_row, parse_sort
from onedoor.query.selection import ENTITIES_FIELD, SelectedField
from onedoor.spi.predicates import ALWAYS_TRUE, Comparison, Not, Op, combine_conjuncts
from onedoor.spi.scan import SortKey

MUTATION_ROOT = "Mutation"

ROOTS_WITH_RESULT_ID = frozenset({MUTATION_ROOT, "Subscription"})

QUERY_ROOT = "Query"

ROOT_TYPES = ROOTS_WITH_RESULT_ID | {QUERY_ROOT}


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinKeys:
    """Say how a field's rows are found: `key_columns` of its type equal `parent_columns` of the rows above."""

    target_type: str
    parent_columns: tuple[str, ...]
    key_columns: tuple[str, ...]
    filter: PlannedPredicate | None = None
    """The parsed filter of an interface's member; None: the field's `where` argument is still to be parsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """Hold what all scans of one list share."""

    catalog: Catalog
    decisions: Decisions
    mapping: TypeMapping
    page: Page
    base_scan: LogicalScan
    """The list's keys and filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedFields:
    """Hold what is planned below the rows of a node."""

    computed_fields: Mapping[int, ComputedField]
    computed_field_inputs: Mapping[int, tuple[str, ...]]
    children: tuple[PlanNode, ...]


def build_plan(catalog: Catalog, fields: Sequence[SelectedField], decisions: Decisions) -> Plan:
    """Plan the root fields that the principal may read.

    Raises RequestRejected for arguments that are not valid, and when a connector cannot answer within its capabilities.
    """
    allowed = [field for field in fields if field.name != "__typename" and not is_denied(field, decisions)]
    roots = tuple(node for field in allowed for node in _plan_root_field(catalog, decisions, field))
    for scan in (scan for node in roots for scan in walk_scans(node)):
        check_required_columns(catalog.connectors[scan.logical.source], scan)
    return Plan(roots=roots, link_cost=compute_link_cost(catalog, roots))


def get_result_id_variable(field: SelectedField) -> str:
    """Return the variable that holds the id of the row a mutation or an event leads to; no client can name it so."""
    return f":{field.number}"


def reverse_sort_key(sort_key: SortKey) -> SortKey:
    return SortKey(sort_key.column, not sort_key.descending, not sort_key.nulls_first)


def _plan_root_field(catalog: Catalog, decisions: Decisions, field: SelectedField) -> Iterator[PlanNode]:
    """Yield the node of a root field; for `_entities`, one for each allowed type."""
    if field.name != ENTITIES_FIELD:
        yield _plan_field(catalog, decisions, field)
        return
    for entity_field in (child for children in field.children_by_type.values() for child in children):
        if not is_denied(entity_field, decisions):
            node = _plan_field(catalog, decisions, entity_field)
            yield replace(node, id_value=None, representations=entity_field.arguments["id"])


def _plan_field(catalog: Catalog, decisions: Decisions, field: SelectedField) -> PlanNode:
    target_type, is_list = resolve_target_type(catalog, field.parent_type, field.name)
    if target_type not in catalog.mappings:
        return _plan_interface(catalog, decisions, field, target_type)
    plan_rows = _plan_list if is_list else _plan_single_row
    return plan_rows(catalog, decisions, field, _build_join_keys(catalog, field, target_type))


def _plan_interface(catalog: Catalog, decisions: Decisions, field: SelectedField, interface: str) -> PlanNode:
    """Plan a node for each concrete type that is allowed.

    Nothing is read of those that cannot match, but what is asked of them is checked all the same. The page is that of
    the first concrete type, allowed or not, so that cursors are the same for every principal.
    """
    _, is_list = resolve_target_type(catalog, field.parent_type, field.name)
    plan_rows = _plan_list if is_list else _plan_single_row
    types = [mapping.type for mapping in list_member_mappings(catalog, interface)]
    first_keys = _build_join_keys(catalog, field, types[0])
    member_scans = _build_member_scans(catalog, decisions, field, types)
    members = [
        (
            may_match(member_scan.filter, member_scan.constants, None) is not False,
            plan_rows(
                catalog,
                decisions,
                field,
                replace(_build_join_keys(catalog, field, member_scan.type), filter=member_scan.filter),
            ),
        )
        for member_scan in member_scans
        if member_scan.denial is None
    ]
    return PlanNode(
        field=field,
        type=interface,
        is_list=is_list,
        parent_columns=first_keys.parent_columns,
        key_columns=first_keys.key_columns,
        page=_build_page(catalog, field, first_keys.target_type) if is_list else None,
        members=tuple(member for could_match, member in members if could_match),
        unmatched_members=tuple(member for could_match, member in members if not could_match),
        member_scans=member_scans,
    )


def _build_member_scans(
    catalog: Catalog, decisions: Decisions, field: SelectedField, types: Sequence[str]
) -> tuple[MemberScan, ...]:
    """Build the scan of each concrete type; keys that the filters of several types need are read once for all."""
    argument = {"id": {"eq": field.arguments["id"]}} if "id" in field.arguments else field.arguments.get("where")
    filters = share_semi_joins([parse_filter(catalog, type_name, argument) for type_name in types])
    return tuple(
        MemberScan(
            type=type_name,
            constants=catalog.mappings[type_name].constants,
            filter=type_filter,
            denial=None if decisions[field.number, type_name].allowed else decisions[field.number, type_name],
        )
        for type_name, type_filter in zip(types, filters, strict=True)
    )


def _build_join_keys(catalog: Catalog, field: SelectedField, target_type: str) -> JoinKeys:
    if field.parent_type not in ROOT_TYPES:
        relationship = catalog.mappings[field.parent_type].relationships[field.name]
        parent_columns, key_columns = get_relationship_columns(relationship)
        return JoinKeys(target_type=target_type, parent_columns=parent_columns, key_columns=key_columns)
    has_id = "id" in field.arguments or field.parent_type in ROOTS_WITH_RESULT_ID
    key = catalog.mappings[target_type].key if has_id else ()
    return JoinKeys(target_type=target_type, parent_columns=(), key_columns=key)


def _plan_single_row(catalog: Catalog, decisions: Decisions, field: SelectedField, join_keys: JoinKeys) -> PlanNode:
    """Plan a field that shows one row; where several match, the one whose key comes first."""
    mapping = catalog.mappings[join_keys.target_type]
    row_fields = _list_allowed_fields(field.children_by_type[join_keys.target_type], decisions)
    columns = tuple(dict.fromkeys((*_collect_columns(mapping, row_fields), *join_keys.key_columns)))
    is_own_change = mapping.change_of is not None and field.parent_type == MUTATION_ROOT
    logical = (
        build_unruled_scan(mapping, columns=columns, key_columns=join_keys.key_columns)
        if is_own_change
        else build_type_scan(
            catalog,
            mapping,
            columns=columns,
            key_columns=join_keys.key_columns,
            filter=combine_conjuncts(_build_root_comparisons(mapping, field)),
        )
    )
    row_scan = _push_down(catalog, limit_to_first_row(mapping, logical))
    nested = _plan_nested_fields(catalog, decisions, mapping, row_fields)
    has_result_id = field.parent_type in ROOTS_WITH_RESULT_ID
    return PlanNode(
        field=field,
        type=join_keys.target_type,
        is_list=False,
        parent_columns=join_keys.parent_columns,
        key_columns=join_keys.key_columns,
        id_value=Parameter((get_result_id_variable(field),)) if has_result_id else field.arguments.get("id"),
        row_scan=row_scan,
        computed_fields=nested.computed_fields,
        computed_field_inputs=nested.computed_field_inputs,
        children=nested.children,
    )


def _plan_list(catalog: Catalog, decisions: Decisions, field: SelectedField, join_keys: JoinKeys) -> PlanNode:
    """Plan a connection: a scan each for its rows, its totals, its page info and its groups, as far as asked for."""
    request = _build_list_request(catalog, decisions, field, join_keys)
    fields = _list_allowed_fields(field.children, decisions)
    row_fields = _list_allowed_fields(_collect_row_fields(fields, join_keys.target_type), decisions)
    page_info = {child.name for parent in fields if parent.name == "pageInfo" for child in parent.children}
    shows_rows = any(child.name in ("nodes", "edges", "pageInfo") for child in fields)
    row_scan = (
        _plan_page_scan(request, _collect_columns(request.mapping, row_fields), page_info) if shows_rows else None
    )
    total_aggregate = _plan_total_aggregate(request, fields)
    has_previous = _plan_neighbour_scan(request, is_after=True) if "hasPreviousPage" in page_info else None
    has_next = _plan_neighbour_scan(request, is_after=False) if "hasNextPage" in page_info else None
    groupings = tuple(_plan_grouping(request, child) for child in fields if child.name == "groups")
    nested = _plan_nested_fields(catalog, decisions, request.mapping, row_fields)
    return PlanNode(
        field=field,
        type=join_keys.target_type,
        is_list=True,
        parent_columns=join_keys.parent_columns,
        key_columns=join_keys.key_columns,
        page=request.page,
        row_scan=row_scan,
        total_aggregate=total_aggregate,
        has_previous=has_previous,
        has_next=has_next,
        groupings=groupings,
        computed_fields=nested.computed_fields,
        computed_field_inputs=nested.computed_field_inputs,
        children=nested.children,
    )


def _list_allowed_fields(fields: Iterable[SelectedField], decisions: Decisions) -> list[SelectedField]:
    return [field for field in fields if not is_denied(field, decisions)]


def _collect_row_fields(fields: Sequence[SelectedField], target_type: str) -> Iterator[SelectedField]:
    """Yield the fields that are asked of each row, through `nodes` and through `edges { node }`."""
    for field in fields:
        if field.name == "nodes":
            yield from field.children_by_type[target_type]
        elif field.name == "edges":
            for child in field.children:
                if child.name == "node":
                    yield from child.children_by_type[target_type]


def _build_list_request(
    catalog: Catalog, decisions: Decisions, field: SelectedField, join_keys: JoinKeys
) -> ListRequest:
    check_list_sizes(field.arguments, catalog.limits.in_max)
    mapping = catalog.mappings[join_keys.target_type]
    base_filter = join_keys.filter
    if base_filter is None:
        base_filter = parse_filter(catalog, join_keys.target_type, field.arguments.get("where"))
    return ListRequest(
        catalog=catalog,
        decisions=decisions,
        mapping=mapping,
        page=_build_page(catalog, field, join_keys.target_type),
        base_scan=build_type_scan(catalog, mapping, columns=(), key_columns=join_keys.key_columns, filter=base_filter),
    )


def _build_page(catalog: Catalog, field: SelectedField, target_type: str) -> Page:
    arguments = field.arguments
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        raise build_bad_input_error(f"`{field.name}` takes first or last, not both")
    order = parse_sort(catalog, target_type, arguments.get("orderBy") or ())
    listed, _ = resolve_target_type(catalog, field.parent_type, field.name)
    listed_types = [mapping.type for mapping in list_member_mappings(catalog, listed)]
    return Page(
        coordinate=f"{field.parent_type}.{field.name}",
        sort=order.sort,
        sort_types=order.sort_types,
        key_joins=order.key_joins,
        first=catalog.limits.first_default if first is None and last is None else first,
        last=last,
        after=arguments.get("after"),
        before=arguments.get("before"),
        filter_argument=arguments.get("where"),
        reader=describe_reader(catalog, (*listed_types, *order.joined_types)),
    )


def _plan_page_scan(request: ListRequest, columns: Sequence[str], page_info: set[str]) -> PhysicalScan:
    """Plan the scan for the rows of one page, and for one row more when the client asks whether there is one."""
    page, base_scan = request.page, request.base_scan
    is_backward = page.last is not None
    extra_rows = 1 if ("hasPreviousPage" if is_backward else "hasNextPage") in page_info else 0
    logical = replace(base_scan, key_joins=page.key_joins)
    all_columns = dict.fromkeys((*columns, *(sort_key.column for sort_key in page.sort), *base_scan.key_columns))
    return _push_down(
        request.catalog,
        replace(
            logical,
            columns=tuple(column for column in all_columns if column not in logical.joined_columns),
            filter=_combine_filters((base_scan.filter, *_build_keyset_filters(page))),
            sort=tuple(map(reverse_sort_key, page.sort)) if is_backward else page.sort,
            limit=convert_value(page.last if is_backward else page.first, lambda size: size + extra_rows),
        ),
    )


def _plan_total_aggregate(request: ListRequest, fields: Sequence[SelectedField]) -> PhysicalScan | None:
    """Plan one scan for all that is counted and aggregated of the whole list."""
    requested = [
        *collect_aggregates([field for field in fields if field.name == "aggregate"], request.decisions),
        *(COUNT_OF_ROWS for field in fields if field.name == "totalCount"),
    ]
    if not requested:
        return None
    logical = build_total_aggregate_scan(request.catalog, request.mapping.type, requested, request.base_scan)
    return _push_down(request.catalog, logical)


def _plan_grouping(request: ListRequest, field: SelectedField) -> Grouping:
    """Plan one `groups` field; without `first` it reads one group more than allowed, so that too many are noticed."""
    grouping_scan = build_grouping_scan(
        request.catalog, request.mapping.type, field, request.decisions, request.base_scan
    )
    first = field.arguments.get("first")
    limit = request.catalog.limits.first_max + 1 if first is None else first
    return Grouping(
        field=field,
        scan=_push_down(request.catalog, replace(grouping_scan.logical, limit=limit)),
        first=first,
        key_columns=grouping_scan.key_columns,
    )


def _plan_neighbour_scan(request: ListRequest, *, is_after: bool) -> PhysicalScan | None:
    """Plan the scan that finds a row which a cursor excludes; None without that cursor."""
    page, base_scan = request.page, request.base_scan
    keyset = KeysetFilter(page, is_after)
    if keyset.cursor is None:
        return None
    return _push_down(
        request.catalog,
        replace(
            base_scan,
            columns=base_scan.key_columns,
            key_joins=page.key_joins,
            filter=_combine_filters((base_scan.filter, Not(keyset))),
            sort=page.sort,
            limit=1,
        ),
    )


def _build_keyset_filters(page: Page) -> list[KeysetFilter]:
    keysets = (KeysetFilter(page, True), KeysetFilter(page, False))
    return [keyset for keyset in keysets if keyset.cursor is not None]


def _combine_filters(filters: Sequence[PlannedPredicate]) -> PlannedPredicate:
    combined: PlannedPredicate = combine_conjuncts([part for part in filters if part != ALWAYS_TRUE])
    return combined


def _push_down(catalog: Catalog, logical: LogicalScan) -> PhysicalScan:
    return plan_unchecked_scan(catalog.connectors[logical.source], logical)


def _plan_nested_fields(
    catalog: Catalog, decisions: Decisions, mapping: TypeMapping, fields: Sequence[SelectedField]
) -> NestedFields:
    computed = {
        field.number: mapping.computed_fields[field.name] for field in fields if field.name in mapping.computed_fields
    }
    return NestedFields(
        computed_fields=computed,
        computed_field_inputs={
            number: _collect_input_columns(mapping, computed_field) for number, computed_field in computed.items()
        },
        children=tuple(_plan_children(catalog, decisions, mapping, fields)),
    )


def _plan_children(
    catalog: Catalog, decisions: Decisions, mapping: TypeMapping, fields: Sequence[SelectedField]
) -> Iterator[PlanNode]:
    for field in fields:
        if field.name in mapping.relationships:
            yield _plan_field(catalog, decisions, field)
        elif field.name in mapping.lookups:
            yield _plan_lookup(catalog, field, mapping.lookups[field.name])


def _plan_lookup(catalog: Catalog, field: SelectedField, lookup: Lookup) -> PlanNode:
    check_list_sizes(field.arguments, catalog.limits.in_max)
    parent_columns, key_columns = get_relationship_columns(lookup)
    scan = build_lookup_scan(
        catalog,
        lookup,
        columns=tuple(dict.fromkeys((lookup.column, *key_columns))),
        filter=combine_conjuncts(_build_argument_comparisons(lookup, field)),
    )
    logical = replace(scan, sort=(SortKey(lookup.column),), limit=1)
    return PlanNode(
        field=field,
        type=get_named_type(field.return_type).name,
        is_list=False,
        parent_columns=parent_columns,
        key_columns=key_columns,
        lookup_column=lookup.column,
        row_scan=_push_down(catalog, logical),
    )


def _build_root_comparisons(mapping: TypeMapping, field: SelectedField) -> list[Comparison]:
    """Compare each argument of a field of `Query` that is given, but the id, with the column of the same name."""
    if field.parent_type != QUERY_ROOT:
        return []
    arguments = {name: value for name, value in field.arguments.items() if name != "id" and value is not None}
    return [Comparison(map_field_to_columns(mapping, name)[0], Op.EQ, value) for name, value in arguments.items()]


def _build_argument_comparisons(lookup: Lookup, field: SelectedField) -> list[Comparison]:
    """Compare each argument that is given; one that is null, or is not given, decides nothing."""
    arguments = {name: value for name, value in field.arguments.items() if value is not None}
    return [
        Comparison(column, Op.EQ, arguments[name]) for name, column in lookup.arguments.items() if name in arguments
    ]


def _collect_columns(mapping: TypeMapping, fields: Sequence[SelectedField]) -> tuple[str, ...]:
    """Return the columns that the fields, computed fields, lookups and relationships among `fields` need."""
    return tuple(dict.fromkeys(column for field in fields for column in list_field_columns(mapping, field)))


def list_field_columns(mapping: TypeMapping, field: SelectedField) -> tuple[str, ...]:
    """Return the columns of its type's rows that a field needs."""
    if field.name == "__typename":
        return ()
    if field.name in mapping.relationships:
        return get_relationship_columns(mapping.relationships[field.name])[0]
    if field.name in mapping.lookups:
        return get_relationship_columns(mapping.lookups[field.name])[0]
    if field.name in mapping.computed_fields:
        return _collect_input_columns(mapping, mapping.computed_fields[field.name])
    return map_field_to_columns(mapping, field.name)


def _collect_input_columns(mapping: TypeMapping, computed_field: ComputedField) -> tuple[str, ...]:
    return tuple(column for name in computed_field.needs for column in map_field_to_columns(mapping, name))
