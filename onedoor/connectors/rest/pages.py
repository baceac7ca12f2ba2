"""Read the responses of a declared API page by page, and take the requested rows from them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from yarl import URL

from onedoor.connectors.http_client import API, build_unreadable_response_error
from onedoor.connectors.json_rows import JsonItem, JsonPath, convert_rows, extract_at_path, filter_items
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
    paging, position, marker = collection.paging, 0, ""
    first = await client.get(request.path, (*request.parameters, *_build_page_parameters(paging, request, 0, "")))
    if first is None and request.path_values:
        return
    response, previous_items, page = _require_response(first), None, 1
    while True:
        items = _extract_rows(response.body, request.rows_path, collection)
        if items and items == previous_items and paging is not None and paging.by in COUNTED_STYLES:
            raise _build_repeated_page_error(paging, page)
        previous_items, page = items, page + 1
        yield await _fetch_full_rows(client, items, collection, request) if collection.each else items
        if paging is None:
            return
        position += len(items) if paging.by is PagingStyle.OFFSET else 1
        previous, marker = marker, _find_next_page(paging, response, items)
        if not marker:
            return
        if marker == previous and paging.by in (PagingStyle.CURSOR, PagingStyle.LINK):
            raise build_unreadable_response_error(API)
        if paging.by is PagingStyle.LINK:
            response = _require_response(await client.get_url(_check_same_origin(client, marker)))
        else:
            page_parameters = _build_page_parameters(paging, request, position, marker)
            response = _require_response(await client.get(request.path, (*request.parameters, *page_parameters)))


def _build_repeated_page_error(paging: RestPaging, page: int) -> ConnectorError:
    message = f"the API gave page {page - 1} again for page {page}: its parameter `{paging.parameter}` has no effect"
    return ConnectorError(message, ErrorCode.SOURCE_INVALID)


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
        PagingStyle.PAGE: str(paging.first + position),
        PagingStyle.OFFSET: str(position),
        PagingStyle.CURSOR: marker,
        PagingStyle.LINK: "",
    }
    parameters = [(paging.parameter, values[paging.by])] if values[paging.by] else []
    if paging.size_parameter:
        parameters.append((paging.size_parameter, str(min(paging.size, request.limit or paging.size))))
    return parameters


def _find_next_page(paging: RestPaging, response: RestResponse, items: Sequence[JsonItem]) -> str:
    """Return the cursor or URL of the next page, or any text where pages are counted; empty after the last."""
    match paging.by:
        case PagingStyle.CURSOR:
            cursor = extract_at_path(response.body, paging.next)
            if cursor is not None and (isinstance(cursor, bool) or not isinstance(cursor, str | int)):
                raise build_unreadable_response_error(API)
            return "" if cursor is None else str(cursor)
        case PagingStyle.LINK:
            return response.next_url or ""
        case _:
            return "more" if items else ""


def _check_same_origin(client: RestClient, link: str) -> URL:
    """Return the URL of the next page, if the API itself serves it: credentials go nowhere else."""
    base_url = URL(client.base_url)
    url = base_url.join(URL(link))
    if not url.absolute or url.origin() != base_url.origin():
        raise ConnectorError("the API names a next page that is not its own", ErrorCode.SOURCE_INVALID)
    return url


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
