"""Requests, one call, values, errors."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import orjson
from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from onedoor.connectors.http_client import PrivateAddressError, PublicAddressResolver, check_base_url, disable_retries
from onedoor.connectors.rest.config import (
    PATH_PARAMETER,
    JsonColumn,
    JsonPath,
    OrderParameter,
    RestCollection,
    RestKeyLookup,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import And, Comparison, Row, Value
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey

JsonItem: TypeAlias = Any
"""An object, or, where a collection has no more, a text or a number."""

NULL_TYPE = type(None)


def convert_rest_rows(
    items: Sequence[JsonItem], columns: Sequence[str], collection: RestCollection, path_values: Mapping[str, Value]
) -> list[Row]:
    """Raises SourceFailed at the first value that is not what was declared."""
    if not columns:
        return [()] * len(items)
    found = (
        [path_values[name]] * len(items)
        if name in path_values
        else convert_column(items, name, collection.columns[name])
        for name in columns
    )
    return list(zip(*found, strict=True))


def convert_column(items: Sequence[JsonItem], name: str, column: JsonColumn) -> Sequence[Value]:
    found = (
        [each.get(column.at[0]) for each in items]
        if len(column.at) == 1
        else [extract_at_path(each, column.at) for each in items]
    )
    if set(map(type, found)) <= NATIVE_JSON_TYPES[column.kind]:
        return found
    try:
        return [None if value is None else CONVERTERS[column.kind](value) for value in found]
    except (TypeError, ValueError, ArithmeticError):
        raise ConnectorError(f"the API gave a `{name}` that is no {column.kind}", ErrorCode.SOURCE_INVALID) from None


def extract_at_path(value: Any, path: JsonPath) -> Any:
    """What lies there, in a list by its place from 0 on; None where a step is missing."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and step.isascii():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def convert_text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    return str(require_type(value, str))


def convert_integer(value: Any) -> int:
    """A number past what JavaScript counts often comes as text."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    return int(require_type(value, int))


def convert_float(value: Any) -> float:
    return float(value) if type(value) is int else require_type(value, float)


def convert_decimal(value: Any) -> Decimal:
    """Money in text is exact; a number is what it shows, up to 15 digits."""
    found = Decimal(
        value
        if isinstance(value, str)
        else str(convert_float(value) if type(value) is float else convert_integer(value))
    )
    if not found.is_finite():
        raise ValueError
    return found


def convert_boolean(value: Any) -> bool:
    return bool(require_type(value, bool))


def convert_date(value: Any) -> date:
    return date.fromisoformat(require_type(value, str))


def convert_time(value: Any) -> datetime:
    """A time without a zone is refused: nobody knows when it was."""
    found = datetime.fromisoformat(require_type(value, str))
    if found.tzinfo is None:
        raise ValueError
    return found.astimezone(UTC)


def convert_list(value: Any) -> tuple[str, ...]:
    return tuple(convert_text(each) for each in require_type(value, list))


def require_type(value: Any, expected_type: type[Any]) -> Any:
    if type(value) is not expected_type:
        raise TypeError
    return value


NATIVE_JSON_TYPES: Mapping[ColumnType, frozenset[type[Any]]] = {
    ColumnType.TEXT: frozenset({str, NULL_TYPE}),
    ColumnType.INTEGER: frozenset({int, NULL_TYPE}),
    ColumnType.FLOAT: frozenset({float, NULL_TYPE}),
    ColumnType.DECIMAL: frozenset({NULL_TYPE}),
    ColumnType.BOOLEAN: frozenset({bool, NULL_TYPE}),
    ColumnType.DATE: frozenset({NULL_TYPE}),
    ColumnType.TIME: frozenset({NULL_TYPE}),
    ColumnType.LIST: frozenset({NULL_TYPE}),
}
"""By kind, the types JSON has for it."""

CONVERTERS: Mapping[ColumnType, Callable[[Any], Value]] = {
    ColumnType.TEXT: convert_text,
    ColumnType.INTEGER: convert_integer,
    ColumnType.FLOAT: convert_float,
    ColumnType.DECIMAL: convert_decimal,
    ColumnType.BOOLEAN: convert_boolean,
    ColumnType.DATE: convert_date,
    ColumnType.TIME: convert_time,
    ColumnType.LIST: convert_list,
}


def encode_url_values(values: Iterable[Value]) -> list[str] | None:
    """Values as they stand in a url; None where one cannot stand there and mean itself."""
    written = [_encode_url_value(each) for each in values]
    return None if any(not each or not _is_utf8(each) for each in written) else written


def _encode_url_value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


DOT_SEGMENTS = (".", "..")
"""What a path would take for a step of its own."""

PATH_SEPARATORS = frozenset("/\\")
"""What some servers unpack before they take a path apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One call, or one page after the other. `limit`: as many rows are enough, as all that was asked was sent.

    `single`: one row and no pages. `given`: what the columns hold that stand in its path, which may lead nowhere.
    `whole`: of its keys, none was left for us to look for.
    """

    path: str
    parameters: tuple[tuple[str, str], ...] = ()
    rows_path: JsonPath
    limit: int | None = None
    single: bool = False
    path_values: Mapping[str, Value] = field(default_factory=dict)
    all_keys_sent: bool = True


def build_rest_requests(scan_request: ScanRequest, collection: RestCollection) -> list[RestRequest]:
    """None of them where no row can meet the ask."""
    tests = tuple(iterate_comparisons(scan_request.filter))
    wanted = {each.column: each.value for each in tests}
    if any(wanted[each.column] != each.value for each in tests) or (
        scan_request.keys is not None and not scan_request.keys.values
    ):
        return []
    calls = (
        [build_list_request(collection, {})]
        if scan_request.keys is None
        else list(build_key_requests(scan_request.keys, collection))
    )
    return [call if call.single else add_scan_parameters(call, scan_request, wanted, collection) for call in calls]


def iterate_comparisons(predicate: Any) -> Iterator[Comparison]:
    """All that is promised: equalities, all of which must hold."""
    if isinstance(predicate, And):
        for part in predicate.parts:
            yield from iterate_comparisons(part)
    else:
        assert isinstance(predicate, Comparison)
        yield predicate


def build_key_requests(keys: KeyFilter, collection: RestCollection) -> Iterator[RestRequest]:
    """For each set of values that the collection's path takes, the calls of the keys with these values.

    Where a path cannot hold a value, no row has it. Where some other key cannot be sent and mean itself, all rows of
    the path are read.
    """
    beside = [each for each in keys.columns if each not in collection.path_columns]
    for given, rows in group_keys_by_path(keys, collection.path_columns).items():
        values = dict(zip(collection.path_columns, given, strict=True))
        if collection.path_columns and encode_path_values(given) is None:
            continue
        if not beside:
            yield build_list_request(collection, values)
            continue
        (column,) = beside
        place = keys.columns.index(column)
        yield from build_lookup_requests(column, [row[place] for row in rows], values, collection)


def group_keys_by_path(keys: KeyFilter, path_columns: Sequence[str]) -> dict[Row, list[Row]]:
    at = [keys.columns.index(each) for each in path_columns]
    found: dict[Row, list[Row]] = {}
    for row in keys.values:
        found.setdefault(tuple(row[place] for place in at), []).append(row)
    return found


def build_lookup_requests(
    column: str, key_values: Sequence[Value], path_values: Mapping[str, Value], collection: RestCollection
) -> Iterator[RestRequest]:
    way = collection.keys[column]
    values = encode_path_values(key_values) if way.path else encode_url_values(key_values)
    listed_whole = values is None or any(not is_sendable_key(each, way) for each in values)
    if listed_whole or not (way.path or way.parameter):
        yield build_list_request(collection, path_values, all_keys_sent=False)
    elif way.path:
        for value in key_values:
            path = fill_path(way.path, {**path_values, column: value})
            yield RestRequest(path=path, rows_path=way.rows, single=True, path_values=path_values)
    else:
        for start in range(0, len(values or ()), way.most):
            yield build_list_request(
                collection, path_values, build_key_parameters(way, (values or ())[start : start + way.most])
            )


def build_list_request(
    collection: RestCollection,
    path_values: Mapping[str, Value],
    parameters: tuple[tuple[str, str], ...] = (),
    *,
    all_keys_sent: bool = True,
) -> RestRequest:
    return RestRequest(
        path=fill_path(collection.path, path_values), rows_path=collection.rows, parameters=parameters, path_values=path_values,
        single=collection.single, all_keys_sent=all_keys_sent,
    )  # fmt: skip


def fill_path(path: str, values: Mapping[str, Value]) -> str:
    written = {name: (encode_url_values((value,)) or [""])[0] for name, value in values.items()}
    return PATH_PARAMETER.sub(lambda found: quote(written[found[1]], safe=""), path)


def encode_path_values(values: Sequence[Value]) -> list[str] | None:
    """As they stand in a path; None where one of them would lead elsewhere."""
    written = encode_url_values(values)
    return written if written is not None and all(map(is_safe_path_segment, written)) else None


def is_safe_path_segment(value: str) -> bool:
    return value not in DOT_SEGMENTS and PATH_SEPARATORS.isdisjoint(value)


def is_sendable_key(value: str, lookup: RestKeyLookup) -> bool:
    return not lookup.separator or lookup.separator not in value


def build_key_parameters(lookup: RestKeyLookup, values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if lookup.separator:
        return ((lookup.parameter, lookup.separator.join(values)),)
    return tuple((lookup.parameter, each) for each in values)


def add_scan_parameters(
    request: RestRequest, scan_request: ScanRequest, equalities: Mapping[str, Any], collection: RestCollection
) -> RestRequest:
    """The call with its filters, its order and its limit; a limit goes along only with all that comes before it."""
    taken = {name for name, _ in request.parameters}
    parameters, whole = list(request.parameters), request.all_keys_sent
    for column, value in equalities.items():
        parameter, written = collection.filters[column], encode_url_values((value,))
        if written is None or parameter in taken:
            whole = False
        else:
            taken.add(parameter)
            parameters.append((parameter, written[0]))
    if scan_request.sort:
        assert collection.order is not None  # INVARIANT: only a promised order is asked
        parameters.append(build_order_parameter(collection.order, scan_request.sort, collection.columns))
    limit = scan_request.limit if whole and scan_request.limit else None
    if limit is not None and collection.limit is not None and limit <= collection.limit.most:
        parameters.append((collection.limit.parameter, str(limit)))
    return RestRequest(
        path=request.path,
        rows_path=request.rows_path,
        parameters=tuple(parameters),
        limit=limit,
        path_values=request.path_values,
    )


def build_order_parameter(
    order_parameter: OrderParameter, order: Sequence[SortKey], columns: Mapping[str, JsonColumn]
) -> tuple[str, str]:
    """A column is called what it is called in the API's answers. Of several, an order has its separator."""
    names = [
        f"{order_parameter.descending if each.descending else order_parameter.ascending}{'.'.join(columns[each.column].at)}"
        for each in order
    ]
    return order_parameter.parameter, order_parameter.separator.join(names)


OK, REDIRECT, UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, SERVER_ERROR = 200, 300, 401, 403, 429, 500

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


def map_rest_error(error: Exception, timeout: float) -> ConnectorError:
    """`timeout` in seconds."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddressError):
            return ConnectorError("the API's name leads into this network, which its settings do not allow")
        cause = cause.__cause__
    match error:
        case TimeoutError():
            return ConnectorError(f"the API did not answer within {timeout:g} s")
        case ClientConnectionError():
            return ConnectorError("the API could not be reached", retryable=True)
        case ClientError():
            return build_invalid_rest_response_error()
    return build_invalid_rest_response_error()


def map_rest_status(status: int) -> ConnectorError:
    """Of any status but 200."""
    if status == TOO_MANY_REQUESTS:
        return ConnectorError("the API takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
    if status >= SERVER_ERROR:
        return ConnectorError(f"the API failed with HTTP status {status}", retryable=True)
    if status in (UNAUTHORIZED, FORBIDDEN):
        return ConnectorError("the API refused the credentials")
    if REDIRECT <= status < 400:
        return ConnectorError("the API has moved: redirects are not followed", ErrorCode.SOURCE_INVALID)
    return ConnectorError(f"the API refused the call with HTTP status {status}", ErrorCode.SOURCE_INVALID)


def build_invalid_rest_response_error() -> ConnectorError:
    return ConnectorError("the API gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def build_rest_response_size_error(max_bytes: int) -> ConnectorError:
    return ConnectorError(
        f"an answer of the API is over the limit `response_bytes` of {max_bytes}", ErrorCode.SOURCE_INVALID
    )


QueryParameters: TypeAlias = Sequence[tuple[str, str]]

NOT_FOUND = 404

GZIP_WINDOW_BITS = 31
"""zlib's number of a stream with gzip's head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestResponse:
    """What was said, and the url that the Link header names as the next page."""

    body: Any
    next_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestClientLimits:
    """`timeout`: seconds of one call. `at_once`: calls. `most`: bytes of one answer, unpacked.

    `redirects`: the hosts where a text may lie, which are not sent our headers.
    """

    timeout: float
    at_once: int
    most: int
    private_addresses: bool = False
    redirects: tuple[str, ...] = ()


class RestClient:
    """One API's calls, within their bounds."""

    def __init__(
        self, session: ClientSession, base_url: str, headers: Mapping[str, str], limits: RestClientLimits
    ) -> None:
        self.session = session
        self.base_url = base_url
        self.headers = headers
        self.limits = limits
        self.at_once = limits.at_once
        self.semaphore = asyncio.Semaphore(limits.at_once)

    async def get(self, path: str, parameters: QueryParameters = ()) -> RestResponse | None:
        """None: there is nothing at this path. Raises SourceFailed."""
        query = f"?{urlencode(parameters, safe=',')}" if parameters else ""
        return await self.send(URL(f"{self.base_url}{path}{query}", encoded=True))

    async def get_text(self, path: str) -> RestResponse | None:
        """As `get`, of a text, which may lie at a host that the settings list."""
        return await self.send_with_retry(partial(self.get_text_once, URL(f"{self.base_url}{path}", encoded=True)))

    async def send(self, url: URL, json_body: bytes | None = None) -> RestResponse | None:
        """`sent`: JSON that is posted."""
        return await self.send_with_retry(partial(self.send_once, url, json_body))

    async def send_with_retry(self, send: Callable[[], Awaitable[RestResponse | float | None]]) -> RestResponse | None:
        """Asked to slow down, waits once, if the wait is shorter than a call may take."""
        try:
            async with self.semaphore:
                answer = await send()
                if isinstance(answer, float):
                    await asyncio.sleep(answer)
                    answer = await send()
        except ConnectorError:
            raise
        except Exception as error:
            raise map_rest_error(error, self.limits.timeout) from error
        if isinstance(answer, float):
            raise map_rest_status(TOO_MANY_REQUESTS)
        return answer

    async def send_once(self, url: URL, json_body: bytes | None = None) -> RestResponse | float | None:
        """An answer, or the seconds to wait for one."""
        method, more = ("GET", {}) if json_body is None else ("POST", {"content-type": "application/json"})
        headers = {**self.headers, **more}
        async with self.session.request(
            method, url, data=json_body, headers=headers, allow_redirects=False
        ) as response:
            if response.status == OK:
                said = orjson.loads(await read_body(response, self.limits.most))
                return RestResponse(body=said, next_url=parse_next_link(response))
            return self.handle_status(response)

    async def get_text_once(self, url: URL) -> RestResponse | float | None:
        async with self.session.get(url, headers=self.headers, allow_redirects=False) as response:
            if response.status == OK:
                return RestResponse(
                    body=(await read_body(response, self.limits.most)).decode("utf-8", "replace"), next_url=None
                )
            if response.status not in REDIRECT_STATUSES:
                return self.handle_status(response)
            place = self.resolve_redirect(url, response.headers.get("location", ""))
        async with self.session.get(place, allow_redirects=False) as response:
            if response.status == OK:
                return RestResponse(
                    body=(await read_body(response, self.limits.most)).decode("utf-8", "replace"), next_url=None
                )
            return self.handle_status(response)

    def handle_status(self, response: ClientResponse) -> float | None:
        """Of any status but 200: None, or the seconds to wait."""
        if response.status == NOT_FOUND:
            return None
        wait = parse_retry_after(response.status, response.headers)
        if wait is None or wait > self.limits.timeout:
            raise map_rest_status(
                TOO_MANY_REQUESTS if wait is not None or is_rate_limited(response) else response.status
            )
        return wait

    def resolve_redirect(self, url: URL, location: str) -> URL:
        """Where a text lies, if its host is one of those that are listed; judged as the API's own address is."""
        place = url.join(URL(location))
        if place.host not in self.limits.redirects:
            raise map_rest_status(REDIRECT)
        check_base_url(str(place.origin()), private_addresses=self.limits.private_addresses)
        return place

    async def ping(self) -> None:
        """Whatever it says of this path, it is there; raises SourceFailed."""
        try:
            url = URL(f"{self.base_url}/", encoded=True)
            async with self.session.head(url, headers=self.headers, allow_redirects=False) as response:
                status = response.status
        except Exception as error:
            raise map_rest_error(error, self.limits.timeout) from error
        if status >= 500:
            raise map_rest_status(status)


def build_rest_client(base_url: str, headers: Mapping[str, str], **given: Any) -> RestClient:
    """`given`: those of Bounds."""
    bounds = RestClientLimits(**given)
    session = ClientSession(
        connector=TCPConnector(
            resolver=None if bounds.private_addresses else PublicAddressResolver(), limit=bounds.at_once
        ),
        headers={"accept-encoding": "gzip"},
        timeout=ClientTimeout(total=bounds.timeout),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )
    return RestClient(disable_retries(session), base_url, {"accept": "application/json", **headers}, bounds)


async def read_body(response: ClientResponse, max_bytes: int) -> bytes:
    """Counted while it comes, packed and unpacked."""
    packed = response.headers.get("content-encoding", "identity").lower()
    if packed not in ("identity", "gzip"):
        raise build_invalid_rest_response_error()
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise build_rest_response_size_error(max_bytes)
    whole = b"".join(parts)
    return whole if packed == "identity" else decompress_gzip(whole, max_bytes)


def decompress_gzip(compressed: bytes, max_bytes: int) -> bytes:
    stream = zlib.decompressobj(GZIP_WINDOW_BITS)
    whole = stream.decompress(compressed, max_bytes + 1)
    if len(whole) > max_bytes:
        raise build_rest_response_size_error(max_bytes)
    if not stream.eof:
        raise build_invalid_rest_response_error()
    return whole


def parse_next_link(response: ClientResponse) -> str | None:
    """Where the next page is, by the answer's Link header."""
    if "link" not in response.headers:
        return None
    link = response.links.get("next")
    return None if link is None else str(link["url"])


def parse_retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """The seconds the API asks to wait; None when it does not ask."""
    try:
        wait = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return wait if status in (TOO_MANY_REQUESTS, FORBIDDEN) and wait >= 0 else None


def is_rate_limited(response: ClientResponse) -> bool:
    """Whether a refusal means that there were too many calls, as some say with 403."""
    return response.status == FORBIDDEN and response.headers.get("x-ratelimit-remaining") == "0"
