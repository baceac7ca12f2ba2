"""Plan the HTTP requests that answer a scan of a declared collection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from onedoor.connectors.json_rows import JsonColumn, JsonPath, encode_url_values, find_equalities
from onedoor.connectors.rest.model import PATH_PARAMETER, OrderParameter, RestCollection, RestKeyLookup
from onedoor.spi.predicates import Row, Value
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey

DOT_SEGMENTS = (".", "..")
"""Segments that a path would take for a step of its own."""

PATH_SEPARATORS = frozenset("/\\")
"""Some servers decode these before they split a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One call, or one for each page; `single`: one row and no pages.

    `limit`: this many rows are enough, as everything before the limit is sent. `path_values`: the columns that stand in
    the path, which may lead nowhere. `all_keys_sent`: no key remains to be looked for among the rows.
    """

    path: str
    parameters: tuple[tuple[str, str], ...] = ()
    rows_path: JsonPath
    limit: int | None = None
    single: bool = False
    path_values: Mapping[str, Value] = field(default_factory=dict)
    all_keys_sent: bool = True


def build_rest_requests(scan_request: ScanRequest, collection: RestCollection) -> list[RestRequest]:
    """Return the requests of a scan; none when no row can meet it."""
    equalities = find_equalities(scan_request)
    if equalities is None:
        return []
    requests = (
        [_build_list_request(collection, {})]
        if scan_request.keys is None
        else list(_build_key_requests(scan_request.keys, collection))
    )
    return [
        request if request.single else _add_scan_parameters(request, scan_request, equalities, collection)
        for request in requests
    ]


def _build_key_requests(keys: KeyFilter, collection: RestCollection) -> Iterator[RestRequest]:
    """Yield the requests of the keys, for each set of values that the collection's path takes.

    Where a path cannot hold a value, no row has it. Where some other key cannot be sent and mean itself, all rows of
    the path are read.
    """
    row_columns = [name for name in keys.columns if name not in collection.path_columns]
    for path_key, rows in _group_keys_by_path(keys, collection.path_columns).items():
        path_values = dict(zip(collection.path_columns, path_key, strict=True))
        if collection.path_columns and encode_path_values(path_key) is None:
            continue
        if not row_columns:
            yield _build_list_request(collection, path_values)
            continue
        (column,) = row_columns
        place = keys.columns.index(column)
        yield from _build_lookup_requests(column, [row[place] for row in rows], path_values, collection)


def _group_keys_by_path(keys: KeyFilter, path_columns: Sequence[str]) -> dict[Row, list[Row]]:
    places = [keys.columns.index(name) for name in path_columns]
    groups: dict[Row, list[Row]] = {}
    for row in keys.values:
        groups.setdefault(tuple(row[place] for place in places), []).append(row)
    return groups


def _build_lookup_requests(
    column: str, key_values: Sequence[Value], path_values: Mapping[str, Value], collection: RestCollection
) -> Iterator[RestRequest]:
    lookup = collection.keys[column]
    texts = encode_path_values(key_values) if lookup.path else encode_url_values(key_values)
    if texts is None or not (lookup.path or lookup.parameter) or not _are_separable(texts, lookup):
        yield _build_list_request(collection, path_values, all_keys_sent=False)
    elif lookup.path:
        for value in key_values:
            path = fill_path(lookup.path, {**path_values, column: value})
            yield RestRequest(path=path, rows_path=lookup.rows, single=True, path_values=path_values)
    else:
        for start in range(0, len(texts), lookup.most):
            parameters = _build_key_parameters(lookup, texts[start : start + lookup.most])
            yield _build_list_request(collection, path_values, parameters)


def _are_separable(texts: Sequence[str], lookup: RestKeyLookup) -> bool:
    return not lookup.separator or not any(lookup.separator in text for text in texts)


def _build_list_request(
    collection: RestCollection,
    path_values: Mapping[str, Value],
    parameters: tuple[tuple[str, str], ...] = (),
    *,
    all_keys_sent: bool = True,
) -> RestRequest:
    return RestRequest(
        path=fill_path(collection.path, path_values),
        rows_path=collection.rows,
        parameters=parameters,
        path_values=path_values,
        single=collection.single,
        all_keys_sent=all_keys_sent,
    )


def _build_key_parameters(lookup: RestKeyLookup, texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if lookup.separator:
        return ((lookup.parameter, lookup.separator.join(texts)),)
    return tuple((lookup.parameter, text) for text in texts)


def _add_scan_parameters(
    request: RestRequest, scan_request: ScanRequest, equalities: Mapping[str, Value], collection: RestCollection
) -> RestRequest:
    """Add filters, order and limit; the limit is sent only when everything that comes before it is."""
    parameters, complete = list(request.parameters), request.all_keys_sent
    taken = {name for name, _ in parameters}
    for column, value in equalities.items():
        parameter, texts = collection.filters[column], encode_url_values((value,))
        if texts is None or parameter in taken:
            complete = False
        else:
            taken.add(parameter)
            parameters.append((parameter, texts[0]))
    if scan_request.sort:
        assert collection.order is not None  # INVARIANT: only a promised order is requested
        parameters.append(_build_order_parameter(collection.order, scan_request.sort, collection.columns))
    limit = scan_request.limit if complete and scan_request.limit else None
    if limit is not None and collection.limit is not None and limit <= collection.limit.most:
        parameters.append((collection.limit.parameter, str(limit)))
    return replace(request, parameters=tuple(parameters), limit=limit)


def _build_order_parameter(
    order_parameter: OrderParameter, sort: Sequence[SortKey], columns: Mapping[str, JsonColumn]
) -> tuple[str, str]:
    """Name each column as the API's responses do; several are joined by the separator of the parameter."""
    prefixes = {False: order_parameter.ascending, True: order_parameter.descending}
    names = [prefixes[key.descending] + ".".join(columns[key.column].at) for key in sort]
    return order_parameter.parameter, order_parameter.separator.join(names)


def fill_path(path: str, values: Mapping[str, Value]) -> str:
    texts = {name: (encode_url_values((value,)) or [""])[0] for name, value in values.items()}
    return PATH_PARAMETER.sub(lambda match: quote(texts[match[1]], safe=""), path)


def encode_path_values(values: Sequence[Value]) -> list[str] | None:
    """Write values as they stand in a path; None when one of them would lead elsewhere."""
    texts = encode_url_values(values)
    return texts if texts is not None and all(map(_is_safe_segment, texts)) else None


def _is_safe_segment(text: str) -> bool:
    return text not in DOT_SEGMENTS and PATH_SEPARATORS.isdisjoint(text)
