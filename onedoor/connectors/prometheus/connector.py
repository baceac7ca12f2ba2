"""Answer scans from a Prometheus, whose time series are rows: the connector of kind `prometheus`."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import BasicAuth

from onedoor.connectors.http_client import HttpLimits
from onedoor.connectors.labelled_series import EPOCH, convert_label, convert_sample, filter_rows, get_current_second
from onedoor.connectors.prometheus.client import PrometheusClient
from onedoor.connectors.prometheus.collections import (
    PrometheusCollection,
    PromQLRequest,
    build_prometheus_capabilities,
    parse_prometheus_collections,
    plan_promql_requests,
)
from onedoor.connectors.public_addresses import check_base_url
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ConnectorKind
from onedoor.spi.predicates import Row, Value
from onedoor.spi.scan import ScanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusOptions:
    """The settings of a `prometheus` source: `token`, or `user` and `password`, where it asks for credentials.

    `timeout`: seconds of one call, which are sent to it as well. `connections`: calls at a time. `response_bytes`: of
    one response. `private_addresses`: it may be in this network, and without TLS.
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


async def connect(
    options: PrometheusOptions, clock: Callable[[], datetime] = get_current_second
) -> "PrometheusConnector":
    """Build the connector without a call. Raises ValueError, which names the setting that is wrong."""
    collections = parse_prometheus_collections(options.collections)
    base_url = check_base_url(options.base_url, private_addresses=options.private_addresses)
    if (options.user is None) != (options.password is None) or (options.user and options.token):
        raise ValueError("give either `token`, or `user` and `password`")
    limits = HttpLimits(
        timeout=options.timeout,
        max_concurrency=options.connections,
        max_response_bytes=options.response_bytes,
        private_addresses=options.private_addresses,
    )
    auth = BasicAuth(options.user, options.password or "", "utf-8") if options.user else None
    client = PrometheusClient(base_url, limits, auth=auth, token=options.token)
    return PrometheusConnector(client, collections, clock)


class PrometheusConnector:
    """Serve the declared collections of one server."""

    def __init__(
        self, client: PrometheusClient, collections: Mapping[str, PrometheusCollection], clock: Callable[[], datetime]
    ) -> None:
        self.client = client
        self.collections = collections
        self.clock = clock
        self.capabilities_by_collection = {
            name: build_prometheus_capabilities(collection) for name, collection in collections.items()
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Run as many queries at a time as there are connections, and yield the rows of each as a batch."""
        collection, max_concurrency = self.collections[request.collection], self.client.limits.max_concurrency
        queries = plan_promql_requests(request, collection, self.clock())
        for start in range(0, len(queries), max_concurrency):
            chunk = queries[start : start + max_concurrency]
            for series, query in zip(await fan_out(self.client.execute, chunk, len(chunk)), chunk, strict=True):
                yield self._build_rows(series, query, request)

    def _build_rows(self, series: Sequence[Any], query: PromQLRequest, request: ScanRequest) -> list[Row]:
        collection = self.collections[request.collection]
        try:
            rows = _convert_series(series, query, collection)
        except ConnectorError:
            raise
        except Exception as error:
            raise self.client.http.map_error(error) from error
        return filter_rows(rows, tuple(collection.columns), request)

    def statement_text(self, request: ScanRequest) -> str:
        """Return the PromQL of a scan as it is declared, without the matchers of its filters and keys."""
        return self.collections[request.collection].query

    async def ping(self) -> None:
        """Check that the server takes the credentials and answers a query. Raises ConnectorError."""
        await self.client.post("query", {"query": "1"})

    async def close(self) -> None:
        await self.client.close()


def _convert_series(series: Sequence[Any], query: PromQLRequest, collection: PrometheusCollection) -> list[Row]:
    """Convert every sample to a row. Raises ConnectorError when the declared labels do not tell two series apart."""
    label_values = [
        tuple(convert_label(entry["metric"].get(name), column_type) for name, column_type in collection.labels.items())
        for entry in series
    ]
    if len(set(label_values)) < len(label_values):
        raise ConnectorError(
            f"series of `{collection.name}` differ in labels that its settings do not declare:"
            " add them to `labels`, or sum them up",
            ErrorCode.SOURCE_INVALID,
        )
    window = (query.window,) if collection.windows else ()
    step = (query.step,) if collection.steps else ()
    return [
        (*labels, *window, *step, time, convert_sample(float(text)))
        for labels, entry in zip(label_values, series, strict=True)
        for time, text in _iterate_points(entry, query)
    ]


def _iterate_points(series: Mapping[str, Any], query: PromQLRequest) -> Iterator[tuple[Value, str]]:
    """Yield times and values. At an instant the time is the requested one, which Prometheus cuts to milliseconds."""
    if query.instant is not None:
        yield query.instant, series["value"][1]
        return
    for seconds, text in series["values"]:
        yield EPOCH + timedelta(milliseconds=round(seconds * 1000)), text


KIND = ConnectorKind(options=PrometheusOptions, connect=connect)
