"""Changes over HTTP."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil
from typing import Any, TypeAlias

import orjson
from aiohttp import ClientConnectorError, ClientResponse
from yarl import URL

from onedoor.connectors.rest.client import (
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    RestClient,
    convert_rest_rows,
    encode_path_values,
    extract_at_path,
    fill_path,
    is_rate_limited,
    map_rest_error,
    map_rest_status,
    parse_retry_after,
    read_body,
)
from onedoor.connectors.rest.config import JsonPath, RequestField, RestCollection, WriteOperation, find_path_parameters
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues
from onedoor.spi.predicates import And, Comparison, Op, Row, Value
from onedoor.spi.scan import KeyFilter, ScanRequest
from onedoor.spi.spill import closing_batches

NO_ROW_MESSAGE = "the API has no such row"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """`body`: JSON; None: nothing is sent."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]


def build_write_request(change: RowChange, operation: WriteOperation, collection: RestCollection) -> WriteRequest:
    given = {**change.values, **change.key}
    check_is_sendable(change, operation)
    body = build_write_body(change, operation, collection)
    headers = {"content-type": "application/json"} if body is not None else {}
    if operation.id_header:
        headers[operation.id_header] = change.id
    if operation.version_header and change.version is not None:
        headers[operation.version_header] = change.version
    return WriteRequest(
        method=operation.method, path=build_write_path(operation.path, given), body=body, headers=headers
    )


def check_is_sendable(change: RowChange, operation: WriteOperation) -> None:
    """Nothing is given that could not be sent, and what the call means by itself is what is wanted."""
    for name in change.values:
        if (
            name not in operation.columns
            and name not in operation.only
            and name not in find_path_parameters(operation.path)
        ):
            raise ChangeRejected(f"`{name}` cannot be given to the API")
    for name, value in operation.only.items():
        if change.values.get(name) != value:
            raise ChangeRejected(f"`{name}` can be made `{value}` and nothing else")


def build_write_path(path: str, row_values: Mapping[str, Value]) -> str:
    """Of a value that would lead elsewhere there is no row."""
    values = {name: row_values.get(name) for name in find_path_parameters(path)}
    for name, value in values.items():
        if value is None:
            raise ChangeRejected(f"`{name}` is missing")
    if encode_path_values(tuple(values.values())) is None:
        raise ChangeRejected(NO_ROW_MESSAGE, ErrorCode.NOT_FOUND)
    return fill_path(path, values)


def build_write_body(change: RowChange, operation: WriteOperation, collection: RestCollection) -> bytes | None:
    body: dict[str, Any] = deepcopy(dict(operation.fixed))
    for name, place in operation.columns.items():
        if name in change.values:
            set_at_path(body, place.at, encode_json_value(change.values[name], place))
    if operation.id:
        place = operation.columns.get(operation.id) or RequestField(at=collection.columns[operation.id].at)
        set_at_path(body, place.at, add_change_mark(change, operation))
    if not body:
        return None
    try:
        return orjson.dumps(body, default=str)
    except TypeError:
        raise ChangeRejected("a value cannot be sent to the API") from None


def set_at_path(body: dict[str, Any], path: JsonPath, value: Any) -> None:
    *above, last = path
    for step in above:
        body = body.setdefault(step, {})
    body[last] = value


def encode_json_value(value: Value, field: RequestField) -> Any:
    """Times carry their zone; money is text, which is exact, or a number with all its digits."""
    if isinstance(value, Decimal):
        written: Any = orjson.Fragment(f"{value:f}") if field.number else f"{value:f}"
    else:
        written = value.isoformat() if isinstance(value, date) else value
    return [written] if field.list else written


def add_change_mark(change: RowChange, operation: WriteOperation) -> str:
    """What the column says, and which change said it."""
    mark, text = operation.mark.replace("{id}", change.id), change.values.get(operation.id)
    return f"{text} {mark}" if text else mark


def has_change_mark(value: Value, change: RowChange, operation: WriteOperation) -> bool:
    """Whether a column's value names the change."""
    mark = operation.mark.replace("{id}", change.id)
    return isinstance(value, str) and (value == mark or value.endswith(f" {mark}"))


NOT_FOUND_STATUSES = frozenset({404, 410})

CONFLICT_STATUSES = frozenset({409, 412})

BAD_INPUT_STATUSES = frozenset({400, 413, 415, 422})

UNCERTAIN_STATUSES = frozenset({408, 425})
"""Statuses of which nobody knows what came before them."""

REJECTION_MESSAGES: Mapping[ErrorCode, str] = {
    ErrorCode.NOT_FOUND: NO_ROW_MESSAGE,
    ErrorCode.ALREADY_EXISTS: "the API has such a row already",
    ErrorCode.VERSION_CONFLICT: "the API says that this is in conflict with what it holds",
    ErrorCode.BAD_USER_INPUT: "the API refused the values",
}


async def send_write_request(client: RestClient, write_request: WriteRequest, operation: WriteOperation) -> Any:
    """None where it says nothing."""
    url = URL(f"{client.base_url}{write_request.path}", encoded=True)
    headers = {**client.headers, **write_request.headers}
    try:
        async with (
            client.semaphore,
            client.session.request(
                write_request.method, url, data=write_request.body, headers=headers, allow_redirects=False
            ) as response,
        ):
            if response.status not in operation.statuses:
                raise map_write_status(response, operation)
            said = await read_body(response, client.limits.most)
            return orjson.loads(said) if said else None
    except (ChangeRejected, ConnectorError):
        raise
    except Exception as error:
        raise map_write_error(error, client.limits.timeout) from error


def map_write_error(error: Exception, timeout: float) -> ChangeRejected | ConnectorError:
    """Who was never reached was told nothing."""
    failure = map_rest_error(error, timeout)
    if isinstance(error, ClientConnectorError):
        return ChangeRejected(failure.reason, failure.code)
    return ConnectorError(failure.reason, failure.code)


def map_write_status(response: ClientResponse, operation: WriteOperation) -> ChangeRejected | ConnectorError:
    """Of a status that does not say that it was done."""
    status = response.status
    wait = parse_retry_after(status, response.headers)
    if status == TOO_MANY_REQUESTS or wait is not None or is_rate_limited(response):
        later = "later" if wait is None else f"in {ceil(wait)} s"
        return ChangeRejected(f"the API takes no more calls for now, ask again {later}", ErrorCode.SOURCE_OVERLOADED)
    code = operation.refusals.get(status) or find_default_error_code(status)
    if code is not None:
        return ChangeRejected(REJECTION_MESSAGES[code], code)
    failure = map_rest_status(status)
    if UNAUTHORIZED <= status < SERVER_ERROR and status not in UNCERTAIN_STATUSES:
        return ChangeRejected(failure.reason, failure.code)
    return ConnectorError(failure.reason, failure.code)


def find_default_error_code(status: int) -> ErrorCode | None:
    """What a status means where nothing else is declared."""
    for statuses, code in (
        (NOT_FOUND_STATUSES, ErrorCode.NOT_FOUND),
        (CONFLICT_STATUSES, ErrorCode.VERSION_CONFLICT),
        (BAD_INPUT_STATUSES, ErrorCode.BAD_USER_INPUT),
    ):
        if status in statuses:
            return code
    return None


@contextmanager
def reject_on_failure(timeout: float) -> Iterator[None]:
    """What fails in here fails before anything was told."""
    try:
        yield
    except ChangeRejected:
        raise
    except Exception as error:
        failure = map_rest_error(error, timeout)
        raise ChangeRejected(failure.reason, failure.code) from error


ScanFunction: TypeAlias = Callable[[ScanRequest], AsyncIterator[Sequence[Row]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionWriter:
    """One collection of an API: how it is told, and how it is read."""

    client: RestClient
    collection: RestCollection
    scan: ScanFunction


async def apply_rest_change(writer: CollectionWriter, change: RowChange, *, dry_run: bool) -> ChangeResult:
    """Raises Unmade or SourceFailed."""
    way = writer.collection.writes[change.kind]
    call = build_write_request(change, way, writer.collection)
    with reject_on_failure(writer.client.limits.timeout):
        before = await read_current_row(writer, change)
        if dry_run and change.kind is ChangeKind.CREATE:
            await check_parent_exists(writer, change)
    if dry_run:
        return ChangeResult(
            before=before, after=None if change.kind is ChangeKind.DELETE else predict_row(change, before)
        )
    said = await send_write_request(writer.client, call, way)
    if change.kind is ChangeKind.DELETE:
        return ChangeResult(before=before, after=None)
    return ChangeResult(before=before, after=await read_resulting_row(writer, change, before, said))


async def find_rest_change(writer: CollectionWriter, change: RowChange) -> ChangeResult | None:
    """What was there before is not told any more. Of what was to go, and is not there, nobody knows who did it."""
    way = writer.collection.writes[change.kind]
    if change.kind is ChangeKind.DELETE:
        return ChangeResult(before=None, after=None) if await find_row_by_key(writer, change) is None else None
    if change.kind is ChangeKind.CREATE and way.id:
        found = await find_row_by_mark(writer, change, way)
    else:
        found = await find_row_by_key(writer, change)
        if found is not None and not is_applied(found, change, way):
            return None
    return None if found is None else ChangeResult(before=None, after=found)


def is_applied(row: RowValues, change: RowChange, operation: WriteOperation) -> bool:
    """Whether a row is as a change leaves it."""
    if operation.id:
        return has_change_mark(row[operation.id], change, operation)
    return all(row[name] == value for name, value in change.values.items())


async def read_current_row(writer: CollectionWriter, change: RowChange) -> RowValues | None:
    """The row that is to be changed; raises Unmade where it is not as it must be."""
    key = find_row_key_columns(writer.collection, change)
    if key is None and change.kind is ChangeKind.CREATE:
        return None
    found = await find_row_by_key(writer, change)
    if found is None and change.kind in (ChangeKind.UPDATE, ChangeKind.DELETE):
        raise ChangeRejected(NO_ROW_MESSAGE, ErrorCode.NOT_FOUND)
    if found is not None and change.kind is ChangeKind.CREATE:
        raise ChangeRejected("the API has such a row already", ErrorCode.ALREADY_EXISTS)
    if change.version is not None:
        check_version(writer.collection, change.version, found)
    return found


def check_version(collection: RestCollection, version: str, current_row: RowValues | None) -> None:
    """Raises Unmade where a row is not, or not any more, at its version."""
    if not collection.version:
        raise ChangeRejected("the API's rows have no version: leave it out")
    if current_row is None or str(current_row[collection.version]) != version:
        raise ChangeRejected("the row was changed meanwhile: read it again", ErrorCode.VERSION_CONFLICT)


async def check_parent_exists(writer: CollectionWriter, change: RowChange) -> None:
    """Whether there is what a new row would stand under."""
    given = get_path_values(writer.collection, change)
    if not given:
        return
    if (
        encode_path_values(tuple(given.values())) is None
        or await writer.client.get(fill_path(writer.collection.path, given)) is None
    ):
        raise ChangeRejected(NO_ROW_MESSAGE, ErrorCode.NOT_FOUND)


async def read_resulting_row(
    writer: CollectionWriter, change: RowChange, before: RowValues | None, body: Any
) -> RowValues:
    """What the API answered, or holds now. That it was done is known, whether or not it can be read."""
    way, columns = writer.collection.writes[change.kind], tuple(writer.collection.columns)
    if way.answers and body is not None:
        (row,) = convert_rest_rows(
            [extract_at_path(body, way.rows)], columns, writer.collection, get_path_values(writer.collection, change)
        )
        return dict(zip(columns, row, strict=True))
    try:
        found = await (
            find_row_by_mark(writer, change, way)
            if change.kind is ChangeKind.CREATE and way.id
            else find_row_by_key(writer, change)
        )
    except ConnectorError:
        found = None
    return predict_row(change, before) if found is None else found


def predict_row(change: RowChange, before: RowValues | None) -> RowValues:
    return {**(before or {}), **change.key, **change.values}


async def find_row_by_key(writer: CollectionWriter, change: RowChange) -> RowValues | None:
    key, given = find_row_key_columns(writer.collection, change), {**change.values, **change.key}
    if key is None:
        raise ConnectorError("the API is not asked without a row's whole key", ErrorCode.CANNOT_ANSWER)
    return await find_first_row(
        writer, build_scan_request(writer, keys=KeyFilter(key, (tuple(given[name] for name in key),))), lambda row: True
    )


async def find_row_by_mark(writer: CollectionWriter, change: RowChange, operation: WriteOperation) -> RowValues | None:
    """Among all rows that stand where it would, page by page."""
    given = {**change.values, **change.key}
    place = writer.collection.path_columns
    keys = KeyFilter(place, (tuple(given[name] for name in place),)) if place else None
    tests = tuple(Comparison(name, Op.EQ, given[name]) for name in operation.by if given.get(name) is not None)
    ask = build_scan_request(writer, keys=keys, where=And(tests))
    return await find_first_row(writer, ask, lambda row: has_change_mark(row[operation.id], change, operation))


def build_scan_request(writer: CollectionWriter, **more: Any) -> ScanRequest:
    return ScanRequest(collection=writer.collection.name, columns=tuple(writer.collection.columns), **more)


async def find_first_row(
    writer: CollectionWriter, scan_request: ScanRequest, matches: Callable[[RowValues], bool]
) -> RowValues | None:
    async with closing_batches(writer.scan(scan_request)) as batches:
        async for batch in batches:
            for row in batch:
                found = dict(zip(scan_request.columns, row, strict=True))
                if matches(found):
                    return found
    return None


def find_row_key_columns(collection: RestCollection, change: RowChange) -> tuple[str, ...] | None:
    """The columns that name its row, of those that have a value."""
    given = {name for name, value in {**change.values, **change.key}.items() if value is not None}
    for name in collection.keys:
        if {*collection.path_columns, name} <= given:
            return (*collection.path_columns, name)
    return None


def get_path_values(collection: RestCollection, change: RowChange) -> Mapping[str, Any]:
    """What stands in the collection's own path."""
    given = {**change.values, **change.key}
    return {name: given[name] for name in collection.path_columns}
