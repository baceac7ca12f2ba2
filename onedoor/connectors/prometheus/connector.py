"""Options, the connector, one call, rows, errors."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import orjson
from aiohttp import (
    BasicAuth,
    ClientConnectionError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)

from onedoor.connectors.http_client import PrivateAddressError, PublicAddressResolver, check_base_url, disable_retries
from onedoor.connectors.path_patterns import CANONICAL_INTEGER_PATTERN
from onedoor.connectors.prometheus.collections import (
    EPOCH,
    PrometheusCollection,
    PromQLRequest,
    build_prometheus_capabilities,
    parse_prometheus_collections,
    plan_promql_requests,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import ConnectorKind
from onedoor.spi.operators import compile_key, compile_predicate
from onedoor.spi.predicates import Row, Value
from onedoor.spi.scan import ScanRequest

ERRORS_BY_TYPE: Mapping[str, ConnectorError] = {
    "bad_data": ConnectorError("prometheus cannot read the query that the settings declare", ErrorCode.SOURCE_INVALID),
    "execution": ConnectorError("prometheus could not carry out the query", ErrorCode.SOURCE_INVALID),
    "timeout": ConnectorError("prometheus gave up on the query, ask for less"),
    "canceled": ConnectorError("prometheus gave up on the query, ask for less"),
    "unavailable": ConnectorError("prometheus is not ready yet", retryable=True),
    "not_found": ConnectorError("prometheus does not know this question", ErrorCode.SOURCE_INVALID),
}
"""By `errorType`."""

UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, SERVER_ERROR = 401, 403, 429, 500


def map_prometheus_error(error: BaseException, timeout: float) -> ConnectorError:
    """`timeout` in seconds."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddressError):
            return ConnectorError("prometheus's name leads into this network, which its settings do not allow")
        cause = cause.__cause__
    match error:
        case TimeoutError():
            return ConnectorError(f"prometheus did not answer within {timeout:g} s")
        case ClientConnectionError():
            return ConnectorError("prometheus could not be reached", retryable=True)
    return build_invalid_prometheus_response_error()


def map_prometheus_status(status: int, error_type: object) -> ConnectorError:
    """Of any answer but a success."""
    known = ERRORS_BY_TYPE.get(error_type) if isinstance(error_type, str) else None
    if known is not None:
        return ConnectorError(known.reason, known.code, retryable=known.retryable)
    if status in (UNAUTHORIZED, FORBIDDEN):
        return ConnectorError("prometheus refused the credentials")
    if status == TOO_MANY_REQUESTS:
        return ConnectorError("prometheus takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
    if status >= SERVER_ERROR:
        return ConnectorError(f"prometheus failed with HTTP status {status}", retryable=True)
    return ConnectorError(f"prometheus refused the call with HTTP status {status}", ErrorCode.SOURCE_INVALID)


def build_invalid_prometheus_response_error() -> ConnectorError:
    return ConnectorError("prometheus gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def build_undeclared_labels_error(name: str) -> ConnectorError:
    return ConnectorError(
        f"series of `{name}` differ in labels that its settings do not declare: add them to `labels`, or sum them up",
        ErrorCode.SOURCE_INVALID,
    )


def build_prometheus_response_size_error(max_bytes: int) -> ConnectorError:
    limit = f"the limit `response_bytes` of {max_bytes}"
    return ConnectorError(f"an answer of prometheus is over {limit}, ask for less", ErrorCode.LIMIT_EXCEEDED)


OK = 200

RESULT_TYPES = {"query": "vector", "query_range": "matrix"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusClient:
    """One server's calls. `most`: bytes of an answer."""

    session: ClientSession
    base_url: str
    timeout: float
    at_once: int
    most: int
    semaphore: asyncio.Semaphore

    async def execute(self, promql_request: PromQLRequest) -> Sequence[Any]:
        """Its series as they came. Raises SourceFailed."""
        data = await self.post(promql_request.path, promql_request.form)
        if data.get("resultType") != RESULT_TYPES[promql_request.path] or not isinstance(data.get("result"), list):
            raise build_invalid_prometheus_response_error()
        found: Sequence[Any] = data["result"]
        return found

    async def post(self, path: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            async with (
                self.semaphore,
                self.session.post(
                    f"{self.base_url}/api/v1/{path}",
                    data={**form, "timeout": f"{self.timeout:g}s"},
                    allow_redirects=False,
                ) as response,
            ):
                return _extract_prometheus_data(response.status, await _read_json(response, self.most))
        except ConnectorError:
            raise
        except Exception as error:
            raise map_prometheus_error(error, self.timeout) from error


def build_prometheus_client(
    base_url: str, auth: BasicAuth | None, token: str | None, **bounds: Any
) -> PrometheusClient:
    """`private_addresses`, and the bounds of Calls."""
    resolver = None if bounds.pop("private_addresses") else PublicAddressResolver()
    session = disable_retries(
        ClientSession(
            connector=TCPConnector(resolver=resolver, limit=bounds["at_once"]),
            headers={"accept-encoding": "identity", **({"authorization": f"Bearer {token}"} if token else {})},
            auth=auth,
            timeout=ClientTimeout(total=bounds["timeout"]),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
    )
    return PrometheusClient(
        session=session, base_url=base_url, semaphore=asyncio.Semaphore(bounds["at_once"]), **bounds
    )


async def _read_json(response: ClientResponse, max_bytes: int) -> Any:
    """Counted while it comes, and it does not come packed; None where it is no JSON."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise build_prometheus_response_size_error(max_bytes)
    try:
        return orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError:
        return None


def _extract_prometheus_data(status: int, body: Any) -> Mapping[str, Any]:
    told = body if isinstance(body, Mapping) else {}
    if status != OK or told.get("status") != "success":
        raise (
            map_prometheus_status(status, told.get("errorType"))
            if status != OK or told
            else build_invalid_prometheus_response_error()
        )
    data = told.get("data")
    if not isinstance(data, Mapping):
        raise build_invalid_prometheus_response_error()
    return data


INTEGER_PATTERN = re.compile(CANONICAL_INTEGER_PATTERN)


def convert_series(series: Sequence[Any], promql_request: PromQLRequest, collection: PrometheusCollection) -> list[Row]:
    """Every row that was given, in the order of the collection's columns. SourceFailed: two look alike."""
    seen = [
        tuple(_convert_label(each["metric"], name, kind) for name, kind in collection.labels.items()) for each in series
    ]
    if len(set(seen)) < len(seen):
        raise build_undeclared_labels_error(collection.name)
    asked = (
        *((promql_request.window,) if collection.windows else ()),
        *((promql_request.step,) if collection.steps else ()),
    )
    return [
        (*labels, *asked, at, _convert_value(value))
        for labels, each in zip(seen, series, strict=True)
        for at, value in _iterate_points(each, promql_request)
    ]


def filter_prometheus_rows(rows: Sequence[Row], request: ScanRequest, collection: PrometheusCollection) -> list[Row]:
    """Those that are meant, with the columns that are wanted."""
    columns = tuple(collection.columns)
    meets, wanted = compile_predicate(request.filter, columns), compile_key(request.columns, columns)
    if request.keys is None:
        return [wanted(row) for row in rows if meets(row)]
    key, keys = compile_key(request.keys.columns, columns), frozenset(request.keys.values)
    return [wanted(row) for row in rows if key(row) in keys and meets(row)]


def _iterate_points(series: Mapping[str, Any], promql_request: PromQLRequest) -> Iterator[tuple[Value, str]]:
    """At an instant the time is the one that was asked, which Prometheus gives back in milliseconds."""
    if promql_request.instant is not None:
        yield promql_request.instant, series["value"][1]
        return
    for at, value in series["values"]:
        yield EPOCH + timedelta(milliseconds=round(at * 1000)), value


def _convert_label(metric: Mapping[str, str], name: str, column_type: ColumnType) -> Value:
    """An empty label is not there; one that is no whole number where it should be has no value."""
    found = metric.get(name) or None
    if found is None or column_type is ColumnType.TEXT:
        return found
    return int(found) if INTEGER_PATTERN.fullmatch(found) else None


def _convert_value(text: str) -> float | None:
    """What is not a number, or has no end, has no value."""
    found = float(text)
    return found if isfinite(found) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusOptions:
    """`token`, or `user` and `password`, where it asks for them. `timeout`: seconds of one call, told to it, too.

    `connections`: calls at once. `response_bytes`: the most that one answer may hold. `private_addresses`: it may be in
    this network, and spoken to without TLS.
    """

    base_url: str
    collections: Mapping[str, Any]
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False


def get_current_second() -> datetime:
    """In whole seconds, so that what is read twice in one second is one read."""
    return datetime.now(UTC).replace(microsecond=0)


async def connect(
    options: PrometheusOptions, clock: Callable[[], datetime] = get_current_second
) -> "PrometheusConnector":
    """Asks it nothing yet. ValueError: what cannot be, of the declarations or the url."""
    declared = parse_prometheus_collections(options.collections)
    base_url = check_base_url(options.base_url, private_addresses=options.private_addresses)
    if (options.user is None) != (options.password is None) or (options.user and options.token):
        raise ValueError("give either `token`, or `user` and `password`")
    called = build_prometheus_client(
        base_url,
        BasicAuth(options.user, options.password or "", "utf-8") if options.user else None,
        options.token,
        timeout=options.timeout,
        at_once=options.connections,
        most=options.response_bytes,
        private_addresses=options.private_addresses,
    )
    return PrometheusConnector(called, declared, clock)


class PrometheusConnector:
    """The collections that were declared."""

    def __init__(
        self, client: PrometheusClient, collections: Mapping[str, PrometheusCollection], clock: Callable[[], datetime]
    ) -> None:
        self.client = client
        self.collections = collections
        self.clock = clock
        self.capabilities_by_collection = {
            name: build_prometheus_capabilities(each) for name, each in collections.items()
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """As many questions at once as there are connections; a batch is the answer of one."""
        collection = self.collections[request.collection]
        wanted = plan_promql_requests(request, collection, self.clock())
        for start in range(0, len(wanted), self.client.at_once):
            part = wanted[start : start + self.client.at_once]
            for series, question in zip(await fan_out(self.client.execute, part, len(part)), part, strict=True):
                yield self.build_rows(series, question, request)

    def build_rows(self, series: Sequence[Any], promql_request: PromQLRequest, request: ScanRequest) -> list[Row]:
        collection = self.collections[request.collection]
        try:
            return filter_prometheus_rows(convert_series(series, promql_request, collection), request, collection)
        except ConnectorError:
            raise
        except Exception as error:
            raise map_prometheus_error(error, self.client.timeout) from error

    def statement_text(self, request: ScanRequest) -> str:
        """The PromQL of an ask; a label that is filtered or read by shows as it is declared."""
        return self.collections[request.collection].query

    async def ping(self) -> None:
        """Whether it reads a query and takes the credentials."""
        await self.client.post("query", {"query": "1"})

    async def close(self) -> None:
        await self.client.session.close()


KIND = ConnectorKind(options=PrometheusOptions, connect=connect)
