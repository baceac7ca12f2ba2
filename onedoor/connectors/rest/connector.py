"""Answer scans and make changes over a declared HTTP API: the connector of kind `rest`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onedoor.connectors.http_client import HttpLimits
from onedoor.connectors.public_addresses import check_base_url
from onedoor.connectors.rest.client import RestClient
from onedoor.connectors.rest.config import load_described_collections, parse_rest_collections
from onedoor.connectors.rest.model import RestCollection, build_rest_capabilities, build_rest_write_capabilities
from onedoor.connectors.rest.pages import filter_rest_rows, read_rest_pages
from onedoor.connectors.rest.requests import build_rest_requests
from onedoor.connectors.rest.writes import CollectionWriter, apply_rest_change, find_rest_change
from onedoor.connectors.setting_readers import parse_headers_setting
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeRejected, ChangeResult, ConnectorKind, RowChange, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """The settings of a `rest` source: `headers` go with every call.

    `described`: a file with further collections, as `introspect` writes it. `timeout`: seconds of one call.
    `connections`: calls at a time. `response_bytes`: of one response, after decompression. `private_addresses`: the
    API may be in this network, and without TLS. `redirects`: hosts that may hold the text of a `text`; they are not
    sent the headers. `writable`: the changes that the collections declare under `writes` may be made.
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
    """Build the connector without a call. Raises ValueError, which names the setting that is wrong."""
    described = load_described_collections(options.described) if options.described else {}
    collections = parse_rest_collections({**described, **options.collections})
    headers = parse_headers_setting(options.headers)
    base_url = check_base_url(options.base_url, private_addresses=options.private_addresses)
    limits = HttpLimits(
        timeout=options.timeout,
        max_concurrency=options.connections,
        max_response_bytes=options.response_bytes,
        private_addresses=options.private_addresses,
    )
    client = RestClient(base_url, headers, limits, redirect_hosts=options.redirects)
    return RestConnector(client, collections, writable=options.writable)


class RestConnector:
    """Serve the declared collections of one API."""

    def __init__(
        self, client: RestClient, collections: Mapping[str, RestCollection], *, writable: bool = False
    ) -> None:
        self.client = client
        self.collections = collections
        self.writable = writable
        self.capabilities_by_collection = {
            name: build_rest_capabilities(collection) for name, collection in collections.items()
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, scan_request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Yield rows page by page; those of several calls come in the order of the calls."""
        collection, missing = self.collections[scan_request.collection], scan_request.limit
        requests = build_rest_requests(scan_request, collection)
        async for request, items in read_rest_pages(self.client, requests, collection):
            rows = filter_rest_rows(items, scan_request, collection, request)
            yield rows if missing is None else rows[:missing]
            missing = None if missing is None else max(0, missing - len(rows))
            if missing == 0:
                return

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return build_rest_write_capabilities(self.collections[collection]) if self.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """Make one change; an API makes no two of them together."""
        (change,) = changes
        write_capabilities = self.write_capabilities(change.collection)
        if write_capabilities is None or change.kind not in write_capabilities.settable_columns:
            raise ChangeRejected(
                "the API is not changed so: its settings do not declare it `writable`", ErrorCode.CANNOT_ANSWER
            )
        try:
            return (await apply_rest_change(self._build_writer(change), change, dry_run=dry_run),)
        except (ConnectorError, ChangeRejected):
            raise
        except Exception as error:
            raise self.client.http.map_error(error) from error

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        try:
            return await find_rest_change(self._build_writer(change), change)
        except ConnectorError:
            raise
        except Exception as error:
            raise self.client.http.map_error(error) from error

    def _build_writer(self, change: RowChange) -> CollectionWriter:
        return CollectionWriter(client=self.client, collection=self.collections[change.collection], scan=self.scan)

    async def ping(self) -> None:
        await self.client.ping()

    async def close(self) -> None:
        await self.client.close()


KIND = ConnectorKind(options=RestOptions, connect=connect)
