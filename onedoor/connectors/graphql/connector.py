"""Options, paging, rows, errors."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import orjson
from yarl import URL

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
from onedoor.connectors.http_client import check_base_url
from onedoor.connectors.rest import client as rest_client_1
from onedoor.connectors.rest.client import (
    NOT_FOUND,
    JsonItem,
    build_invalid_rest_response_error,
    build_rest_client,
    convert_column,
    extract_at_path,
    iterate_comparisons,
    map_rest_status,
)
from onedoor.connectors.rest.config import JsonPath, parse_text_setting
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ConnectorKind
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest


def filter_graphql_rows(
    items: Sequence[JsonItem], request: ScanRequest, collection: GraphQLCollection, document_field: DocumentField
) -> list[Row]:
    """Raises SourceFailed where rows that were cut off by a limit may be the ones that are missing."""
    meant = filter_graphql_items(items, request, collection)
    if document_field.limit is not None and document_field.paging is None and len(meant) < len(items):
        raise ConnectorError("the API gave rows beside those it was asked for", ErrorCode.SOURCE_INVALID)
    return convert_graphql_rows(meant, request.columns, collection)


def filter_graphql_items(
    items: Sequence[JsonItem], request: ScanRequest, collection: GraphQLCollection
) -> Sequence[JsonItem]:
    """Those of the keys that meet the filter."""
    if request.keys is not None:
        wanted = frozenset(request.keys.values)
        keys = convert_graphql_rows(items, request.keys.columns, collection)
        items = [item for item, key in zip(items, keys, strict=True) if key in wanted]
    tests = {each.column: each.value for each in iterate_comparisons(request.filter)}
    if tests:
        values = convert_graphql_rows(items, tuple(tests), collection)
        items = [item for item, each in zip(items, values, strict=True) if each == tuple(tests.values())]
    return items


def convert_graphql_rows(items: Sequence[JsonItem], columns: Sequence[str], collection: GraphQLCollection) -> list[Row]:
    """Raises SourceFailed at the first value that is not what was declared."""
    if not columns:
        return [()] * len(items)
    return list(zip(*(convert_column(items, name, collection.columns[name]) for name in columns), strict=True))


CREDENTIAL_CODES = frozenset({"UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN", "INVALID_TOKEN"})

RATE_LIMIT_CODES = frozenset({"RATE_LIMITED", "RATE_LIMIT_EXCEEDED", "THROTTLED", "TOO_MANY_REQUESTS"})
"""Codes that many services put into `extensions.code` of an error."""


def map_graphql_errors(errors: Sequence[Any]) -> ConnectorError:
    codes = {_parse_error_code(each) for each in errors}
    if codes & RATE_LIMIT_CODES:
        return ConnectorError("the API takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
    if codes & CREDENTIAL_CODES:
        return ConnectorError("the API refused the credentials")
    return ConnectorError("the API answered with errors", ErrorCode.SOURCE_INVALID)


def _parse_error_code(error: Any) -> str:
    extensions = error.get("extensions") if isinstance(error, Mapping) else None
    found = extensions.get("code") if isinstance(extensions, Mapping) else None
    return found.upper() if isinstance(found, str) else ""


class GraphQLClient:
    """One service's calls, bounded as those of any API."""

    def __init__(self, rest_client: rest_client_1.RestClient, url: str) -> None:
        self.rest_client = rest_client
        self.url = URL(url, encoded=True)

    async def execute(self, document: GraphQLDocument) -> Mapping[str, Any]:
        """Raises SourceFailed."""
        body = orjson.dumps({"query": document.text, "variables": document.variables})
        answer = await self.rest_client.send(self.url, body)
        if answer is None:
            raise map_rest_status(NOT_FOUND)
        return _extract_data(answer.body)


def _extract_data(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise build_invalid_rest_response_error()
    errors = body.get("errors")
    if errors:
        raise map_graphql_errors(errors if isinstance(errors, Sequence) else ())
    if not isinstance(body.get("data"), dict):
        raise build_invalid_rest_response_error()
    data: Mapping[str, Any] = body["data"]
    return data


FieldItems: TypeAlias = tuple[DocumentField, Sequence[JsonItem]]


async def read_document_pages(
    client: GraphQLClient, field_groups: Sequence[DocumentFields], column_paths: Sequence[JsonPath]
) -> AsyncIterator[FieldItems]:
    """Of one document as its pages come; of several all, in their order."""
    if len(field_groups) == 1:
        async for found in _iterate_pages(client, column_paths, field_groups[0]):
            yield found
        return
    for each in await fan_out(partial(_read_all_pages, client, column_paths), field_groups, client.rest_client.at_once):
        for found in each:
            yield found


async def _read_all_pages(
    client: GraphQLClient, column_paths: Sequence[JsonPath], fields: DocumentFields
) -> list[FieldItems]:
    return [found async for found in _iterate_pages(client, column_paths, fields)]


async def _iterate_pages(
    client: GraphQLClient, column_paths: Sequence[JsonPath], fields: DocumentFields
) -> AsyncIterator[FieldItems]:
    """Those of the parts that have a next page are asked for it together."""
    turned = [PageRequest(field=each) for each in fields]
    while turned:
        data = await client.execute(compile_document(turned, column_paths))
        following = []
        for number, each in enumerate(turned):
            value = extract_at_path(data.get(f"p{number}"), each.field.path[1:])
            yield each.field, _extract_items(value, each.field)
            after = _find_next_cursor(value, each)
            if after is not None:
                following.append(PageRequest(field=each.field, after=after))
        turned = following


def _extract_items(value: Any, document_field: DocumentField) -> Sequence[JsonItem]:
    """The objects that lie there; a null among them is a row that is not shown."""
    if value is None:
        if document_field.nullable:
            return ()
        raise build_invalid_rest_response_error()
    found = [each for each in _flatten_items(value, document_field.rows_path) if each is not None]
    if not set(map(type, found)) <= {dict}:
        raise build_invalid_rest_response_error()
    return found


def _flatten_items(value: Any, steps: JsonPath) -> Sequence[Any]:
    """`edges.node`: of each object of the list `edges`, its `node`."""
    if isinstance(value, list):
        return [found for each in value if each is not None for found in _flatten_items(each, steps)]
    if not steps:
        return (value,)
    if not isinstance(value, dict) or value.get(steps[0]) is None:
        raise build_invalid_rest_response_error()
    return _flatten_items(value[steps[0]], steps[1:])


def _find_next_cursor(value: Any, page_request: PageRequest) -> str | None:
    """The cursor of the next page; None: there is none. One that leads nowhere new would lead on for ever."""
    if page_request.field.paging is None or value is None:
        return None
    info = extract_at_path(value, ("pageInfo",))
    if not isinstance(info, Mapping) or not isinstance(info.get("hasNextPage"), bool):
        raise build_invalid_rest_response_error()
    if not info["hasNextPage"]:
        return None
    cursor = info.get("endCursor")
    if not isinstance(cursor, str) or cursor == page_request.after:
        raise build_invalid_rest_response_error()
    return cursor


ACCEPT = "application/graphql-response+json, application/json;q=0.9"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLOptions:
    """`headers` go with every call. `timeout`: seconds of one call. `connections`: calls at once.

    `response_bytes`: the most that one answer may hold, unpacked. `private_addresses`: the service may be in this
    network, and spoken to without TLS.
    """

    url: str
    collections: Mapping[str, Any]
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False


async def connect(options: GraphQLOptions) -> "GraphQLConnector":
    """Asks the service nothing yet. ValueError: what cannot be, of the declarations or the url."""
    declared = parse_graphql_collections(options.collections)
    headers = {name: parse_text_setting(value, f"headers.{name}") for name, value in (options.headers or {}).items()}
    check_base_url(options.url, private_addresses=options.private_addresses, name="url")
    called = build_rest_client(
        options.url, {"accept": ACCEPT, **headers}, timeout=options.timeout, at_once=options.connections,
        most=options.response_bytes, private_addresses=options.private_addresses,
    )  # fmt: skip
    return GraphQLConnector(GraphQLClient(called, options.url), declared)


class GraphQLConnector:
    """The collections that were declared."""

    def __init__(self, client: GraphQLClient, collections: Mapping[str, GraphQLCollection]) -> None:
        self.client = client
        self.collections = collections
        self.capabilities_by_collection = {name: build_graphql_capabilities(each) for name, each in collections.items()}

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Page by page; what was asked in several documents comes in their order."""
        collection, left = self.collections[request.collection], request.limit
        places = [collection.columns[each].at for each in find_needed_columns(request)]
        async for part, items in read_document_pages(self.client, build_document_fields(request, collection), places):
            found = filter_graphql_rows(items, request, collection, part)
            yield found if left is None else found[:left]
            left = None if left is None else max(0, left - len(found))
            if left == 0:
                return

    async def ping(self) -> None:
        await self.client.execute(GraphQLDocument(text="query { __typename }", variables={}))

    async def close(self) -> None:
        await self.client.rest_client.session.close()


KIND = ConnectorKind(options=GraphQLOptions, connect=connect)
