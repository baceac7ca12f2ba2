"""Make changes over a declared API, and find again those that were made."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil
from typing import Any, TypeAlias

import orjson
from aiohttp import ClientConnectorError, ClientError, ClientResponse
from yarl import URL

from onedoor.connectors.http_client import API, map_http_error
from onedoor.connectors.json_rows import JsonPath, convert_rows, extract_at_path
from onedoor.connectors.rest.client import (
    JSON_ENCODING,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    RestClient,
    is_rate_limited,
    parse_retry_after,
)
from onedoor.connectors.rest.model import RequestField, RestCollection, WriteOperation, find_path_parameters
from onedoor.connectors.rest.requests import encode_path_values, fill_path
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.predicates import And, Comparison, Op, Row, Value
from onedoor.spi.scan import KeyFilter, ScanRequest
from onedoor.spi.spill import closing_batches

ScanFunction: TypeAlias = Callable[[ScanRequest], AsyncIterator[Sequence[Row]]]

NO_ROW_MESSAGE = "the API has no such row"

UNAUTHORIZED = 401

UNCERTAIN_STATUSES = frozenset({408, 425})
"""Statuses that do not say whether the change was made."""

DEFAULT_ERROR_CODES: Mapping[int, ErrorCode] = {
    **dict.fromkeys((404, 410), ErrorCode.NOT_FOUND),
    **dict.fromkeys((409, 412), ErrorCode.VERSION_CONFLICT),
    **dict.fromkeys((400, 413, 415, 422), ErrorCode.BAD_USER_INPUT),
}
"""What a status means where the settings declare nothing else."""

REJECTION_MESSAGES: Mapping[ErrorCode, str] = {
    ErrorCode.NOT_FOUND: NO_ROW_MESSAGE,
    ErrorCode.ALREADY_EXISTS: "the API has such a row already",
    ErrorCode.VERSION_CONFLICT: "the API says that this is in conflict with what it holds",
}

MIN_QUOTED_LENGTH = 4
"""The length from which a value that an error quotes says which column is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionWriter:
    """One collection of an API: the client that changes it, and the function that reads it."""

    client: RestClient
    collection: RestCollection
    scan: ScanFunction


async def apply_rest_change(writer: CollectionWriter, change: RowChange, *, dry_run: bool) -> ChangeResult:
    """Make one change. Raises ChangeRejected when it was not made, ConnectorError when that is not known."""
    operation = writer.collection.writes[change.kind]
    request = _build_write_request(change, operation, writer.collection)
    with _reject_on_failure(writer.client):
        before = await _read_current_row(writer, change)
        if dry_run and change.kind is ChangeKind.CREATE:
            await _check_parent_exists(writer, change)
    if dry_run:
        deleted = change.kind is ChangeKind.DELETE
        return ChangeResult(before=before, after=None if deleted else _predict_row(change, before))
    body = await _send_write_request(writer.client, request, operation, change)
    if change.kind is ChangeKind.DELETE:
        return ChangeResult(before=before, after=None)
    return ChangeResult(before=before, after=await _read_resulting_row(writer, change, before, body))


async def find_rest_change(writer: CollectionWriter, change: RowChange) -> ChangeResult | None:
    """Find a change that may have been made; None when it was not.

    The values before it are not known any more. A deletion counts as made when the row is not there, whoever made it.
    """
    operation = writer.collection.writes[change.kind]
    if change.kind is ChangeKind.DELETE:
        return ChangeResult(before=None, after=None) if await _find_row_by_key(writer, change) is None else None
    if change.kind is ChangeKind.CREATE and operation.id:
        row = await _find_row_by_mark(writer, change, operation)
    else:
        row = await _find_row_by_key(writer, change)
        if row is not None and not _is_applied(row, change, operation):
            return None
    return None if row is None else ChangeResult(before=None, after=row)


def _is_applied(row: RowValues, change: RowChange, operation: WriteOperation) -> bool:
    """Tell whether a row is as the change leaves it."""
    if operation.id:
        return _has_change_mark(row[operation.id], change, operation)
    return all(row[name] == value for name, value in change.values.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """The HTTP request of one change; `body` is JSON, None where nothing is sent."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]


def _build_write_request(change: RowChange, operation: WriteOperation, collection: RestCollection) -> WriteRequest:
    _check_is_sendable(change, operation)
    body = _build_write_body(change, operation, collection)
    headers = dict(JSON_ENCODING) if body is not None else {}
    if operation.id_header:
        headers[operation.id_header] = change.id
    if operation.version_header and change.version is not None:
        headers[operation.version_header] = change.version
    path = _build_write_path(operation.path, {**change.values, **change.key})
    return WriteRequest(method=operation.method, path=path, body=body, headers=headers)


def _check_is_sendable(change: RowChange, operation: WriteOperation) -> None:
    """Check that every value can be sent, and that the call does what the change says. Raises ChangeRejected."""
    sendable = {*operation.columns, *operation.only, *find_path_parameters(operation.path)}
    for name in change.values:
        if name not in sendable:
            raise ChangeRejected(f"`{name}` cannot be given to the API")
    for name, value in operation.only.items():
        if change.values.get(name) != value:
            raise ChangeRejected(f"`{name}` can be made `{value}` and nothing else")


def _build_write_path(path: str, row_values: Mapping[str, Value]) -> str:
    """Fill the path; of a value that would lead elsewhere there is no row. Raises ChangeRejected."""
    values = {name: row_values.get(name) for name in find_path_parameters(path)}
    for name, value in values.items():
        if value is None:
            raise ChangeRejected(f"`{name}` is missing")
    if encode_path_values(tuple(values.values())) is None:
        raise ChangeRejected(NO_ROW_MESSAGE, ErrorCode.NOT_FOUND)
    return fill_path(path, values)


def _build_write_body(change: RowChange, operation: WriteOperation, collection: RestCollection) -> bytes | None:
    body: Mapping[str, Any] = dict(operation.fixed)
    values = {**change.key, **change.values}
    for name, field in operation.columns.items():
        if name in values:
            body = _put_at_path(body, field.at, _encode_field(values[name], field))
    if operation.id:
        field = operation.columns.get(operation.id) or RequestField(at=collection.columns[operation.id].at)
        body = _put_at_path(body, field.at, _add_change_mark(change, operation))
    if not body:
        return None
    try:
        return orjson.dumps(body, default=str)
    except TypeError:
        raise ChangeRejected("a value cannot be sent to the API") from None


def _put_at_path(body: Mapping[str, Any], path: JsonPath, value: Any) -> Mapping[str, Any]:
    """Return the body with the value at the path."""
    first, *rest = path
    return {**body, first: _put_at_path(body.get(first, {}), tuple(rest), value) if rest else value}


def _encode_field(value: Value, field: RequestField) -> Any:
    """Encode a value as JSON: money is text, which is exact, or a number with all its digits."""
    if isinstance(value, Decimal):
        encoded: Any = orjson.Fragment(f"{value:f}") if field.number else f"{value:f}"
    else:
        encoded = value.isoformat() if isinstance(value, date) else value
    return [encoded] if field.list else encoded


def _add_change_mark(change: RowChange, operation: WriteOperation) -> str:
    """Return the text of the marked column, with the mark of the change at its end."""
    mark, text = operation.mark.replace("{id}", change.id), change.values.get(operation.id)
    return f"{text} {mark}" if text else mark


def _has_change_mark(value: Value, change: RowChange, operation: WriteOperation) -> bool:
    mark = operation.mark.replace("{id}", change.id)
    return isinstance(value, str) and (value == mark or value.endswith(f" {mark}"))


async def _send_write_request(
    client: RestClient, request: WriteRequest, operation: WriteOperation, change: RowChange
) -> Any:
    """Send once and return the parsed response, None when it is empty.

    Raises ChangeRejected when the change was not made, ConnectorError when that is not known.
    """
    url = URL(f"{client.base_url}{request.path}", encoded=True)
    headers = {**client.headers, **request.headers}
    try:
        async with client.http.open_response(request.method, url, data=request.body, headers=headers) as response:
            if response.status in operation.statuses:
                body = await client.http.read_body(response)
                return orjson.loads(body) if body else None
            refused_columns = await _read_refused_columns(client, response, operation, change)
    except ConnectorError as error:
        if isinstance(error.__cause__, ClientConnectorError):
            raise ChangeRejected(error.reason, error.code) from error
        raise ConnectorError(error.reason, error.code) from error
    raise _map_write_status(response, operation, refused_columns)


async def _read_refused_columns(
    client: RestClient, response: ClientResponse, operation: WriteOperation, change: RowChange
) -> Sequence[str]:
    """Return the columns that the response to an invalid change names; none where it cannot be read."""
    if _find_error_code(response.status, operation) is not ErrorCode.BAD_USER_INPUT:
        return ()
    try:
        body = orjson.loads(await client.http.read_body(response))
    except (ConnectorError, ClientError, TimeoutError, ValueError):
        return ()
    return find_refused_columns(body, operation, change.values)


def find_refused_columns(body: Any, operation: WriteOperation, values: RowValues) -> Sequence[str]:
    """Return the columns whose field an error names, such as `{"field": "ref"}`, else those whose value it quotes."""
    texts = list(_iterate_texts(body))
    names = {re.split(r"[./\[\]]+", text)[-1] for text in texts if not re.search(r"\s", text)}
    columns = [name for name in values if name in operation.columns]
    named = [name for name in columns if operation.columns[name].at[-1] in names]
    return named or [name for name in columns if _is_quoted(values[name], texts)]


def _is_quoted(value: Value, texts: Sequence[str]) -> bool:
    return isinstance(value, str) and len(value) >= MIN_QUOTED_LENGTH and any(value in text for text in texts)


def _iterate_texts(body: Any) -> Iterator[str]:
    """Yield all texts of a JSON document but the names of its members."""
    pending = [body]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _find_error_code(status: int, operation: WriteOperation) -> ErrorCode | None:
    return operation.refusals.get(status) or DEFAULT_ERROR_CODES.get(status)


def _map_write_status(
    response: ClientResponse, operation: WriteOperation, refused_columns: Sequence[str]
) -> ChangeRejected | ConnectorError:
    """Map a status that does not say that the change was made."""
    status, seconds = response.status, parse_retry_after(response)
    if status == TOO_MANY_REQUESTS or seconds is not None or is_rate_limited(response):
        later = "later" if seconds is None else f"in {ceil(seconds)} s"
        return ChangeRejected(f"the API takes no more calls for now, ask again {later}", ErrorCode.SOURCE_OVERLOADED)
    code = _find_error_code(status, operation)
    if code is ErrorCode.BAD_USER_INPUT:
        names = ", ".join(f"`{name}`" for name in refused_columns) or "the values"
        return ChangeRejected(f"the API refused {names} with status {status}", code)
    if code is not None:
        return ChangeRejected(REJECTION_MESSAGES[code], code)
    error = map_http_error(status, API)
    if UNAUTHORIZED <= status < SERVER_ERROR and status not in UNCERTAIN_STATUSES:
        return ChangeRejected(error.reason, error.code)
    return ConnectorError(error.reason, error.code)


@contextmanager
def _reject_on_failure(client: RestClient) -> Iterator[None]:
    """Turn failures into ChangeRejected: inside of it nothing has been changed yet."""
    try:
        yield
    except ChangeRejected:
        raise
    except Exception as error:
        failure = client.http.map_error(error)
        raise ChangeRejected(failure.reason, failure.code) from error


async def _read_current_row(writer: CollectionWriter, change: RowChange) -> RowValues | None:
    """Read the row that is to be changed. Raises ChangeRejected where it is not as the change needs it."""
    if change.kind is ChangeKind.CREATE and _find_row_key_columns(writer.collection, change) is None:
        return None
    row = await _find_row_by_key(writer, change)
    if row is None and change.kind in (ChangeKind.UPDATE, ChangeKind.DELETE):
        raise ChangeRejected(NO_ROW_MESSAGE, ErrorCode.NOT_FOUND)
    if row is not None and change.kind is ChangeKind.CREATE:
        raise ChangeRejected(REJECTION_MESSAGES[ErrorCode.ALREADY_EXISTS], ErrorCode.ALREADY_EXISTS)
    if change.version is not None:
        _check_version(writer.collection, change.version, row)
    return row


def _check_version(collection: RestCollection, version: str, current_row: RowValues | None) -> None:
    """Raise ChangeRejected when the row is not, or no longer, at this version."""
    if not collection.version:
        raise ChangeRejected("the API's rows have no version: leave it out")
    if current_row is None or str(current_row[collection.version]) != version:
        raise ChangeRejected("the row was changed meanwhile: read it again", ErrorCode.VERSION_CONFLICT)


async def _check_parent_exists(writer: CollectionWriter, change: RowChange) -> None:
    """Check that the collection of a new row exists, where its path has columns. Raises ChangeRejected."""
    path_values = _get_path_values(writer.collection, change)
    if not path_values:
        return
    sendable = encode_path_values(tuple(path_values.values())) is not None
    if not sendable or await writer.client.get(fill_path(writer.collection.path, path_values)) is None:
        raise ChangeRejected(NO_ROW_MESSAGE, ErrorCode.NOT_FOUND)


async def _read_resulting_row(
    writer: CollectionWriter, change: RowChange, before: RowValues | None, body: Any
) -> RowValues:
    """Return the row of the response, or the one that the API has now; what it should be, where that fails.

    The change was made, whether or not its row can be read.
    """
    operation, columns = writer.collection.writes[change.kind], tuple(writer.collection.columns)
    if operation.answers and body is not None:
        item = extract_at_path(body, operation.rows)
        path_values = _get_path_values(writer.collection, change)
        (values,) = convert_rows([item], columns, writer.collection.columns, path_values)
        if isinstance(values, FlawedRow):
            place, flaw = next(iter(values.flaws.items()))
            raise ConnectorError(f"the API gave {flaw} as `{columns[place]}`", ErrorCode.SOURCE_INVALID)
        return dict(zip(columns, values, strict=True))
    try:
        row = await (
            _find_row_by_mark(writer, change, operation)
            if change.kind is ChangeKind.CREATE and operation.id
            else _find_row_by_key(writer, change)
        )
    except ConnectorError:
        row = None
    return _predict_row(change, before) if row is None else row


def _predict_row(change: RowChange, before: RowValues | None) -> RowValues:
    return {**(before or {}), **change.key, **change.values}


async def _find_row_by_key(writer: CollectionWriter, change: RowChange) -> RowValues | None:
    columns, values = _find_row_key_columns(writer.collection, change), {**change.values, **change.key}
    if columns is None:
        raise ConnectorError("the API is not asked without a row's whole key", ErrorCode.CANNOT_ANSWER)
    keys = KeyFilter(columns, (tuple(values[name] for name in columns),))
    return await _find_first_row(writer, _build_scan_request(writer, keys=keys), lambda row: True)


async def _find_row_by_mark(writer: CollectionWriter, change: RowChange, operation: WriteOperation) -> RowValues | None:
    """Search all rows of the collection's path for the mark, page by page."""
    values, path_columns = {**change.values, **change.key}, writer.collection.path_columns
    keys = KeyFilter(path_columns, (tuple(values[name] for name in path_columns),)) if path_columns else None
    comparisons = tuple(Comparison(name, Op.EQ, values[name]) for name in operation.by if values.get(name) is not None)
    request = _build_scan_request(writer, keys=keys, filter=And(comparisons))
    return await _find_first_row(writer, request, lambda row: _has_change_mark(row[operation.id], change, operation))


def _build_scan_request(writer: CollectionWriter, **options: Any) -> ScanRequest:
    return ScanRequest(collection=writer.collection.name, columns=tuple(writer.collection.columns), **options)


async def _find_first_row(
    writer: CollectionWriter, scan_request: ScanRequest, matches: Callable[[RowValues], bool]
) -> RowValues | None:
    async with closing_batches(writer.scan(scan_request)) as batches:
        async for batch in batches:
            for values in batch:
                row = dict(zip(scan_request.columns, values, strict=True))
                if matches(row):
                    return row
    return None


def _find_row_key_columns(collection: RestCollection, change: RowChange) -> tuple[str, ...] | None:
    """Return the columns that identify the row of a change, of those that have a value."""
    with_value = {name for name, value in {**change.values, **change.key}.items() if value is not None}
    for name in collection.keys:
        if {*collection.path_columns, name} <= with_value:
            return (*collection.path_columns, name)
    return None


def _get_path_values(collection: RestCollection, change: RowChange) -> Mapping[str, Any]:
    """Return the values of the columns that stand in the collection's own path."""
    values = {**change.values, **change.key}
    return {name: values[name] for name in collection.path_columns}
