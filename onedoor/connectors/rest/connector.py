"""Options, the connector, paging, rows."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from yarl import URL

from onedoor.connectors.http_client import check_base_url
from onedoor.connectors.rest.client import (
    JsonItem,
    RestClient,
    RestRequest,
    RestResponse,
    build_invalid_rest_response_error,
    build_rest_client,
    build_rest_requests,
    convert_rest_rows,
    encode_path_values,
    extract_at_path,
    fill_path,
    iterate_comparisons,
    map_rest_error,
)
from onedoor.connectors.rest.config import (
    JsonPath,
    PagingStyle,
    RestCollection,
    RestPaging,
    build_rest_capabilities,
    build_rest_write_capabilities,
    find_path_parameters,
    load_described_collections,
    parse_rest_collections,
    parse_text_setting,
)
from onedoor.connectors.rest.writes import CollectionWriter, apply_rest_change, find_rest_change
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeRejected, ChangeResult, ConnectorKind, RowChange, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

RequestPage: TypeAlias = tuple[RestRequest, Sequence[JsonItem]]

OBJECT_TYPES = frozenset({dict})

JSON_SCALAR_TYPES = frozenset({str, int, float, bool})


async def read_rest_pages(
    client: RestClient, requests: Sequence[RestRequest], collection: RestCollection
) -> AsyncIterator[RequestPage]:
    """Of one request as its pages come; of several all, in their order."""
    if len(requests) == 1:
        async for items in _iterate_pages(client, requests[0], collection):
            yield requests[0], items
        return
    for request, items in zip(
        requests, await fan_out(partial(_read_all_pages, client, collection), requests, client.at_once), strict=True
    ):
        yield request, items


async def _read_all_pages(client: RestClient, collection: RestCollection, request: RestRequest) -> list[JsonItem]:
    return [item async for page in _iterate_pages(client, request, collection) for item in page]


async def _iterate_pages(
    client: RestClient, request: RestRequest, collection: RestCollection
) -> AsyncIterator[Sequence[JsonItem]]:
    """Ends where nothing follows: a page may be shorter than was asked, as an API may keep to a size of its own."""
    if request.single:
        ask = client.get_text if collection.text else client.get
        yield _extract_single_row(await ask(request.path), request.rows_path, collection)
        return
    paging, seen, place = collection.paging, 0, ""
    first = await client.get(request.path, (*request.parameters, *_build_page_parameters(paging, request, seen, place)))
    if first is None and request.path_values:
        return
    answer = _require_response(first)
    while True:
        items = _extract_rows(answer.body, request.rows_path, collection)
        yield await _fetch_full_rows(client, items, collection, request) if collection.each else items
        if paging is None:
            return
        seen, before = seen + (len(items) if paging.by is PagingStyle.OFFSET else 1), place
        place = _find_next_page(paging, answer, items)
        if not place:
            return
        if place == before and paging.by in (PagingStyle.CURSOR, PagingStyle.LINK):
            raise build_invalid_rest_response_error()
        if paging.by is PagingStyle.LINK:
            answer = _require_response(await client.send(_check_same_origin(client, place)))
        else:
            turned = _build_page_parameters(paging, request, seen, place)
            answer = _require_response(await client.get(request.path, (*request.parameters, *turned)))


async def _fetch_full_rows(
    client: RestClient, items: Sequence[JsonItem], collection: RestCollection, request: RestRequest
) -> list[JsonItem]:
    """Each row from its own path; one that has gone since is none."""
    (column,) = set(find_path_parameters(collection.each)) - set(request.path_values)
    values = [extract_at_path(each, collection.columns[column].at) for each in items]
    if any(not isinstance(each, str | int) for each in values) or encode_path_values(values) is None:
        raise build_invalid_rest_response_error()
    paths = [fill_path(collection.each, {**request.path_values, column: each}) for each in values]
    found = await fan_out(client.get, paths, client.at_once)
    return [row for each in found if each is not None for row in _extract_rows([each.body], (), collection)]


def _build_page_parameters(
    paging: RestPaging | None, request: RestRequest, position: int, page_marker: str
) -> list[tuple[str, str]]:
    """The parameters of one page."""
    if paging is None:
        return []
    at = {
        PagingStyle.PAGE: str(paging.first + position),
        PagingStyle.OFFSET: str(position),
        PagingStyle.CURSOR: page_marker,
        PagingStyle.LINK: "",
    }
    found = [(paging.parameter, at[paging.by])] if at[paging.by] else []
    if paging.size_parameter:
        found.append((paging.size_parameter, str(min(paging.size, request.limit or paging.size))))
    return found


def _find_next_page(paging: RestPaging, answer: RestResponse, items: Sequence[JsonItem]) -> str:
    """What names the next page; an empty text: there is none."""
    if paging.by is PagingStyle.CURSOR:
        cursor = extract_at_path(answer.body, paging.next)
        if cursor is not None and (isinstance(cursor, bool) or not isinstance(cursor, str | int)):
            raise build_invalid_rest_response_error()
        return "" if cursor is None else str(cursor)
    if paging.by is PagingStyle.LINK:
        return answer.next_url or ""
    return "more" if items else ""


def _check_same_origin(client: RestClient, link: str) -> URL:
    """The next page, if it is at the same API: credentials go nowhere else."""
    url, own = URL(client.base_url).join(URL(link)), URL(client.base_url).origin()
    if not url.absolute or url.origin() != own:
        raise ConnectorError("the API names a next page that is not its own", ErrorCode.SOURCE_INVALID)
    return url


def _require_response(answer: RestResponse | None) -> RestResponse:
    if answer is None:
        raise ConnectorError("the API has no such collection", ErrorCode.SOURCE_INVALID)
    return answer


def _extract_single_row(answer: RestResponse | None, path: JsonPath, collection: RestCollection) -> list[JsonItem]:
    return [] if answer is None else _extract_rows([extract_at_path(answer.body, path)], (), collection)


def _extract_rows(value: Any, path: JsonPath, collection: RestCollection) -> list[JsonItem]:
    """The rows that lie there."""
    items = extract_at_path(value, path)
    if not isinstance(items, list) or not set(map(type, items)) <= (
        JSON_SCALAR_TYPES if collection.has_scalar_rows else OBJECT_TYPES
    ):
        raise build_invalid_rest_response_error()
    return items


def filter_rest_rows(
    items: Sequence[JsonItem], scan_request: ScanRequest, collection: RestCollection, request: RestRequest
) -> list[Row]:
    """Raises SourceFailed where rows that were cut off by a limit may be the ones that are missing."""
    meant = filter_rest_items(items, scan_request, collection, request)
    if request.limit is not None and collection.paging is None and len(meant) < len(items):
        raise ConnectorError("the API gave rows beside those it was asked for", ErrorCode.SOURCE_INVALID)
    return convert_rest_rows(meant, scan_request.columns, collection, request.path_values)


def filter_rest_items(
    items: Sequence[JsonItem], scan_request: ScanRequest, collection: RestCollection, request: RestRequest
) -> Sequence[JsonItem]:
    """Those of the keys that meet the filter."""
    if scan_request.keys is not None:
        wanted = frozenset(scan_request.keys.values)
        keys = convert_rest_rows(items, scan_request.keys.columns, collection, request.path_values)
        items = [item for item, key in zip(items, keys, strict=True) if key in wanted]
    tests = {each.column: each.value for each in iterate_comparisons(scan_request.filter)}
    if tests:
        values = convert_rest_rows(items, tuple(tests), collection, request.path_values)
        items = [item for item, each in zip(items, values, strict=True) if each == tuple(tests.values())]
    return items


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """`headers` go with every call. `timeout`: seconds of one call. `connections`: calls at once.

    `described`: a file with further collections, as `introspect` writes it. `response_bytes`: the most that one answer
    may hold, unpacked. `private_addresses`: the API may be in this network, and spoken to without TLS. `redirects`:
    hosts where the text of a `text` may lie; they are not sent our headers. `writable`: what the collections declare of
    `writes` may be done.
    """

    base_url: str
    collections: Mapping[str, Any] = field(default_factory=dict)
    described: Path | None = None
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False
    redirects: tuple[str, ...] = ()
    writable: bool = False


async def connect(options: RestOptions) -> "RestConnector":
    """Asks the API nothing yet. ValueError: what cannot be, of the declarations or the url."""
    declared = parse_rest_collections(
        {**(load_described_collections(options.described) if options.described else {}), **options.collections}
    )
    headers = {name: parse_text_setting(value, f"headers.{name}") for name, value in (options.headers or {}).items()}
    base_url = check_base_url(options.base_url, private_addresses=options.private_addresses)
    called = build_rest_client(
        base_url, headers, timeout=options.timeout, at_once=options.connections, most=options.response_bytes,
        private_addresses=options.private_addresses, redirects=options.redirects,
    )  # fmt: skip
    return RestConnector(called, declared, writable=options.writable)


class RestConnector:
    """The collections that were declared."""

    def __init__(
        self, client: RestClient, collections: Mapping[str, RestCollection], *, writable: bool = False
    ) -> None:
        self.client = client
        self.writable = writable
        self.collections = collections
        self.capabilities_by_collection = {name: build_rest_capabilities(each) for name, each in collections.items()}

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, scan_request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Page by page; what was asked in several calls comes in the order of the calls."""
        collection, left = self.collections[scan_request.collection], scan_request.limit
        wanted = build_rest_requests(scan_request, collection)
        async for request, items in read_rest_pages(self.client, wanted, collection):
            found = filter_rest_rows(items, scan_request, collection, request)
            yield found if left is None else found[:left]
            left = None if left is None else max(0, left - len(found))
            if left == 0:
                return

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return build_rest_write_capabilities(self.collections[collection]) if self.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """One at a time: what an API does together is its own."""
        (change,) = changes
        promised = self.write_capabilities(change.collection)
        if promised is None or change.kind not in promised.settable_columns:
            raise ChangeRejected(
                "the API is not changed so: its settings do not declare it `writable`", ErrorCode.CANNOT_ANSWER
            )
        try:
            return (await apply_rest_change(self._build_writer(change), change, dry_run=dry_run),)
        except (ConnectorError, ChangeRejected):
            raise
        except Exception as error:
            raise map_rest_error(error, self.client.limits.timeout) from error

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        try:
            return await find_rest_change(self._build_writer(change), change)
        except ConnectorError:
            raise
        except Exception as error:
            raise map_rest_error(error, self.client.limits.timeout) from error

    def _build_writer(self, change: RowChange) -> CollectionWriter:
        return CollectionWriter(client=self.client, collection=self.collections[change.collection], scan=self.scan)

    async def ping(self) -> None:
        await self.client.ping()

    async def close(self) -> None:
        await self.client.session.close()


KIND = ConnectorKind(options=RestOptions, connect=connect)
