"""Read the responses of a declared API page by page, and take the requested rows from them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from yarl import URL

from onedoor.connectors.http_client import API, build_unreadable_response_error
from onedoor.connectors.json_rows import JsonItem, JsonPath, convert_rows, extract_at_path, filter_items
from onedoor.connectors.page_trail import PageTrail
from onedoor.connectors.rest.client import RestClient, RestResponse
from onedoor.connectors.rest.model import PagingStyle, RestCollection, RestPaging, find_path_parameters
from onedoor.connectors.rest.requests import RestRequest, encode_path_values, fill_path
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

RequestPage: TypeAlias = tuple[RestRequest, Sequence[JsonItem]]
"""A request, and the items of one page of its responses."""

COUNTED_STYLES = frozenset({PagingStyle.PAGE, PagingStyle.OFFSET})
"""Those in which no response names the next page."""

OBJECT_TYPES = frozenset({dict})

JSON_SCALAR_TYPES = frozenset({str, int, float, bool})


async def read_rest_pages(
    client: RestClient, requests: Sequence[RestRequest], collection: RestCollection
) -> AsyncIterator[RequestPage]:
    """Yield the pages of one request as they come; of several, all pages of each, in the order of the requests."""
    if len(requests) == 1:
        async for items in _iterate_pages(client, requests[0], collection):
            yield requests[0], items
        return
    read_all = partial(_read_all_pages, client, collection)
    responses = await fan_out(read_all, requests, client.limits.max_concurrency)
    for request, items in zip(requests, responses, strict=True):
        yield request, items


async def _read_all_pages(client: RestClient, collection: RestCollection, request: RestRequest) -> list[JsonItem]:
    return [item async for page in _iterate_pages(client, request, collection) for item in page]


async def _iterate_pages(
    client: RestClient, request: RestRequest, collection: RestCollection
) -> AsyncIterator[Sequence[JsonItem]]:
    """Yield pages until nothing follows.

    A page that is shorter than requested is not the last: an API may keep to a page size of its own.
    """
    if request.single:
        get = client.get_text if collection.text else client.get
        yield _extract_single_row(await get(request.path), request.rows_path, collection)
        return
    paging, position, marker, trail = collection.paging, 0, "", PageTrail()
    url = client.build_url(request.path, (*request.parameters, *_build_page_parameters(paging, request, 0, "")))
    first = await client.get_url(url)
    if first is None and request.path_values:
        return
    response = _require_response(first)
    while True:
        items = _extract_rows(response.body, request.rows_path, collection)
        trail = trail.follow(items, paging.parameter if paging and paging.by in COUNTED_STYLES else "")
        yield await _fetch_full_rows(client, items, collection, request) if collection.each else items
        if paging is None:
            return
        position += len(items) if paging.by is PagingStyle.OFFSET else 1
        marker = _find_next_page(paging, response, items)
        if not marker:
            return
        if paging.by not in COUNTED_STYLES:
            trail = trail.lead_to(marker)
        if paging.by is PagingStyle.LINK:
            url = _resolve_own_url(client, url, marker)
        else:
            page_parameters = _build_page_parameters(paging, request, position, marker)
            url = client.build_url(request.path, (*request.parameters, *page_parameters))
        response = _require_response(await client.get_url(url))


async def _fetch_full_rows(
    client: RestClient, items: Sequence[JsonItem], collection: RestCollection, request: RestRequest
) -> list[JsonItem]:
    """Fetch each row of a list from its own path; one that has been deleted since is left out."""
    (column,) = set(find_path_parameters(collection.each)) - set(request.path_values)
    values = [extract_at_path(item, collection.columns[column].at) for item in items]
    if any(not isinstance(value, str | int) for value in values) or encode_path_values(values) is None:
        raise build_unreadable_response_error(API)
    paths = [fill_path(collection.each, {**request.path_values, column: value}) for value in values]
    responses = await fan_out(client.get, paths, client.limits.max_concurrency)
    return [
        row for response in responses if response is not None for row in _extract_rows([response.body], (), collection)
    ]


def _build_page_parameters(
    paging: RestPaging | None, request: RestRequest, position: int, marker: str
) -> list[tuple[str, str]]:
    """Build the parameters of one page. `position`: of the page, or of its first row; `marker`: its cursor."""
    if paging is None:
        return []
    values: Mapping[PagingStyle, str] = {
        PagingStyle.PAGE: str((1 if paging.first is None else paging.first) + position),
        PagingStyle.OFFSET: str((paging.first or 0) + position),
        PagingStyle.CURSOR: marker,
        PagingStyle.LINK: "",
    }
    parameters = [(paging.parameter, values[paging.by])] if values[paging.by] else []
    if paging.size_parameter:
        parameters.append((paging.size_parameter, str(min(paging.size, request.limit or paging.size))))
    return parameters


def _find_next_page(paging: RestPaging, response: RestResponse, items: Sequence[JsonItem]) -> str:
    """Return the cursor or URL of the next page, or any text where pages are counted; empty after the last."""
    has_more = _parse_has_more(paging, response.body)
    if has_more is False:
        return ""
    match paging.by:
        case PagingStyle.CURSOR:
            return _extract_marker(response.body, paging.next)
        case PagingStyle.LINK:
            return _extract_marker(response.body, paging.next) if paging.next else response.next_url or ""
        case PagingStyle.PAGE:
            return "more" if items or has_more else ""
        case _:
            return "more" if items else ""


def _extract_marker(body: Any, path: JsonPath) -> str:
    marker = extract_at_path(body, path)
    if marker is not None and (isinstance(marker, bool) or not isinstance(marker, str | int)):
        raise build_unreadable_response_error(API)
    return "" if marker is None else str(marker)


def _parse_has_more(paging: RestPaging, body: Any) -> bool | None:
    """Return what a response says of a next page; None where it says nothing."""
    path = paging.more or paging.last
    value = extract_at_path(body, path) if path else None
    if value is not None and not isinstance(value, bool):
        raise build_unreadable_response_error(API)
    return value if value is None or paging.more else not value


def _resolve_own_url(client: RestClient, url: URL, link: str) -> URL:
    """Return the URL of the page after `url`, if the API itself serves it: credentials go nowhere else."""
    next_url = url.join(URL(link))
    if not next_url.absolute or next_url.origin() != URL(client.base_url).origin():
        raise ConnectorError("the API names a next page that is not its own", ErrorCode.SOURCE_INVALID)
    return next_url


def _require_response(response: RestResponse | None) -> RestResponse:
    if response is None:
        raise ConnectorError("the API has no such collection", ErrorCode.SOURCE_INVALID)
    return response


def _extract_single_row(response: RestResponse | None, path: JsonPath, collection: RestCollection) -> list[JsonItem]:
    return [] if response is None else _extract_rows([extract_at_path(response.body, path)], (), collection)


def _extract_rows(value: Any, path: JsonPath, collection: RestCollection) -> list[JsonItem]:
    items = extract_at_path(value, path)
    allowed_types = JSON_SCALAR_TYPES if collection.has_scalar_rows else OBJECT_TYPES
    if not isinstance(items, list) or not set(map(type, items)) <= allowed_types:
        raise build_unreadable_response_error(API)
    return items


def filter_rest_rows(
    items: Sequence[JsonItem], scan_request: ScanRequest, collection: RestCollection, request: RestRequest
) -> list[Row]:
    """Convert the items that meet keys and filter.

    Raises ConnectorError when some do not although a limit was sent: it may have cut off the rows that do.
    """

    def convert(items: Sequence[JsonItem], columns: Sequence[str]) -> list[Row]:
        return convert_rows(items, columns, collection.columns, request.path_values)

    matching = filter_items(items, scan_request, convert)
    if request.limit is not None and collection.paging is None and len(matching) < len(items):
        raise ConnectorError("the API gave rows beside those it was asked for", ErrorCode.SOURCE_INVALID)
    return convert(matching, scan_request.columns)
