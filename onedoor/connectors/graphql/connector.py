"""Answer scans over a declared GraphQL service: the connector of kind `graphql`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from onedoor.connectors.graphql.client import GraphQLClient
from onedoor.connectors.graphql.compiler import (
    DocumentField,
    DocumentFields,
    GraphQLDocument,
    PageRequest,
    build_document_fields,
    compile_document,
    find_needed_columns,
)
from onedoor.connectors.graphql.config import GraphQLCollection, build_graphql_capabilities, parse_graphql_collections
from onedoor.connectors.http_client import API, HttpLimits, build_unreadable_response_error
from onedoor.connectors.json_rows import JsonItem, JsonPath, convert_rows, extract_at_path, filter_items
from onedoor.connectors.page_trail import PageTrail
from onedoor.connectors.public_addresses import check_base_url
from onedoor.connectors.setting_readers import parse_headers_setting
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ConnectorKind
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

FieldItems: TypeAlias = tuple[DocumentField, Sequence[JsonItem]]
"""A field of a document, and the items of one of its pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLOptions:
    """The settings of a `graphql` source: `headers` go with every call.

    `timeout`: seconds of one call. `connections`: calls at a time. `response_bytes`: of one response, after
    decompression. `private_addresses`: the service may be in this network, and without TLS.
    """

    url: str
    collections: Mapping[str, Any]
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False


async def connect(options: GraphQLOptions) -> "GraphQLConnector":
    """Build the connector without a call. Raises ValueError, which names the setting that is wrong."""
    collections = parse_graphql_collections(options.collections)
    headers = parse_headers_setting(options.headers)
    check_base_url(options.url, private_addresses=options.private_addresses, name="url")
    limits = HttpLimits(
        timeout=options.timeout,
        max_concurrency=options.connections,
        max_response_bytes=options.response_bytes,
        private_addresses=options.private_addresses,
    )
    return GraphQLConnector(GraphQLClient(options.url, headers, limits), collections)


class GraphQLConnector:
    """Serve the declared collections of one service."""

    def __init__(self, client: GraphQLClient, collections: Mapping[str, GraphQLCollection]) -> None:
        self.client = client
        self.collections = collections
        self.capabilities_by_collection = {
            name: build_graphql_capabilities(collection) for name, collection in collections.items()
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Yield rows page by page; those of several documents come in the order of the documents."""
        collection, missing = self.collections[request.collection], request.limit
        needed = find_needed_columns(request)
        column_paths = [collection.columns[name].at for name in needed]
        trail = PageTrail(whole_rows=set(needed) == set(collection.columns))
        documents = build_document_fields(request, collection)
        async for document_field, items in _read_document_pages(self.client, documents, column_paths, trail):
            rows = _filter_graphql_rows(items, request, collection, document_field)
            yield rows if missing is None else rows[:missing]
            missing = None if missing is None else max(0, missing - len(rows))
            if missing == 0:
                return

    async def ping(self) -> None:
        await self.client.execute(GraphQLDocument(text="query { __typename }", variables={}))

    async def close(self) -> None:
        await self.client.close()


async def _read_document_pages(
    client: GraphQLClient, documents: Sequence[DocumentFields], column_paths: Sequence[JsonPath], trail: PageTrail
) -> AsyncIterator[FieldItems]:
    """Yield the pages of one document as they come; of several, all pages of each, in the order of the documents."""
    if len(documents) == 1:
        async for field_items in _iterate_pages(client, column_paths, trail, documents[0]):
            yield field_items
        return
    read_all = partial(_read_all_pages, client, column_paths, trail)
    for pages in await fan_out(read_all, documents, client.limits.max_concurrency):
        for field_items in pages:
            yield field_items


async def _read_all_pages(
    client: GraphQLClient, column_paths: Sequence[JsonPath], trail: PageTrail, fields: DocumentFields
) -> list[FieldItems]:
    return [field_items async for field_items in _iterate_pages(client, column_paths, trail, fields)]


async def _iterate_pages(
    client: GraphQLClient, column_paths: Sequence[JsonPath], start: PageTrail, fields: DocumentFields
) -> AsyncIterator[FieldItems]:
    """Request the next pages of all fields that have one in one document."""
    pending = [(PageRequest(field=document_field), start) for document_field in fields]
    while pending:
        data = await client.execute(compile_document([page_request for page_request, _ in pending], column_paths))
        following = []
        for number, (page_request, trail) in enumerate(pending):
            document_field = page_request.field
            value = extract_at_path(data.get(f"p{number}"), document_field.path[1:])
            items = _extract_items(value, document_field)
            after = _find_next_cursor(value, page_request)
            trail = trail.follow(items)
            yield document_field, items
            if after is not None:
                following.append((PageRequest(field=document_field, after=after), trail.lead_to(after)))
        pending = following


def _extract_items(value: Any, document_field: DocumentField) -> Sequence[JsonItem]:
    """Return the objects of a field; a null among them is a row that the service does not show."""
    if value is None:
        if document_field.nullable:
            return ()
        raise build_unreadable_response_error(API)
    items = [item for item in _flatten_items(value, document_field.rows_path) if item is not None]
    if not set(map(type, items)) <= {dict}:
        raise build_unreadable_response_error(API)
    return items


def _flatten_items(value: Any, path: JsonPath) -> Sequence[Any]:
    """Follow a path through lists: `edges.node` is the `node` of each object of the list `edges`."""
    if isinstance(value, list):
        return [item for entry in value if entry is not None for item in _flatten_items(entry, path)]
    if not path:
        return (value,)
    if not isinstance(value, dict) or value.get(path[0]) is None:
        raise build_unreadable_response_error(API)
    return _flatten_items(value[path[0]], path[1:])


def _find_next_cursor(value: Any, page_request: PageRequest) -> str | None:
    """Return the cursor of the next page, None after the last."""
    if page_request.field.paging is None or value is None:
        return None
    page_info = extract_at_path(value, ("pageInfo",))
    if not isinstance(page_info, Mapping) or not isinstance(page_info.get("hasNextPage"), bool):
        raise build_unreadable_response_error(API)
    if not page_info["hasNextPage"]:
        return None
    cursor = page_info.get("endCursor")
    if not isinstance(cursor, str):
        raise build_unreadable_response_error(API)
    return cursor


def _filter_graphql_rows(
    items: Sequence[JsonItem], request: ScanRequest, collection: GraphQLCollection, document_field: DocumentField
) -> list[Row]:
    """Convert the items that meet keys and filter.

    Raises ConnectorError when some do not although a limit was sent: it may have cut off the rows that do.
    """

    def convert(items: Sequence[JsonItem], columns: Sequence[str]) -> list[Row]:
        return convert_rows(items, columns, collection.columns)

    matching = filter_items(items, request, convert)
    if document_field.limit is not None and document_field.paging is None and len(matching) < len(items):
        raise ConnectorError("the API gave rows beside those it was asked for", ErrorCode.SOURCE_INVALID)
    return convert(matching, request.columns)


KIND = ConnectorKind(options=GraphQLOptions, connect=connect)
